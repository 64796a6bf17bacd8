//! Who reads the source: `pg_recvlogical`, or `ductstream run` with one destination.

use std::fmt;
use std::fs::{self, File};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::kafka::{Kafka, Shape};
use super::measure::{Cost, measure};
use super::source::{DATABASE, Mark, PUBLICATION, SLOT, Source};
use crate::servers::python;
use crate::workspace::capture;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// With its defaults, which are values in text.
    PgRecvlogical,
    /// Asked for values in binary, as DuctStream does; for information.
    PgRecvlogicalBinary,
    Null,
    Json,
    Parquet,
    /// To topics, one message per row.
    Kafka(Shape),
}

/// How it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Unix,
}

/// One run of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) client: Client,
    pub(super) transport: Transport,
    /// The flow file's `source.streaming`, where it is given.
    pub(super) streaming: Option<bool>,
    /// The flow file's `roll.age`, where it is given.
    pub(super) roll_age: Option<&'a str>,
    /// Changes go to standard output.
    pub(super) to_stdout: bool,
    /// Where topics are.
    pub(super) kafka: Option<&'a Kafka>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, client: Client, transport: Transport) -> Self {
        Self { source, client, transport, streaming: None, roll_age: None, to_stdout: false, kafka: None }
    }

    /// Reads the backlog up to a mark, from a copy of its slot, and makes sure that nothing was left out.
    pub(super) fn drain(&self, to: &Mark) -> Result<Cost> {
        self.source.rewind()?;
        if let Some(kafka) = self.kafka {
            kafka.next_run();
        }
        let cost = self.command(Some(&to.end)).and_then(|mut command| measure(&mut command));
        let cost = cost.with_context(|| format!("{}\n{}", self.client, self.log()))?;
        self.verify(to.rows)?;
        Ok(cost)
    }

    /// The command that reads the slot to `end`, or until it is stopped.
    pub(super) fn command(&self, end: Option<&str>) -> Result<Command> {
        let mut command = match self.client {
            Client::PgRecvlogical | Client::PgRecvlogicalBinary => self.pg_recvlogical(end),
            _ => self.ductstream(end)?,
        };
        let stdout = match self.to_stdout {
            true => Stdio::piped(),
            false => File::create(self.source.directory.join("events"))?.into(),
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(self.source.directory.join("log"))?);
        Ok(command)
    }

    fn pg_recvlogical(&self, end: Option<&str>) -> Command {
        let mut command = self.source.postgres.client("pg_recvlogical");
        let file = if self.to_stdout { "-" } else { "/dev/null" };
        command.args(["--dbname", &self.url(), "--slot", SLOT, "--start", "--no-loop", "--file", file]);
        // It says every ten seconds how far it is, unless told otherwise.
        command.args(["--status-interval=1", "--fsync-interval=1"]);
        command.args(end.map(|end| format!("--endpos={end}")));
        let binary: &[&str] = match self.client {
            Client::PgRecvlogicalBinary => &["proto_version=2", "binary=true"],
            _ => &["proto_version=1"],
        };
        let options = binary.iter().map(|it| (*it).to_owned()).chain([format!("publication_names={PUBLICATION}")]);
        command.args(options.map(|option| format!("--option={option}")));
        command
    }

    fn ductstream(&self, end: Option<&str>) -> Result<Command> {
        let directory = &self.source.directory;
        let flow = directory.join("flow.yaml");
        fs::write(&flow, self.document())?;
        let mut command = Command::new(&self.source.ductstream);
        command.arg("run").arg(&flow).arg("--state").arg(directory.join("state"));
        command.args(end.map(|end| format!("--until-lsn={end}")));
        command.args((!self.to_stdout).then_some("--json"));
        Ok(command)
    }

    /// The flow file.
    pub(super) fn document(&self) -> String {
        let (format, envelope) = match self.client {
            Client::Parquet => ("parquet", "flat"),
            Client::Kafka(shape) => shape.format(),
            _ => ("json", "flat"),
        };
        let streaming = self.streaming.map(|streaming| format!("\n  streaming: {streaming}")).unwrap_or_default();
        format!(
            "\
name: bench
source:
  type: postgres
  url: \"{}\"
  publication: {PUBLICATION}
  slot: {SLOT}{streaming}
format: {format}
envelope: {envelope}
destinations:
  - {}
",
            self.url(),
            self.destination()
        )
    }

    fn destination(&self) -> String {
        if self.to_stdout {
            return "{name: out, type: stdout}".to_owned();
        }
        if self.client == Client::Null {
            return "{name: out, type: \"null\"}".to_owned();
        }
        if let (Client::Kafka(shape), Some(kafka)) = (self.client, self.kafka) {
            return kafka.destination(shape);
        }
        let roll = self.roll_age.map(|age| format!(", roll: {{age: {age}}}")).unwrap_or_default();
        format!("{{name: out, type: file, path: \"{}\"{roll}}}", self.lake())
    }

    fn url(&self) -> String {
        match self.transport {
            Transport::Tcp => self.source.postgres.url(DATABASE),
            Transport::Unix => self.source.postgres.socket_url(DATABASE),
        }
    }

    fn lake(&self) -> String {
        self.source.directory.join("lake").display().to_string()
    }

    /// What the client said on its error output.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.source.directory.join("log")).unwrap_or_default()
    }

    /// A fast run that leaves rows out is no run: the flow says how many it delivered, and DuckDB counts the files, or Confluent's client the
    /// topic.
    pub(super) fn verify(&self, rows: u64) -> Result<()> {
        if !self.client.is_ductstream() {
            return Ok(());
        }
        let delivered = self.delivered()?;
        ensure!(delivered == rows, "{} says that it delivered {delivered} rows and not {rows}", self.client);
        let counted = match (self.client, self.kafka, self.files()) {
            (Client::Kafka(_), Some(kafka), _) => kafka.count()?,
            (_, _, Some(files)) => count(&files)?,
            _ => return Ok(()),
        };
        ensure!(counted == format!("{rows} {rows}"), "{rows} rows, but (all, distinct) arrived {counted}");
        Ok(())
    }

    /// The flow's own count, in the last of its events.
    fn delivered(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Finished {
            event: String,
            rows: u64,
        }
        let events = fs::read_to_string(self.source.directory.join("events"))?;
        let last = events.lines().next_back().context("the flow printed no event")?;
        let finished: Finished = serde_json::from_str(last)?;
        ensure!(finished.event == "finished", "the flow's last event is {last}");
        Ok(finished.rows)
    }

    /// DuckDB's relation of the files that it wrote.
    fn files(&self) -> Option<String> {
        let files = format!("{}/public.orders/**/*", self.lake());
        match self.client {
            Client::Json => Some(format!("read_json('{files}.json*', columns = {{id: 'BIGINT'}})")),
            Client::Parquet => Some(format!("read_parquet('{files}.parquet')")),
            _ => None,
        }
    }
}

/// Rows in files, and distinct keys: `N M`.
fn count(files: &str) -> Result<String> {
    let query = format!("select count(*), count(distinct id) from {files}");
    let count = format!(
        "import duckdb; duckdb.sql(\"set enable_progress_bar = false\"); print(*duckdb.sql(\"{query}\").fetchone())"
    );
    Ok(capture(Command::new(python()).args(["-c", &count]))?.trim().to_owned())
}

impl Client {
    pub(super) fn is_ductstream(self) -> bool {
        !matches!(self, Self::PgRecvlogical | Self::PgRecvlogicalBinary)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kafka(shape) => return write!(f, "{shape}"),
            Self::PgRecvlogical => "pg_recvlogical",
            Self::PgRecvlogicalBinary => "pg_recvlogical-binary",
            Self::Null => "null",
            Self::Json => "json",
            Self::Parquet => "parquet",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        })
    }
}
