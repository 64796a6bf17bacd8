//! From a commit to its line on standard output, or on that of a consumer of the topic, at a steady 1,000 transactions in a second.
//!
//! `pgbench` writes, and logs by the machine's clock when each commit was answered; this process reads the client's, or the consumer's,
//! output, and takes the time by the same clock as soon as a read returns. Each row carries a mark that is found in
//! lines of JSON as well as in what `pg_recvlogical` prints.

mod ticks;

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use ticks::{Arrivals, Commit};

use super::client::{Client, Reader, Transport};
use super::goals;
use super::kafka::{Kafka, Shape};
use super::measure::Running;
use super::plan::Plan;
use super::source::{DATABASE, Source};
use crate::report::{Figure, Goal, Unit};
use crate::workspace::{capture, say};

const TRANSACTIONS_PER_SECOND: u64 = 1000;
const WRITERS: u64 = 4;
/// What has not arrived so long after the last commit does not arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The distribution of one run, in milliseconds.
#[derive(Debug)]
struct Latency {
    /// From the answer to the commit.
    after_commit: Vec<f64>,
    /// From when the statement was sent, which commits by itself.
    after_statement: Vec<f64>,
    per_second: f64,
}

/// One measurement: the rounds of what is measured, and of `pg_recvlogical -f -` beside it.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    own: Vec<Latency>,
    peer: Vec<Latency>,
}

/// To standard output.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    if !plan.wants("latency/tcp/json") {
        return Ok(());
    }
    let to_stdout = |source: &Source| {
        let reader = Reader { to_stdout: true, ..Reader::new(source, Client::Json, Transport::Tcp) };
        run(&reader, plan.sizes.latency_seconds)
    };
    figures.extend(rounds(plan, "latency", to_stdout)?.figures(goals::latency));
    Ok(())
}

/// To a consumer of the topic.
pub(super) fn to_kafka(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    if !plan.wants("kafka-latency/tcp/json") {
        return Ok(());
    }
    let kafka = Kafka::start()?;
    let to_consumer = |source: &Source| {
        kafka.next_run();
        let client = Client::Kafka(Shape::Json);
        let reader = Reader { kafka: Some(&kafka), ..Reader::new(source, client, Transport::Tcp) };
        run_to_consumer(&reader, &kafka, plan.sizes.latency_seconds)
    };
    figures.extend(rounds(plan, "kafka-latency", to_consumer)?.figures(goals::kafka_latency));
    Ok(())
}

fn rounds(plan: &Plan, name: &'static str, own: impl Fn(&Source) -> Result<Latency>) -> Result<Measured> {
    let source = Source::open(&plan.ductstream, include_str!("sql/ticks.sql"), None)?;
    let seconds = plan.sizes.latency_seconds;
    let mut measured = Measured { name, own: Vec::new(), peer: Vec::new() };
    for round in 1..=plan.sizes.rounds {
        say(format!("{name}: round {round} of {}, {seconds} seconds each", plan.sizes.rounds));
        let peer = Reader { to_stdout: true, ..Reader::new(&source, Client::PgRecvlogical, Transport::Tcp) };
        measured.peer.push(run(&peer, seconds)?);
        measured.own.push(own(&source)?);
    }
    Ok(measured)
}

impl Measured {
    fn figures(&self, goal: fn(&str) -> Option<Goal>) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            figures.push(self.figure(name, |it| percentile(&it.after_commit, share)).goal(goal(name)));
        }
        for (name, share) in [("p50 from the statement", 0.5), ("p99 from the statement", 0.99)] {
            figures.push(self.figure(name, |it| percentile(&it.after_statement, share)));
        }
        let rate = |rounds: &[Latency]| rounds.iter().map(|it| it.per_second).collect();
        let name = format!("{}/transactions per second", self.name);
        figures.push(Figure::higher(name, Unit::Count, rate(&self.own)).beside(rate(&self.peer)));
        figures
    }

    fn figure(&self, name: &str, of: impl Fn(&Latency) -> f64) -> Figure {
        let rounds = |rounds: &[Latency]| rounds.iter().map(&of).collect();
        let name = format!("{}/{name}", self.name);
        Figure::lower(name, Unit::Milliseconds, rounds(&self.own)).beside(rounds(&self.peer))
    }
}

fn run(reader: &Reader<'_>, seconds: u64) -> Result<Latency> {
    reader.source.start_at_the_end()?;
    let mut running = Running::start(&mut reader.command(None)?)?;
    let listener = Listener::start(running.stdout()?);
    reader.source.wait_until_read(&mut running)?;
    let commits = write(reader.source, seconds)?;
    listener.wait_for(commits.len(), &mut running)?;
    running.stop()?;
    Latency::of(&commits, &listener.end()?, seconds)
}

/// The same with a consumer of the topic in front of the listener.
fn run_to_consumer(reader: &Reader<'_>, kafka: &Kafka, seconds: u64) -> Result<Latency> {
    reader.source.start_at_the_end()?;
    let mut consumer = Running::start(&mut kafka.consumer())?;
    let mut output = BufReader::new(consumer.stdout()?);
    let mut ready = String::new();
    output.read_line(&mut ready)?;
    consumer.check()?;
    let listener = Listener::start(output);
    let mut flow = Running::start(&mut reader.command(None)?)?;
    reader.source.wait_until_read(&mut flow)?;
    let commits = write(reader.source, seconds)?;
    flow.check()?;
    listener.wait_for(commits.len(), &mut consumer)?;
    flow.stop()?;
    // Its output ends with it, and the listener with that.
    drop(consumer);
    Latency::of(&commits, &listener.end()?, seconds)
}

/// Commits at a steady pace, each transaction at a random moment as far as the others are concerned.
fn write(source: &Source, seconds: u64) -> Result<Vec<Commit>> {
    let script = source.directory.join("tick.pgbench");
    std::fs::write(&script, include_str!("sql/tick.pgbench"))?;
    let log = source.directory.join("commits");
    let mut pgbench = source.postgres.client("pgbench");
    pgbench.args(["--no-vacuum", "--define=n=0", "--log"]).arg(format!("--log-prefix={}", log.display()));
    pgbench.args([format!("--client={WRITERS}"), format!("--rate={TRANSACTIONS_PER_SECOND}")]);
    pgbench.args([format!("--time={seconds}"), format!("--file={}", script.display())]);
    capture(pgbench.arg(source.postgres.socket_url(DATABASE)))?;
    ticks::commits(&log)
}

/// A thread that takes the time of every mark in a client's output.
struct Listener {
    seen: Arc<AtomicUsize>,
    thread: JoinHandle<std::io::Result<Arrivals>>,
}

impl Listener {
    fn start(mut output: impl Read + Send + 'static) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        let listen = move || {
            let mut arrivals = Arrivals::default();
            let mut chunk = vec![0; 64 << 10];
            loop {
                match output.read(&mut chunk)? {
                    0 => return Ok(arrivals),
                    bytes => arrivals.add(&chunk[..bytes], ticks::now()),
                }
                count.store(arrivals.len(), Ordering::Relaxed);
            }
        };
        Self { seen, thread: thread::spawn(listen) }
    }

    fn wait_for(&self, marks: usize, running: &mut Running) -> Result<()> {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        while self.seen.load(Ordering::Relaxed) < marks {
            running.check()?;
            if Instant::now() > deadline {
                bail!("{} of {marks} rows arrived", self.seen.load(Ordering::Relaxed));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn end(self) -> Result<Arrivals> {
        Ok(self.thread.join().map_err(|_| anyhow!("the listening thread ended abnormally"))??)
    }
}

impl Latency {
    fn of(commits: &[Commit], arrivals: &Arrivals, seconds: u64) -> Result<Self> {
        ensure!(arrivals.len() == commits.len(), "{} rows arrived of {}", arrivals.len(), commits.len());
        let mut times = Vec::new();
        for commit in commits {
            let Some(arrived) = arrivals.of(commit.mark) else { bail!("{:?} did not arrive", commit.mark) };
            let since = |moment: i64| (arrived - moment) as f64 / 1e3;
            times.push((since(commit.answered), since(commit.sent)));
        }
        let (after_commit, after_statement) = times.into_iter().unzip();
        Ok(Self { after_commit, after_statement, per_second: commits.len() as f64 / seconds as f64 })
    }
}

/// The value that `share` of all values do not exceed.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
