//! What a run measured: a table for people, JSON for programs, and the difference from an earlier run.

mod compare;
mod figure;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub(crate) use figure::{Figure, Goal, Unit};

use crate::workspace::{capture, root, say};

/// The figures of one run, and under what conditions they were taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What ran: `bench`, `chaos`.
    pub(crate) name: String,
    /// When, in UTC.
    pub(crate) taken_at: String,
    /// What was measured beside it, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// What the figures depend on: versions, machine, sizes.
    pub(crate) conditions: BTreeMap<String, String>,
    /// In the order of the table.
    pub(crate) figures: Vec<Figure>,
}

/// Where a report goes, and what it is compared with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReportOptions {
    /// Save the report here [default: target/NAME.json]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compare with the report of an earlier run
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// End with an error when a figure is worse than in the baseline by more than the noise
    #[arg(long, requires = "baseline")]
    fail_on_regression: bool,
}

impl ReportOptions {
    /// Reads the earlier report, before a long run: a name mistyped would show only after it.
    pub(crate) fn baseline(&self) -> Result<Option<Report>> {
        self.baseline.as_deref().map(Report::load).transpose()
    }
}

impl Report {
    /// An empty report on this checkout and machine.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let taken_at = capture(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M:%S"]))?.trim().to_owned();
        let mut report =
            Self { name: name.to_owned(), taken_at, peer: None, conditions: BTreeMap::new(), figures: Vec::new() };
        report.condition("version", env!("CARGO_PKG_VERSION"));
        report.condition("commit", commit());
        report.condition("cores", std::thread::available_parallelism()?);
        report.condition("processor", processor());
        Ok(report)
    }

    /// Notes something that the figures depend on.
    pub(crate) fn condition(&mut self, name: &str, value: impl ToString) {
        self.conditions.insert(name.to_owned(), value.to_string());
    }

    /// Prints and saves the report, and compares it with the baseline.
    ///
    /// # Errors
    /// When it cannot be saved, or has regressed and the options make that an error.
    pub(crate) fn finish(&self, options: &ReportOptions, baseline: Option<&Self>) -> Result<()> {
        println!("\n{}", table::table(self));
        let path = options.output.clone().unwrap_or_else(|| root().join(format!("target/{}.json", self.name)));
        fs::write(&path, serde_json::to_string_pretty(self)?).with_context(|| path.display().to_string())?;
        say(format!("saved to {}", path.display()));
        let Some(baseline) = baseline else { return Ok(()) };
        let comparison = compare::Comparison::of(baseline, self);
        println!("\n{comparison}");
        match comparison.regressions() {
            0 => Ok(()),
            many if options.fail_on_regression => bail!("{many} figures are worse than in the baseline"),
            _ => Ok(()),
        }
    }

    fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a report", path.display()))
    }
}

/// The commit that is checked out, and whether files differ from it; a release's sources have none.
fn commit() -> String {
    let mut git = Command::new("git");
    capture(git.current_dir(root()).args(["describe", "--always", "--dirty", "--exclude=*"]))
        .map_or_else(|_| "unknown".to_owned(), |described| described.trim().to_owned())
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH, |(_, model)| model.trim()).to_owned()
}
