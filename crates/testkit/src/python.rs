//! Readers that are not ours, in Python: DuckDB, pyarrow, fastavro, protobuf, psycopg.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The interpreter of the virtual environment that `cargo xtask servers` makes.
pub fn interpreter() -> PathBuf {
    let python = ductstream_cluster::servers_directory().with_file_name("venv").join("bin/python");
    assert!(python.is_file(), "there is no {}: run `cargo xtask servers`", python.display());
    python
}

/// Functions that make of Avro (`avro(data, schema)`) and Protobuf (`proto(message)`) in the envelope `debezium` what it is in JSON; to
/// stand in front of a script.
pub const CONNECT: &str = include_str!("connect.py");

/// Runs a script with arguments (`sys.argv[1:]`) and returns what it printed; panics with its error output otherwise.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(interpreter())
        .args(["-c", script])
        .args(arguments)
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .output()
        .expect("the interpreter runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the Python script failed:\n{stderr}\nit had printed:\n{stdout}");
    stdout
}
