//! What a user sets about the loop itself, and its fixed limits.

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

/// How a flow runs.
#[derive(Debug, Clone)]
pub struct FlowSettings {
    /// The flow's name: the key of its checkpoint.
    pub name: String,
    /// Memory for batches between source and destinations; at least 8 MiB are used.
    pub memory_limit: ByteSize,
    /// Pauses between attempts.
    pub retry: RetrySettings,
}
