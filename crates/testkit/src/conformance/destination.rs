//! What every [`Destination`] must keep.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::Int64Array;
use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use ductstream_core::{
    Ancestors, ChangeBatch, Column, Destination, DestinationStart, Durable, ErrorKind, Lsn, OldImage, Op, PgType,
    Position, ReplicaIdentity, Run, SourceIdentity, TableChunk, TableName, TableSchema,
};

const PATIENCE: Duration = Duration::from_secs(60);
const FLOW: &str = "conformance";

/// A place that destinations write to, one after another: a directory, a bucket, a topic.
#[async_trait]
pub trait Place: Send + Sync {
    /// A new destination on this place, not opened yet.
    fn destination(&self) -> Box<dyn Destination>;

    /// Position of every record that a reader of the place sees, in any order, repetitions included.
    async fn read(&self) -> Vec<Position>;
}

/// Runs every case; `empty` makes a place of its own for each. Records are integers in two tables, one of which changes its schema.
///
/// Panics where the destination breaks the contract.
pub async fn run<P: Place>(empty: impl Fn() -> P) {
    accepted_is_what_was_written_and_flush_makes_it_durable(&empty()).await;
    bounds_without_records_become_durable(&empty()).await;
    progress_loses_nothing_when_dropped(&empty()).await;
    what_was_never_flushed_is_delivered_by_the_next(&empty()).await;
    for polls in 0..12 {
        a_dropped_write_or_flush_is_repaired_at_the_next_open(&empty(), polls).await;
    }
    less_than_what_was_stored_needs_a_resync(&empty()).await;
}

async fn accepted_is_what_was_written_and_flush_makes_it_durable(place: &impl Place) {
    let mut destination = place.destination();
    open(&mut *destination, &Resume::first()).await;
    let batches = history();
    let mut last = Position::default();
    for batch in &batches {
        let accepted = destination.write(batch.clone()).await.expect("write").position();
        assert_eq!(accepted, batch.end, "a destination accepts the whole batch");
        assert!(accepted >= last, "accepted moves forward");
        last = accepted;
    }
    let durable = destination.flush().await.expect("flush");
    assert_eq!(durable.position(), last, "flush makes everything accepted durable");
    assert_read(place, &positions(&batches), true).await;
    assert_eq!(destination.status().records, positions(&batches).len() as u64, "status counts durable records");
}

async fn bounds_without_records_become_durable(place: &impl Place) {
    let mut destination = place.destination();
    open(&mut *destination, &Resume::first()).await;
    for lsn in [100, 200] {
        destination.write(bound(lsn)).await.expect("write a bound");
        assert_eq!(
            progress(&mut *destination).await.position(),
            at(lsn),
            "nothing is in hand, so the bound is durable"
        );
    }
    destination.write(batch(300, &[("a", 1)])).await.expect("write");
    destination.write(bound(400)).await.expect("write a bound");
    assert_eq!(destination.flush().await.expect("flush").position(), at(400));
    assert_eq!(place.read().await, [Position::new(Lsn(300), 0)]);
}

async fn progress_loses_nothing_when_dropped(place: &impl Place) {
    let mut destination = place.destination();
    open(&mut *destination, &Resume::first()).await;
    let batches = history();
    let mut durable = Position::default();
    for (round, batch) in batches.iter().enumerate() {
        destination.write(batch.clone()).await.expect("write");
        let moved = tokio::select! {
            moved = destination.progress() => Some(moved),
            () = turns(50 * (round % 3)) => None,
        };
        if let Some(moved) = moved {
            let moved = moved.expect("progress").position();
            assert!(moved > durable && moved <= batch.end, "durable moves forward and not beyond what was accepted");
            durable = moved;
        }
    }
    assert_eq!(destination.flush().await.expect("flush").position(), batches[batches.len() - 1].end);
    assert_read(place, &positions(&batches), true).await;
}

async fn what_was_never_flushed_is_delivered_by_the_next(place: &impl Place) {
    let batches = history();
    let mut destination = place.destination();
    open(&mut *destination, &Resume::first()).await;
    for batch in &batches {
        destination.write(batch.clone()).await.expect("write");
    }
    drop(destination);
    let exactly_once = deliver_rest(place, &batches, Resume::first()).await;
    assert_read(place, &positions(&batches), exactly_once).await;
}

/// The flow stops in the middle of a write or flush: once as early as before the first poll, then later and later.
async fn a_dropped_write_or_flush_is_repaired_at_the_next_open(place: &impl Place, polls: usize) {
    let batches = history();
    let mut resume = Resume::first();
    for interrupted in 0..batches.len() {
        let mut destination = place.destination();
        let from = open(&mut *destination, &resume).await;
        for (index, batch) in batches.iter().enumerate().filter(|(_, batch)| batch.end > from) {
            if index > interrupted {
                let _ = AtMost::polls(destination.flush(), polls)
                    .await
                    .map(|durable| resume.moved(&durable.expect("flush")));
                break;
            }
            if AtMost::polls(destination.write(batch.clone()), polls + index).await.is_none() {
                break;
            }
        }
    }
    let exactly_once = deliver_rest(place, &batches, resume).await;
    assert_read(place, &positions(&batches), exactly_once).await;
}

async fn less_than_what_was_stored_needs_a_resync(place: &impl Place) {
    let mut destination = place.destination();
    if !destination.capabilities().exactly_once {
        return;
    }
    let start = Resume { position: at(5000), stored: Some(at(5000)) }.start();
    let error = destination.open(&start).await.expect_err("a place that lost what it had stored does not open");
    assert_eq!(error.kind(), ErrorKind::Resync, "{}", error.report());
}

/// Opens a new destination and delivers what is missing. Returns whether each record must be there only once.
async fn deliver_rest(place: &impl Place, batches: &[Arc<ChangeBatch>], resume: Resume) -> bool {
    let mut destination = place.destination();
    let from = open(&mut *destination, &resume).await;
    for batch in batches.iter().filter(|batch| batch.end > from) {
        destination.write(batch.clone()).await.expect("write");
    }
    let durable = destination.flush().await.expect("flush").position();
    assert_eq!(durable, batches[batches.len() - 1].end);
    destination.capabilities().exactly_once
}

/// Where a flow goes on, as its checkpoint says.
#[derive(Debug, Clone, Copy)]
struct Resume {
    position: Position,
    stored: Option<Position>,
}

impl Resume {
    fn first() -> Self {
        Self { position: at(1), stored: None }
    }

    fn moved(&mut self, durable: &Durable) {
        assert!(durable.position() >= self.position, "durable never moves back");
        assert!(durable.stored() >= self.stored, "the stored position never moves back");
        assert!(durable.stored() <= Some(durable.position()), "no more is stored than is durable");
        (self.position, self.stored) = (durable.position(), durable.stored());
    }

    fn start(&self) -> DestinationStart {
        let source =
            SourceIdentity { system_identifier: "7301".into(), timeline: 1, database: "d".into(), slot: "s".into() };
        DestinationStart {
            flow: FLOW.into(),
            source,
            ancestors: Ancestors::default(),
            position: self.position,
            stored: self.stored,
        }
    }
}

/// Opens, and returns the bound from which records are to be sent.
async fn open(destination: &mut dyn Destination, resume: &Resume) -> Position {
    let stored = destination.open(&resume.start()).await.expect("open");
    assert!(stored >= resume.stored, "a destination never reports less than it had stored");
    resume.position.max(stored.unwrap_or_default())
}

async fn progress(destination: &mut dyn Destination) -> Durable {
    let durable = tokio::time::timeout(PATIENCE, destination.progress()).await;
    durable.expect("progress returns once more is durable").expect("progress")
}

async fn assert_read(place: &impl Place, expected: &[Position], exactly_once: bool) {
    let mut read = place.read().await;
    read.sort_unstable();
    if !exactly_once {
        let unique: BTreeSet<Position> = read.into_iter().collect();
        read = unique.into_iter().collect();
    }
    assert_eq!(read, expected, "every record is there, and only once where the destination says so");
}

/// A future that is dropped after a number of polls; each but the first means that something happened that it waited for.
struct AtMost<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> AtMost<F> {
    fn polls(future: F, polls: usize) -> Self {
        Self { future: Box::pin(future), left: polls }
    }
}

impl<F: Future> Future for AtMost<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Lets other tasks run so many times.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Transactions of one to four records in two tables, and bounds without records between them.
fn history() -> Vec<Arc<ChangeBatch>> {
    vec![
        batch(1000, &[("a", 1)]),
        batch(1100, &[("a", 1), ("b", 1), ("a", 1), ("b", 1)]),
        bound(1150),
        batch(1200, &[("b", 1), ("a", 2)]),
        batch(1300, &[("a", 2), ("a", 2), ("b", 1)]),
        bound(1400),
    ]
}

fn positions(batches: &[Arc<ChangeBatch>]) -> Vec<Position> {
    batches.iter().flat_map(|batch| batch.records().map(|record| record.position()).collect::<Vec<_>>()).collect()
}

fn at(lsn: u64) -> Position {
    Position::start_of(Lsn(lsn))
}

fn bound(lsn: u64) -> Arc<ChangeBatch> {
    Arc::new(ChangeBatch { end: at(lsn), ..ChangeBatch::default() })
}

/// One transaction that commits at `lsn`: a record for each table and schema version.
fn batch(lsn: u64, records: &[(&str, u32)]) -> Arc<ChangeBatch> {
    let mut batch = ChangeBatch { end: at(lsn + 10), ..ChangeBatch::default() };
    for (table, version) in records {
        let known = batch.chunks.iter().position(|chunk| chunk.schema.table.name == *table);
        let index = known.unwrap_or(batch.chunks.len());
        if known.is_none() {
            let of_table = (0u64..).zip(records).filter(|(_, (name, _))| name == table).map(|(seq, _)| seq);
            batch.chunks.push(chunk(table, *version, of_table.map(|seq| Position::new(Lsn(lsn), seq)).collect()));
        }
        batch.runs.push(Run { chunk: u32::try_from(index).unwrap_or(u32::MAX), rows: 1 });
    }
    Arc::new(batch)
}

fn chunk(table: &str, version: u32, positions: Vec<Position>) -> TableChunk {
    let rows = positions.len();
    let pg_type = PgType { oid: 20, typmod: -1, name: "bigint".into() };
    // A new version of the table adds a column.
    let names = ["id", "added"].into_iter().take(version as usize);
    let columns = names
        .map(|name| Column { pg_type: pg_type.clone(), field: Arc::new(Field::new(name, DataType::Int64, true)) })
        .collect::<Vec<_>>();
    let values: Vec<i64> = positions.iter().map(|position| position.commit_lsn.0.cast_signed()).collect();
    let after = columns.iter().map(|_| Arc::new(Int64Array::from(values.clone())) as _).collect();
    let schema = TableSchema::new(TableName::new("public", table), 1, version, ReplicaIdentity::Default, columns);
    TableChunk {
        schema: Arc::new(schema.with_key(vec![0])),
        ops: vec![Op::Insert; rows],
        xids: vec![7; rows],
        commit_times: vec![1_763_895_600_000_000; rows],
        after,
        before: None,
        old: vec![OldImage::None; rows],
        unchanged: None,
        wire_bytes: 8 * rows as u64,
        positions,
    }
}
