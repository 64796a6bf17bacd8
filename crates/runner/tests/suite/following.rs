//! Destinations that follow the primary from outboxes.

use std::path::PathBuf;

use ductstream_runner::Summary;

use crate::*;

impl Bench {
    /// The first destination decides, the others follow.
    fn following(transactions: impl IntoIterator<Item = u64>, destinations: usize) -> Self {
        Self { ack: Ack::Primary("d0".into()), ..Self::new(transactions, destinations) }
    }

    /// The outbox of the second destination.
    fn outbox(&self) -> PathBuf {
        self.outboxes.path().join("d1")
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.outbox()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some());
        files.sort();
        files
    }

    async fn drain(&self) -> Result<Summary> {
        self.runner().run(Until::Idle, CancellationToken::new()).await
    }

    /// Runs while the second destination takes nothing, until the source was told that everything up to `end` is safe; then crashes.
    async fn crash_owing_the_second(&self, end: Position) {
        self.disks[1].set_gate(false);
        let run = tokio::spawn(self.runner().run(Until::Stopped, CancellationToken::new()));
        self.history.acknowledged().wait_for(|at| *at >= end).await.unwrap();
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        self.disks[1].set_gate(true);
    }

    fn all_have(&self, transactions: impl IntoIterator<Item = u64> + Clone) {
        for disk in &self.disks {
            assert_eq!(disk.positions(), expected(transactions.clone()));
        }
    }
}

fn after(n: u64) -> Position {
    Position::start_of(Lsn(n * 100 + 10))
}

#[tokio::test]
async fn a_destination_that_stands_still_holds_up_nobody_and_gets_everything_after_a_crash() {
    let bench = Bench::following(1..=50, 3);
    bench.crash_owing_the_second(after(50)).await;
    assert_eq!(bench.disks[0].positions(), expected(1..=50));
    assert_eq!(bench.disks[1].positions(), []);
    let taken = bench.history.taken();
    let summary = bench.drain().await.unwrap();
    bench.all_have(1..=50);
    assert_eq!(bench.history.taken(), taken, "the source sends nothing again that an outbox holds");
    let outbox = &summary.status.outboxes["d1"];
    assert_eq!((outbox.bytes, outbox.durable, outbox.queued), (0, after(50), after(50)));
    assert!(bench.segments().is_empty(), "the disk was given back");
}

#[tokio::test]
async fn a_position_is_stored_only_after_it_is_durable_in_the_primary_and_acknowledged_only_after_that() {
    let bench = Bench::following(1..=30, 2);
    bench.crash_owing_the_second(after(30)).await;
    let (mut durable, mut stored) = (Position::default(), Position::default());
    for effect in bench.journal.effects() {
        match effect {
            Effect::Durable(name, at) if name == "d0" => durable = at,
            Effect::Stored(at) => {
                assert!(at <= durable, "{at} was stored before it was durable");
                stored = at;
            }
            Effect::Acknowledged(at) => assert!(at <= stored, "{at} was acknowledged before it was stored"),
            Effect::Durable(..) | Effect::Schema(_) => {}
        }
    }
    // The other way round: a primary that stands still is waited for, however far the follower is.
    bench.disks[0].set_gate(false);
    (31..=40).for_each(|n| bench.history.push(transaction(n)));
    let run = tokio::spawn(bench.runner().run(Until::Idle, CancellationToken::new()));
    while bench.disks[1].positions().len() < 3 * 31 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.stored().await, after(30));
    bench.disks[0].set_gate(true);
    run.await.unwrap().unwrap();
    bench.all_have(1..=40);
}

#[tokio::test]
async fn a_follower_that_fails_is_tried_again_by_itself_while_the_flow_goes_on() {
    let bench = Bench::following(1..=20, 2);
    bench.disks[1].fail_writes((0..5).map(|_| Error::retry("away")));
    let summary = bench.drain().await.unwrap();
    bench.all_have(1..=20);
    assert_eq!((summary.status.retries, summary.status.outboxes["d1"].retries), (0, 5));
    assert_eq!((bench.disks[0].opened(), bench.disks[1].opened()), (1, 6));
    assert_eq!(summary.status.outboxes["d1"].error, None);
}

#[tokio::test]
async fn an_error_of_a_follower_that_no_repetition_repairs_ends_the_run_and_loses_nothing() {
    let bench = Bench::following(1..=5, 2);
    bench.disks[1].fail_writes([Error::configuration("access denied")]);
    let error = bench.drain().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.message(), "flow flow: destination d1: access denied");
    bench.drain().await.unwrap();
    bench.all_have(1..=5);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_follower_that_is_away() {
    let bench = Bench::following(1..=3, 2);
    bench.drain().await.unwrap();
    bench.disks[1].fail_writes((0..1_000_000).map(|_| Error::retry("away")));
    (4..=9).for_each(|n| bench.history.push(transaction(n)));
    let stop = CancellationToken::new();
    let run = tokio::spawn(bench.runner().run(Until::Stopped, stop.clone()));
    bench.history.acknowledged().wait_for(|at| *at == after(9)).await.unwrap();
    bench.history.push(transaction(10));
    stop.cancel();
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.status.phase, summary.position), (Phase::Stopped, bench.stored().await));
    assert_eq!(bench.disks[1].positions(), expected(1..=3));
    bench.disks[1].fail_no_more();
    bench.drain().await.unwrap();
    bench.all_have(1..=10);
}

#[tokio::test]
async fn a_budget_that_is_used_up_makes_the_flow_wait_and_drops_nothing() {
    let bench = Bench { budget: ByteSize(64 << 10), ..Bench::following(1..=150, 2) };
    bench.disks[1].set_gate(false);
    let runner = bench.runner();
    let mut status = runner.status();
    let run = tokio::spawn(runner.run(Until::Idle, CancellationToken::new()));
    status.wait_for(|status| status.outboxes.get("d1").is_some_and(|outbox| outbox.is_full)).await.unwrap();
    let held = status.borrow().outboxes["d1"].clone();
    assert!(held.bytes <= held.budget_bytes && held.bytes > held.budget_bytes / 2, "{held:?}");
    let taken = bench.history.taken();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.history.taken() <= taken + 4 && bench.history.taken() < 150, "the source is read no further");
    bench.disks[1].set_gate(true);
    let summary = run.await.unwrap().unwrap();
    bench.all_have(1..=150);
    assert!(!summary.status.outboxes["d1"].is_full);
}

#[tokio::test]
async fn a_stop_while_the_budget_is_used_up_ends_in_order_and_what_found_no_room_comes_again() {
    let bench = Bench { budget: ByteSize(64 << 10), ..Bench::following(1..=150, 2) };
    bench.disks[1].set_gate(false);
    let stop = CancellationToken::new();
    let runner = bench.runner();
    let mut status = runner.status();
    let run = tokio::spawn(runner.run(Until::Stopped, stop.clone()));
    status.wait_for(|status| status.outboxes.get("d1").is_some_and(|outbox| outbox.is_full)).await.unwrap();
    stop.cancel();
    let summary = run.await.unwrap().unwrap();
    assert!(summary.position < after(150));
    bench.disks[1].set_gate(true);
    bench.drain().await.unwrap();
    bench.all_have(1..=150);
}

#[tokio::test]
async fn another_primary_or_none_first_gets_what_its_outbox_holds() {
    for ack in [Ack::Primary("d1".into()), Ack::All] {
        let mut bench = Bench::following(1..=20, 2);
        bench.crash_owing_the_second(after(20)).await;
        bench.ack = ack;
        (21..=25).for_each(|n| bench.history.push(transaction(n)));
        bench.disks[1].fail_writes([Error::retry("away")]);
        let summary = bench.drain().await.unwrap();
        bench.all_have(1..=25);
        assert_eq!(summary.status.retries, 1, "it decides now, so the flow waits for it");
        assert!(!bench.outbox().exists());
        let checkpoint = bench.store.load("flow").await.unwrap().unwrap();
        assert_eq!(checkpoint.destinations["d1"].queued, None);
        // And back.
        bench.ack = Ack::Primary("d0".into());
        bench.history.push(transaction(26));
        bench.crash_owing_the_second(after(26)).await;
        bench.drain().await.unwrap();
        bench.all_have(1..=26);
    }
}

#[tokio::test]
async fn a_destination_that_is_taken_out_leaves_no_outbox_and_is_refused_when_it_comes_back() {
    let mut bench = Bench::following(1..=5, 3);
    bench.drain().await.unwrap();
    bench.history.push(transaction(6));
    bench.crash_owing_the_second(after(6)).await;
    let second = bench.disks.remove(1);
    let third = bench.disks.remove(1);
    bench.drain().await.unwrap();
    assert!(!bench.outbox().exists());
    bench.disks.extend([second, third]);
    let error = bench.drain().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync);
    assert!(error.message().contains("destination d1") && error.message().contains("missed"), "{}", error.report());
}

#[tokio::test]
async fn an_outbox_that_is_lost_or_damaged_is_refused_with_the_remedy_whatever_the_policy() {
    for ack in [Ack::Primary("d0".into()), Ack::All] {
        for damage in [false, true] {
            let mut bench = Bench::following(1..=20, 2);
            bench.crash_owing_the_second(after(20)).await;
            bench.ack = ack.clone();
            let segment = bench.segments().remove(0);
            let whole = std::fs::read(&segment).unwrap();
            let kept = bench.outboxes.path().join("kept");
            match damage {
                true => {
                    let mut bytes = whole.clone();
                    bytes[whole.len() / 2] ^= 1;
                    std::fs::write(&segment, bytes).unwrap();
                }
                false => std::fs::rename(bench.outbox(), &kept).unwrap(),
            }
            let error = bench.drain().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resync, "{}", error.report());
            assert!(error.message().contains("destination d1: the outbox in") && error.remedy().is_some());
            assert_eq!(bench.disks[1].positions(), [], "nothing is delivered beyond a gap");
            match damage {
                true => std::fs::write(&segment, whole).unwrap(),
                false => {
                    let _ = std::fs::remove_dir_all(bench.outbox());
                    std::fs::rename(&kept, bench.outbox()).unwrap();
                }
            }
            bench.drain().await.unwrap();
            bench.all_have(1..=20);
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_damaged_while_the_flow_runs_is_refused_before_anything_of_it_is_delivered() {
    let bench = Bench::following(1..=20, 2);
    bench.disks[1].fail_opens((0..1_000_000).map(|_| Error::retry("away")));
    let run = tokio::spawn(bench.runner().run(Until::Stopped, CancellationToken::new()));
    bench.history.acknowledged().wait_for(|at| *at == after(20)).await.unwrap();
    let segment = bench.segments().remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    bench.disks[1].fail_no_more();
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync, "{}", error.report());
    assert_eq!(bench.disks[1].positions(), []);
}

#[tokio::test]
async fn whatever_fails_and_whenever_it_crashes_every_destination_gets_every_change_once_and_in_order() {
    for seed in 1..=6 {
        let mut random = Random(seed);
        let bench = Bench { budget: ByteSize(random.below(3) * 200_000 + 40_000), ..Bench::following([], 3) };
        let mut next = 1;
        for _ in 0..6 {
            for _ in 0..random.below(15) {
                bench.history.push(transaction(next));
                next += 1;
            }
            for disk in &bench.disks {
                disk.set_gate(random.below(4) > 0);
                disk.fail_writes((0..random.below(3)).map(|_| Error::retry("away")));
            }
            let run = tokio::spawn(bench.runner().run(Until::Stopped, CancellationToken::new()));
            tokio::time::sleep(Duration::from_millis(random.below(40))).await;
            run.abort();
            let _ = run.await;
        }
        bench.disks.iter().for_each(|disk| {
            disk.set_gate(true);
            disk.fail_no_more();
        });
        bench.drain().await.unwrap_or_else(|error| panic!("seed {seed}: {}", error.report()));
        for disk in &bench.disks {
            assert_eq!(disk.positions(), expected(1..next), "seed {seed}");
        }
    }
}

/// A small generator (xorshift) whose seed replays a test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
