//! From the outbox to the destination.

use std::sync::Arc;

use ductstream_core::{DestinationCheckpoint, Error, ErrorKind, Result};
use futures::TryFutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Follower, Grown, SharedOutbox, blocking};
use crate::deliver::{Delivery, Reached, Report};
use crate::opening::Origin;
use crate::outbox::OutboxReader;
use crate::read::InFlight;
use crate::settings::{FOLLOWER_STOP_LIMIT, READ_BACK_BATCHES};
use crate::status::StatusBoard;
use crate::{Backoff, Components, RetrySettings, Runner};

pub(super) struct Drainer {
    flow: String,
    destination: String,
    components: Arc<dyn Components>,
    origin: Arc<Origin>,
    retry: RetrySettings,
    outbox: SharedOutbox,
    grown: watch::Receiver<Grown>,
    reports: mpsc::UnboundedSender<Report>,
    board: StatusBoard,
    /// What is durable in the destination, as last heard from it.
    known: DestinationCheckpoint,
}

/// Whose failure it was. The destination is tried again by itself; an outbox that fails is opened anew, with everything else.
pub(super) enum Failure {
    Destination(Error),
    Outbox(Error),
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Destination(error) | Self::Outbox(error) => error,
        }
    }
}

impl Drainer {
    pub(super) fn new(
        runner: &Runner,
        origin: Arc<Origin>,
        follower: &Follower,
        grown: watch::Receiver<Grown>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        Self {
            flow: runner.settings.name.clone(),
            destination: follower.name.clone(),
            components: runner.components.clone(),
            origin,
            retry: runner.settings.retry,
            outbox: follower.outbox.clone(),
            grown,
            reports,
            board: runner.board.clone(),
            known: follower.known.clone(),
        }
    }

    /// Ends when everything that was queued is durable and nothing more comes, or soon after the flow was told to stop: what is in the
    /// outbox by then is delivered at the next start.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(self.retry);
        loop {
            let before = self.known.position;
            let ended = tokio::select! {
                ended = self.deliver(&stop) => ended,
                () = has_waited(&stop) => return Ok(()),
            };
            let error = match ended {
                Ok(()) => return Ok(()),
                Err(Failure::Outbox(error)) => return Err(error),
                Err(Failure::Destination(error)) if error.kind() != ErrorKind::Retry => return Err(error),
                Err(Failure::Destination(_)) if stop.is_cancelled() => return Ok(()),
                Err(Failure::Destination(error)) => error,
            };
            if self.known.position > before {
                backoff.reset();
            }
            let pause = backoff.next(rand::random());
            self.board.outbox(&self.destination, |status| {
                status.retries += 1;
                status.error = Some(error.report());
            });
            tracing::warn!(
                flow = self.flow,
                pause_ms = pause.as_millis() as u64,
                "{}; the flow goes on without it, and tries again",
                error.report()
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Opens the destination and delivers until everything is, or something fails.
    pub(super) async fn deliver(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let delivery = self.open().await.map_err(Failure::Destination)?;
        let reader = self.outbox.with(|outbox| Ok(outbox.reader())).await.map_err(Failure::Outbox)?;
        let (queue, batches) = mpsc::channel(READ_BACK_BATCHES);
        let (own, mut reports) = mpsc::unbounded_channel();
        let flushes = watch::Sender::new(0);
        let deliver = delivery.run(batches, own, self.board.clone(), flushes.subscribe());
        let pump = Pump { reader, grown: self.grown.clone(), queue, flushes };
        let report = async {
            while let Some(report) = reports.recv().await {
                self.report(report);
            }
            Ok(())
        };
        let pump = pump.run(stop).map_err(Failure::Outbox);
        futures::try_join!(pump, deliver.map_err(Failure::Destination), report).map(|_| ())
    }

    async fn open(&mut self) -> Result<Delivery> {
        let name = self.destination.clone();
        let mut destination = self.components.destination(&name).await?;
        let durable = self.origin.open(&name, &mut destination, &self.known).await?;
        self.report(Report { destination: name.clone(), reached: Reached::Durable(durable), commit_time: None });
        self.board.outbox(&name, |status| status.error = None);
        Ok(Delivery { name, destination, from: durable.position() })
    }

    fn report(&mut self, report: Report) {
        if let Reached::Durable(durable) = &report.reached {
            self.known.position = self.known.position.max(durable.position());
            self.known.stored = self.known.stored.max(durable.stored());
        }
        // Nobody listens any more when the attempt is over.
        let _ = self.reports.send(report);
    }
}

/// Returns some time after the flow was told to stop: a destination that is away does not hold it.
async fn has_waited(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FOLLOWER_STOP_LIMIT).await;
}

/// Reads an outbox back, and sends what it holds to its destination's task.
struct Pump {
    reader: OutboxReader,
    grown: watch::Receiver<Grown>,
    queue: mpsc::Sender<InFlight>,
    flushes: watch::Sender<u64>,
}

impl Pump {
    /// Ends when the flow is told to stop, or when everything was sent and the outbox grows no more.
    async fn run(self, stop: &CancellationToken) -> Result<()> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            sent = self.send_all() => sent,
        }
    }

    async fn send_all(mut self) -> Result<()> {
        loop {
            // Looked at first: what was synced before the appender ended is seen below.
            let is_whole = self.grown.has_changed().is_err();
            let grown = *self.grown.borrow_and_update();
            let mut reader = self.reader;
            let batch;
            (self.reader, batch) = blocking(move || reader.next(grown.synced).map(|batch| (reader, batch))).await?;
            match batch {
                Some(batch) => send(&self.queue, InFlight::read_back(batch)).await,
                None if is_whole => return Ok(()),
                None => {
                    if grown.is_full {
                        self.flush().await;
                    }
                    // An error says that the appender has ended, which the next turn sees.
                    let _ = self.grown.changed().await;
                }
            }
        }
    }

    /// The appender waits for room, and the destination has everything: it must not wait until its files are old enough.
    async fn flush(&self) {
        // All of the queue is free when the last batch was taken, and a batch that was taken is written before anything else.
        if self.queue.reserve_many(READ_BACK_BATCHES).await.is_err() {
            return std::future::pending().await;
        }
        self.flushes.send_modify(|asked| *asked += 1);
    }
}

/// A closed queue means that the destination failed; its own task reports why.
async fn send(queue: &mpsc::Sender<InFlight>, batch: InFlight) {
    if queue.send(batch).await.is_err() {
        std::future::pending().await
    }
}
