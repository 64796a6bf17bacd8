//! A destination that follows the primary: what was read goes into its outbox, and from there to the destination, at its own pace.
//!
//! Three tasks stand around one outbox. The appender queues what the reader sends, and says what survives a crash. The drainer reads it back and
//! delivers it; when the destination fails, it tries again by itself while the flow goes on. The releaser gives disk back once a stored
//! checkpoint says that the destination has what is on it.

mod append;
mod catch_up;
mod drain;

use std::sync::{Arc, Mutex, PoisonError};

use ductstream_core::{Checkpoint, DestinationCheckpoint, Error, Position, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Runner;
use crate::deliver::Report;
use crate::opening::Origin;
use crate::outbox::{Outbox, OutboxSettings, OutboxStart, Synced};
use crate::read::InFlight;
use crate::settings::{FlowSettings, QUEUED_BATCHES};
use crate::status::StatusBoard;

use append::Appender;
use drain::Drainer;

pub(crate) use catch_up::catch_up;

/// A destination with its outbox, before its tasks run.
pub(crate) struct Follower {
    name: String,
    outbox: SharedOutbox,
    known: DestinationCheckpoint,
    /// Where the outbox ends: the source need not send again what lies before.
    pub(crate) from: Position,
    synced: Synced,
    /// Bytes on disk.
    bytes: u64,
}

/// A follower's tasks, and how they are spoken to.
pub(crate) struct Started {
    /// Where the reader sends batches.
    pub(crate) queue: mpsc::Sender<InFlight>,
    /// What the checkpointer tells.
    pub(crate) stored: Stored,
    /// To be run side by side, until all have ended.
    pub(crate) tasks: Vec<BoxFuture<'static, Result<()>>>,
}

/// How far a destination is durable by the stored checkpoint.
pub(crate) struct Stored {
    destination: String,
    position: watch::Sender<Position>,
}

impl Stored {
    /// Passes on what `checkpoint`, which is stored, says of the destination.
    pub(crate) fn tell(&self, checkpoint: &Checkpoint) {
        if let Some(known) = checkpoint.destinations.get(&self.destination) {
            self.position.send_if_modified(|stored| std::mem::replace(stored, known.position) != known.position);
        }
    }
}

/// How far an outbox may be read, and whether its budget is used up.
#[derive(Debug, Clone, Copy)]
struct Grown {
    synced: Synced,
    is_full: bool,
}

/// An outbox that the three tasks share. It blocks on the disk, so it is used on threads that may.
#[derive(Clone)]
struct SharedOutbox(Arc<Mutex<Outbox>>);

impl SharedOutbox {
    async fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Outbox) -> Result<T> + Send + 'static) -> Result<T> {
        let outbox = self.0.clone();
        blocking(move || act(&mut outbox.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let result = tokio::task::spawn_blocking(act).await;
    result.unwrap_or_else(|error| Err(Error::bug("the work on an outbox ended abnormally").with_source(error)))
}

impl Follower {
    /// Opens the outbox of the destination `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Resync`](ductstream_core::ErrorKind::Resync) when it does not hold what the checkpoint counts on.
    pub(crate) async fn open(settings: &FlowSettings, name: &str, known: DestinationCheckpoint) -> Result<Self> {
        let outboxes = &settings.outboxes;
        let place = OutboxSettings {
            directory: outboxes.of(name),
            budget_bytes: outboxes.budget.0,
            segment_bytes: outboxes.segment_bytes(),
        };
        let start = OutboxStart { durable: known.position, queued: known.held() };
        let opened = blocking(move || Outbox::open(place, start)).await;
        let outbox = opened.map_err(|error| error.context(format_args!("destination {name}")))?;
        let (from, synced, bytes) = (outbox.end(), outbox.synced(), outbox.len_bytes());
        let outbox = SharedOutbox(Arc::new(Mutex::new(outbox)));
        Ok(Self { name: name.to_owned(), outbox, known, from, synced, bytes })
    }

    fn show(&self, runner: &Runner) {
        let budget = runner.settings.outboxes.budget.0;
        runner.board.outbox(&self.name, |status| {
            (status.budget_bytes, status.queued, status.durable) = (budget, self.from, self.known.position);
            (status.bytes, status.is_full) = (self.bytes, false);
        });
    }

    /// Makes the tasks. The appender ends when its queue is closed, the drainer when everything that was queued is durable or the flow is told
    /// to stop, the releaser with the checkpointer.
    pub(crate) fn start(
        self,
        runner: &Runner,
        origin: Arc<Origin>,
        reports: mpsc::UnboundedSender<Report>,
        stop: &CancellationToken,
    ) -> Started {
        let (queue, batches) = mpsc::channel(QUEUED_BATCHES);
        let position = watch::Sender::new(self.known.position);
        let room = watch::Sender::new(());
        let grown = watch::Sender::new(Grown { synced: self.synced, is_full: false });
        let budget = runner.settings.outboxes.budget;
        self.show(runner);
        let releaser = Releaser {
            destination: self.name.clone(),
            outbox: self.outbox.clone(),
            stored: position.subscribe(),
            room: room.clone(),
            board: runner.board.clone(),
        };
        let drainer = Drainer::new(runner, origin, &self, grown.subscribe(), reports.clone());
        let appender = Appender {
            flow: runner.settings.name.clone(),
            destination: self.name.clone(),
            budget,
            outbox: self.outbox,
            batches,
            reports,
            grown,
            room: room.subscribe(),
            board: runner.board.clone(),
        };
        Started {
            queue,
            stored: Stored { destination: self.name, position },
            tasks: vec![appender.run(stop.clone()).boxed(), drainer.run(stop.clone()).boxed(), releaser.run().boxed()],
        }
    }
}

/// Gives disk back when a checkpoint is stored, and tells the appender that there may be room.
struct Releaser {
    destination: String,
    outbox: SharedOutbox,
    stored: watch::Receiver<Position>,
    room: watch::Sender<()>,
    board: StatusBoard,
}

impl Releaser {
    async fn run(mut self) -> Result<()> {
        loop {
            let durable = *self.stored.borrow_and_update();
            let bytes = self.outbox.with(move |outbox| outbox.release(durable).map(|()| outbox.len_bytes())).await?;
            self.board.outbox(&self.destination, |status| (status.bytes, status.durable) = (bytes, durable));
            self.room.send_replace(());
            if self.stored.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}
