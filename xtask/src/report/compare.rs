//! What has changed since an earlier run, and whether it is more than noise.

use std::fmt;

use super::Report;
use super::figure::{Better, Figure, Unit, median};
use super::table::layout;

/// Rounds that agree by chance do not make a figure this exact.
const LEAST_NOISE: f64 = 0.05;
/// A single round shows no noise at all.
const NOISE_OF_ONE_ROUND: f64 = 0.15;

/// The figures that two reports share.
#[derive(Debug)]
pub(super) struct Comparison {
    taken_at: String,
    /// Conditions that differ: name, earlier, now.
    conditions: Vec<(String, String, String)>,
    changes: Vec<Change>,
    /// Figures that the earlier run did not have.
    new: Vec<String>,
    /// How many of the earlier run's were not measured this time.
    left_out: usize,
}

#[derive(Debug)]
struct Change {
    name: String,
    then: String,
    now: String,
    /// As a part of what it was: positive is better.
    better_by: f64,
    noise: f64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Regression,
    Improvement,
    Noise,
}

impl Comparison {
    /// Compares `now` with `then`.
    pub(super) fn of(then: &Report, now: &Report) -> Self {
        let earlier = |figure: &Figure| then.figures.iter().find(|it| it.name == figure.name);
        let changes = now.figures.iter().filter_map(|figure| Some(Change::of(earlier(figure)?, figure))).collect();
        Self {
            taken_at: then.taken_at.clone(),
            conditions: conditions(then, now),
            changes,
            new: missing(now, then).map(|figure| figure.name.clone()).collect(),
            left_out: missing(then, now).count(),
        }
    }

    /// How many figures are worse by more than noise.
    pub(super) fn regressions(&self) -> usize {
        self.changes.iter().filter(|change| change.kind == Kind::Regression).count()
    }
}

impl Change {
    /// Of what depends on the machine, the ratios to the peer are compared, where both have one: they hold anywhere.
    fn of(then: &Figure, now: &Figure) -> Self {
        let (before, after, better, unit) = match (&then.peer, &now.peer) {
            (Some(before), Some(after)) if now.unit.depends_on_the_machine() => {
                (&before.ratios, &after.ratios, Better::Higher, Unit::Times)
            }
            _ => (&then.rounds, &now.rounds, now.better, now.unit),
        };
        let (was, is) = (median(before), median(after));
        let better_by = match better {
            _ if was == is => 0.0,
            Better::Higher => is / was - 1.0,
            // As speeds compare, so that twice as good is +100 % both ways.
            Better::Lower => was / is - 1.0,
        };
        let noise = noise(before, after);
        let kind = match better_by {
            _ if (was - is).abs() <= unit.resolution() => Kind::Noise,
            worse if worse < -noise => Kind::Regression,
            improved if improved > noise => Kind::Improvement,
            _ => Kind::Noise,
        };
        Self { name: now.name.clone(), then: unit.show(was), now: unit.show(is), better_by, noise, kind }
    }
}

/// By how much two medians may differ though nothing has changed: as far as the rounds of both lie from their medians.
fn noise(before: &[f64], after: &[f64]) -> f64 {
    let least = if before.len().min(after.len()) < 2 { NOISE_OF_ONE_ROUND } else { LEAST_NOISE };
    (deviation(before) + deviation(after)).max(least)
}

/// Half of what the rounds span, as a part of their median.
fn deviation(rounds: &[f64]) -> f64 {
    let middle = median(rounds);
    let (low, high) = rounds.iter().fold((middle, middle), |(low, high), it| (it.min(low), it.max(high)));
    if middle == 0.0 { 0.0 } else { (high - low) / 2.0 / middle }
}

fn conditions(then: &Report, now: &Report) -> Vec<(String, String, String)> {
    let earlier = |name: &String| then.conditions.get(name).cloned().unwrap_or_default();
    let pairs = now.conditions.iter().map(|(name, value)| (name.clone(), earlier(name), value.clone()));
    pairs.filter(|(_, then, now)| then != now).collect()
}

/// The figures of one report that the other lacks.
fn missing<'a>(of: &'a Report, other: &'a Report) -> impl Iterator<Item = &'a Figure> {
    of.figures.iter().filter(move |figure| !other.figures.iter().any(|it| it.name == figure.name))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    compared with the run of {}", self.taken_at)?;
        for (name, then, now) in &self.conditions {
            writeln!(f, "    {name}: {then} then, {now} now")?;
        }
        let heading = ["figure", "then", "now", "better by", "noise", ""].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(self.changes.iter().map(Change::row)).collect();
        write!(f, "\n{}", layout(&rows))?;
        for name in &self.new {
            writeln!(f, "    {name} (new)")?;
        }
        write!(f, "\n    regressions: {}, not measured this time: {}", self.regressions(), self.left_out)
    }
}

impl Change {
    fn row(&self) -> Vec<String> {
        let kind = match self.kind {
            Kind::Regression => "REGRESSION",
            Kind::Improvement => "improvement",
            Kind::Noise => "",
        };
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        let change = format!("{:+.0} %", self.better_by * 100.0);
        vec![self.name.clone(), self.then.clone(), self.now.clone(), change, percent(self.noise), kind.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(then: &Figure, now: &Figure) -> Kind {
        Change::of(then, now).kind
    }

    fn speed(rounds: &[f64]) -> Figure {
        Figure::higher("speed", Unit::RowsPerSecond, rounds.to_vec())
    }

    #[test]
    fn a_change_within_what_the_rounds_span_is_noise() {
        assert_eq!(kind(&speed(&[90.0, 100.0, 110.0]), &speed(&[80.0, 85.0, 95.0])), Kind::Noise);
        assert_eq!(kind(&speed(&[99.0, 100.0, 101.0]), &speed(&[84.0, 85.0, 86.0])), Kind::Regression);
        assert_eq!(kind(&speed(&[99.0, 100.0, 101.0]), &speed(&[119.0, 120.0, 121.0])), Kind::Improvement);
    }

    #[test]
    fn a_slower_machine_is_no_regression_when_the_ratio_holds() {
        let then = speed(&[100.0, 100.0]).beside(vec![50.0, 50.0]);
        let now = speed(&[60.0, 60.0]).beside(vec![30.0, 30.0]);
        assert_eq!(kind(&then, &now), Kind::Noise);
    }

    #[test]
    fn the_first_of_what_should_not_happen_is_a_regression() {
        let lost = |rows: f64| Figure::lower("lost rows", Unit::Count, vec![rows]);
        assert_eq!(kind(&lost(0.0), &lost(1.0)), Kind::Regression);
        assert_eq!(kind(&lost(0.0), &lost(0.0)), Kind::Noise);
    }

    #[test]
    fn a_change_below_what_a_unit_can_tell_is_noise() {
        let idle = |percent: f64| Figure::lower("idle", Unit::PercentOfACore, vec![percent]);
        assert_eq!(kind(&idle(0.02), &idle(0.06)), Kind::Noise);
    }
}
