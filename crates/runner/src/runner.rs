//! The supervisor: attempts, pauses between them, and how a run ends.

use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{CheckpointStore, Destination, Error, ErrorKind, Lsn, Position, Result, Source};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::status::StatusBoard;
use crate::{Backoff, FlowSettings, FlowStatus, Phase};

/// Builds a flow's source and destinations, anew for each attempt.
#[async_trait]
pub trait Components: Send + Sync {
    /// A new source.
    async fn source(&self) -> Result<Box<dyn Source>>;

    /// New destinations, each with its name. Never empty, names unique, the same names every time.
    async fn destinations(&self) -> Result<Vec<(String, Box<dyn Destination>)>>;

    /// A new destination of that name, one of those that [`destinations`](Self::destinations) builds.
    async fn destination(&self, name: &str) -> Result<Box<dyn Destination>>;
}

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Only when told to stop.
    Stopped,
    /// When everything up to the WAL end seen at the run's start is durable and stored. Silence alone never ends a run.
    Idle,
    /// When everything that committed before this LSN is durable and stored.
    Lsn(Lsn),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The last stored checkpoint.
    pub position: Position,
    /// The last status.
    pub status: FlowStatus,
}

/// Runs one flow.
pub struct Runner {
    pub(crate) settings: FlowSettings,
    pub(crate) components: Arc<dyn Components>,
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) board: StatusBoard,
}

impl Runner {
    /// A runner that has not started.
    pub fn new(settings: FlowSettings, components: Arc<dyn Components>, store: Arc<dyn CheckpointStore>) -> Self {
        Self { settings, components, store, board: StatusBoard::new() }
    }

    /// The flow's status as it changes.
    pub fn status(&self) -> watch::Receiver<FlowStatus> {
        self.board.subscribe()
    }

    /// Runs until `until`, or until `stop` is cancelled: then drains what was read, makes it durable, stores the checkpoint,
    /// acknowledges it, and returns. To leave at once, drop the future: that is a crash, and harmless.
    ///
    /// # Errors
    /// Every error but those of kind [`ErrorKind::Retry`], which are retried for ever once the flow has a checkpoint, and shown in the
    /// status.
    pub async fn run(self, until: Until, stop: CancellationToken) -> Result<Summary> {
        let mut backoff = Backoff::new(self.settings.retry);
        let mut target = match until {
            Until::Lsn(lsn) => Some(lsn),
            Until::Stopped | Until::Idle => None,
        };
        loop {
            self.board.phase(Phase::Starting);
            let before = self.board.snapshot().position;
            let error = match Attempt::new(&self, until, &mut target, &stop).run().await {
                Ok(position) => {
                    self.board.phase(Phase::Stopped);
                    return Ok(Summary { position, status: self.board.snapshot() });
                }
                Err(error) => error.context(format_args!("flow {}", self.settings.name)),
            };
            if self.board.snapshot().position > before {
                backoff.reset();
            }
            self.pause(error, &mut backoff, &stop).await?;
        }
    }

    /// Waits before the next attempt, or gives the error back where another attempt is pointless. A flow that has never run is not
    /// retried: what fails there is more likely a mistyped host than a server that is away, and somebody is waiting for the answer.
    async fn pause(&self, error: Error, backoff: &mut Backoff, stop: &CancellationToken) -> Result<()> {
        let has_run = self.board.snapshot().position.is_some()
            || self.store.load(&self.settings.name).await.is_ok_and(|stored| stored.is_some());
        if error.kind() != ErrorKind::Retry || stop.is_cancelled() || !has_run {
            self.board.failed(Phase::Failed, &error);
            return Err(error);
        }
        self.board.failed(Phase::Retrying, &error);
        let pause = backoff.next(rand::random());
        tracing::warn!(
            flow = self.settings.name,
            pause_ms = pause.as_millis() as u64,
            "{}; trying again",
            error.report()
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            // Nothing is in hand, so there is nothing to drain: the next attempt ends at once, in order.
            () = stop.cancelled() => Ok(()),
        }
    }
}
