//! One attempt: open everything, run the pipeline, end in order.

use std::sync::Arc;

use ductstream_core::{Acknowledge, Checkpoint, Error, Lsn, Position, Result, Source, SourceStart};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::checkpointer::Checkpointer;
use crate::deliver::Delivery;
use crate::follow::{Follower, catch_up};
use crate::opening::{Origin, continue_from, known, owed, remove_outboxes};
use crate::read::Reader;
use crate::settings::{QUEUED_BATCHES, SMALLEST_MEMORY_LIMIT};
use crate::{Phase, Runner, Until};

pub(crate) struct Attempt<'a> {
    runner: &'a Runner,
    until: Until,
    /// The LSN at which the run ends. Kept across attempts: "idle" means the WAL end of the first one.
    target: &'a mut Option<Lsn>,
    stop: &'a CancellationToken,
}

/// A task that does not outlive the attempt.
struct Task<T>(JoinHandle<Result<T>>);

/// What is ready to begin.
struct Opened {
    wal_end: Lsn,
    /// Where the source begins.
    from: Position,
    checkpoint: Checkpoint,
    origin: Arc<Origin>,
    /// The destinations that decide the checkpoint.
    deliveries: Vec<Delivery>,
    /// Those that follow.
    followers: Vec<Follower>,
}

impl<T: Send + 'static> Task<T> {
    fn spawn(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    async fn join(&mut self) -> Result<T> {
        (&mut self.0).await.unwrap_or_else(|error| Err(lost(error)))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lost(error: JoinError) -> Error {
    Error::bug("a task of the pipeline ended abnormally").with_source(error)
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        runner: &'a Runner,
        until: Until,
        target: &'a mut Option<Lsn>,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { runner, until, target, stop }
    }

    /// Returns the position of the last stored checkpoint once the run has ended in order.
    pub(crate) async fn run(mut self) -> Result<Position> {
        let mut source = self.runner.components.source().await?;
        let opened = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            opened = Self::open(self.runner, &mut source) => Some(opened?),
        };
        let Some(opened) = opened else {
            // Stopping while still connecting leaves nothing to drain, but perhaps something half made.
            source.close().await?;
            let stored = self.runner.store.load(&self.runner.settings.name).await?;
            return Ok(stored.map(|checkpoint| checkpoint.position).unwrap_or_default());
        };
        if self.until == Until::Idle {
            self.target.get_or_insert(opened.wal_end);
        }
        self.stream(source, opened).await
    }

    async fn open(runner: &Runner, source: &mut Box<dyn Source>) -> Result<Opened> {
        let flow = &runner.settings.name;
        let start =
            SourceStart { checkpoint: runner.store.load(flow).await?, schemas: runner.store.schemas(flow).await? };
        let stored = start.checkpoint.clone();
        let destinations = runner.components.destinations().await?;
        if stored.is_none() {
            // The first start creates things in the source: not before it is known that the changes have somewhere to go.
            for (name, destination) in &destinations {
                destination.verify(flow).await.map_err(|error| error.context(format_args!("destination {name}")))?;
            }
        }
        let opened = source.open(start).await?;
        let names: Vec<String> = destinations.iter().map(|(name, _)| name.clone()).collect();
        let mut checkpoint = continue_from(stored.clone(), &opened, &names)?;
        if stored.as_ref() != Some(&checkpoint) {
            runner.store.store(flow, &checkpoint).await?;
        }
        let origin = Arc::new(Origin::new(flow, &opened, stored.is_none()));
        for name in owed(&runner.settings, &checkpoint) {
            catch_up(runner, &origin, &name, &mut checkpoint).await?;
        }
        let (mut deliveries, mut followers) = (Vec::with_capacity(destinations.len()), Vec::new());
        for (name, mut destination) in destinations {
            let known = known(&checkpoint, &name)?;
            if runner.settings.follows(&name) {
                followers.push(Follower::open(&runner.settings, &name, known).await?);
                continue;
            }
            let durable = origin.open(&name, &mut destination, &known).await?;
            checkpoint.advance(&name, &durable);
            deliveries.push(Delivery { name, destination, from: durable.position() });
        }
        // Not before every destination agrees to go on there: a flow that is pointed back at the server it came from must find its
        // checkpoint as it was.
        checkpoint.source = opened.identity.clone();
        let starts = deliveries.iter().map(|delivery| delivery.from).chain(followers.iter().map(|it| it.from));
        let from = starts.min().unwrap_or(checkpoint.position);
        // Stored before the source begins, for a source acknowledges where it begins.
        runner.store.store(flow, &checkpoint).await?;
        remove_outboxes(runner, &names).await?;
        source.begin(from).await?;
        runner.board.checkpoint(&checkpoint);
        Ok(Opened { wal_end: opened.wal_end, from, checkpoint, origin, deliveries, followers })
    }

    async fn stream(&mut self, source: Box<dyn Source>, opened: Opened) -> Result<Position> {
        let runner = self.runner;
        let Opened { from, checkpoint, origin, deliveries, followers, .. } = opened;
        runner.board.begin();
        runner.board.phase(Phase::Running);
        tracing::info!(flow = runner.settings.name, position = %checkpoint.position, "streaming");
        let acknowledge: Arc<dyn Acknowledge> = source.acknowledger();
        let (durable_tx, durable_rx) = mpsc::unbounded_channel();
        let flushes = watch::Sender::new(acknowledge.status().flush_requests);
        let mut queues = Vec::with_capacity(deliveries.len());
        let mut tasks = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let (queue, batches) = mpsc::channel(QUEUED_BATCHES);
            queues.push(queue);
            tasks.push(Task::spawn(delivery.run(
                batches,
                durable_tx.clone(),
                runner.board.clone(),
                flushes.subscribe(),
            )));
        }
        let mut stored = Vec::with_capacity(followers.len());
        for follower in followers {
            let started = follower.start(runner, origin.clone(), durable_tx.clone(), self.stop);
            queues.push(started.queue);
            stored.push(started.stored);
            tasks.extend(started.tasks.into_iter().map(Task::spawn));
        }
        drop(durable_tx);
        let limit = runner.settings.memory_limit.0.max(SMALLEST_MEMORY_LIMIT);
        let reader = Reader {
            flow: runner.settings.name.clone(),
            source,
            queues,
            store: runner.store.clone(),
            board: runner.board.clone(),
            memory: Arc::new(Semaphore::new(crate::read::permits(limit))),
            from,
            target: *self.target,
        };
        let mut reader = Task::spawn(reader.run(self.stop.clone()));
        let checkpointer = Checkpointer { runner, checkpoint, acknowledge, flushes, followers: stored };

        // The reader ends first (stop, target or error), which closes the queues; then the destinations flush and end, which closes the
        // channel of durable reports; then the checkpointer has stored the last of them.
        let read = async { reader.join().await };
        let deliver = async { futures::future::try_join_all(tasks.iter_mut().map(Task::join)).await.map(|_| ()) };
        let (mut source, (), position) = futures::try_join!(read, deliver, checkpointer.run(durable_rx))?;
        source.close().await?;
        Ok(position)
    }
}
