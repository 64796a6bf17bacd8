//! One destination's task: takes batches from its queue, reports what is durable.

use std::sync::Arc;

use ductstream_core::{Accepted, ChangeBatch, Destination, Durable, Error, Position, Queued, Result};
use tokio::sync::{mpsc, watch};

use crate::read::InFlight;
use crate::settings::STATUS_INTERVAL;
use crate::status::StatusBoard;

/// What survives a crash now, with the commit time that belongs to it.
pub(crate) struct Report {
    pub(crate) destination: String,
    pub(crate) reached: Reached,
    pub(crate) commit_time: Option<i64>,
}

/// Where it survives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reached {
    /// In the destination.
    Durable(Durable),
    /// In the destination's outbox.
    Queued(Queued),
}

pub(crate) struct Delivery {
    pub(crate) name: String,
    pub(crate) destination: Box<dyn Destination>,
    /// Records before this are durable there already.
    pub(crate) from: Position,
}

impl Delivery {
    /// Ends when the queue is closed and everything in it is durable.
    pub(crate) async fn run(
        mut self,
        mut batches: mpsc::Receiver<InFlight>,
        reports: mpsc::UnboundedSender<Report>,
        board: StatusBoard,
        mut flushes: watch::Receiver<u64>,
    ) -> Result<()> {
        let mut ends = CommitTimes::default();
        let mut status = tokio::time::interval(STATUS_INTERVAL);
        loop {
            let durable = tokio::select! {
                durable = self.destination.progress() => durable.map_err(|error| self.failed(error))?,
                Ok(()) = flushes.changed() => self.destination.flush().await.map_err(|error| self.failed(error))?,
                _ = status.tick() => {
                    board.destination(&self.name, self.destination.status());
                    continue;
                }
                batch = batches.recv() => match batch {
                    Some(in_flight) => {
                        ends.push(&in_flight.batch);
                        self.write(in_flight).await?;
                        continue;
                    }
                    None => break,
                },
            };
            self.report(durable, &mut ends, &reports);
        }
        let durable = self.destination.flush().await.map_err(|error| self.failed(error))?;
        self.report(durable, &mut ends, &reports);
        board.destination(&self.name, self.destination.status());
        Ok(())
    }

    async fn write(&mut self, in_flight: InFlight) -> Result<()> {
        let batch = &in_flight.batch;
        let begins_before = batch.first_position().is_some_and(|first| first < self.from)
            || batch.barriers.iter().any(|barrier| barrier.is_before(self.from));
        let batch = if begins_before { Arc::new(batch.since(self.from)) } else { batch.clone() };
        let end = batch.end;
        if end < self.from {
            return Ok(());
        }
        let accepted = self.destination.write(batch).await.map_err(|error| self.failed(error))?;
        if accepted != Accepted::up_to(end) {
            return Err(Error::bug(format!("destination {}: accepted {accepted:?} of a batch up to {end}", self.name)));
        }
        Ok(())
    }

    fn report(&self, durable: Durable, ends: &mut CommitTimes, reports: &mpsc::UnboundedSender<Report>) {
        let commit_time = ends.reached(durable.position());
        // Nobody listens any more when the attempt is over; the next one repeats what was not stored.
        let _ =
            reports.send(Report { destination: self.name.clone(), reached: Reached::Durable(durable), commit_time });
    }

    fn failed(&self, error: Error) -> Error {
        error.context(format_args!("destination {}", self.name))
    }
}

/// Commit times of batches that are accepted and not durable yet.
#[derive(Default)]
struct CommitTimes(std::collections::VecDeque<(Position, Option<i64>)>);

impl CommitTimes {
    fn push(&mut self, batch: &ChangeBatch) {
        self.0.push_back((batch.end, batch.end_time));
    }

    fn reached(&mut self, position: Position) -> Option<i64> {
        let mut time = None;
        while let Some((_, at)) = self.0.pop_front_if(|(end, _)| *end <= position) {
            time = at.or(time);
        }
        time
    }
}
