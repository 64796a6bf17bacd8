//! Source, destination and checkpoint store in memory: the simplest implementations of the three traits, and fault
//! doubles for tests of what stands between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Acknowledge, Capabilities, ChangeBatch, Checkpoint, CheckpointStore, Destination, DestinationStart,
    DestinationStatus, Durable, Envelope, Error, Lsn, Op, Position, Result, SchemaRecord, Source, SourceIdentity,
    SourceOpened, SourceStart, SourceStatus, WireFormat,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// What happened, in the order in which it happened, across source, destinations and store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A destination made everything before the position durable.
    Durable(String, Position),
    /// The store keeps the checkpoint.
    Stored(Position),
    /// The source was told.
    Acknowledged(Position),
    /// The store keeps a schema version.
    Schema(SchemaRecord),
}

/// A shared list of effects.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Effect>>>);

impl Journal {
    /// Adds an effect.
    pub fn add(&self, effect: Effect) {
        self.0.lock().push(effect);
    }

    /// All effects so far.
    pub fn effects(&self) -> Vec<Effect> {
        self.0.lock().clone()
    }
}

/// The identity of every memory source.
pub fn identity() -> SourceIdentity {
    SourceIdentity { system_identifier: "7301".into(), timeline: 1, database: "memory".into(), slot: "memory".into() }
}

/// A history that memory sources read: batches in commit order. Lives as long as the "server" does, across sources.
#[derive(Clone)]
pub struct MemoryHistory {
    batches: Arc<Mutex<Vec<ChangeBatch>>>,
    grown: Arc<Notify>,
    acknowledged: watch::Sender<Position>,
    /// How many batches any source gave away so far.
    taken: Arc<Mutex<usize>>,
    journal: Journal,
}

impl MemoryHistory {
    /// A history of these batches.
    pub fn new(batches: Vec<ChangeBatch>, journal: Journal) -> Self {
        Self {
            batches: Arc::new(Mutex::new(batches)),
            grown: Arc::default(),
            acknowledged: watch::Sender::default(),
            taken: Arc::default(),
            journal,
        }
    }

    /// Appends a batch; a source that waits sees it.
    pub fn push(&self, batch: ChangeBatch) {
        self.batches.lock().push(batch);
        self.grown.notify_one();
    }

    /// A new source that reads this history.
    pub fn source(&self) -> Box<dyn Source> {
        Box::new(MemorySource { history: self.clone(), from: Position::default(), next: 0 })
    }

    /// How many batches were taken from it.
    pub fn taken(&self) -> usize {
        *self.taken.lock()
    }

    /// What was acknowledged, as it changes.
    pub fn acknowledged(&self) -> watch::Receiver<Position> {
        self.acknowledged.subscribe()
    }
}

impl Acknowledge for MemoryHistory {
    fn acknowledge(&self, position: Position) {
        if self.acknowledged.send_if_modified(|at| std::mem::replace(at, position.max(*at)) < position) {
            self.journal.add(Effect::Acknowledged(position));
        }
    }

    fn status(&self) -> SourceStatus {
        SourceStatus::default()
    }
}

struct MemorySource {
    history: MemoryHistory,
    from: Position,
    next: usize,
}

#[async_trait]
impl Source for MemorySource {
    async fn open(&mut self, start: SourceStart) -> Result<SourceOpened> {
        let position = start.checkpoint.map(|checkpoint| checkpoint.position).unwrap_or_default();
        let wal_end = self.history.batches.lock().last().map(|batch| batch.end.commit_lsn).unwrap_or(Lsn::ZERO);
        Ok(SourceOpened {
            identity: identity(),
            ancestors: Default::default(),
            position,
            wal_end,
            created: Default::default(),
            publications: Vec::new(),
        })
    }

    async fn begin(&mut self, from: Position) -> Result<()> {
        self.from = from;
        self.next = self.history.batches.lock().partition_point(|batch| batch.end <= from);
        Ok(())
    }

    fn acknowledger(&self) -> Arc<dyn Acknowledge> {
        Arc::new(self.history.clone())
    }

    async fn fill(&mut self) -> Result<()> {
        while !self.has_pending() {
            self.history.grown.notified().await;
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    fn has_pending(&self) -> bool {
        self.next < self.history.batches.lock().len()
    }

    fn is_full(&self) -> bool {
        self.has_pending()
    }

    fn take(&mut self) -> Option<ChangeBatch> {
        let batch = self.history.batches.lock().get(self.next)?.since(self.from);
        self.next += 1;
        *self.history.taken.lock() += 1;
        Some(batch)
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What a memory destination keeps across "crashes" of the object that the runner holds.
#[derive(Clone)]
pub struct MemoryDisk {
    name: String,
    state: Arc<Mutex<DiskState>>,
    gate: Arc<watch::Sender<bool>>,
    journal: Journal,
}

#[derive(Default)]
struct DiskState {
    durable: Vec<Position>,
    end: Position,
    fail_writes: VecDeque<Error>,
    fail_opens: VecDeque<Error>,
    opened: usize,
}

impl MemoryDisk {
    /// An empty disk under the destination's name.
    pub fn new(name: &str, journal: Journal) -> Self {
        Self { name: name.into(), state: Arc::default(), gate: Arc::new(watch::Sender::new(true)), journal }
    }

    /// A new destination that writes here.
    pub fn destination(&self) -> Box<dyn Destination> {
        Box::new(MemoryDestination {
            disk: self.clone(),
            accepted: Vec::new(),
            end: Position::default(),
            unreported: false,
        })
    }

    /// Positions of the durable records, in order of arrival.
    pub fn positions(&self) -> Vec<Position> {
        self.state.lock().durable.clone()
    }

    /// How often a destination was opened.
    pub fn opened(&self) -> usize {
        self.state.lock().opened
    }

    /// The next writes fail so, one each.
    pub fn fail_writes(&self, errors: impl IntoIterator<Item = Error>) {
        self.state.lock().fail_writes.extend(errors);
    }

    /// The next openings fail so, one each.
    pub fn fail_opens(&self, errors: impl IntoIterator<Item = Error>) {
        self.state.lock().fail_opens.extend(errors);
    }

    /// Nothing fails any more.
    pub fn fail_no_more(&self) {
        let mut state = self.state.lock();
        state.fail_writes.clear();
        state.fail_opens.clear();
    }

    /// While closed, writes wait.
    pub fn set_gate(&self, open: bool) {
        self.gate.send_replace(open);
    }
}

struct MemoryDestination {
    disk: MemoryDisk,
    accepted: Vec<Position>,
    end: Position,
    unreported: bool,
}

impl MemoryDestination {
    fn make_durable(&mut self) -> Durable {
        let mut state = self.disk.state.lock();
        state.durable.append(&mut self.accepted);
        state.end = state.end.max(self.end);
        self.unreported = false;
        self.disk.journal.add(Effect::Durable(self.disk.name.clone(), state.end));
        Durable::up_to(state.end).with_stored(Some(state.end))
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load],
            formats: &[WireFormat::Json],
            envelopes: &[Envelope::Native],
            schema_changes: true,
            exactly_once: true,
            cross_table_order: true,
        }
    }

    async fn open(&mut self, _start: &DestinationStart) -> Result<Option<Position>> {
        let mut state = self.disk.state.lock();
        if let Some(error) = state.fail_opens.pop_front() {
            return Err(error);
        }
        state.opened += 1;
        self.end = state.end;
        Ok((state.end > Position::default()).then_some(state.end))
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        let mut gate = self.disk.gate.subscribe();
        let _ = gate.wait_for(|open| *open).await;
        if let Some(error) = self.disk.state.lock().fail_writes.pop_front() {
            return Err(error);
        }
        self.accepted.extend(batch.records().map(|record| record.position()));
        self.end = batch.end;
        self.unreported = true;
        Ok(Accepted::up_to(batch.end))
    }

    async fn progress(&mut self) -> Result<Durable> {
        if !self.unreported {
            return std::future::pending().await;
        }
        Ok(self.make_durable())
    }

    async fn flush(&mut self) -> Result<Durable> {
        Ok(self.make_durable())
    }

    fn status(&self) -> DestinationStatus {
        DestinationStatus { records: self.disk.state.lock().durable.len() as u64, ..DestinationStatus::default() }
    }
}

/// A checkpoint store that forgets with the process.
#[derive(Clone, Default)]
pub struct MemoryStore {
    checkpoints: Arc<Mutex<BTreeMap<String, Checkpoint>>>,
    schemas: Arc<Mutex<BTreeMap<String, Vec<SchemaRecord>>>>,
    journal: Journal,
}

impl MemoryStore {
    /// An empty store that tells `journal` what it keeps.
    pub fn new(journal: Journal) -> Self {
        Self { journal, ..Self::default() }
    }
}

#[async_trait]
impl CheckpointStore for MemoryStore {
    async fn load(&self, flow: &str) -> Result<Option<Checkpoint>> {
        Ok(self.checkpoints.lock().get(flow).cloned())
    }

    async fn store(&self, flow: &str, checkpoint: &Checkpoint) -> Result<()> {
        let mut checkpoints = self.checkpoints.lock();
        if checkpoints.get(flow).is_some_and(|stored| checkpoint.goes_back_from(stored)) {
            return Err(Error::fenced(format!("flow {flow}: a later checkpoint is stored already")));
        }
        checkpoints.insert(flow.to_owned(), checkpoint.clone());
        self.journal.add(Effect::Stored(checkpoint.position));
        Ok(())
    }

    async fn schemas(&self, flow: &str) -> Result<Vec<SchemaRecord>> {
        let mut schemas = self.schemas.lock().get(flow).cloned().unwrap_or_default();
        schemas.sort_by(|a, b| (&a.table, a.version).cmp(&(&b.table, b.version)));
        Ok(schemas)
    }

    async fn add_schemas(&self, flow: &str, schemas: &[SchemaRecord]) -> Result<()> {
        let mut all = self.schemas.lock();
        let known = all.entry(flow.to_owned()).or_default();
        for schema in schemas {
            if !known.iter().any(|known| known.table == schema.table && known.version == schema.version) {
                known.push(schema.clone());
                self.journal.add(Effect::Schema(schema.clone()));
            }
        }
        Ok(())
    }

    async fn forget(&self, flow: &str) -> Result<()> {
        self.checkpoints.lock().remove(flow);
        self.schemas.lock().remove(flow);
        Ok(())
    }

    async fn flows(&self) -> Result<Vec<String>> {
        let mut flows: Vec<String> =
            self.checkpoints.lock().keys().chain(self.schemas.lock().keys()).cloned().collect();
        flows.sort();
        flows.dedup();
        Ok(flows)
    }
}
