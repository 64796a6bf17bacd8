//! `cargo xtask bench`: measurements beside PostgreSQL's own tools, on the same machine in the same run.

mod client;
mod components;
mod drain;
mod goals;
mod growth;
mod idle;
mod kafka;
mod latency;
mod measure;
mod plan;
mod source;
mod transaction;
mod workload;

use std::fs::{self, File};
use std::num::NonZeroUsize;

use anyhow::{Context, Result, anyhow};
use plan::Plan;

use crate::product;
use crate::report::{Figure, Report, ReportOptions};
use crate::servers::make_venv;
use crate::workspace::{root, say};

/// Measures the release build beside PostgreSQL's pg_recvlogical, each on a copy of the same slot
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure [default: everything]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Only what has one of these in its name: `parquet`, `drain/unix`, `rows-2k`
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Rows of a backlog; other shapes than small inserts get a part of it [default: 1000000, quick: 200000]
    #[arg(long)]
    rows: Option<u64>,
    /// How often each client reads it; figures are medians [default: 3, quick: 1]
    #[arg(long)]
    rounds: Option<NonZeroUsize>,
    /// Rows of the one large transaction [default: 10000000, quick: 500000]
    #[arg(long, value_name = "ROWS")]
    transaction_rows: Option<u64>,
    /// Rows of the growing backlog, three steps at least [default: 100000,...,3000000]
    #[arg(long, value_name = "ROWS,...", value_delimiter = ',', num_args = 1)]
    growth: Option<Vec<u64>>,
    /// Small sizes and one round: whether it works, and roughly how fast
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    report: ReportOptions,
}

/// A group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A backlog of rows of seven columns to null, Parquet and JSON files
    Drain,
    /// The same of updates with whole old rows, of longer rows, and of transactions of one row
    Workloads,
    /// One large transaction: after its commit, and while it is written
    Transaction,
    /// Backlogs of growing length: whether time grows with it and memory does not
    Growth,
    /// From a commit to its line on standard output
    Latency,
    /// The backlog of `drain` to topics of a Kafka broker on the same machine
    Kafka,
    /// From a commit to a consumer of the topic
    KafkaLatency,
    /// What a flow takes while nothing happens
    Idle,
    /// Decoder and codecs alone
    Components,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        let baseline = self.report.baseline()?;
        let _alone = alone()?;
        say("building ductstream for release");
        let plan = Plan::new(self, product::build(true)?);
        make_venv()?;
        let mut report = Report::new("bench")?;
        report.peer = Some("pg_recvlogical".to_owned());
        self.conditions(&plan, &mut report)?;
        let measured = self.parts().iter().try_for_each(|part| part.measure(&plan, &mut report.figures));
        if report.figures.is_empty() {
            return measured.and(Err(anyhow!("no measurement has such a name")));
        }
        // What was measured before a failure took its time: it is shown and kept all the same.
        let finished = report.finish(&self.report, baseline.as_ref());
        measured.and(finished)
    }

    fn parts(&self) -> &[Part] {
        if self.parts.is_empty() { <Part as clap::ValueEnum>::value_variants() } else { &self.parts }
    }

    fn conditions(&self, plan: &Plan, report: &mut Report) -> Result<()> {
        report.condition("rows", plan.sizes.rows);
        report.condition("rounds", plan.sizes.rounds);
        report.condition("transaction rows", plan.sizes.transaction_rows);
        report.condition("PostgreSQL", crate::postgres::version(source::PROGRAMS)?);
        Ok(())
    }
}

/// Two benchmarks at once would measure each other, and write into the same directory. The lock ends with this process.
fn alone() -> Result<File> {
    let directory = root().join("target/bench");
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.try_lock().context("another benchmark runs in this checkout")?;
    Ok(lock)
}

impl Part {
    fn measure(self, plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
        match self {
            Self::Drain => drain::inserts(plan, figures),
            Self::Workloads => drain::others(plan, figures),
            Self::Transaction => transaction::measure(plan, figures),
            Self::Growth => growth::measure(plan, figures),
            Self::Latency => latency::measure(plan, figures),
            Self::Kafka => kafka::backlog(plan, figures),
            Self::KafkaLatency => latency::to_kafka(plan, figures),
            Self::Idle => idle::measure(plan, figures),
            Self::Components => components::measure(plan, figures),
        }
    }
}
