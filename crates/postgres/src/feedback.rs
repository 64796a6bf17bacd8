//! The write half of the replication connection: feedback and answers to keep-alives, in a task of its own, so that
//! the server hears from us however slow a destination is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ductstream_core::{Acknowledge, Lsn, Position, SourceStatus};
use tokio::sync::{Notify, watch};

use crate::connect::WriteHalf;
use crate::in_progress::Spill;
use crate::pgoutput::StatusUpdate;

/// Most often that acknowledgements alone make a message. For each the server saves the slot, with an fsync in the process that should
/// be sending; and an acknowledgement that comes a second later holds WAL for a second longer, no more.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// What the reader and the feedback task share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    received: AtomicU64,
    wal_end: AtomicU64,
    received_bytes: AtomicU64,
    retained: AtomicU64,
    flush_requests: AtomicU64,
    spill: OnceLock<Arc<Spill>>,
    acknowledged: watch::Sender<Lsn>,
    reply_wanted: Notify,
}

/// `retained` when nothing is known.
const UNKNOWN: u64 = u64::MAX;

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { retained: AtomicU64::new(UNKNOWN), ..Self::default() })
    }

    /// Notes WAL that arrived.
    pub(crate) fn received(&self, wal_end: Lsn) {
        self.received.fetch_max(wal_end.0, Ordering::Relaxed);
        self.wal_end.fetch_max(wal_end.0, Ordering::Relaxed);
    }

    /// Notes how far the server's WAL goes, whether it arrived here or not.
    pub(crate) fn server_wal_end(&self, wal_end: Lsn) {
        self.wal_end.fetch_max(wal_end.0, Ordering::Relaxed);
    }

    pub(crate) fn received_bytes(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn retained(&self, bytes: Option<u64>) {
        self.retained.store(bytes.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Says where transactions in progress are held, for the status.
    pub(crate) fn spilling_to(&self, spill: Arc<Spill>) {
        self.spill.get_or_init(|| spill);
    }

    /// The server asked for an answer. We report more often than it would ask in its impatience, so this is a server that shuts down.
    pub(crate) fn want_reply(&self) {
        self.flush_requests.fetch_add(1, Ordering::Relaxed);
        self.reply_wanted.notify_one();
    }

    pub(crate) fn acknowledged(&self) -> Lsn {
        *self.acknowledged.borrow()
    }

    fn status_update(&self, reply_requested: bool) -> StatusUpdate {
        let acknowledged = self.acknowledged();
        StatusUpdate {
            // Never less than what is flushed: the server takes the three as a descending staircase.
            written: Lsn(self.received.load(Ordering::Relaxed)).max(acknowledged),
            flushed: acknowledged,
            applied: acknowledged,
            client_time: now_micros(),
            reply_requested,
        }
    }
}

impl Acknowledge for Shared {
    fn acknowledge(&self, position: Position) {
        self.acknowledged.send_if_modified(|acknowledged| {
            let moved = position.commit_lsn > *acknowledged;
            *acknowledged = position.commit_lsn.max(*acknowledged);
            moved
        });
    }

    fn status(&self) -> SourceStatus {
        let retained = self.retained.load(Ordering::Relaxed);
        SourceStatus {
            wal_end: Lsn(self.wal_end.load(Ordering::Relaxed)),
            retained_bytes: (retained != UNKNOWN).then_some(retained),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            spilled_bytes: self.spill.get().map_or(0, |spill| spill.used_bytes()),
            flush_requests: self.flush_requests.load(Ordering::Relaxed),
        }
    }
}

/// Microseconds since 1970-01-01 UTC.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Sends feedback at least every `interval`, at once when the server asks, and soon after an acknowledgement, until `stop` resolves; then once
/// more, followed by the end of the copy. Gives the write half back.
///
/// # Errors
/// Whatever the socket says; the connection is lost then.
pub(crate) async fn run(
    mut write: WriteHalf,
    shared: Arc<Shared>,
    interval: Duration,
    stop: impl Future<Output = ()>,
) -> std::io::Result<WriteHalf> {
    let mut acknowledged = shared.acknowledged.subscribe();
    let mut stop = std::pin::pin!(stop);
    let mut ask = true;
    loop {
        send(&mut write, &shared.status_update(ask)).await?;
        tokio::select! {
            () = &mut stop => break,
            // Asked for in each round: what comes back proves that the server lives, and tells how far its WAL goes.
            () = tokio::time::sleep(interval) => ask = true,
            () = shared.reply_wanted.notified() => ask = false,
            changed = acknowledged.changed() => {
                ask = false;
                if changed.is_ok() {
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(LEAST_PAUSE) => {}
                        () = shared.reply_wanted.notified() => {}
                    }
                }
            }
        }
        acknowledged.mark_unchanged();
    }
    send(&mut write, &shared.status_update(false)).await?;
    // CopyDone: the server answers with its own and ends the command.
    write.write_all(b"c\0\0\0\x04").await?;
    Ok(write)
}

async fn send(write: &mut WriteHalf, update: &StatusUpdate) -> std::io::Result<()> {
    // CopyData: tag, length (which counts itself), content.
    let mut frame = [0; 5 + StatusUpdate::LEN];
    frame[0] = b'd';
    frame[1..5].copy_from_slice(&(4 + StatusUpdate::LEN as u32).to_be_bytes());
    frame[5..].copy_from_slice(&update.encode());
    write.write_all(&frame).await
}
