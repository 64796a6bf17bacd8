//! From a commit to its line on standard output, at a steady 1,000 transactions in a second.
//!
//! `pgbench` writes, and logs by the machine's clock when each commit was answered; this process reads the client's
//! output, and takes the time by the same clock as soon as a read returns. Each row carries a mark that is found in
//! lines of JSON as well as in what `pg_recvlogical` prints.

mod ticks;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use ticks::{Arrivals, Commit};

use super::client::{Client, Reader, Transport};
use super::goals;
use super::measure::Running;
use super::plan::Plan;
use super::source::{DATABASE, Source};
use crate::report::{Figure, Unit};
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

/// The percentiles of each round, with those of `pg_recvlogical -f -` beside them.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    if !plan.wants("latency/tcp/json") {
        return Ok(());
    }
    let source = Source::open(&plan.ductstream, include_str!("sql/ticks.sql"), None)?;
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for round in 1..=plan.sizes.rounds {
        say(format!("latency: round {round} of {}, {} seconds each", plan.sizes.rounds, plan.sizes.latency_seconds));
        for (client, rounds) in [(Client::PgRecvlogical, &mut peer), (Client::Json, &mut own)] {
            let reader = Reader { to_stdout: true, ..Reader::new(&source, client, Transport::Tcp) };
            rounds.push(run(&reader, plan.sizes.latency_seconds)?);
        }
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        figures.push(figure(name, &own, &peer, |it| percentile(&it.after_commit, share)).goal(goals::latency(name)));
    }
    for (name, share) in [("p50 from the statement", 0.5), ("p99 from the statement", 0.99)] {
        figures.push(figure(name, &own, &peer, |it| percentile(&it.after_statement, share)));
    }
    let rate = |rounds: &[Latency]| rounds.iter().map(|it| it.per_second).collect();
    figures.push(Figure::higher("latency/transactions per second", Unit::Count, rate(&own)).beside(rate(&peer)));
    Ok(())
}

fn figure(name: &str, own: &[Latency], peer: &[Latency], of: impl Fn(&Latency) -> f64) -> Figure {
    let rounds = |rounds: &[Latency]| rounds.iter().map(&of).collect();
    Figure::lower(format!("latency/{name}"), Unit::Milliseconds, rounds(own)).beside(rounds(peer))
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
