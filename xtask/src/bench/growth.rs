//! Whether the time for a backlog grows as the backlog does, and memory does not.

use anyhow::{Result, ensure};

use super::client::{Client, Reader, Transport};
use super::drain::{Series, megabytes};
use super::goals;
use super::measure::Cost;
use super::plan::Plan;
use super::source::{Mark, Source};
use super::workload::INSERTS;
use crate::report::{Figure, Unit};

/// What a backlog of so many rows took.
#[derive(Debug)]
struct Step {
    rows: f64,
    cost: Cost,
}

/// Reads the first part of one long backlog, then a longer part, and so on, once each.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    let sizes = &plan.sizes.growth;
    ensure!(sizes.len() >= 3, "growth shows over three sizes at least");
    if !plan.wants("growth/tcp/parquet") {
        return Ok(());
    }
    let source = Source::open(&plan.ductstream, &INSERTS.schema(), None)?;
    let mut first = 1;
    let mut steps = Vec::new();
    for rows in sizes {
        let mark = source.load(&INSERTS, first, *rows)?;
        first = rows + 1;
        steps.push(Step { rows: *rows as f64, cost: step(&source, &mark, figures)? });
    }
    let [.., before, last] = steps.as_slice() else { return Ok(()) };
    let slower = per_row(before, last) / per_row(&steps[0], before);
    let larger = megabytes(&last.cost) / megabytes(&before.cost);
    let grown = |name: &str, times| Figure::lower(format!("growth/{name}"), Unit::Times, vec![times]);
    figures.push(grown("time per row, last step to those before", slower).goal(goals::growth()));
    figures.push(grown("memory, last step to the one before", larger).goal(goals::growth()));
    Ok(())
}

fn step(source: &Source, mark: &Mark, figures: &mut Vec<Figure>) -> Result<Cost> {
    let mut series = Series::new(&format!("growth/{}", mark.rows), Client::Parquet, Transport::Tcp);
    let peer = Reader::new(source, Client::PgRecvlogical, Transport::Tcp).drain(mark)?;
    let own = Reader::new(source, Client::Parquet, Transport::Tcp).drain(mark)?;
    series.push(own, peer);
    figures.extend(series.figures("growth", mark.rows));
    Ok(own)
}

/// Seconds per row of what the longer backlog has more: starting takes its time whatever the length.
fn per_row(shorter: &Step, longer: &Step) -> f64 {
    (longer.cost.wall.as_secs_f64() - shorter.cost.wall.as_secs_f64()) / (longer.rows - shorter.rows)
}
