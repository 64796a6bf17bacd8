//! `cargo xtask chaos`: a flow killed, cut off and starved while its source changes, and compared with it at the end.
//!
//! What happens and when is told by the seed ([`plan`]). Each episode has a PostgreSQL, a workload and a flow of its own
//! ([`episode`]); several run side by side, since most of their time is waiting.

mod episode;
mod flow;
mod ledger;
mod plan;
mod proxy;
mod random;
mod report;
mod source;
mod store;
mod topics;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::episode::{Outcome, Programs};
use self::plan::{Destination, Episode, episodes};
use self::report::Report;
use crate::product;
use crate::servers::Servers;
use crate::workspace::{root, say};

/// What `cargo xtask test` runs.
pub(crate) const CI_SEED: u64 = 42;
pub(crate) const CI_CYCLES: u64 = 30;
pub(crate) const CI_KAFKA_CYCLES: u64 = 16;

const S3_SERVER: &str = "ductstream-test-s3";

/// Kills, cuts off and starves a flow while its source changes, then compares both, change by change
#[derive(Debug, clap::Args)]
pub(crate) struct Chaos {
    /// How many faults
    #[arg(long, default_value_t = CI_CYCLES)]
    cycles: u64,
    /// What tells the plan; the same seed and cycles replay it
    #[arg(long, default_value_t = CI_SEED)]
    seed: u64,
    /// Where the changes go
    #[arg(long, value_enum, default_value_t = Destination::Files)]
    destination: Destination,
    /// Only this episode of the plan
    #[arg(long, value_name = "NUMBER")]
    episode: Option<u64>,
    /// Major version of the PostgreSQL that is read from
    #[arg(long, default_value_t = 18, value_name = "MAJOR")]
    postgres: u16,
    /// Episodes that run at the same time; with Kafka, each has a broker of half a gigabyte
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// The release build instead of the debug build
    #[arg(long)]
    release: bool,
    /// An earlier target/chaos.json, or target/chaos-kafka.json, to compare with
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

impl Chaos {
    /// What `cargo xtask test` runs.
    pub(crate) fn ci() -> [Self; 2] {
        let chaos = |destination, cycles, lanes| Self {
            cycles,
            seed: CI_SEED,
            destination,
            episode: None,
            postgres: 18,
            lanes,
            release: false,
            baseline: None,
        };
        [chaos(Destination::Files, CI_CYCLES, 4), chaos(Destination::Kafka, CI_KAFKA_CYCLES, 2)]
    }

    pub(crate) fn run(&self) -> Result<()> {
        let baseline = self.baseline.as_deref().map(Report::read).transpose()?;
        Servers { all_postgres: ![14, 18].contains(&self.postgres) }.run()?;
        say("building ductstream and the S3 server");
        let programs = Programs {
            ductstream: product::build_for_tests("ductstream", self.release)?,
            s3_server: product::build_for_tests(S3_SERVER, false)?,
            postgres: self.postgres,
        };
        let mut plan = episodes(self.seed, self.cycles, self.destination);
        plan.retain(|it| self.episode.is_none_or(|number| number == it.number));
        ensure!(!plan.is_empty(), "there is no such episode, or no cycle at all");
        print_plan(&plan);
        say(format!("seed {}, {} cycles, PostgreSQL {}", self.seed, self.cycles, self.postgres));
        let started = Instant::now();
        let outcomes = self.play(&plan, &programs);
        let report = Report {
            seed: self.seed,
            cycles: plan.iter().map(|it| it.cycles.len() as u64).sum(),
            postgres: self.postgres,
            build: if self.release { "release" } else { "debug" }.to_owned(),
            seconds: started.elapsed().as_secs_f64(),
            episodes: outcomes,
        };
        report.print(baseline.as_ref());
        report.write(&root().join("target").join(self.name()).with_extension("json"))?;
        self.verdict(&report)
    }

    /// Plays the episodes, some at a time, and returns what came of them in order.
    fn play(&self, plan: &[Episode], programs: &Programs) -> Vec<Outcome> {
        let directory = root().join("target").join(self.name()).join(format!("seed-{}", self.seed));
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let lane = || {
            while let Some(episode) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = episode::run(episode, programs, &directory.join(format!("episode-{}", episode.number)));
                announce(&outcome);
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.lanes.clamp(1, plan.len()) {
                scope.spawn(lane);
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|it| it.number);
        outcomes
    }

    /// What a run leaves below `target`: a report, and a directory of evidence.
    fn name(&self) -> &'static str {
        match self.destination {
            Destination::Files => "chaos",
            Destination::Kafka => "chaos-kafka",
        }
    }

    fn verdict(&self, report: &Report) -> Result<()> {
        let failures: Vec<String> = report
            .failures()
            .map(|(number, failure)| {
                format!(
                    "episode {number}: {failure}\nreplay it with: cargo xtask chaos{} --seed {} --cycles {} --postgres {} \
                     --episode {number}",
                    if self.destination == Destination::Kafka { " --destination kafka" } else { "" },
                    self.seed,
                    self.cycles,
                    self.postgres
                )
            })
            .collect();
        if failures.is_empty() {
            say("source and destinations agree, change by change");
            return Ok(());
        }
        bail!("{} of {} episodes failed\n{}", failures.len(), report.episodes.len(), failures.join("\n"));
    }
}

fn print_plan(plan: &[Episode]) {
    say("the plan");
    for episode in plan {
        println!("    episode {}: {}", episode.number, episode.shape);
        for cycle in &episode.cycles {
            println!("    {:>6}. {cycle}", cycle.number);
        }
    }
}

fn announce(outcome: &Outcome) {
    let Outcome { number, comparison, starts, seconds, failure, .. } = outcome;
    let verdict = failure.as_deref().unwrap_or("agrees");
    println!(
        "    episode {number}: {} changes in {} transactions, {} objects, {} messages, {starts} starts, {seconds:.1} s: {verdict}",
        comparison.changes, comparison.transactions, comparison.objects, comparison.messages
    );
}
