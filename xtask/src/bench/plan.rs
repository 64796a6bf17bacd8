//! What is to be measured, and at what size.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Bench;

/// What every part needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) ductstream: PathBuf,
    pub(super) sizes: Sizes,
    /// Parts of names; empty: everything.
    only: Vec<String>,
}

/// How much is measured, and how often.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) rows: u64,
    pub(super) rounds: usize,
    pub(super) transaction_rows: u64,
    /// Ascending, at least three.
    pub(super) growth: Vec<u64>,
    pub(super) latency_seconds: u64,
    pub(super) idle_seconds: u64,
    pub(super) components_seconds: u64,
}

impl Plan {
    pub(super) fn new(bench: &Bench, ductstream: PathBuf) -> Self {
        Self { ductstream, sizes: Sizes::of(bench), only: bench.only.clone() }
    }

    /// Whether a measurement is asked for by its name, such as `drain/tcp/parquet`.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

impl Sizes {
    fn of(bench: &Bench) -> Self {
        let usual = if bench.quick { Self::quick() } else { Self::full() };
        let mut growth = bench.growth.clone().unwrap_or(usual.growth);
        growth.sort_unstable();
        Self {
            rows: bench.rows.unwrap_or(usual.rows),
            rounds: bench.rounds.map_or(usual.rounds, NonZeroUsize::get),
            transaction_rows: bench.transaction_rows.unwrap_or(usual.transaction_rows),
            growth,
            ..usual
        }
    }

    fn full() -> Self {
        Self {
            rows: 1_000_000,
            rounds: 3,
            transaction_rows: 10_000_000,
            growth: vec![100_000, 300_000, 1_000_000, 3_000_000],
            latency_seconds: 20,
            idle_seconds: 30,
            components_seconds: 5,
        }
    }

    fn quick() -> Self {
        Self {
            rows: 200_000,
            rounds: 1,
            transaction_rows: 500_000,
            growth: vec![50_000, 100_000, 200_000],
            latency_seconds: 5,
            idle_seconds: 10,
            components_seconds: 1,
        }
    }
}
