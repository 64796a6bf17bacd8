//! Flows into a store that fails: every way to fail, for every kind of request.

use std::time::Duration;

use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually_within;
use ductstream_testkit::s3::{Misbehaviour, Moods, S3Server};
use http::Method;

use crate::harness::{Flow, Shape, Through, signal, source_rows};
use crate::s3::{agrees, flow, manifests_tell_the_truth, parquet, shop, work};

const PATIENCE: Duration = Duration::from_secs(60);
const IMPATIENT: &str = "part_size: 5MiB\n    retry_for: 2s\n    request_timeout: 1s";
/// Outlasts `request_timeout`.
const DELAY: Duration = Duration::from_millis(1200);

type Kind = (&'static str, fn(&Method, &str) -> bool);

/// What a running flow asks of a store.
const WRITES: [Kind; 5] = [
    ("object", |method, path| *method == Method::PUT && path.contains("/public.small/") && !path.contains('?')),
    ("manifest", |method, path| *method == Method::PUT && path.contains("/_cuts/")),
    ("begin of an upload", |method, path| *method == Method::POST && path.contains("?uploads")),
    ("part", |method, path| *method == Method::PUT && path.contains("partNumber=")),
    ("completion", |method, path| *method == Method::POST && path.contains("uploadId=")),
];

/// What it asks at each start.
const READS: [Kind; 4] = [
    ("list of manifests", |method, path| {
        *method == Method::GET && path.contains("list-type=2") && path.contains("_cuts")
    }),
    ("list of objects", |method, path| {
        *method == Method::GET && path.contains("list-type=2") && !path.contains("_cuts")
    }),
    ("manifest", |method, path| *method == Method::GET && path.contains("/_cuts/") && !path.contains("list-type")),
    ("removal", |method, path| *method == Method::DELETE || *method == Method::POST && path.contains("?delete")),
];

fn arm(server: &S3Server, kinds: &[Kind], how: Misbehaviour) {
    for (_, matches) in kinds {
        server.misbehave_once(*matches, how);
    }
}

async fn all_came(server: &S3Server, flow: &Flow, how: Misbehaviour) {
    let came = || async { server.misbehaviours_left() == 0 };
    let what = format!("all requests, {how:?}");
    if tokio::time::timeout(PATIENCE, eventually_within(PATIENCE * 2, &what, came)).await.is_err() {
        let left = server.misbehaviours_left();
        panic!("{how:?}: {left} of the requests did not come, of these {:#?}\n{}", server.requests(), flow.log());
    }
}

async fn both_agree(flow: &Flow, database: &TestDatabase) {
    for (table, columns) in [("shop", ["id", "n", "md5(note)"].as_slice()), ("small", &["id"])] {
        let expected = source_rows(database, table, columns).await;
        for through in [Through::Manifests, Through::Glob] {
            let found = flow.folded(&format!("public.{table}"), columns, through);
            assert!(found == expected, "{table} {through:?}: {} of {}\n{}", found.len(), expected.len(), flow.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_failure_of_every_kind_of_request_loses_and_doubles_nothing() {
    let (database, server) = (shop(18).await, S3Server::start());
    database.execute("create table small (id int primary key)").await;
    let shape = Shape { destination: "roll: {bytes: 1GiB, age: 150ms}", ..Shape::default() };
    let flow = flow(&database, &server, &shape, IMPATIENT);
    flow.create().await;
    let mut run = flow.start();
    for (round, how) in Misbehaviour::all(DELAY).into_iter().enumerate() {
        let cuts = flow.cuts().len();
        arm(&server, &WRITES, how);
        let from = round * 30_000;
        let note = "repeat(md5(id::text), 8)";
        database
            .execute(&format!(
                "begin; insert into small values ({round});
                 insert into shop select id, 0, {note} from generate_series({from}, {from} + 15000) id; commit"
            ))
            .await;
        all_came(&server, &flow, how).await;
        // Without one, there is no manifest to read at the next start.
        eventually_within(PATIENCE, "a cut", || async { flow.cuts().len() > cuts }).await;
        run.kill().await.unwrap();
        arm(&server, &READS, how);
        run = flow.start();
        all_came(&server, &flow, how).await;
    }
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    flow.drain().await;
    both_agree(&flow, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moody_store_under_load_and_kills_loses_and_doubles_nothing() {
    let (database, server) = (shop(18).await, S3Server::start());
    let flow = flow(&database, &server, &parquet("roll: {age: 100ms, rows: 300}"), IMPATIENT);
    flow.create().await;
    let mut seed = 1;
    for round in 1..=4 {
        server.set_moods(Some(Moods::new(round, 3, DELAY)));
        let mut run = flow.start();
        let cuts = flow.cuts().len();
        for _ in 0..4 {
            work(&database, seed).await;
            seed += 1;
        }
        eventually_within(PATIENCE, "another cut", || async { flow.cuts().len() > cuts }).await;
        run.kill().await.unwrap();
    }
    server.set_moods(None);
    flow.drain().await;
    agrees(&flow, &database).await;
    assert!(manifests_tell_the_truth(&flow) > 0);
}
