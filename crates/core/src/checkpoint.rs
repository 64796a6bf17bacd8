//! Checkpoints, and where they are kept.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Durable, Lsn, Position, Queued, Result, TableName};

/// What tells one source from another that answers at the same address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceIdentity {
    /// `IDENTIFY_SYSTEM`'s system identifier: differs for every cluster ever initialised.
    pub system_identifier: String,
    /// The timeline: grows when a standby is promoted.
    pub timeline: u32,
    /// The database.
    pub database: String,
    /// The replication slot.
    pub slot: String,
}

/// What a flow created in its source, so that clean-up drops that and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Created {
    /// The publication, when the flow created it.
    pub publication: Option<String>,
    /// The slot, when the flow created it.
    pub slot: Option<String>,
}

/// What is durable in one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationCheckpoint {
    /// Every record before this is durable there.
    pub position: Position,
    /// The position that the destination itself stores with the data, for those that do. At the next start it must report this one or
    /// a later one: less means that data which was durable is gone.
    pub stored: Option<Position>,
    /// Of a destination with an outbox: every record before this survives a crash there or in the outbox. The source need not send
    /// those again. Never counts as durable in the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Position>,
}

impl DestinationCheckpoint {
    /// Nothing is owed before `position`.
    pub fn begin(position: Position) -> Self {
        Self { position, stored: None, queued: None }
    }

    /// What the source need not send again for this destination's sake: the later of what is durable and what is queued.
    pub fn held(&self) -> Position {
        self.queued.map_or(self.position, |queued| queued.max(self.position))
    }
}

/// Every record of the flow before `position` is durable in every destination, or in the outbox of one that has an outbox.
///
/// A checkpoint moves only by a [`Durable`], which only a destination hands out, or a [`Queued`], which only an outbox does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The source that the positions belong to.
    pub source: SourceIdentity,
    /// The bound: the smallest over the destinations.
    pub position: Position,
    /// Commit time of the last transaction before `position`, where known; microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
    /// Each destination's own progress, by name.
    pub destinations: BTreeMap<String, DestinationCheckpoint>,
    /// What the flow created in the source.
    #[serde(default)]
    pub created: Created,
    /// The publications that are streamed, sorted, and what else is counted. An index inside a transaction counts what these publish, and means nothing under others.
    #[serde(default)]
    pub publications: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a flow that begins at `position`: nothing is owed before it.
    pub fn begin(source: SourceIdentity, position: Position, destinations: impl IntoIterator<Item = String>) -> Self {
        let start = DestinationCheckpoint::begin(position);
        let destinations = destinations.into_iter().map(|name| (name, start.clone())).collect();
        Self {
            source,
            position,
            commit_time: None,
            destinations,
            created: Created::default(),
            publications: Vec::new(),
        }
    }

    /// Takes over what `destination` made durable. Returns whether the flow's own position moved. Never moves back.
    pub fn advance(&mut self, destination: &str, durable: &Durable) -> bool {
        let Some(entry) = self.destinations.get_mut(destination) else { return false };
        entry.position = entry.position.max(durable.position());
        entry.stored = entry.stored.max(durable.stored());
        self.reach()
    }

    /// Takes over what `destination`'s outbox holds. Returns whether the flow's own position moved. Never moves back, and never says that
    /// anything is durable in the destination itself.
    pub fn queue(&mut self, destination: &str, queued: Queued) -> bool {
        let Some(entry) = self.destinations.get_mut(destination) else { return false };
        entry.queued = entry.queued.max(Some(queued.position()));
        self.reach()
    }

    fn reach(&mut self) -> bool {
        let reached = self.destinations.values().map(DestinationCheckpoint::held).min().unwrap_or(self.position);
        let moved = reached > self.position;
        self.position = self.position.max(reached);
        moved
    }

    /// Whether storing this checkpoint over `stored` would take the flow back: to a smaller position, or to a timeline that its server has
    /// left. Positions of two sources do not compare.
    pub fn goes_back_from(&self, stored: &Self) -> bool {
        let lineage = |source: &SourceIdentity| SourceIdentity { timeline: 0, ..source.clone() };
        lineage(&self.source) == lineage(&stored.source)
            && (self.source.timeline < stored.source.timeline || self.position < stored.position)
    }

    /// What may be acknowledged to the slot once this checkpoint is stored.
    pub fn acknowledge_lsn(&self) -> Lsn {
        self.position.commit_lsn
    }
}

/// One version of one table's schema, as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRecord {
    /// The table.
    pub table: TableName,
    /// The version, from 1.
    pub version: u32,
    /// Position of the first change with this version. A replay from before it gets the version of that time.
    pub from: Position,
    /// Canonical text of columns, types and key: equal exactly when the schema is equal.
    pub shape: String,
}

/// Keeps the checkpoints and schema versions of flows, by flow name.
///
/// - [`store`](Self::store) returns only when the checkpoint survives a crash of this process and of the store's machine.
/// - A checkpoint never [goes back](Checkpoint::goes_back_from): `store` of one that would fails with
///   [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) and changes nothing, for another worker has gone further.
/// - Calls for different flows may run at the same time; calls for one flow come from one worker, in order.
/// - A call that fails with [`ErrorKind::Retry`](crate::ErrorKind::Retry) may or may not have taken effect.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The flow's checkpoint; `None` when there has never been one.
    async fn load(&self, flow: &str) -> Result<Option<Checkpoint>>;

    /// Makes `checkpoint` the flow's checkpoint.
    async fn store(&self, flow: &str, checkpoint: &Checkpoint) -> Result<()>;

    /// Every schema version of the flow, by table and version.
    async fn schemas(&self, flow: &str) -> Result<Vec<SchemaRecord>>;

    /// Adds schema versions, all or none. One that is stored already is left as it is.
    async fn add_schemas(&self, flow: &str, schemas: &[SchemaRecord]) -> Result<()>;

    /// Forgets the flow. Forgetting an unknown flow is no error.
    async fn forget(&self, flow: &str) -> Result<()>;

    /// The names of the flows that have a checkpoint or schema versions, in order.
    async fn flows(&self) -> Result<Vec<String>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_moves_to_the_slowest_destination_and_never_back() {
        let source =
            SourceIdentity { system_identifier: "1".into(), timeline: 1, database: "d".into(), slot: "s".into() };
        let at = |lsn| Position::start_of(Lsn(lsn));
        let mut checkpoint = Checkpoint::begin(source, at(10), ["a".to_owned(), "b".to_owned()]);
        assert!(!checkpoint.advance("a", &Durable::up_to(at(30))));
        assert!(checkpoint.advance("b", &Durable::up_to(at(20))));
        assert_eq!(checkpoint.position, at(20));
        assert!(!checkpoint.advance("b", &Durable::up_to(at(5))));
        assert!(!checkpoint.advance("unknown", &Durable::up_to(at(99))));
        assert_eq!(checkpoint.acknowledge_lsn(), Lsn(20));
    }

    #[test]
    fn a_queued_position_lets_the_flow_go_on_and_is_never_taken_for_a_durable_one() {
        let source =
            SourceIdentity { system_identifier: "1".into(), timeline: 1, database: "d".into(), slot: "s".into() };
        let at = |lsn| Position::start_of(Lsn(lsn));
        let mut checkpoint = Checkpoint::begin(source, at(10), ["primary".to_owned(), "other".to_owned()]);
        assert!(!checkpoint.queue("other", Queued::up_to(at(30))), "the primary has not made it durable");
        assert!(checkpoint.advance("primary", &Durable::up_to(at(20))));
        assert!(checkpoint.advance("primary", &Durable::up_to(at(50))));
        assert_eq!(checkpoint.position, at(30), "the outbox holds no more");
        assert!(!checkpoint.queue("other", Queued::up_to(at(25))));
        assert!(!checkpoint.queue("unknown", Queued::up_to(at(99))));
        let other = &checkpoint.destinations["other"];
        assert_eq!((other.position, other.queued), (at(10), Some(at(30))));
        assert!(checkpoint.advance("other", &Durable::up_to(at(40))), "a destination may be ahead of its outbox");
        assert_eq!((checkpoint.position, checkpoint.destinations["other"].held()), (at(40), at(40)));
    }

    #[test]
    fn a_checkpoint_goes_back_by_position_or_timeline_and_never_to_another_source() {
        let on = |timeline, slot: &str, lsn| {
            let source =
                SourceIdentity { system_identifier: "1".into(), timeline, database: "d".into(), slot: slot.into() };
            Checkpoint::begin(source, Position::start_of(Lsn(lsn)), [])
        };
        let stored = on(2, "s", 50);
        assert!(on(2, "s", 49).goes_back_from(&stored));
        assert!(on(1, "s", 99).goes_back_from(&stored), "a worker that still reads the server that was replaced");
        assert!(on(3, "s", 49).goes_back_from(&stored));
        assert!(!on(2, "s", 50).goes_back_from(&stored) && !on(3, "s", 50).goes_back_from(&stored));
        assert!(!on(1, "t", 1).goes_back_from(&stored));
    }
}
