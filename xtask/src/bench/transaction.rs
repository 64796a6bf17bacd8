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
use super::source::{Mark, Source};
use super::workload::ONE_TRANSACTION;
use crate::report::{Figure, Unit};
use crate::workspace::say;

const PARQUET: Client = Client::Parquet;
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

/// Peak memory and speed of a backlog, then how long after its commit a transaction is durable that was followed live.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    if !plan.wants("transaction/backlog") && !plan.wants("transaction/live") {
        return Ok(());
    }
    let source = Source::open(&plan.ductstream, &ONE_TRANSACTION.schema(), None)?;
    let variants = variants(&source)?;
    let rows = plan.sizes.transaction_rows;
    if plan.wants("transaction/backlog") {
        let mark = source.load(&ONE_TRANSACTION, 1, rows)?;
        backlog(&source, &mark, &variants, figures)?;
    }
    if plan.wants("transaction/live") {
        live(&source, rows, &variants, figures)?;
    }
    Ok(())
}

/// Both ways of reading a large transaction, when the program that was built knows both.
fn variants(source: &Source) -> Result<Vec<Variant>> {
    Ok(match knows_streaming(source)? {
        false => vec![Variant { suffix: "", streaming: None }],
        true => vec![
            Variant { suffix: "-streaming-off", streaming: Some(false) },
            Variant { suffix: "-streaming-on", streaming: Some(true) },
        ],
    })
}

fn knows_streaming(source: &Source) -> Result<bool> {
    source.start_at_the_end()?;
    let reader = Reader { streaming: Some(true), ..Reader::new(source, PARQUET, Transport::Tcp) };
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

fn backlog(source: &Source, mark: &Mark, variants: &[Variant], figures: &mut Vec<Figure>) -> Result<()> {
    let peer = Reader::new(source, Client::PgRecvlogical, Transport::Tcp).drain(mark)?;
    for variant in variants {
        let reader = Reader { streaming: variant.streaming, ..Reader::new(source, PARQUET, Transport::Tcp) };
        let mut series = Series::new(&format!("transaction/backlog{}", variant.suffix), PARQUET, Transport::Tcp);
        series.push(reader.drain(mark)?, peer);
        figures.extend(series.figures("transaction", mark.rows));
    }
    Ok(())
}

fn live(source: &Source, written: u64, variants: &[Variant], figures: &mut Vec<Figure>) -> Result<()> {
    let rows = (written / FEWER_LIVE).max(1);
    let mut first = written + 1;
    let mut next = |reader: Reader<'_>| {
        let followed = follow(&reader, first, rows).with_context(|| format!("{}\n{}", reader.client, reader.log()));
        first += rows;
        followed
    };
    let peer = next(Reader::new(source, Client::PgRecvlogical, Transport::Tcp))?;
    for Variant { suffix, streaming } in variants {
        let reader = Reader { streaming: *streaming, ..Reader::new(source, PARQUET, Transport::Tcp) };
        let own = next(Reader { roll_age: Some(ROLL_AGE), ..reader })?;
        let name = |what: &str| format!("transaction/live{suffix}/tcp/{PARQUET} {what}");
        println!("    {:<40} {:>7.2} s after its commit", name("durable"), own.after_commit.as_secs_f64());
        let seconds = |it: &Followed| vec![it.after_commit.as_secs_f64()];
        let memory = |it: &Followed| vec![megabytes(&it.cost)];
        figures.extend([
            Figure::lower(name("durable after commit"), Unit::Seconds, seconds(&own)).beside(seconds(&peer)),
            Figure::lower(name("memory"), Unit::Megabytes, memory(&own))
                .beside(memory(&peer))
                .goal(goals::memory(PARQUET)),
        ]);
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
