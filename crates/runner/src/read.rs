//! The reading task: from the source to every destination's queue.

use std::sync::Arc;

use ductstream_core::{Barrier, ChangeBatch, CheckpointStore, Error, Lsn, Position, Result, SchemaRecord, Source};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::Phase;
use crate::status::StatusBoard;

/// A semaphore counts in KiB, so that 4 GiB fit its permits on every platform.
const PERMIT_BYTES: u64 = 1 << 10;

pub(crate) fn permits(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// A batch on its way, and its share of the memory limit, given back when the last destination has taken it.
#[derive(Clone)]
pub(crate) struct InFlight {
    pub(crate) batch: Arc<ChangeBatch>,
    _memory: Option<Arc<OwnedSemaphorePermit>>,
}

impl InFlight {
    /// A batch that was read back from an outbox. Memory for those is bounded by how few there are, not by the flow's limit: the limit may
    /// be used up by batches that wait for the very room that this one is read to make.
    pub(crate) fn read_back(batch: ChangeBatch) -> Self {
        Self { batch: Arc::new(batch), _memory: None }
    }
}

pub(crate) struct Reader {
    pub(crate) flow: String,
    pub(crate) source: Box<dyn Source>,
    pub(crate) queues: Vec<mpsc::Sender<InFlight>>,
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) board: StatusBoard,
    pub(crate) memory: Arc<Semaphore>,
    /// Where reading begins.
    pub(crate) from: Position,
    /// Where it ends, if anywhere.
    pub(crate) target: Option<Lsn>,
}

impl Reader {
    /// Reads until `stop` or the target; gives the source back for its orderly end. Dropping `self.queues` tells the destinations.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<Box<dyn Source>> {
        let limit = self.memory.available_permits();
        let mut reached = self.target.is_some_and(|target| self.from.commit_lsn >= target);
        while !reached && !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                // Send first: while a queue has room, latency counts; while none has, batches grow.
                () = room(&self.queues), if self.source.is_ripe() => {
                    reached = self.forward(limit).await?;
                }
                filled = self.source.fill(), if !self.source.is_full() => filled?,
            }
        }
        self.board.phase(Phase::Stopping);
        while !reached && self.source.has_pending() {
            reached = self.forward(limit).await?;
        }
        Ok(self.source)
    }

    /// Sends one batch to every queue; true when it reached the target.
    async fn forward(&mut self, limit: usize) -> Result<bool> {
        let Some(batch) = self.source.take() else { return Ok(false) };
        let reached = self.target.is_some_and(|target| batch.end.commit_lsn >= target);
        keep_schemas(&self.store, &self.flow, &batch).await?;
        self.board.read(&batch);
        let share = permits(batch.memory_bytes() as u64).clamp(1, limit) as u32;
        let memory = self.memory.clone().acquire_many_owned(share).await.map_err(closed)?;
        let in_flight = InFlight { batch: Arc::new(batch), _memory: Some(Arc::new(memory)) };
        for queue in &self.queues {
            // A closed queue means that its destination failed; its own task reports why.
            if queue.send(in_flight.clone()).await.is_err() {
                return std::future::pending().await;
            }
        }
        Ok(reached)
    }
}

/// A schema version is stored before the first record that bears it leaves.
async fn keep_schemas(store: &Arc<dyn CheckpointStore>, flow: &str, batch: &ChangeBatch) -> Result<()> {
    let records: Vec<SchemaRecord> = batch.barriers.iter().filter_map(schema_record).collect();
    if records.is_empty() {
        return Ok(());
    }
    store.add_schemas(flow, &records).await
}

fn schema_record(barrier: &Barrier) -> Option<SchemaRecord> {
    match barrier {
        Barrier::Schema { record, .. } => Some(record.clone()),
        Barrier::Truncate { .. } | Barrier::Message(_) => None,
    }
}

fn closed(error: tokio::sync::AcquireError) -> Error {
    Error::bug("the memory budget was closed").with_source(error)
}

/// Waits until every queue has room. Nobody else sends, so the room stays.
async fn room(queues: &[mpsc::Sender<InFlight>]) {
    for queue in queues {
        if queue.reserve().await.is_err() {
            return std::future::pending().await;
        }
    }
}
