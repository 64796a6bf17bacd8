//! What a running flow shows of itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ductstream_core::{ChangeBatch, Checkpoint, DestinationStatus, Lsn, Position, SourceStatus};
use serde::Serialize;
use tokio::sync::watch;

/// What the flow is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting and verifying.
    #[default]
    Starting,
    /// Streaming.
    Running,
    /// Waiting before the next attempt; `error` says why.
    Retrying,
    /// Draining what was read.
    Stopping,
    /// Ended in order.
    Stopped,
    /// Ended with an error.
    Failed,
}

/// What was read of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TableStatus {
    /// Records read since this process started.
    pub rows: u64,
    /// Bytes of values on the wire.
    pub bytes: u64,
}

/// A destination's outbox: what the destination is still owed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutboxStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that it may take.
    pub budget_bytes: u64,
    /// Whether the budget is used up: the flow waits for the destination.
    pub is_full: bool,
    /// Everything before this survives a crash in the outbox or the destination.
    pub queued: Position,
    /// Everything before this is durable in the destination.
    pub durable: Position,
    /// The destination's last error, while it is tried again.
    pub error: Option<String>,
    /// How often the destination has failed so far.
    pub retries: u64,
}

/// A flow's status, at one moment. Counters begin at the start of this process.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FlowStatus {
    /// What the flow is doing.
    pub phase: Phase,
    /// The last error, while retrying or failed.
    pub error: Option<String>,
    /// Attempts that failed so far.
    pub retries: u64,
    /// The stored checkpoint.
    pub position: Option<Position>,
    /// Commit time of the last durable transaction, in microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
    /// Commit time of the oldest change that was read and is not durable yet, in microseconds since 1970-01-01 UTC: the flow lags by the time
    /// since then. `None` when everything that was read is durable.
    pub oldest_pending: Option<i64>,
    /// End of the source's WAL as last heard.
    pub wal_end: Lsn,
    /// Bytes of WAL between the checkpoint and `wal_end`.
    pub lag_bytes: u64,
    /// Bytes of WAL that the slot keeps on the server's disk.
    pub retained_bytes: Option<u64>,
    /// Bytes received from the source.
    pub received_bytes: u64,
    /// Bytes of transactions in progress that are held, on disk beyond a small buffer, until they commit.
    pub spilled_bytes: u64,
    /// Records read.
    pub rows: u64,
    /// Per table, by name.
    pub tables: BTreeMap<String, TableStatus>,
    /// Per destination, by name.
    pub destinations: BTreeMap<String, DestinationStatus>,
    /// The outboxes, by destination: of those that follow the primary, and of those that are catching up before they decide.
    pub outboxes: BTreeMap<String, OutboxStatus>,
}

/// Where the parts of the loop write their share of the status.
#[derive(Debug, Clone)]
pub(crate) struct StatusBoard {
    status: watch::Sender<FlowStatus>,
    /// End, and commit time of the first record, of each batch that is on its way.
    pending: Arc<Mutex<VecDeque<(Position, i64)>>>,
}

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self { status: watch::Sender::new(FlowStatus::default()), pending: Arc::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<FlowStatus> {
        self.status.subscribe()
    }

    pub(crate) fn snapshot(&self) -> FlowStatus {
        self.status.borrow().clone()
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.status.send_modify(|status| {
            status.phase = phase;
            if matches!(phase, Phase::Running | Phase::Stopped) {
                status.error = None;
            }
        });
    }

    pub(crate) fn failed(&self, phase: Phase, error: &ductstream_core::Error) {
        self.status.send_modify(|status| {
            status.phase = phase;
            status.error = Some(error.report());
            status.retries += u64::from(phase == Phase::Retrying);
        });
    }

    /// An attempt begins: what was on its way comes again.
    pub(crate) fn begin(&self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.status.send_modify(|status| status.oldest_pending = None);
    }

    pub(crate) fn read(&self, batch: &ChangeBatch) {
        let first = batch.records().next().map(|record| record.chunk.commit_times[record.row]);
        if let Some(time) = first {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).push_back((batch.end, time));
        }
        self.status.send_modify(|status| {
            status.oldest_pending = status.oldest_pending.or(first);
            for chunk in &batch.chunks {
                let table = status.tables.entry(chunk.schema.table.to_string()).or_default();
                table.rows += chunk.len() as u64;
                table.bytes += chunk.wire_bytes;
                status.rows += chunk.len() as u64;
            }
        });
    }

    pub(crate) fn checkpoint(&self, checkpoint: &Checkpoint) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while pending.pop_front_if(|(end, _)| *end <= checkpoint.position).is_some() {}
        let oldest = pending.front().map(|(_, time)| *time);
        drop(pending);
        self.status.send_modify(|status| {
            status.oldest_pending = oldest;
            status.position = Some(checkpoint.position);
            status.commit_time = checkpoint.commit_time;
            status.wal_end = status.wal_end.max(checkpoint.position.commit_lsn);
            status.lag_bytes = status.wal_end.bytes_since(checkpoint.position.commit_lsn);
        });
    }

    pub(crate) fn source(&self, source: &SourceStatus) {
        self.status.send_modify(|status| {
            status.wal_end = status.wal_end.max(source.wal_end);
            status.retained_bytes = source.retained_bytes;
            status.received_bytes = source.received_bytes;
            status.spilled_bytes = source.spilled_bytes;
            if let Some(position) = status.position {
                status.lag_bytes = status.wal_end.bytes_since(position.commit_lsn);
            }
        });
    }

    /// Changes what is shown of the outbox of the destination `name`.
    pub(crate) fn outbox(&self, name: &str, change: impl FnOnce(&mut OutboxStatus)) {
        self.status.send_modify(|status| change(status.outboxes.entry(name.to_owned()).or_default()));
    }

    /// Shows no outbox of the destination `name` any more.
    pub(crate) fn no_outbox(&self, name: &str) {
        self.status.send_modify(|status| {
            status.outboxes.remove(name);
        });
    }

    pub(crate) fn destination(&self, name: &str, destination: DestinationStatus) {
        self.status.send_modify(|status| {
            status.destinations.insert(name.to_owned(), destination);
        });
    }
}
