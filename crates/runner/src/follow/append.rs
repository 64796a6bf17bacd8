//! From the reader's queue into the outbox.

use ductstream_core::{ByteSize, Queued, Result};
use fail::fail_point;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Grown, SharedOutbox};
use crate::deliver::{Reached, Report};
use crate::outbox::{Appended, Frame, Outbox, Synced};
use crate::read::InFlight;
use crate::status::StatusBoard;

pub(super) struct Appender {
    pub(super) flow: String,
    pub(super) destination: String,
    pub(super) budget: ByteSize,
    pub(super) outbox: SharedOutbox,
    pub(super) batches: mpsc::Receiver<InFlight>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    /// Tells the drainer. Dropped when nothing more comes.
    pub(super) grown: watch::Sender<Grown>,
    /// Tells of disk that was given back.
    pub(super) room: watch::Receiver<()>,
    pub(super) board: StatusBoard,
}

/// What one turn at the disk did.
struct Turn {
    queued: Queued,
    synced: Synced,
    bytes: u64,
    commit_time: Option<i64>,
    /// What found no room.
    rest: Vec<InFlight>,
}

impl Appender {
    /// Ends when the queue is closed and everything in it is in the outbox.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        while let Some(first) = self.batches.recv().await {
            // Everything at hand shares one sync.
            let mut taken = vec![first];
            while let Ok(more) = self.batches.try_recv() {
                taken.push(more);
            }
            if !self.queue(taken, &stop).await? {
                // There is no room, and nobody waits for any: what was not queued was not acknowledged either, and comes again at the next start.
                while self.batches.recv().await.is_some() {}
            }
        }
        Ok(())
    }

    /// Queues batches, waiting for room where there is none; false when the flow was told to stop before there was any.
    async fn queue(&mut self, mut batches: Vec<InFlight>, stop: &CancellationToken) -> Result<bool> {
        loop {
            self.room.mark_unchanged();
            let turn = self.outbox.with(move |outbox| write(outbox, batches)).await?;
            let is_full = !turn.rest.is_empty();
            self.announce(&turn, is_full);
            if !is_full {
                return Ok(true);
            }
            tokio::select! {
                // The releaser does not end before this does.
                Ok(()) = self.room.changed() => {}
                () = stop.cancelled() => return Ok(false),
            }
            batches = turn.rest;
        }
    }

    fn announce(&self, turn: &Turn, is_full: bool) {
        let (destination, commit_time) = (self.destination.clone(), turn.commit_time);
        // Nobody listens any more when the attempt is over.
        let _ = self.reports.send(Report { destination, reached: Reached::Queued(turn.queued), commit_time });
        let was_full = self.grown.send_replace(Grown { synced: turn.synced, is_full }).is_full;
        self.board.outbox(&self.destination, |status| {
            (status.bytes, status.queued, status.is_full) = (turn.bytes, turn.queued.position(), is_full);
        });
        match (was_full, is_full) {
            (false, true) => tracing::warn!(
                flow = self.flow,
                destination = self.destination,
                "the outbox of destination {} has used up its budget of {}: the flow waits for the destination. To go on: bring the \
                 destination back, or raise `ack.outbox.budget`",
                self.destination,
                self.budget
            ),
            (true, false) => {
                tracing::info!(flow = self.flow, destination = self.destination, "the outbox has room again");
            }
            _ => {}
        }
    }
}

/// Appends what is not in the outbox yet, as far as there is room, and syncs it.
fn write(outbox: &mut Outbox, batches: Vec<InFlight>) -> Result<Turn> {
    let (mut batches, mut commit_time) = (batches.into_iter(), None);
    let mut rest = Vec::new();
    for in_flight in batches.by_ref() {
        if let Some(batch) = outbox.missing(&in_flight.batch)
            && outbox.append(&Frame::encode(&batch)?)? == Appended::Full
        {
            rest.push(in_flight);
            break;
        }
        commit_time = in_flight.batch.end_time.or(commit_time);
    }
    rest.extend(batches);
    fail_point!("outbox::appended", |_| std::process::abort());
    let queued = outbox.sync()?;
    fail_point!("outbox::synced", |_| std::process::abort());
    Ok(Turn { queued, synced: outbox.synced(), bytes: outbox.len_bytes(), commit_time, rest })
}
