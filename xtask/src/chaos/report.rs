//! What came of a run: a table for people, JSON for the next run to compare with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::episode::{Outcome, Recovery};
use super::plan::KINDS;
use crate::workspace::say;

/// A run.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) cycles: u64,
    pub(super) postgres: u16,
    pub(super) build: String,
    pub(super) seconds: f64,
    pub(super) episodes: Vec<Outcome>,
}

/// All cycles with one kind of fault.
struct Kind {
    cycles: usize,
    seconds: f64,
    /// Median and longest.
    recovery_ms: Option<(f64, f64)>,
}

impl Report {
    /// The episodes that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = (u64, &str)> {
        self.episodes.iter().filter_map(|it| Some((it.number, it.failure.as_deref()?)))
    }

    /// Prints it, beside an earlier run where there is one.
    pub(super) fn print(&self, baseline: Option<&Self>) {
        let Self { seed, cycles, postgres, build, .. } = self;
        println!("\n    seed {seed}, {cycles} cycles, PostgreSQL {postgres}, {build} build\n");
        self.print_kinds(baseline);
        self.print_episodes();
        self.print_totals(baseline);
    }

    fn print_kinds(&self, baseline: Option<&Self>) {
        println!(
            "    {:<13} {:>7} {:>9} {:>15} {:>9} {:>12}",
            "fault", "cycles", "seconds", "recovery p50 ms", "max ms", "p50 before"
        );
        for name in KINDS {
            let Kind { cycles, seconds, recovery_ms } = self.kind(name);
            if cycles == 0 {
                continue;
            }
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
            let before = baseline.and_then(|it| it.kind(name).recovery_ms).map(|(median, _)| median);
            println!(
                "    {name:<13} {cycles:>7} {seconds:>9.1} {:>15} {:>9} {:>12}",
                shown(recovery_ms.map(|it| it.0)),
                shown(recovery_ms.map(|it| it.1)),
                shown(before)
            );
        }
    }

    fn print_episodes(&self) {
        println!(
            "\n    {:>7} {:>6} {:>6} {:>12} {:>8} {:>7} {:>8} {:>6} {:>8} {:>8} {:>8}  flow",
            "episode",
            "cycles",
            "starts",
            "transactions",
            "changes",
            "rows",
            "objects",
            "cuts",
            "messages",
            "repeated",
            "seconds"
        );
        for it in &self.episodes {
            let of = &it.comparison;
            let verdict = if it.failure.is_some() { "  FAILED" } else { "" };
            println!(
                "    {:>7} {:>6} {:>6} {:>12} {:>8} {:>7} {:>8} {:>6} {:>8} {:>8} {:>8.1}  {}{verdict}",
                it.number,
                it.cycles.len(),
                it.starts,
                of.transactions,
                of.changes,
                of.rows,
                of.objects,
                of.cuts,
                of.messages,
                of.repeated,
                it.seconds,
                it.flow
            );
        }
    }

    fn print_totals(&self, baseline: Option<&Self>) {
        println!();
        let mut before = baseline.map(Self::totals).into_iter().flatten();
        for (name, value) in self.totals() {
            let before = before.next().map(|(_, before)| format!("   {before:.1} before")).unwrap_or_default();
            println!("    {name:<24} {value:>12.1}{before}");
        }
        println!();
    }

    fn totals(&self) -> [(&'static str, f64); 9] {
        let sum = |figure: fn(&Outcome) -> u64| self.episodes.iter().map(figure).sum::<u64>() as f64;
        [
            ("changes compared", sum(|it| it.comparison.changes)),
            ("rows compared", sum(|it| it.comparison.rows)),
            ("objects", sum(|it| it.comparison.objects)),
            ("cuts", sum(|it| it.comparison.cuts)),
            ("messages", sum(|it| it.comparison.messages)),
            ("messages repeated", sum(|it| it.comparison.repeated)),
            ("starts of ductstream", sum(|it| it.starts)),
            ("differences", sum(|it| it.comparison.different)),
            ("seconds", self.seconds),
        ]
    }

    fn kind(&self, name: &str) -> Kind {
        let cycles: Vec<&Recovery> =
            self.episodes.iter().flat_map(|it| &it.cycles).filter(|it| it.kind == name).collect();
        let mut recoveries: Vec<f64> = cycles.iter().filter_map(|it| it.recovery_ms).collect();
        recoveries.sort_by(f64::total_cmp);
        let median = recoveries.get(recoveries.len() / 2);
        Kind {
            cycles: cycles.len(),
            seconds: cycles.iter().fold(0.0, |sum, it| sum + it.seconds),
            recovery_ms: median.copied().zip(recoveries.last().copied()),
        }
    }

    /// Reads an earlier run.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a chaos report", path.display()))
    }

    /// Keeps it for later.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?).with_context(|| path.display().to_string())?;
        say(format!("written to {}", path.display()));
        Ok(())
    }
}
