//! Durable, then stored, then acknowledged: in that order and no other.

use std::sync::Arc;

use ductstream_core::{Acknowledge, Checkpoint, Error, Position, Result};
use fail::fail_point;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::Runner;
use crate::deliver::{Reached, Report};
use crate::follow::Stored;
use crate::settings::{CHECKPOINT_INTERVAL, STATUS_INTERVAL, STORE_LIMIT};

pub(crate) struct Checkpointer<'a> {
    pub(crate) runner: &'a Runner,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) acknowledge: Arc<dyn Acknowledge>,
    /// How often the source's server has asked for a flush: what the destinations answer.
    pub(crate) flushes: watch::Sender<u64>,
    /// The destinations with outboxes, which want to know what the stored checkpoint says of them.
    pub(crate) followers: Vec<Stored>,
}

impl Checkpointer<'_> {
    /// Stores and acknowledges what is reported, many reports at a time, until every destination has ended.
    pub(crate) async fn run(mut self, mut reports: mpsc::UnboundedReceiver<Report>) -> Result<Position> {
        // What opening found durable beyond the stored checkpoint.
        self.commit().await?;
        let mut status = interval(STATUS_INTERVAL);
        status.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut due: Option<Instant> = None;
        let mut stored_at = Instant::now();
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => {
                        if self.take(&report) {
                            due.get_or_insert(stored_at + CHECKPOINT_INTERVAL);
                        }
                    }
                    None => break,
                },
                () = sleep_until(due.unwrap_or(stored_at)), if due.is_some() => {
                    self.commit().await?;
                    (due, stored_at) = (None, Instant::now());
                }
                _ = status.tick() => {
                    let source = self.acknowledge.status();
                    self.flushes.send_if_modified(|asked| std::mem::replace(asked, source.flush_requests) != source.flush_requests);
                    self.runner.board.source(&source);
                }
            }
        }
        self.commit().await?;
        self.runner.board.source(&self.acknowledge.status());
        Ok(self.checkpoint.position)
    }

    /// Whether there is something new to store.
    fn take(&mut self, report: &Report) -> bool {
        let before = self.checkpoint.destinations.get(&report.destination).cloned();
        let moved = match &report.reached {
            Reached::Durable(durable) => self.checkpoint.advance(&report.destination, durable),
            Reached::Queued(queued) => self.checkpoint.queue(&report.destination, *queued),
        };
        if moved {
            self.checkpoint.commit_time = report.commit_time.max(self.checkpoint.commit_time);
        }
        self.checkpoint.destinations.get(&report.destination) != before.as_ref()
    }

    async fn commit(&self) -> Result<()> {
        fail_point!("runner::durable", |_| std::process::abort());
        let stored = timeout(STORE_LIMIT, self.runner.store.store(&self.runner.settings.name, &self.checkpoint)).await;
        stored.map_err(|_| Error::retry("the checkpoint store does not answer"))??;
        fail_point!("runner::checkpointed", |_| std::process::abort());
        self.acknowledge.acknowledge(self.checkpoint.position);
        fail_point!("runner::acknowledged", |_| std::process::abort());
        self.runner.board.checkpoint(&self.checkpoint);
        self.followers.iter().for_each(|follower| follower.tell(&self.checkpoint));
        Ok(())
    }
}
