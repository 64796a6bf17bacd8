//! The loop against in-memory doubles: order of effects, faults, back-pressure, how a run ends.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ductstream_core::{
    Barrier, ByteSize, ChangeBatch, CheckpointStore, Destination, Error, ErrorKind, Lsn, Position, Result, Source, Span,
};
use ductstream_runner::{Ack, Components, FlowSettings, OutboxesSettings, Phase, RetrySettings, Runner, Until};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::memory::{Effect, Journal, MemoryDisk, MemoryHistory, MemoryStore};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

mod suite {
    mod following;
}

struct Bench {
    journal: Journal,
    history: MemoryHistory,
    disks: Vec<MemoryDisk>,
    store: Arc<MemoryStore>,
    ack: Ack,
    outboxes: Arc<TempDir>,
    budget: ByteSize,
}

struct Parts {
    history: MemoryHistory,
    disks: Vec<MemoryDisk>,
}

#[async_trait]
impl Components for Parts {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(self.history.source())
    }

    async fn destinations(&self) -> Result<Vec<(String, Box<dyn Destination>)>> {
        Ok(self.disks.iter().enumerate().map(|(index, disk)| (format!("d{index}"), disk.destination())).collect())
    }

    async fn destination(&self, name: &str) -> Result<Box<dyn Destination>> {
        let mut disks = self.disks.iter().enumerate();
        Ok(disks.find(|(index, _)| name == format!("d{index}")).unwrap().1.destination())
    }
}

/// Transaction `n` inserts three rows and commits at LSN `n * 100`, ending at `n * 100 + 10`.
fn transaction(n: u64) -> ChangeBatch {
    let schema = table("public.orders", 1);
    let builder = BatchBuilder::new().begin(n * 100, n as u32, n as i64);
    (0..3)
        .fold(builder, |builder, row| builder.insert(&schema, (n * 10 + row) as i64, "note"))
        .commit(n * 100 + 10)
        .build()
}

fn expected(transactions: impl IntoIterator<Item = u64>) -> Vec<Position> {
    transactions.into_iter().flat_map(|n| (0..3).map(move |seq| Position::new(Lsn(n * 100), seq))).collect()
}

impl Bench {
    fn new(transactions: impl IntoIterator<Item = u64>, destinations: usize) -> Self {
        let journal = Journal::default();
        let history = MemoryHistory::new(transactions.into_iter().map(transaction).collect(), journal.clone());
        let disks = (0..destinations).map(|index| MemoryDisk::new(&format!("d{index}"), journal.clone())).collect();
        Self {
            store: Arc::new(MemoryStore::new(journal.clone())),
            journal,
            history,
            disks,
            ack: Ack::All,
            outboxes: Arc::new(tempfile::tempdir().unwrap()),
            budget: ByteSize(1 << 30),
        }
    }

    fn runner(&self) -> Runner {
        let retry = RetrySettings { initial: Span(Duration::from_millis(1)), max: Span(Duration::from_millis(5)) };
        let settings = FlowSettings {
            name: "flow".into(),
            memory_limit: ByteSize(8 << 20),
            retry,
            ack: self.ack.clone(),
            outboxes: OutboxesSettings { directory: self.outboxes.path().to_owned(), budget: self.budget },
        };
        let parts = Parts { history: self.history.clone(), disks: self.disks.clone() };
        Runner::new(settings, Arc::new(parts), self.store.clone())
    }

    async fn stored(&self) -> Position {
        self.store.load("flow").await.unwrap().unwrap().position
    }
}

#[tokio::test]
async fn a_position_is_acknowledged_only_after_it_is_stored_and_stored_only_after_it_is_durable_everywhere() {
    let bench = Bench::new(1..=20, 2);
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    let mut durable = [Position::default(); 2];
    let (mut stored, mut acknowledged) = (Position::default(), Position::default());
    for effect in bench.journal.effects() {
        match effect {
            Effect::Durable(name, at) => durable[usize::from(name == "d1")] = at,
            Effect::Stored(at) => {
                assert!(at <= durable[0].min(durable[1]), "{at} was stored before it was durable");
                stored = at;
            }
            Effect::Acknowledged(at) => {
                assert!(at <= stored, "{at} was acknowledged before it was stored");
                acknowledged = at;
            }
            Effect::Schema(_) => {}
        }
    }
    assert_eq!(acknowledged, Position::start_of(Lsn(2010)));
    for disk in &bench.disks {
        assert_eq!(disk.positions(), expected(1..=20));
    }
}

#[tokio::test]
async fn a_failed_write_is_repeated_from_the_checkpoint_without_loss_or_duplicate() {
    let bench = Bench::new(1..=10, 1);
    bench.disks[0].fail_writes((0..5).map(|_| Error::retry("disk full")));
    let summary = bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    assert_eq!(bench.disks[0].positions(), expected(1..=10));
    assert_eq!(summary.status.retries, 5);
    assert_eq!(bench.disks[0].opened(), 6);
}

#[tokio::test]
async fn an_error_that_no_repetition_repairs_ends_the_run_and_keeps_the_checkpoint() {
    let bench = Bench::new(1..=3, 1);
    bench.disks[0].fail_writes([Error::configuration("access denied")]);
    let error = bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.message(), "flow flow: destination d0: access denied");
    assert_eq!(bench.stored().await, Position::default());
    assert!(
        !bench
            .journal
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::Acknowledged(at) if *at > Position::default()))
    );
}

#[tokio::test]
async fn a_stop_drains_what_was_read_and_stores_it() {
    let bench = Bench::new(1..=5, 1);
    let stop = CancellationToken::new();
    let runner = bench.runner();
    let mut acknowledged = bench.history.acknowledged();
    let run = tokio::spawn(runner.run(Until::Stopped, stop.clone()));
    acknowledged.wait_for(|at| *at == Position::start_of(Lsn(510))).await.unwrap();
    bench.history.push(transaction(6));
    acknowledged.wait_for(|at| *at == Position::start_of(Lsn(610))).await.unwrap();
    stop.cancel();
    let summary = run.await.unwrap().unwrap();
    assert_eq!(summary.position, Position::start_of(Lsn(610)));
    assert_eq!(summary.status.phase, Phase::Stopped);
    assert_eq!(bench.stored().await, summary.position);
}

#[tokio::test]
async fn a_run_until_an_lsn_ends_there_and_the_next_run_goes_on_from_there() {
    let bench = Bench::new(1..=10, 1);
    bench.runner().run(Until::Lsn(Lsn(410)), CancellationToken::new()).await.unwrap();
    assert_eq!(bench.disks[0].positions(), expected(1..=4));
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    assert_eq!(bench.disks[0].positions(), expected(1..=10));
}

#[tokio::test]
async fn a_run_whose_target_is_behind_the_checkpoint_ends_at_once() {
    let bench = Bench::new(1..=3, 1);
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    let summary = bench.runner().run(Until::Lsn(Lsn(100)), CancellationToken::new()).await.unwrap();
    assert_eq!(summary.position, Position::start_of(Lsn(310)));
    assert_eq!(bench.disks[0].positions(), expected(1..=3));
}

#[tokio::test]
async fn a_destination_that_stands_still_stops_the_reading() {
    let bench = Bench::new(1..=50, 1);
    bench.disks[0].set_gate(false);
    let stop = CancellationToken::new();
    let run = tokio::spawn(bench.runner().run(Until::Idle, stop.clone()));
    let status = async {
        while bench.history.taken() < 3 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    };
    status.await;
    assert!(bench.history.taken() <= 4, "one in the write, two queued, one on its way; took {}", bench.history.taken());
    bench.disks[0].set_gate(true);
    run.await.unwrap().unwrap();
    assert_eq!(bench.disks[0].positions(), expected(1..=50));
}

#[tokio::test]
async fn each_destination_gets_exactly_what_it_does_not_have() {
    let bench = Bench::new(1..=6, 2);
    // The second destination fails once after the first has taken and kept a part.
    bench.disks[1].fail_writes([Error::retry("away")]);
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    for disk in &bench.disks {
        assert_eq!(disk.positions(), expected(1..=6));
    }
}

#[tokio::test]
async fn a_schema_version_is_stored_before_its_first_record_is_durable() {
    let bench = Bench::new([], 1);
    let mut batch = transaction(1);
    let schema = batch.chunks[0].schema.clone();
    let record = ductstream_core::SchemaRecord {
        table: schema.table.clone(),
        version: 1,
        from: Position::start_of(Lsn(100)),
        shape: "[]".into(),
    };
    batch.barriers.push(Barrier::Schema { schema, previous: None, record: record.clone() });
    bench.history.push(batch);
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    let effects = bench.journal.effects();
    let at = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let stored = at(&|effect| *effect == Effect::Schema(record.clone()));
    let durable = at(&|effect| matches!(effect, Effect::Durable(_, position) if position.commit_lsn == Lsn(110)));
    assert!(stored < durable);
    assert_eq!(bench.store.schemas("flow").await.unwrap(), [record]);
}

#[tokio::test]
async fn a_stop_while_waiting_to_try_again_ends_in_order_at_the_stored_checkpoint() {
    let bench = Bench::new(1..=2, 1);
    bench.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    bench.history.push(transaction(3));
    bench.disks[0].fail_writes((0..1_000_000).map(|_| Error::retry("away")));
    let stop = CancellationToken::new();
    let runner = bench.runner();
    let mut status = runner.status();
    let run = tokio::spawn(runner.run(Until::Stopped, stop.clone()));
    status.wait_for(|status| status.phase == Phase::Retrying && status.retries > 3).await.unwrap();
    stop.cancel();
    let summary = run.await.unwrap().unwrap();
    assert_eq!(summary.position, Position::start_of(Lsn(210)));
}

#[tokio::test]
async fn a_destination_that_was_taken_out_and_put_back_is_refused_when_it_missed_something() {
    let both = Bench::new(1..=2, 2);
    both.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    let one = Bench {
        journal: both.journal.clone(),
        history: both.history.clone(),
        disks: both.disks[..1].to_vec(),
        store: both.store.clone(),
        ack: Ack::All,
        outboxes: both.outboxes.clone(),
        budget: both.budget,
    };
    one.history.push(transaction(3));
    one.runner().run(Until::Idle, CancellationToken::new()).await.unwrap();
    let error = both.runner().run(Until::Idle, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync);
    assert!(error.message().contains("destination d1") && error.message().contains("missed"), "{}", error.report());
}
