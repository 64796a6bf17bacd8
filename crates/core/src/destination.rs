//! Destinations: where batches go.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Ancestors, ChangeBatch, Envelope, Op, Position, Result, SourceIdentity, TableName, WireFormat};

/// A destination owns every record before this bound. Says nothing about a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted(Position);

impl Accepted {
    /// Says that every record before `position` is owned by the destination.
    pub fn up_to(position: Position) -> Self {
        Self(position)
    }

    /// The bound.
    pub fn position(self) -> Position {
        self.0
    }
}

/// Every record before this bound survives a crash of this process and of the machine. Only this moves a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    position: Position,
    stored: Option<Position>,
}

impl Durable {
    /// Says that every record before `position` survives a crash. Only a destination may say so, after the fact.
    pub fn up_to(position: Position) -> Self {
        Self { position, stored: None }
    }

    /// The same, of a destination that has stored `stored` together with the data.
    pub fn stored(&self) -> Option<Position> {
        self.stored
    }

    /// Adds the position that the destination stored with the data.
    #[must_use]
    pub fn with_stored(mut self, stored: Option<Position>) -> Self {
        self.stored = stored;
        self
    }

    /// The bound.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// Every record before this bound survives a crash in a destination's outbox: the source need not send it again. Says nothing about
/// the destination itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queued(Position);

impl Queued {
    /// Says that every record before `position` survives a crash in the outbox. Only an outbox may say so, after the fact.
    pub fn up_to(position: Position) -> Self {
        Self(position)
    }

    /// The bound.
    pub fn position(self) -> Position {
        self.0
    }
}

/// What a destination can do. A flow is admitted only when its settings fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The operations that it delivers.
    pub operations: &'static [Op],
    /// The formats that it takes.
    pub formats: &'static [WireFormat],
    /// The envelopes that it takes.
    pub envelopes: &'static [Envelope],
    /// Whether it goes on when a table's schema changes.
    pub schema_changes: bool,
    /// Whether it stores the position with the data, so that nothing is delivered twice.
    pub exactly_once: bool,
    /// Whether it keeps commit order across tables (order per table is kept by all).
    pub cross_table_order: bool,
}

/// Where a destination starts.
#[derive(Debug, Clone)]
pub struct DestinationStart {
    /// The flow's name.
    pub flow: String,
    /// The source that the positions belong to. A destination that stores positions stores this with them and refuses, at
    /// `open`, to go on from the positions of another source: they compare as numbers and mean nothing.
    pub source: SourceIdentity,
    /// The timelines that the source's own one descends from: a position that was stored on one of them holds as far as they are
    /// [shared](Ancestors::share), and no further.
    pub ancestors: Ancestors,
    /// The bound from which the source will send, by the flow's checkpoint.
    pub position: Position,
    /// What this destination said to have stored with its data, by the flow's checkpoint.
    pub stored: Option<Position>,
}

/// What a destination shows of itself.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DestinationStatus {
    /// Finished objects (files, objects; zero for destinations without such).
    pub objects: u64,
    /// Encoded bytes made durable.
    pub bytes: u64,
    /// Records made durable.
    pub records: u64,
    /// Records that were refused, and kept apart or skipped as the flow's `on_error` says.
    pub refused: u64,
    /// Records and encoded bytes made durable, per table.
    #[serde(skip)]
    pub tables: BTreeMap<TableName, (u64, u64)>,
}

/// Takes batches in order, and says what is accepted and what is durable.
///
/// Contract, crash-only by design:
/// - Calls come from one task, one at a time: `open` once, then `write` in commit order without gap or overlap, with `progress` and
///   `flush` in between, then drop.
/// - After any error the destination is dropped. The runner builds a new one, opens it, and reads again from the last
///   checkpoint; so a destination must bear to be dropped at any await point, and its next `open` repairs what was left half done.
///   It retries single requests itself for a bounded time, and never for ever.
/// - `write` returning says "accepted" and nothing more. It waits when the destination has enough in hand: that is the back-pressure.
/// - `progress` is cancel-safe: dropping its future loses nothing.
#[async_trait]
pub trait Destination: Send + Sync {
    /// What this destination can do.
    fn capabilities(&self) -> Capabilities;

    /// Finds out whether the destination can be reached and written to by the flow of this name, and leaves nothing behind. Called before
    /// anything is created for a flow that has never run. Destinations that cannot fail keep this default.
    async fn verify(&self, _flow: &str) -> Result<()> {
        Ok(())
    }

    /// Makes ready: connects, checks that it can write, and removes what a crash left beyond the last durable position.
    ///
    /// Returns the bound stored with the data, for a destination that stores one: records before it must not be sent again.
    ///
    /// # Errors
    /// [`ErrorKind::Resync`](crate::ErrorKind::Resync) when less is stored than `start.stored` says.
    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>>;

    /// Takes over a batch. A batch without records moves the bound only.
    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted>;

    /// Waits until more is durable than at the last return, and says how much. Runs the destination's timers (such as rolling by
    /// age) and its uploads; must be polled whenever the runner waits.
    async fn progress(&mut self) -> Result<Durable>;

    /// Makes everything accepted durable now, and returns when it is.
    async fn flush(&mut self) -> Result<Durable>;

    /// Counters for people to look at.
    fn status(&self) -> DestinationStatus;
}
