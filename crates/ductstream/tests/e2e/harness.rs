//! A flow of a test's own: its database, its flow file, its output, and the built binary.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::{PATIENCE, eventually};
use ductstream_testkit::python;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The binary under test.
pub(crate) const DUCTSTREAM: &str = env!("CARGO_BIN_EXE_ductstream");

pub(crate) struct Flow {
    pub(crate) directory: TempDir,
    pub(crate) name: String,
    document: String,
}

/// What a flow file says beside the defaults of a test.
pub(crate) struct Shape<'a> {
    pub(crate) format: &'a str,
    pub(crate) envelope: &'a str,
    pub(crate) tables: &'a [&'a str],
    /// More lines of the `source` section, indented by two.
    pub(crate) source: &'a str,
    /// `roll: {...}` and the like, for the one destination.
    pub(crate) destination: &'a str,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { format: "json", envelope: "flat", tables: &["public.*"], source: "", destination: "roll: {age: 1s}" }
    }
}

impl Flow {
    /// A flow from all tables of `database` into JSON lines, unless `shape` says otherwise.
    pub(crate) fn new(database: &TestDatabase, shape: &Shape<'_>) -> Self {
        Self::at(&database.url(), database.name(), shape)
    }

    pub(crate) fn at(url: &str, name: &str, shape: &Shape<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let tables = serde_json::to_string(shape.tables).unwrap();
        let document = format!(
            "name: {name}\nsource:\n  type: postgres\n  url: {url}\n  tables: {tables}\n{}\nformat: {}\nenvelope: {}\n\
             retry: {{initial: 50ms, max: 500ms}}\ndestinations:\n  - name: lake\n    type: file\n    path: {}\n    {}\n",
            shape.source,
            shape.format,
            shape.envelope,
            out.display(),
            shape.destination,
        );
        let flow = Self { directory, name: name.to_owned(), document };
        std::fs::write(flow.file(), &flow.document).unwrap();
        flow
    }

    /// Replaces the one destination by Kafka, with these settings.
    pub(crate) fn into_topics(mut self, brokers: &str, settings: &str) -> Self {
        let (head, _) = self.document.split_once("destinations:").unwrap();
        self.document =
            format!("{head}destinations:\n  - {{name: bus, type: kafka, brokers: \"{brokers}\", {settings}}}\n");
        std::fs::write(self.file(), &self.document).unwrap();
        self
    }

    /// What the flow file says of the destinations.
    pub(crate) fn destinations(&self) -> &str {
        self.document.split_once("destinations:\n").unwrap().1
    }

    /// Replaces the whole flow file.
    pub(crate) fn with_document(mut self, document: &str) -> Self {
        self.document = document.to_owned();
        std::fs::write(self.file(), document).unwrap();
        self
    }

    /// Replaces a piece of the flow file.
    pub(crate) fn edit(&mut self, from: &str, to: &str) {
        assert!(self.document.contains(from), "{from:?} is not in the flow file:\n{}", self.document);
        self.document = self.document.replace(from, to);
        std::fs::write(self.file(), &self.document).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("flow.yaml")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// `ductstream COMMAND FLOW ...`, not started.
    pub(crate) fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut process = Command::new(DUCTSTREAM);
        process.arg("--state").arg(self.state()).arg(command).arg(self.file()).args(arguments);
        process.stdin(Stdio::null()).kill_on_drop(true);
        process
    }

    /// Creates slot and publication, and ends: later changes are the flow's.
    pub(crate) async fn create(&self) {
        self.drain().await;
    }

    /// Runs until everything that the database has written is durable; must succeed.
    pub(crate) async fn drain(&self) -> Output {
        let output = self.command("run", &["--until-idle"]).output().await.unwrap();
        assert!(output.status.success(), "run failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs until it ends by itself, and returns exit code and standard error.
    pub(crate) async fn fails(&self, command: &str, arguments: &[&str]) -> (i32, String) {
        let output = self.command(command, arguments).output().await.unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts `run`, to go on until it is stopped or killed.
    pub(crate) fn start(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).unwrap();
        self.command("run", &[]).stderr(log).stdout(Stdio::null()).spawn().unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Every record of one table in the JSON lines that a plain glob finds, in order of position.
    pub(crate) fn records(&self, table: &str) -> Vec<Value> {
        let mut records: Vec<Value> = Vec::new();
        for file in files(&self.out().join(table), "jsonl") {
            let text = std::fs::read_to_string(&file).unwrap();
            records.extend(
                text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            );
        }
        records
    }

    /// The manifests in order.
    pub(crate) fn cuts(&self) -> Vec<Value> {
        let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        files(&self.out().join("_cuts"), "json").into_iter().map(read).collect()
    }

    /// Waits until what is delivered of `table` folds to `expected`; panics with the flow's log.
    pub(crate) async fn delivers(&self, table: &str, columns: &[&str], expected: &[String]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.folded(table, columns, Through::Manifests);
            if found == expected {
                return;
            }
            let (found, expected) = (found.len(), expected.len());
            assert!(Instant::now() < deadline, "{found} rows of {table}, expected {expected}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Folds the changes of `table` per `key` with DuckDB, through manifests or a plain glob, and returns each row's `columns` as one
    /// line of JSON, sorted. Fails when a position comes twice.
    pub(crate) fn folded(&self, table: &str, columns: &[&str], through: Through) -> Vec<String> {
        let through = match through {
            Through::Manifests => "manifests",
            Through::Glob => "glob",
        };
        let arguments =
            [self.out().to_str().unwrap().to_owned(), table.to_owned(), columns.join(","), through.to_owned()];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        python::run(include_str!("fold.py"), &arguments).lines().map(str::to_owned).collect()
    }
}

/// How a reader finds the objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Through {
    Manifests,
    Glob,
}

/// The files under `directory` with this extension, sorted by name.
pub(crate) fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    found
}

/// The fields asked for of each record.
pub(crate) fn fields(records: &[Value], names: &[&str]) -> Vec<Value> {
    let pick = |record: &Value| {
        names.iter().map(|name| record.get(*name).cloned().unwrap_or(Value::from("absent"))).collect::<Vec<_>>()
    };
    records.iter().map(|record| Value::from(pick(record))).collect()
}

/// The source's rows, each as one line of JSON as `fold.py` prints it, sorted.
pub(crate) async fn source_rows(database: &TestDatabase, table: &str, columns: &[&str]) -> Vec<String> {
    let columns = columns.iter().map(|column| format!("{column}::text")).collect::<Vec<_>>().join(",");
    let rows = database.query(&format!("select {columns} from {table}")).await;
    let mut lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    lines.sort();
    lines
}

/// The most memory that a process has used so far; `None` when it has ended.
pub(crate) fn peak_memory_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// Waits until the standby has replayed everything that the primary has written.
pub(crate) async fn replayed(primary: &TestDatabase, standby: &TestDatabase) {
    let end = primary.query_value("select pg_current_wal_flush_lsn()").await;
    let reached = format!("select pg_last_wal_replay_lsn() >= '{end}'");
    eventually("the standby to follow", || async { standby.query_value(&reached).await == "t" }).await;
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("the child runs").to_string();
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
    assert!(status.success());
}
