//! One large transaction: read after its commit, and followed while it is written.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::{Client, Reader, Transport};
use super::drain::{Series, megabytes};
use super::goals;
use super::measure::{Cost, Running};
use super::plan::Plan;
use super::source::Source;
use super::workload::ONE_TRANSACTION;
use crate::report::{Figure, Unit};
use crate::workspace::say;

const PARQUET: Client = Client::Parquet;
const TCP: Transport = Transport::Tcp;
const BACKLOG: &str = "backlog";
const LIVE: &str = "live";
/// Files are closed at this age, so that the last rows of the transaction do not wait for more.
const ROLL_AGE: &str = "1s";
/// How many times fewer rows are followed live: each client has them written anew.
const FEWER_LIVE: u64 = 4;

/// A setting of `source.streaming`, and how figures call it.
#[derive(Debug, Clone, Copy)]
struct Variant {
    suffix: &'static str,
    streaming: Option<bool>,
}

/// Without the setting, for a program that does not know it.
const WITHOUT: [Variant; 1] = [Variant { suffix: "", streaming: None }];
const BOTH: [Variant; 2] = [
    Variant { suffix: "-streaming-off", streaming: Some(false) },
    Variant { suffix: "-streaming-on", streaming: Some(true) },
];

impl Variant {
    /// A measurement's name: of the backlog, or of what is followed live.
    fn name(self, kind: &str) -> String {
        format!("transaction/{kind}{}", self.suffix)
    }

    fn wanted(self, kind: &str, plan: &Plan) -> bool {
        plan.wants(&format!("{}/{TCP}/{PARQUET}", self.name(kind)))
    }

    fn reader(self, source: &Source) -> Reader<'_> {
        Reader { streaming: self.streaming, ..Reader::new(source, PARQUET, TCP) }
    }
}

/// Peak memory and speed of a backlog, then how long after its commit a transaction is durable that was followed live.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    let of = |kind: &str, variants: &[Variant]| -> Vec<Variant> {
        variants.iter().copied().filter(|variant| variant.wanted(kind, plan)).collect()
    };
    let all = [&WITHOUT[..], &BOTH].concat();
    if [BACKLOG, LIVE].iter().all(|kind| of(kind, &all).is_empty()) {
        return Ok(());
    }
    let source = Source::open(&plan.ductstream, &ONE_TRANSACTION.schema(), None)?;
    let variants = if knows_streaming(&source)? { &BOTH[..] } else { &WITHOUT };
    let rows = plan.sizes.transaction_rows;
    backlog(&source, rows, &of(BACKLOG, variants), figures)?;
    live(&source, rows, &of(LIVE, variants), figures)
}

/// Whether the program that was built knows `source.streaming`.
fn knows_streaming(source: &Source) -> Result<bool> {
    source.start_at_the_end()?;
    let reader = Reader { streaming: Some(true), ..Reader::new(source, PARQUET, TCP) };
    let flow = source.directory.join("flow.yaml");
    fs::write(&flow, reader.document())?;
    let output = Command::new(&source.ductstream).arg("schema").arg(&flow).output().context("ductstream schema")?;
    let message = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(true),
        Some(2) if message.contains("streaming") => Ok(false),
        _ => bail!("ductstream schema: {message}"),
    }
}

fn backlog(source: &Source, rows: u64, variants: &[Variant], figures: &mut Vec<Figure>) -> Result<()> {
    if variants.is_empty() {
        return Ok(());
    }
    let mark = source.load(&ONE_TRANSACTION, 1, rows)?;
    let peer = Reader::new(source, Client::PgRecvlogical, TCP).drain(&mark)?;
    for variant in variants {
        let mut series = Series::new(&variant.name(BACKLOG), PARQUET, TCP);
        series.push(variant.reader(source).drain(&mark)?, peer);
        figures.extend(series.figures("transaction", rows));
    }
    Ok(())
}

/// Follows fewer rows than the backlog had, which has those up to `written`.
fn live(source: &Source, written: u64, variants: &[Variant], figures: &mut Vec<Figure>) -> Result<()> {
    if variants.is_empty() {
        return Ok(());
    }
    let rows = (written / FEWER_LIVE).max(1);
    let mut first = written + 1;
    let mut next = |reader: Reader<'_>| {
        let followed = follow(&reader, first, rows).with_context(|| format!("{}\n{}", reader.client, reader.log()));
        first += rows;
        followed
    };
    let peer = next(Reader::new(source, Client::PgRecvlogical, TCP))?;
    for variant in variants {
        let own = next(Reader { roll_age: Some(ROLL_AGE), ..variant.reader(source) })?;
        let name = |what: &str| format!("{}/{TCP}/{PARQUET} {what}", variant.name(LIVE));
        println!("    {:<40} {:>7.2} s after its commit", name("durable"), own.after_commit.as_secs_f64());
        let seconds = |it: &Followed| vec![it.after_commit.as_secs_f64()];
        let memory = |it: &Followed| vec![megabytes(&it.cost)];
        let after_commit = Figure::lower(name("durable after commit"), Unit::Seconds, seconds(&own));
        let peak = Figure::lower(name("memory"), Unit::Megabytes, memory(&own)).goal(goals::memory(PARQUET));
        figures.extend([after_commit.beside(seconds(&peer)), peak.beside(memory(&peer))]);
    }
    Ok(())
}

/// A transaction that a client read as it was written.
#[derive(Debug)]
struct Followed {
    after_commit: Duration,
    cost: Cost,
}

/// Writes `rows` in one transaction while the client reads.
fn follow(reader: &Reader<'_>, first: u64, rows: u64) -> Result<Followed> {
    let source = reader.source;
    source.start_at_the_end()?;
    let mut running = Running::start(&mut reader.command(None)?)?;
    source.wait_until_read(&mut running)?;
    say(format!("transaction: writing {rows} rows while {} reads", reader.client));
    source.query(&ONE_TRANSACTION.load(first, first + rows - 1))?;
    let committed = Instant::now();
    source.wait_until_confirmed(&source.wal_end()?, &mut running)?;
    let after_commit = committed.elapsed();
    let cost = running.stop()?;
    reader.verify(rows)?;
    Ok(Followed { after_commit, cost })
}
