//! What every [`CheckpointStore`] must keep.

#![expect(clippy::expect_used, clippy::panic, reason = "a suite panics where the contract is broken")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use ductstream_core::{
    Checkpoint, CheckpointStore, Created, DestinationCheckpoint, Durable, ErrorKind, Lsn, Position, SchemaRecord,
    SourceIdentity, TableName,
};

/// Runs every case. `open` opens the same store anew at each call, as another process would; the store is empty at first and is not
/// used by others.
///
/// Panics where the store breaks the contract.
pub async fn check_all<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn CheckpointStore>> + Send + 'static,
{
    many_may_open_an_empty_store_at_once(&open).await;
    let (one, other) = (open().await, open().await);
    an_unknown_flow_has_nothing(&*one).await;
    a_checkpoint_reads_back_whole_through_another_handle(&*one, &*other).await;
    a_smaller_position_is_fenced_and_changes_nothing(&*one, &*other).await;
    a_worker_on_a_timeline_that_was_left_is_fenced(&*one).await;
    another_source_may_begin_anywhere(&*one).await;
    of_concurrent_stores_the_furthest_stays(&one, &other).await;
    schemas_come_in_order_and_are_never_overwritten(&*one, &*other).await;
    schemas_are_added_all_or_none(&*one, &*other).await;
    forgetting_is_complete_and_touches_no_other_flow(&*one, &*other).await;
    flows_are_listed_by_name(&*one).await;
}

async fn many_may_open_an_empty_store_at_once<O, F>(open: &O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn CheckpointStore>> + Send + 'static,
{
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(open())).collect();
    for task in tasks {
        let store = task.await.expect("opening the store does not panic");
        assert_eq!(store.flows().await.expect("an empty store lists its flows"), Vec::<String>::new());
    }
}

async fn an_unknown_flow_has_nothing(store: &dyn CheckpointStore) {
    assert_eq!(store.load("unknown").await.expect("load"), None);
    assert_eq!(store.schemas("unknown").await.expect("schemas"), []);
    store.forget("unknown").await.expect("forgetting an unknown flow is no error");
}

async fn a_checkpoint_reads_back_whole_through_another_handle(one: &dyn CheckpointStore, other: &dyn CheckpointStore) {
    let stored = Position::new(Lsn(u64::MAX - 1), u64::MAX);
    let destination = DestinationCheckpoint { position: at(u64::MAX), stored: Some(stored), queued: Some(at(7)) };
    let checkpoint = Checkpoint {
        source: source("s"),
        position: Position::new(Lsn(0x16_B374_D848), 7),
        commit_time: Some(-1),
        destinations: [("lake".to_owned(), destination), ("it's \"odd\" ✓".to_owned(), begin(3))].into(),
        created: Created { publication: Some("p".into()), slot: None },
        publications: vec!["p".into(), "q".into()],
    };
    one.store("whole", &checkpoint).await.expect("store");
    assert_eq!(other.load("whole").await.expect("load"), Some(checkpoint));
}

async fn a_smaller_position_is_fenced_and_changes_nothing(one: &dyn CheckpointStore, other: &dyn CheckpointStore) {
    one.store("fenced", &checkpoint("s", 20)).await.expect("store");
    for position in [at(19), Position::new(Lsn(19), 99), Position::default()] {
        let error =
            other.store("fenced", &Checkpoint { position, ..checkpoint("s", 0) }).await.expect_err("moves back");
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    }
    assert_eq!(one.load("fenced").await.expect("load"), Some(checkpoint("s", 20)));
    // The same position again, with one destination further: that is progress.
    let mut further = checkpoint("s", 20);
    further.advance("lake", &Durable::up_to(Position::new(Lsn(20), 0)).with_stored(Some(at(20))));
    other.store("fenced", &further).await.expect("the same position may be stored again");
    other.store("fenced", &checkpoint("s", 21)).await.expect("a larger position");
    assert_eq!(one.load("fenced").await.expect("load"), Some(checkpoint("s", 21)));
}

async fn a_worker_on_a_timeline_that_was_left_is_fenced(store: &dyn CheckpointStore) {
    let on = |timeline, lsn| {
        let mut checkpoint = checkpoint("s", lsn);
        checkpoint.source.timeline = timeline;
        checkpoint
    };
    store.store("promoted", &on(1, 20)).await.expect("store");
    store.store("promoted", &on(2, 20)).await.expect("the same position on a later timeline");
    let error = store.store("promoted", &on(1, 99)).await.expect_err("its server was replaced");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let error = store.store("promoted", &on(3, 19)).await.expect_err("moves back");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(store.load("promoted").await.expect("load"), Some(on(2, 20)));
}

async fn another_source_may_begin_anywhere(store: &dyn CheckpointStore) {
    store.store("moved", &checkpoint("old", 900)).await.expect("store");
    store.store("moved", &checkpoint("new", 3)).await.expect("positions of two sources do not compare");
    assert_eq!(store.load("moved").await.expect("load"), Some(checkpoint("new", 3)));
}

async fn of_concurrent_stores_the_furthest_stays(one: &Arc<dyn CheckpointStore>, other: &Arc<dyn CheckpointStore>) {
    // 1..=24, scattered: neighbours in time are far apart in value.
    let tasks: Vec<_> = (1..=24u64)
        .map(|turn| {
            let store = Arc::clone(if turn % 2 == 0 { one } else { other });
            let position = turn * 7 % 25;
            tokio::spawn(async move { (position, store.store("raced", &checkpoint("s", position)).await) })
        })
        .collect();
    for task in tasks {
        let (position, result) = task.await.expect("no panic");
        match result {
            Ok(()) => {}
            Err(error) => assert_eq!((error.kind(), position < 24), (ErrorKind::Fenced, true), "{position}: {error}"),
        }
    }
    assert_eq!(one.load("raced").await.expect("load"), Some(checkpoint("s", 24)));
}

async fn schemas_come_in_order_and_are_never_overwritten(one: &dyn CheckpointStore, other: &dyn CheckpointStore) {
    one.add_schemas("versions", &[version("b", 2, "b2"), version("a", 10, "a10")]).await.expect("add");
    let again = [version("a", 9, "a9"), version("b", 2, "changed"), version("B", 1, "B1")];
    other.add_schemas("versions", &again).await.expect("what is stored already is no error");
    other.add_schemas("versions", &[]).await.expect("nothing to add is no error");
    let expected = [version("B", 1, "B1"), version("a", 9, "a9"), version("a", 10, "a10"), version("b", 2, "b2")];
    assert_eq!(one.schemas("versions").await.expect("schemas"), expected);
    assert_eq!(one.load("versions").await.expect("load"), None, "schema versions are no checkpoint");
}

/// Far more than it takes to see both ends of a call that is cut.
const SWEEPS: usize = 200;

/// Drops the call at one point after another, as a worker that is stopped would.
async fn schemas_are_added_all_or_none(one: &dyn CheckpointStore, other: &dyn CheckpointStore) {
    let all: Vec<_> = (1..=200).map(|number| version("t", number, "shape")).collect();
    let (mut none_stored, mut all_stored) = (0, 0);
    // A store that is quick may never have to be waited for before the end, so that nothing can be cut off: then once more.
    for round in 0..SWEEPS {
        for polls in (1..).step_by(9) {
            let flow = format!("cut-{round}-{polls}");
            let finished = cut_after(polls, one.add_schemas(&flow, &all)).await;
            match other.schemas(&flow).await.expect("schemas").len() {
                0 => none_stored += 1,
                200 => all_stored += 1,
                some => panic!("a call cut after {polls} polls left {some} of 200 versions"),
            }
            other.forget(&flow).await.expect("forget");
            if let Some(result) = finished {
                result.expect("add");
                break;
            }
        }
        if none_stored > 0 && all_stored > 0 {
            return;
        }
    }
    panic!("{none_stored} calls were cut, {all_stored} got through");
}

async fn forgetting_is_complete_and_touches_no_other_flow(one: &dyn CheckpointStore, other: &dyn CheckpointStore) {
    for flow in ["gone", "kept"] {
        one.store(flow, &checkpoint("s", 50)).await.expect("store");
        one.add_schemas(flow, &[version("t", 1, "shape")]).await.expect("add");
    }
    other.forget("gone").await.expect("forget");
    assert_eq!(one.load("gone").await.expect("load"), None);
    assert_eq!(one.schemas("gone").await.expect("schemas"), []);
    assert_eq!(one.load("kept").await.expect("load"), Some(checkpoint("s", 50)));
    assert_eq!(one.schemas("kept").await.expect("schemas").len(), 1);
    one.store("gone", &checkpoint("s", 1)).await.expect("a forgotten flow begins anew, behind where it was");
}

async fn flows_are_listed_by_name(store: &dyn CheckpointStore) {
    for flow in store.flows().await.expect("flows") {
        store.forget(&flow).await.expect("forget");
    }
    assert_eq!(store.flows().await.expect("flows"), Vec::<String>::new());
    // Names on which a collation and the order of bytes disagree.
    store.store("a_b", &checkpoint("s", 1)).await.expect("store");
    store.add_schemas("a-b", &[version("t", 1, "shape")]).await.expect("add");
    store.store("ab", &checkpoint("s", 1)).await.expect("store");
    store.add_schemas("ab", &[version("t", 1, "shape")]).await.expect("add");
    assert_eq!(store.flows().await.expect("flows"), ["a-b", "a_b", "ab"]);
}

/// Polls `future` at most `polls` times, then drops it.
async fn cut_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future: Pin<Box<_>> = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

fn at(lsn: u64) -> Position {
    Position::start_of(Lsn(lsn))
}

fn begin(lsn: u64) -> DestinationCheckpoint {
    DestinationCheckpoint::begin(at(lsn))
}

fn source(slot: &str) -> SourceIdentity {
    let system_identifier = "7300000000000000001".to_owned();
    SourceIdentity { system_identifier, timeline: 1, database: "shop".into(), slot: slot.into() }
}

fn checkpoint(slot: &str, lsn: u64) -> Checkpoint {
    Checkpoint::begin(source(slot), at(lsn), ["lake".to_owned()])
}

fn version(table: &str, version: u32, shape: &str) -> SchemaRecord {
    let from = Position::new(Lsn(0xAB_0000_0001), u64::from(version));
    SchemaRecord { table: TableName::new("public", table), version, from, shape: shape.into() }
}
