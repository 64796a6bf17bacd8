//! Timelines: which positions of a server that was replaced mean the same on the one that was promoted in its place.

use std::collections::BTreeMap;

use crate::{Lsn, Position};

/// The timelines that a server's own one descends from, and where each of them was left.
///
/// A promotion begins a new timeline at the end of what the promoted server had received. Up to there both servers have one past;
/// beyond it the same positions stand for different changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestors(BTreeMap<u32, Lsn>);

impl Ancestors {
    /// From pairs of a timeline and the end of the WAL that it shares with the server's own.
    pub fn new(left: impl IntoIterator<Item = (u32, Lsn)>) -> Self {
        Self(left.into_iter().collect())
    }

    /// Where `timeline` was left; `None` when the server's own does not descend from it.
    pub fn left(&self, timeline: u32) -> Option<Lsn> {
        self.0.get(&timeline).copied()
    }

    /// Whether everything before the bound `position`, as it was read on `timeline`, is in the server's past too.
    ///
    /// A bound between transactions lies at the end of a record, one inside a transaction at the start of its commit record: that
    /// record itself must lie before the end.
    pub fn share(&self, timeline: u32, position: Position) -> bool {
        self.left(timeline).is_some_and(|end| match position.seq {
            0 => position.commit_lsn <= end,
            _ => position.commit_lsn < end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_shared_up_to_where_its_timeline_was_left_and_not_beyond() {
        let ancestors = Ancestors::new([(1, Lsn(90)), (2, Lsn(120))]);
        let shares = |timeline, lsn, seq| ancestors.share(timeline, Position::new(Lsn(lsn), seq));
        assert!(shares(1, 90, 0) && shares(1, 89, 7) && shares(2, 120, 0));
        assert!(!shares(1, 91, 0) && !shares(2, 121, 0));
        assert!(!shares(1, 90, 1), "the commit record at the end was never received");
        assert!(!shares(3, 1, 0), "not an ancestor");
        assert!(!Ancestors::default().share(1, Position::default()));
    }
}
