//! `cargo xtask bench drain`: how fast a backlog leaves the server.
//!
//! The slot that holds the backlog is copied for every run, so that each reads the same WAL from the same start. Every
//! round measures `pg_recvlogical` and all of DuctStream's runs once, and ratios are taken inside a round: what else
//! the machine does changes from minute to minute.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::measure::{Cost, measure};
use crate::postgres::Postgres;
use crate::product;
use crate::servers::{make_venv, python};
use crate::workspace::{capture, root, say};

const DATABASE: &str = "bench";
const BACKLOG_SLOT: &str = "backlog";
const RUN_SLOT: &str = "run";
const PUBLICATION: &str = "bench";
const ROWS_PER_TRANSACTION: u64 = 1000;

/// The baseline comes first: every ratio is to it.
const CLIENTS: [Client; 4] = [Client::PgRecvlogical, Client::Null, Client::Json, Client::Parquet];

/// Drains a backlog to null, JSON files and Parquet files, each beside `pg_recvlogical -f /dev/null`
#[derive(Debug, clap::Args)]
pub(super) struct Drain {
    /// Rows of the backlog, of seven mixed columns, in transactions of 1,000
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often each client drains it; the table shows medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Who drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    PgRecvlogical,
    Null,
    Json,
    Parquet,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::PgRecvlogical => "pg_recvlogical",
            Self::Null => "ductstream null",
            Self::Json => "ductstream json files",
            Self::Parquet => "ductstream parquet files",
        }
    }

    /// DuckDB's relation of the files that it writes.
    fn files(self, lake: &str) -> Option<String> {
        match self {
            Self::PgRecvlogical | Self::Null => None,
            Self::Json => Some(format!("read_json_auto('{lake}/public.orders/**/*.json*')")),
            Self::Parquet => Some(format!("read_parquet('{lake}/public.orders/**/*.parquet')")),
        }
    }
}

/// One client's figures, as medians over the rounds.
#[derive(Debug, Serialize)]
struct Figures {
    client: &'static str,
    rows_per_second: f64,
    seconds: f64,
    /// Against `pg_recvlogical` in the same round: above 1 is faster.
    ratio: f64,
    cpu_seconds_per_million_rows: f64,
    peak_rss_mb: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: u64,
    rounds: usize,
    postgres: String,
    cores: usize,
    results: Vec<Figures>,
}

impl Drain {
    pub(super) fn run(&self) -> Result<()> {
        say("building ductstream for release");
        let ductstream = product::build(true)?;
        make_venv()?;
        let bench = Backlog::load(self.rows, ductstream)?;
        let mut rounds = Vec::new();
        for round in 1..=self.rounds {
            say(format!("round {round} of {}", self.rounds));
            rounds.push(bench.round()?);
        }
        let report = Report {
            rows: bench.rows,
            rounds: self.rounds,
            postgres: bench.postgres.version()?,
            cores: std::thread::available_parallelism()?.get(),
            results: CLIENTS.iter().enumerate().map(|(client, _)| figures(client, bench.rows, &rounds)).collect(),
        };
        report.print();
        report.write()
    }
}

/// A server whose slot has a backlog.
#[derive(Debug)]
struct Backlog {
    postgres: Postgres,
    ductstream: PathBuf,
    rows: u64,
    /// Where the WAL ends that is to be drained.
    end: String,
    directory: PathBuf,
}

impl Backlog {
    fn load(rows: u64, ductstream: PathBuf) -> Result<Self> {
        let settings = [
            ("wal_level", "logical"),
            ("max_wal_size", "8GB"),
            ("checkpoint_timeout", "1h"),
            ("shared_buffers", "256MB"),
            ("autovacuum", "off"),
        ];
        let postgres = Postgres::start(&["pg_recvlogical"], &settings)?;
        let transactions = rows.div_ceil(ROWS_PER_TRANSACTION).max(1);
        let rows = transactions * ROWS_PER_TRANSACTION;
        say(format!("PostgreSQL {}: committing {rows} rows in {transactions} transactions", postgres.version()?));
        postgres.query("postgres", &format!("create database {DATABASE}"))?;
        postgres.query(DATABASE, include_str!("backlog.sql"))?;
        // After the publication: its name is looked up as of the change's place in the WAL.
        postgres
            .query(DATABASE, &format!("select pg_create_logical_replication_slot('{BACKLOG_SLOT}', 'pgoutput')"))?;
        postgres.query(DATABASE, &format!("call load({transactions}, {ROWS_PER_TRANSACTION})"))?;
        postgres.query(DATABASE, "checkpoint")?;
        let end = postgres.query(DATABASE, "select pg_current_wal_flush_lsn()")?;
        let directory = root().join("target/bench/drain");
        Ok(Self { postgres, ductstream, rows, end, directory })
    }

    /// Drains once with each client.
    fn round(&self) -> Result<Vec<Cost>> {
        CLIENTS.iter().map(|client| self.drain(*client).with_context(|| client.name())).collect()
    }

    fn drain(&self, client: Client) -> Result<Cost> {
        let copy = format!("select pg_copy_logical_replication_slot('{BACKLOG_SLOT}', '{RUN_SLOT}')");
        self.postgres.query(DATABASE, &copy)?;
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&self.directory)?;
        let cost = measure(&mut self.command(client)?)?;
        self.verify(client)?;
        self.postgres.query(DATABASE, &format!("select pg_drop_replication_slot('{RUN_SLOT}')"))?;
        fs::remove_dir_all(&self.directory)?;
        let rate = self.rows as f64 / cost.wall.as_secs_f64();
        println!("    {:<26} {:>6.2} s {rate:>12.0} rows/s", client.name(), cost.wall.as_secs_f64());
        Ok(cost)
    }

    fn command(&self, client: Client) -> Result<Command> {
        if client == Client::PgRecvlogical {
            return Ok(self.pg_recvlogical());
        }
        let flow = self.directory.join("flow.yaml");
        fs::write(&flow, self.document(client))?;
        let mut command = Command::new(&self.ductstream);
        command.args(["run", "--until-idle"]).arg(&flow).arg("--state").arg(self.directory.join("state"));
        let log = fs::File::create(self.directory.join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    fn pg_recvlogical(&self) -> Command {
        let mut command = self.postgres.client("pg_recvlogical");
        command.args(["--dbname", &self.postgres.url(DATABASE), "--slot", RUN_SLOT, "--start", "--no-loop"]);
        command.args(["--file", "/dev/null", "--endpos", &self.end, "--option", "proto_version=1"]);
        command.arg("--option").arg(format!("publication_names={PUBLICATION}"));
        command
    }

    fn document(&self, client: Client) -> String {
        let format = if client == Client::Parquet { "parquet" } else { "json" };
        let destination = match client {
            Client::Null => "{name: out, type: \"null\"}".to_owned(),
            _ => format!("{{name: out, type: file, path: \"{}\"}}", self.lake()),
        };
        format!(
            "\
name: bench
source:
  type: postgres
  url: {}
  publication: {PUBLICATION}
  slot: {RUN_SLOT}
format: {format}
envelope: flat
destinations:
  - {destination}
",
            self.postgres.url(DATABASE)
        )
    }

    fn lake(&self) -> String {
        self.directory.join("lake").display().to_string()
    }

    /// A fast run that leaves rows out is no run: DuckDB counts what is in the files.
    fn verify(&self, client: Client) -> Result<()> {
        let Some(files) = client.files(&self.lake()) else { return Ok(()) };
        let count =
            format!("import duckdb; print(duckdb.sql(\"select count(distinct id) from {files}\").fetchall()[0][0])");
        let rows = capture(Command::new(python()).args(["-c", &count]))?;
        ensure!(rows.trim() == self.rows.to_string(), "the files hold {} rows and not {}", rows.trim(), self.rows);
        Ok(())
    }
}

fn figures(client: usize, rows: u64, rounds: &[Vec<Cost>]) -> Figures {
    let median_of = |figure: &dyn Fn(&[Cost]) -> f64| median(rounds.iter().map(|round| figure(round)).collect());
    let seconds = median_of(&|round| round[client].wall.as_secs_f64());
    Figures {
        client: CLIENTS[client].name(),
        rows_per_second: rows as f64 / seconds,
        seconds,
        ratio: median_of(&|round| round[0].wall.as_secs_f64() / round[client].wall.as_secs_f64()),
        cpu_seconds_per_million_rows: median_of(&|round| round[client].cpu.as_secs_f64() / rows as f64 * 1e6),
        peak_rss_mb: median_of(&|round| round[client].peak_rss_bytes as f64 / 1e6),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Report {
    fn print(&self) {
        let Self { rows, rounds, postgres, cores, .. } = self;
        println!("\n    {rows} rows, PostgreSQL {postgres} with fsync, {cores} cores, medians of {rounds} rounds\n");
        println!(
            "    {:<26} {:>10} {:>8} {:>8} {:>20} {:>12}",
            "client", "rows/s", "seconds", "ratio", "CPU s/million rows", "peak RSS MB"
        );
        for it in &self.results {
            println!(
                "    {:<26} {:>10.0} {:>8.2} {:>8.2} {:>20.2} {:>12.0}",
                it.client, it.rows_per_second, it.seconds, it.ratio, it.cpu_seconds_per_million_rows, it.peak_rss_mb
            );
        }
    }

    fn write(&self) -> Result<()> {
        let path = root().join("target/bench/drain.json");
        fs::write(&path, serde_json::to_string_pretty(self)?)?;
        say(format!("written to {}", path.display()));
        Ok(())
    }
}
