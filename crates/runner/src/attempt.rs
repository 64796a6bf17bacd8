//! One attempt: open everything, run the pipeline, end in order.

use std::sync::Arc;

use ductstream_core::{
    Acknowledge, Checkpoint, Destination, DestinationCheckpoint, DestinationStart, Durable, Error, Lsn, Position,
    Result, Source, SourceOpened, SourceStart,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::checkpointer::Checkpointer;
use crate::deliver::Delivery;
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
        let Some((wal_end, checkpoint, destinations)) = opened else {
            // Stopping while still connecting leaves nothing to drain, but perhaps something half made.
            source.close().await?;
            let stored = self.runner.store.load(&self.runner.settings.name).await?;
            return Ok(stored.map(|checkpoint| checkpoint.position).unwrap_or_default());
        };
        if self.until == Until::Idle {
            self.target.get_or_insert(wal_end);
        }
        self.stream(source, checkpoint, destinations).await
    }

    async fn open(runner: &Runner, source: &mut Box<dyn Source>) -> Result<(Lsn, Checkpoint, Vec<Delivery>)> {
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
        let mut checkpoint = continue_from(stored.clone(), &opened, &names);
        if stored.as_ref() != Some(&checkpoint) {
            runner.store.store(flow, &checkpoint).await?;
        }
        let mut deliveries = Vec::with_capacity(destinations.len());
        for (name, destination) in destinations {
            let is_first = stored.is_none();
            deliveries.push(open_destination(runner, &mut checkpoint, &opened, (name, destination), is_first).await?);
        }
        // Not before every destination agrees to go on there: a flow that is pointed back at the server it came from must find its
        // checkpoint as it was.
        checkpoint.source = opened.identity.clone();
        let from = deliveries.iter().map(|delivery| delivery.from).min().unwrap_or(checkpoint.position);
        // Stored before the source begins, for a source acknowledges where it begins.
        runner.store.store(flow, &checkpoint).await?;
        source.begin(from).await?;
        runner.board.checkpoint(&checkpoint);
        Ok((opened.wal_end, checkpoint, deliveries))
    }

    async fn stream(
        &mut self,
        source: Box<dyn Source>,
        checkpoint: Checkpoint,
        deliveries: Vec<Delivery>,
    ) -> Result<Position> {
        let runner = self.runner;
        runner.board.begin();
        runner.board.phase(Phase::Running);
        tracing::info!(flow = runner.settings.name, position = %checkpoint.position, "streaming");
        let from = deliveries.iter().map(|delivery| delivery.from).min().unwrap_or(checkpoint.position);
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
        let checkpointer = Checkpointer { runner, checkpoint, acknowledge, flushes };

        // The reader ends first (stop, target or error), which closes the queues; then the destinations flush and end, which closes the
        // channel of durable reports; then the checkpointer has stored the last of them.
        let read = async { reader.join().await };
        let deliver = async { futures::future::try_join_all(tasks.iter_mut().map(Task::join)).await.map(|_| ()) };
        let (mut source, (), position) = futures::try_join!(read, deliver, checkpointer.run(durable_rx))?;
        source.close().await?;
        Ok(position)
    }
}

/// The checkpoint to go on from: the stored one with today's destinations, or the first.
fn continue_from(stored: Option<Checkpoint>, opened: &SourceOpened, names: &[String]) -> Checkpoint {
    let mut checkpoint =
        stored.unwrap_or_else(|| Checkpoint::begin(opened.identity.clone(), opened.position, names.iter().cloned()));
    checkpoint.created = opened.created.clone();
    checkpoint.publications = opened.publications.clone();
    // A destination that is new to the flow begins where the flow stands.
    let begin = DestinationCheckpoint::begin(checkpoint.position);
    checkpoint.destinations.retain(|name, _| names.contains(name));
    for name in names {
        checkpoint.destinations.entry(name.clone()).or_insert_with(|| begin.clone());
    }
    checkpoint
}

async fn open_destination(
    runner: &Runner,
    checkpoint: &mut Checkpoint,
    opened: &SourceOpened,
    (name, mut destination): (String, Box<dyn Destination>),
    is_first: bool,
) -> Result<Delivery> {
    let known = checkpoint.destinations.get(&name).cloned();
    let known = known.ok_or_else(|| Error::bug(format!("destination {name} has no checkpoint")))?;
    let start = DestinationStart {
        flow: runner.settings.name.clone(),
        source: opened.identity.clone(),
        ancestors: opened.ancestors.clone(),
        position: known.position,
        stored: known.stored,
    };
    let resume = destination.open(&start).await.map_err(|error| error.context(format_args!("destination {name}")))?;
    if let Some(last) = resume.filter(|last| !is_first && known.stored.is_none() && *last < known.position) {
        // It was the flow's before, was taken out, and missed what came meanwhile.
        return Err(Error::resync(format!(
            "destination {name} holds this flow's changes up to {last}, and the flow stands at {}: it missed those between",
            known.position
        ))
        .with_remedy("set its `prefix` to an empty one, and bring it up to date from the tables"));
    }
    // A crash between durable and checkpointed leaves the destination ahead of the store.
    let from = known.position.max(resume.unwrap_or_default());
    checkpoint.advance(&name, &Durable::up_to(from).with_stored(resume));
    Ok(Delivery { name, destination, from })
}
