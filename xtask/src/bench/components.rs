//! The decoder and the codecs alone: criterion's benchmarks, and what it saved of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::goals;
use super::plan::Plan;
use crate::report::{Figure, Goal, Unit};
use crate::workspace::{cargo, root, run, say};

/// What criterion says that it measured.
#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Throughput,
}

#[derive(Debug, Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: f64,
}

/// Criterion's estimates, in nanoseconds per iteration.
#[derive(Debug, Deserialize)]
struct Estimates {
    mean: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// Rows that the decoder and each codec take in a second, on one core, and the bytes that a codec makes of each.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    let wanted = ["decoder", "codecs"].into_iter().filter(|bench| plan.wants(&format!("components/{bench}")));
    let benches: Vec<String> = wanted.map(|bench| format!("--bench={bench}")).collect();
    if benches.is_empty() {
        return Ok(());
    }
    // A directory of its own, so that no other run's figures lie in it.
    let directory = root().join("target/bench/criterion");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    say("cargo bench: decoder and codecs alone");
    let seconds = plan.sizes.components_seconds;
    let mut bench = cargo();
    bench.args(["bench", "--quiet", "--workspace"]).args(benches);
    bench.args(["--", "--warm-up-time=1", &format!("--measurement-time={seconds}")]);
    run(bench.env("CRITERION_HOME", &directory))?;
    let mut measured = Vec::new();
    collect(&directory, &mut measured)?;
    ensure!(!measured.is_empty(), "criterion saved nothing in {}", directory.display());
    measured.extend(sizes(&directory.join("sizes.json"))?);
    measured.sort_by(|one, other| one.name.cmp(&other.name));
    figures.extend(measured);
    Ok(())
}

/// Finds the directories `new` in which criterion keeps what it has measured last.
fn collect(directory: &Path, figures: &mut Vec<Figure>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path: PathBuf = entry?.path();
        if path.ends_with("new") {
            figures.push(figure(&path).with_context(|| path.display().to_string())?);
        } else if path.is_dir() {
            collect(&path, figures)?;
        }
    }
    Ok(())
}

fn figure(directory: &Path) -> Result<Figure> {
    let benchmark: Benchmark = read(&directory.join("benchmark.json"))?;
    let Estimate { point_estimate, confidence_interval: Interval { lower_bound, upper_bound } } =
        read::<Estimates>(&directory.join("estimates.json"))?.mean;
    // The bounds stand for rounds: they say how sure criterion is.
    let rounds =
        [upper_bound, point_estimate, lower_bound].map(|nanoseconds| benchmark.throughput.elements / nanoseconds * 1e9);
    let figure = Figure::higher(format!("components/{}", benchmark.full_id), Unit::RowsPerSecond, rounds.to_vec());
    Ok(figure.goal(goal(&benchmark.full_id)))
}

fn goal(benchmark: &str) -> Option<Goal> {
    let encoders = ["messages/avro/flat", "messages/proto/flat", "messages/json/flat"];
    match benchmark {
        decoder if decoder.starts_with("decoder/") && decoder.ends_with("/binary") => Some(goals::decoder()),
        encoder if encoders.contains(&encoder) => Some(goals::encoder()),
        _ => None,
    }
}

/// What the benchmark of codecs says of the bytes that they write, if it ran.
fn sizes(file: &Path) -> Result<Vec<Figure>> {
    let sizes: BTreeMap<String, f64> = if file.exists() { read(file)? } else { BTreeMap::new() };
    let figure = |(name, bytes)| Figure::lower(format!("components/{name} size"), Unit::BytesPerRow, vec![bytes]);
    Ok(sizes.into_iter().map(figure).collect())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
