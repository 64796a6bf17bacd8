//! One figure: what it is, what every round measured, and what it has to be.

use serde::{Deserialize, Serialize};

/// JSON has no infinity, which is the ratio to nothing.
const LARGEST_RATIO: f64 = 1e6;

/// One figure of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Names it over all runs, what it belongs to first: `drain/tcp/parquet speed`.
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    /// The median over the rounds.
    pub(crate) value: f64,
    pub(crate) rounds: Vec<f64>,
    /// The same figure of what was measured beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<Peer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
}

/// The peer's figure, in the same rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) value: f64,
    pub(crate) rounds: Vec<f64>,
    /// How many times better than the peer: the median of the rounds' ratios, each within its round, because what
    /// else the machine does changes from minute to minute.
    pub(crate) ratio: f64,
    pub(crate) ratios: Vec<f64>,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    RowsPerSecond,
    Seconds,
    Milliseconds,
    /// Processor time.
    SecondsPerMillionRows,
    Megabytes,
    BytesPerRow,
    PercentOfACore,
    /// How often one thing fits into another.
    Times,
    Count,
}

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What a figure has to be, and what it should be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) of: GoalOf,
    pub(crate) must: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<f64>,
}

/// What a goal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GoalOf {
    Value,
    Ratio,
}

/// How a figure stands to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Aim,
    Ok,
    Below,
}

impl Figure {
    /// A figure that is better when it is larger. There has to be a round at least.
    pub(crate) fn higher(name: impl Into<String>, unit: Unit, rounds: Vec<f64>) -> Self {
        Self { name: name.into(), unit, better: Better::Higher, value: median(&rounds), rounds, peer: None, goal: None }
    }

    /// A figure that is better when it is smaller.
    pub(crate) fn lower(name: impl Into<String>, unit: Unit, rounds: Vec<f64>) -> Self {
        Self { better: Better::Lower, ..Self::higher(name, unit, rounds) }
    }

    /// With what the peer took in the same rounds.
    pub(crate) fn beside(mut self, rounds: Vec<f64>) -> Self {
        let ratio = |(own, peer): (&f64, &f64)| match self.better {
            _ if own == peer => 1.0,
            Better::Higher => (own / peer).min(LARGEST_RATIO),
            Better::Lower => (peer / own).min(LARGEST_RATIO),
        };
        let ratios: Vec<f64> = self.rounds.iter().zip(&rounds).map(ratio).collect();
        self.peer = Some(Peer { value: median(&rounds), rounds, ratio: median(&ratios), ratios });
        self
    }

    /// With what it has to be, if anything.
    pub(crate) fn goal(mut self, goal: impl Into<Option<Goal>>) -> Self {
        self.goal = goal.into();
        self
    }

    /// How it stands to its goal, where it has one.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let goal = self.goal?;
        let (value, better) = match goal.of {
            GoalOf::Value => (self.value, self.better),
            GoalOf::Ratio => (self.peer.as_ref()?.ratio, Better::Higher),
        };
        let reaches = |wanted: f64| match better {
            Better::Higher => value >= wanted,
            Better::Lower => value <= wanted,
        };
        Some(match goal.aim.is_some_and(reaches) {
            true => Verdict::Aim,
            false if reaches(goal.must) => Verdict::Ok,
            false => Verdict::Below,
        })
    }
}

impl Goal {
    /// Of the value itself.
    pub(crate) fn value(must: f64, aim: impl Into<Option<f64>>) -> Self {
        Self { of: GoalOf::Value, must, aim: aim.into() }
    }

    /// Of the ratio to the peer.
    pub(crate) fn ratio(must: f64, aim: impl Into<Option<f64>>) -> Self {
        Self { of: GoalOf::Ratio, must, aim: aim.into() }
    }

    /// A goal's number as people read it.
    pub(crate) fn show(&self, number: f64, unit: Unit) -> String {
        match self.of {
            GoalOf::Value => unit.show(number),
            GoalOf::Ratio => Unit::Times.show(number),
        }
    }
}

impl Unit {
    /// A value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::RowsPerSecond => format!("{:.0}k rows/s", value / 1e3),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::SecondsPerMillionRows => format!("{value:.2} s/M"),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::BytesPerRow => format!("{value:.1} B/row"),
            Self::PercentOfACore => format!("{value:.2} %"),
            Self::Times => format!("{value:.2}x"),
            Self::Count => format!("{value:.0}"),
        }
    }

    /// Whether another machine, or a busier hour, changes the value about as much as the peer's.
    pub(crate) fn depends_on_the_machine(self) -> bool {
        matches!(self, Self::RowsPerSecond | Self::Seconds | Self::SecondsPerMillionRows)
    }

    /// What two runs may differ by and mean nothing: a change of a small figure is soon a large part of it.
    pub(crate) fn resolution(self) -> f64 {
        match self {
            Self::Seconds | Self::SecondsPerMillionRows => 0.05,
            Self::Milliseconds => 0.5,
            Self::Megabytes => 3.0,
            Self::PercentOfACore => 0.1,
            Self::RowsPerSecond | Self::BytesPerRow | Self::Times | Self::Count => 0.0,
        }
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round_and_above_one_is_better() {
        let speed = Figure::higher("speed", Unit::RowsPerSecond, vec![200.0, 30.0, 100.0]);
        let speed = speed.beside(vec![100.0, 10.0, 50.0]).goal(Goal::ratio(1.6, 2.4));
        assert_eq!(speed.peer.as_ref().map(|peer| peer.ratio), Some(2.0));
        assert_eq!(speed.verdict(), Some(Verdict::Ok));
        let time = Figure::lower("time", Unit::Seconds, vec![2.0]).beside(vec![5.0]).goal(Goal::ratio(1.6, 2.4));
        assert_eq!(time.verdict(), Some(Verdict::Aim));
    }

    #[test]
    fn a_smaller_value_reaches_a_goal_of_a_figure_that_should_be_small() {
        let memory = |value| Figure::lower("memory", Unit::Megabytes, vec![value]).goal(Goal::value(150.0, 100.0));
        assert_eq!(memory(99.0).verdict(), Some(Verdict::Aim));
        assert_eq!(memory(101.0).verdict(), Some(Verdict::Ok));
        assert_eq!(memory(151.0).verdict(), Some(Verdict::Below));
    }
}
