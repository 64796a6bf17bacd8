//! A server whose changes are read, over and over, each time from a copy of the same slot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::measure::Running;
use super::workload::Workload;
use crate::postgres::Postgres;
use crate::workspace::{root, say};

/// What a source needs beside a server.
pub(super) const PROGRAMS: &[&str] = &["pg_recvlogical", "pgbench"];
pub(super) const DATABASE: &str = "bench";
pub(super) const PUBLICATION: &str = "bench";
/// The slot of whoever reads at the moment.
pub(super) const SLOT: &str = "run";
/// The slot that keeps the backlog, and that nobody reads.
const BACKLOG: &str = "backlog";
const TIMEOUT: Duration = Duration::from_secs(600);

/// A throwaway server with one database, and a directory for what its readers write.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) postgres: Postgres,
    pub(super) ductstream: PathBuf,
    pub(super) directory: PathBuf,
}

/// How far a backlog is read: where the WAL ended when this many rows had been changed.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) rows: u64,
    pub(super) end: String,
}

impl Source {
    /// Starts a server, and runs `schema` and `before` ahead of the slot that keeps the backlog.
    pub(super) fn open(ductstream: &Path, schema: &str, before: Option<&str>) -> Result<Self> {
        let settings = [
            ("wal_level", "logical"),
            ("max_wal_size", "32GB"),
            ("checkpoint_timeout", "1h"),
            ("shared_buffers", "256MB"),
            ("autovacuum", "off"),
        ];
        let postgres = Postgres::start(PROGRAMS, &settings)?;
        postgres.query("postgres", &format!("create database {DATABASE}"))?;
        let directory = root().join("target/bench/run");
        let source = Self { postgres, ductstream: ductstream.to_owned(), directory };
        source.query(schema)?;
        source.query(&format!("create publication {PUBLICATION} for all tables"))?;
        if let Some(before) = before {
            source.query(before)?;
        }
        // After the publication: its name is looked up as of the change's place in the WAL.
        source.make_slot(BACKLOG)?;
        Ok(source)
    }

    /// A source with a backlog of about `rows` changed rows.
    pub(super) fn with_backlog(ductstream: &Path, workload: &Workload, rows: u64) -> Result<(Self, Mark)> {
        let source = Self::open(ductstream, &workload.schema(), workload.before(rows).as_deref())?;
        let mark = source.load(workload, 1, rows)?;
        Ok((source, mark))
    }

    /// Changes the rows from `first` to `last`, and says how far to read to have them all.
    pub(super) fn load(&self, workload: &Workload, first: u64, last: u64) -> Result<Mark> {
        say(format!("{}: writing {} rows", workload.name, last + 1 - first));
        self.query(&workload.load(first, last))?;
        self.query("checkpoint")?;
        Ok(Mark { rows: last, end: self.wal_end()? })
    }

    pub(super) fn wal_end(&self) -> Result<String> {
        self.query("select pg_current_wal_flush_lsn()")
    }

    /// Runs SQL in the database and returns what it gives.
    pub(super) fn query(&self, sql: &str) -> Result<String> {
        self.postgres.query(DATABASE, sql)
    }

    /// An empty directory, and a slot at the start of the backlog, for one reader.
    pub(super) fn rewind(&self) -> Result<()> {
        self.clear()?;
        self.query(&format!("select pg_copy_logical_replication_slot('{BACKLOG}', '{SLOT}')"))?;
        Ok(())
    }

    /// An empty directory, and a slot at the end of the WAL.
    pub(super) fn start_at_the_end(&self) -> Result<()> {
        self.clear()?;
        self.make_slot(SLOT)
    }

    fn make_slot(&self, name: &str) -> Result<()> {
        self.query(&format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')"))?;
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        // An earlier reader, when it ended well or ill, has left both.
        let stale = format!("from pg_replication_slots where slot_name = '{SLOT}'");
        self.wait_until(&format!("select count(*) = 0 {stale} and active"), None)?;
        self.query(&format!("select pg_drop_replication_slot(slot_name) {stale}"))?;
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(fs::create_dir_all(&self.directory)?)
    }

    /// Waits until a reader has taken up the slot.
    pub(super) fn wait_until_read(&self, reader: &mut Running) -> Result<()> {
        let active = format!("select count(*) = 1 from pg_replication_slots where slot_name = '{SLOT}' and active");
        self.wait_until(&active, Some(reader))
    }

    /// Waits until the slot's reader has confirmed that everything up to `lsn` is durable.
    pub(super) fn wait_until_confirmed(&self, lsn: &str, reader: &mut Running) -> Result<()> {
        let confirmed =
            format!("select confirmed_flush_lsn >= '{lsn}' from pg_replication_slots where slot_name = '{SLOT}'");
        self.wait_until(&confirmed, Some(reader))
    }

    fn wait_until(&self, condition: &str, mut reader: Option<&mut Running>) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while self.query(condition)? != "t" {
            if let Some(reader) = &mut reader {
                reader.check()?;
            }
            if Instant::now() > deadline {
                bail!("not so within {TIMEOUT:?}: {condition}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Files by the gigabyte, in a directory that the next source clears in any case.
        drop(fs::remove_dir_all(&self.directory));
    }
}
