//! The PostgreSQL that is changed, and the sessions that change it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use ductstream_cluster::{Binaries, Server, ServerOptions};
use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::servers::python;
use crate::workspace::capture;

const TABLES: &str = include_str!("tables.sql");
const WORKLOAD: &str = include_str!("workload.py");
/// The comparison, and the two ways to read what was delivered.
const PROGRAMS: [(&str, &str); 5] = [
    ("changes.py", include_str!("changes.py")),
    ("compare.py", include_str!("compare.py")),
    ("lake.py", include_str!("lake.py")),
    ("runs.py", include_str!("runs.py")),
    ("topics.py", include_str!("topics.py")),
];
const EXECUTE: &str = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])";

/// Below the product's own timeouts, so that a stall or a stop outlasts the server's patience soon; and so little
/// memory for decoding that most transactions are spilled, or streamed while they run.
const SETTINGS: [(&str, &str); 8] = [
    ("wal_level", "logical"),
    ("wal_sender_timeout", "2s"),
    ("logical_decoding_work_mem", "64kB"),
    ("max_prepared_transactions", "10"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "256MB"),
    ("timezone", "UTC"),
    ("fsync", "on"),
];

/// A server with the tables that are changed.
#[derive(Debug)]
pub(super) struct Source {
    server: Server,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct Comparison {
    pub(super) transactions: u64,
    pub(super) changes: u64,
    pub(super) rows: u64,
    #[serde(default)]
    pub(super) objects: u64,
    #[serde(default)]
    pub(super) cuts: u64,
    #[serde(default)]
    pub(super) messages: u64,
    /// Messages that had come before.
    #[serde(default)]
    pub(super) repeated: u64,
    pub(super) different: u64,
    /// The first of them.
    pub(super) differences: Vec<String>,
}

impl Source {
    pub(super) fn start(major: u16) -> Result<Self> {
        let binaries = Binaries::fetched(major)?;
        let settings = SETTINGS.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let server = Server::create(ServerOptions { binaries, settings, hba: Vec::new(), files: Vec::new() })?;
        let source = Self { server };
        capture(Command::new(python()).args(["-c", EXECUTE, &source.url(source.port()), TABLES]))?;
        Ok(source)
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    /// The URL of the database through a port.
    pub(super) fn url(&self, port: u16) -> String {
        format!("postgresql://postgres@127.0.0.1:{port}/postgres")
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        Ok(self.server.kill()?)
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        Ok(self.server.start()?)
    }

    pub(super) fn log(&self) -> String {
        self.server.log()
    }

    /// Compares what was committed with what a drained flow has delivered. Differences leave files in `evidence`.
    pub(super) fn compare(&self, store: &Store, evidence: &Path) -> Result<Comparison> {
        // Files, so that an error does not come with the whole program, and evidence with all that it takes to look again.
        for (name, program) in PROGRAMS {
            fs::write(evidence.join(name), program)?;
        }
        let mut compare = Command::new(python());
        compare.arg(evidence.join("compare.py")).arg(self.url(self.port())).arg(evidence).args(store.arguments());
        let said = capture(&mut compare).context("comparing")?;
        serde_json::from_str(&said).with_context(|| format!("the comparison said {said:?}"))
    }
}

/// The sessions that change the tables, until they are told to stop.
#[derive(Debug)]
pub(super) struct Workload(Child);

impl Workload {
    pub(super) fn start(url: &str, seed: u64) -> Result<Self> {
        let mut python = Command::new(python());
        python.args(["-c", WORKLOAD, url, &seed.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(python.spawn().context("starting the workload")?))
    }

    /// Lets the sessions end their transactions, and returns what they did.
    pub(super) fn stop(mut self) -> Result<String> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_string(&mut said)?;
        }
        let status = self.0.wait()?;
        if !status.success() {
            bail!("the workload failed: {status}");
        }
        Ok(said.trim().to_owned())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // It fails when the process has ended, which is what is wanted.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule says of positions in the order of a partition; negative ones are of tombstones.
    fn is_in_order(positions: &str, exactly_once: bool) -> bool {
        let directory = std::env::temp_dir().join(format!("ductstream-runs-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for (name, program) in PROGRAMS {
            fs::write(directory.join(name), program).unwrap();
        }
        let program = "import sys; from runs import in_order; from changes import differences; \
                       in_order('x', [(abs(int(at)), at < '0') for at in sys.argv[2:]], sys.argv[1] == 'true'); \
                       print(len(differences))";
        let mut python = Command::new("python3");
        python.args(["-c", program, &exactly_once.to_string()]).args(positions.split(' ')).current_dir(&directory);
        let differences = capture(&mut python).unwrap();
        fs::remove_dir_all(directory).unwrap();
        differences.trim() == "0"
    }

    #[test]
    fn what_repeats_is_told_from_what_is_late_or_comes_early() {
        for (positions, exactly_once, at_least_once) in [
            ("1 2 3 4", true, true),
            ("1 2 -2 3", true, true),
            ("1 -2 2 3", true, true),
            ("1 2 2 3", false, true),
            ("1 2 -2 -2 3", false, true),
            ("1 2 3 2 3 4", false, true),
            ("1 2 3 1 2 1 2 3 4", false, true),
            // One that was passed over comes late.
            ("1 3 2 3", false, false),
            // Old messages arrive between new ones, and at the end.
            ("1 2 3 4 2 5", false, false),
            ("1 2 3 4 2 3", false, false),
        ] {
            assert_eq!(is_in_order(positions, true), exactly_once, "{positions}, exactly once");
            assert_eq!(is_in_order(positions, false), at_least_once, "{positions}, at least once");
        }
    }
}
