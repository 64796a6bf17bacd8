//! What a user sets about the loop itself, and its fixed limits.

use std::path::PathBuf;
use std::time::Duration;

use ductstream_core::ByteSize;

use crate::RetrySettings;

/// Batches that wait between the reading task and one destination. One is being written, the next is at hand; more would only
/// hold memory, for the source goes on filling its pending batch meanwhile.
pub(crate) const QUEUED_BATCHES: usize = 2;

/// Checkpoints are stored at most this often while data flows: many durable reports, one commit.
pub(crate) const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// How long storing a checkpoint may take. A store that answers never must not hold the slot for ever.
pub(crate) const STORE_LIMIT: Duration = Duration::from_secs(60);

/// How often counters that only the source or a destination knows are looked at.
pub(crate) const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// Smallest memory limit that leaves room for one batch in each stage.
pub(crate) const SMALLEST_MEMORY_LIMIT: u64 = 8 << 20;

/// Batches that were read back from an outbox and wait for its destination: one is being written, one waits, one is being read.
pub(crate) const READ_BACK_BATCHES: usize = 1;

/// How long a destination that has an outbox is waited for when the flow is told to stop. What it does not have by then, it gets at the
/// next start.
pub(crate) const FOLLOWER_STOP_LIMIT: Duration = Duration::from_secs(5);

/// An outbox gives back disk by whole segments: a sixteenth of the budget, but in these bounds.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 20;

/// Whose confirmation moves a flow on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// Every destination's.
    All,
    /// That of the destination with this name. The others follow from outboxes.
    Primary(String),
}

/// The outboxes of a flow.
#[derive(Debug, Clone)]
pub struct OutboxesSettings {
    /// Where they lie, each in a directory with the name of its destination. It belongs to this flow alone.
    pub directory: PathBuf,
    /// Bytes on disk of each.
    pub budget: ByteSize,
}

impl OutboxesSettings {
    /// The directory of a destination's outbox.
    pub fn of(&self, destination: &str) -> PathBuf {
        self.directory.join(destination)
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.budget.0 / 16).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end())
    }
}

/// How a flow runs.
#[derive(Debug, Clone)]
pub struct FlowSettings {
    /// The flow's name: the key of its checkpoint.
    pub name: String,
    /// Memory for batches between source and destinations; at least 8 MiB are used.
    pub memory_limit: ByteSize,
    /// Pauses between attempts.
    pub retry: RetrySettings,
    /// Whose confirmation moves the flow on.
    pub ack: Ack,
    /// The outboxes: those of destinations that follow, and what those that do not follow any more have left in theirs.
    pub outboxes: OutboxesSettings,
}

impl FlowSettings {
    /// Whether the destination follows from an outbox, and the flow goes on without it.
    pub(crate) fn follows(&self, destination: &str) -> bool {
        matches!(&self.ack, Ack::Primary(primary) if primary != destination)
    }
}
