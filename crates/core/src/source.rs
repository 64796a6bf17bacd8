//! Sources: where batches come from.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Ancestors, ChangeBatch, Checkpoint, Created, Lsn, Position, Result, SchemaRecord, SourceIdentity};

/// Where a source starts.
#[derive(Debug, Clone, Default)]
pub struct SourceStart {
    /// The flow's checkpoint; `None` at its first start.
    pub checkpoint: Option<Checkpoint>,
    /// The schema versions known so far.
    pub schemas: Vec<SchemaRecord>,
}

/// What a source found when it opened.
#[derive(Debug, Clone)]
pub struct SourceOpened {
    /// The source's identity.
    pub identity: SourceIdentity,
    /// The timelines that the source's own one descends from.
    pub ancestors: Ancestors,
    /// The bound from which the source can send: the checkpoint's, or the slot's at the first start.
    pub position: Position,
    /// The end of the source's WAL when it opened.
    pub wal_end: Lsn,
    /// What the flow created in the source, at this start or an earlier one.
    pub created: Created,
    /// The publications that are streamed, sorted; empty for sources without such.
    pub publications: Vec<String>,
}

/// What a source shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// The end of the WAL as last heard from the server.
    pub wal_end: Lsn,
    /// Bytes of WAL that the slot keeps on the server's disk; `None` when not known.
    pub retained_bytes: Option<u64>,
    /// Bytes received on the replication connection.
    pub received_bytes: u64,
    /// Bytes of transactions in progress that are held until they commit.
    pub spilled_bytes: u64,
    /// How often the server has asked to be told at once what is durable. A server that shuts down does, and waits for it: the runner answers by
    /// flushing every destination.
    pub flush_requests: u64,
}

/// Tells a source what is durable and stored.
pub trait Acknowledge: Send + Sync {
    /// Every record before `position` is durable, and the checkpoint that says so is stored. Never blocks; a smaller position than
    /// an earlier one is ignored.
    fn acknowledge(&self, position: Position);

    /// What the source shows of itself.
    fn status(&self) -> SourceStatus;
}

/// Reads changes in commit order.
///
/// Contract:
/// - Calls come from one task: `open` once, `begin` once, then `fill` and `take`.
/// - `open` has no effect but to create what the settings ask to create (publication, slot), and only at a flow's first start.
/// - `fill` is cancel-safe and does the waiting; `take` never waits. The caller sends what it takes when the next stage has
///   room and goes on filling meanwhile, so that batches are small when idle and grow under load.
/// - Back-pressure: a source of which nothing is taken stops reading when [`is_full`](Self::is_full).
/// - Keep-alives are answered whether or not `fill` is polled.
/// - After any error the source is dropped, and a new one opened from the last checkpoint.
#[async_trait]
pub trait Source: Send {
    /// Connects, verifies that `start` can be continued without a gap, and says where it stands. Sends nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Resync`](crate::ErrorKind::Resync) when changes after the checkpoint are no longer to be had, or it belongs to another
    /// source; [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when a setting or privilege is wrong.
    async fn open(&mut self, start: SourceStart) -> Result<SourceOpened>;

    /// Begins to send at `from`, which is not before the opened position. Records before it are not sent.
    async fn begin(&mut self, from: Position) -> Result<()>;

    /// The handle for acknowledgements; stays valid while the source lives.
    fn acknowledger(&self) -> Arc<dyn Acknowledge>;

    /// Reads until there is something new to take.
    async fn fill(&mut self) -> Result<()>;

    /// Whether `take` would return a batch.
    fn has_pending(&self) -> bool;

    /// Whether what is pending is worth taking already. A source that knows of more on its way may say no for a few milliseconds, so
    /// that batches do not become tiny; `fill` returns when that changes.
    fn is_ripe(&self) -> bool {
        self.has_pending()
    }

    /// Whether enough is pending that nothing more should be read before it is taken.
    fn is_full(&self) -> bool;

    /// The pending batch. An empty batch moves the bound only, and comes only when nothing before it is pending.
    fn take(&mut self) -> Option<ChangeBatch>;

    /// Sends the last acknowledgement and leaves in order. After an `open` that was dropped before it ended, takes back what that had
    /// made.
    async fn close(&mut self) -> Result<()>;
}
