//! Child processes and Python readers.

use ductstream_testkit::{process, python};

#[tokio::test]
async fn a_process_is_watched_signalled_and_waited_for() {
    let script = "trap 'echo leaving >&2; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let child = process::Process::start("/bin/sh", ["-c", script], &[]);
    assert_eq!(child.wait_for_stdout(|line| line.starts_with("rea")).await, "ready");
    child.signal("TERM").await;
    let finished = child.wait().await.expect_code(7);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("ready\n", "leaving\n"));
}

#[tokio::test]
async fn a_killed_process_has_no_exit_code() {
    let child = process::Process::start("/bin/sh", ["-c", "echo $NAME; exec sleep 600"], &[("NAME", "set")]);
    child.wait_for_stdout(|line| line == "set").await;
    assert_eq!(child.kill().await.code(), None);
}

#[test]
fn python_has_the_independent_readers() {
    let script = "import sys, duckdb, pyarrow, psycopg; print(duckdb.sql('select 41 + 1').fetchall(), sys.argv[1:])";
    assert_eq!(python::run(script, &["a b"]), "[(42,)] ['a b']\n");
}
