//! Crashes, restarts, lost connections, and sources that changed behind the flow's back.

use std::time::Duration;

use ductstream_testkit::postgres::{Cluster, Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually_within;

use crate::harness::{Flow, Shape, Through, signal, source_rows};

const PATIENCE: Duration = Duration::from_secs(60);
const COLUMNS: &[&str] = &["id", "n", "note"];

async fn shop(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    database
}

fn parquet() -> Shape<'static> {
    Shape { format: "parquet", destination: "roll: {age: 200ms}", ..Shape::default() }
}

/// A hundred transactions of inserts, updates, deletes and key changes, told by `seed`.
async fn work(database: &TestDatabase, seed: u32) {
    for n in 0..100 {
        let id = seed * 1000 + n;
        let sql = match n % 5 {
            0 | 1 => format!("insert into shop select id, {n}, repeat('n', {n}) from generate_series({id}0, {id}9) id"),
            2 => format!("update shop set n = n + 1 where id % 7 = {}", n % 7),
            3 => format!("delete from shop where id % 11 = {}", n % 11),
            _ => format!("update shop set id = -id where id % 13 = {} and id > 0", n % 13),
        };
        database.execute(&sql).await;
    }
}

async fn agrees(flow: &Flow, database: &TestDatabase, table: &str) {
    let expected = source_rows(database, table, COLUMNS).await;
    assert!(!expected.is_empty());
    for through in [Through::Manifests, Through::Glob] {
        let found = flow.folded(&format!("public.{table}"), COLUMNS, through);
        assert!(
            found == expected,
            "{through:?}: {} rows delivered, {} in the source\n{}",
            found.len(),
            expected.len(),
            flow.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_at_any_moment_it_delivers_every_change_once() {
    for version in supported_versions() {
        let database = shop(version).await;
        let flow = Flow::new(&database, &parquet());
        flow.create().await;
        for round in 0..6 {
            let mut run = flow.start();
            let cuts = flow.cuts().len();
            work(&database, round * 2 + 1).await;
            // Some rounds are killed after a cut, some before any.
            if round % 2 == 0 {
                eventually_within(PATIENCE, "another cut", || async { flow.cuts().len() > cuts }).await;
            }
            work(&database, round * 2 + 2).await;
            run.kill().await.unwrap();
        }
        flow.drain().await;
        agrees(&flow, &database, "shop").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_effects_loses_and_doubles_nothing() {
    let points = [
        ("object_store::before_object", "2*off->panic"),
        ("object_store::before_manifest", "2*off->panic"),
        ("object_store::after_manifest", "2*off->panic"),
        ("runner::durable", "1*off->return"),
        ("runner::checkpointed", "1*off->return"),
        ("runner::acknowledged", "1*off->return"),
    ];
    let database = shop(18).await;
    // Small batches and cuts: each point is passed several times.
    let shape = Shape { source: "  batch_size: 8KiB", destination: "roll: {rows: 150}", ..parquet() };
    let flow = Flow::new(&database, &shape);
    flow.create().await;
    for (round, (point, crash)) in points.into_iter().enumerate() {
        work(&database, round as u32 + 1).await;
        let output = flow
            .command("run", &["--until-idle"])
            .env("FAILPOINTS", format!("{point}={crash}"))
            .output()
            .await
            .unwrap();
        assert!(!output.status.success(), "{point} was never reached: {}", String::from_utf8_lossy(&output.stderr));
        flow.drain().await;
        agrees(&flow, &database, "shop").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_memory_is_cut_inside_and_resumed_inside() {
    let database = shop(14).await;
    let mut shape = parquet();
    shape.destination = "roll: {rows: 20000}";
    shape.source = "  batch_size: 256KiB";
    let flow = Flow::new(&database, &shape);
    flow.create().await;
    database.execute("insert into shop select id, id, repeat('n', 100) from generate_series(1, 200000) id").await;
    let mut run = flow.start();
    eventually_within(PATIENCE, "three cuts", || async { flow.cuts().len() >= 3 }).await;
    run.kill().await.unwrap();
    let inside = flow.cuts().last().unwrap()["position"]["seq"].as_u64().unwrap();
    assert!(inside > 0, "the last cut lies inside the transaction");
    flow.drain().await;
    agrees(&flow, &database, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_with_savepoints_that_was_rolled_back_is_no_reason_to_stop_for_a_server_short_of_memory() {
    for version in supported_versions() {
        let database = shop(version).await;
        let short = format!("alter database {} set logical_decoding_work_mem = '64kB'", database.name());
        database.execute(&short).await;
        let flow = Flow::new(&database, &parquet());
        flow.create().await;
        // Decoded after it was rolled back: PostgreSQL 18 notices, and reports its subtransactions as if it had streamed them.
        let insert =
            |from, to| format!("insert into shop select id, 0, repeat('n', 100) from generate_series({from}, {to}) id");
        let rolled_back = format!(
            "begin; {}; savepoint a; {}; release a; {}; rollback",
            insert(1, 100),
            insert(101, 120),
            insert(121, 1000)
        );
        database.execute(&rolled_back).await;
        database.execute(&insert(1, 10)).await;
        flow.drain().await;
        agrees(&flow, &database, "shop").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_run_drains_stores_and_exits_with_zero() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &Shape { destination: "roll: {age: 1h}", format: "parquet", ..Shape::default() });
    flow.create().await;
    work(&database, 1).await;
    let mut run = flow.start();
    let slot = format!("select active from pg_replication_slots where slot_name = 'ductstream_{}'", flow.name);
    eventually_within(PATIENCE, "an active slot", || async { database.query_value(&slot).await == "t" }).await;
    // Rolls by nothing but the end: what arrives, arrives because of the graceful stop.
    let caught_up = "select count(*) from pg_stat_replication where write_lsn >= pg_current_wal_flush_lsn()
                     and application_name = 'ductstream'";
    eventually_within(PATIENCE, "the flow to catch up", || async { database.query_value(caught_up).await != "0" })
        .await;
    signal(&run, "TERM");
    let status = run.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", flow.log());
    agrees(&flow, &database, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_reconnected_to() {
    let cluster = std::sync::Arc::new(Cluster::builder(18).setting("fsync", "on").start().await);
    let database = cluster.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    let mut run = flow.start();
    work(&database, 1).await;
    cluster.restart().await;
    work(&database, 2).await;
    let expected = source_rows(&database, "shop", COLUMNS).await;
    eventually_within(PATIENCE, "the source's rows", || async {
        flow.folded("public.shop", COLUMNS, Through::Manifests) == expected
    })
    .await;
    signal(&run, "INT");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    agrees(&flow, &database, "shop").await;
}

/// Inserts rows in small and large transactions until the server is gone.
async fn insert_until_gone(database: &TestDatabase) -> tokio::task::JoinHandle<()> {
    let client = database.connect().await;
    tokio::spawn(async move {
        for rows in [1, 1, 1, 3, 200].into_iter().cycle() {
            let insert = format!("insert into shop select nextval('ids'), 0, 'n' from generate_series(1, {rows})");
            if client.batch_execute(&insert).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let cluster = std::sync::Arc::new(Cluster::builder(18).setting("fsync", "on").start().await);
    let database = cluster.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text); create sequence ids").await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    let mut run = flow.start();
    for _ in 0..4 {
        let writers = [insert_until_gone(&database).await, insert_until_gone(&database).await];
        let cuts = flow.cuts().len();
        eventually_within(PATIENCE, "another cut", || async { flow.cuts().len() > cuts }).await;
        cluster.restart().await;
        for writer in writers {
            writer.await.unwrap();
        }
    }
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    flow.drain().await;
    agrees(&flow, &database, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shuts_down_does_not_wait_for_files_to_grow_old() {
    let cluster = std::sync::Arc::new(Cluster::builder(14).start().await);
    let database = cluster.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    let flow = Flow::new(&database, &Shape { format: "parquet", destination: "roll: {age: 1h}", ..Shape::default() });
    flow.create().await;
    let mut run = flow.start();
    work(&database, 1).await;
    let sent = "select count(*) from pg_stat_replication where write_lsn >= pg_current_wal_flush_lsn()";
    eventually_within(PATIENCE, "everything to be sent", || async { database.query_value(sent).await != "0" }).await;
    // PostgreSQL ends only when its walsenders' consumers have confirmed everything.
    tokio::time::timeout(PATIENCE, cluster.stop()).await.expect("the server can shut down");
    assert!(!flow.cuts().is_empty());
    cluster.start().await;
    work(&database, 2).await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    flow.drain().await;
    agrees(&flow, &database, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_dropped_or_advanced_or_another_server_is_refused_with_the_gap_named() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    work(&database, 1).await;
    flow.drain().await;
    let slot = format!("ductstream_{}", flow.name);

    database.execute("insert into shop values (-1, 1, 'x')").await;
    database.execute(&format!("select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")).await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 1);
    assert!(message.contains("beyond the checkpoint") && message.contains("ductstream cleanup"), "{message}");

    database.execute(&format!("select pg_drop_replication_slot('{slot}')")).await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 1);
    assert!(message.contains("does not exist any more"), "{message}");
    let check = flow.command("check", &[]).output().await.unwrap();
    assert_eq!(check.status.code(), Some(3), "what run refuses, check finds");
    assert!(String::from_utf8_lossy(&check.stdout).contains("does not exist any more"), "{check:?}");
    let left = database
        .query_value("select count(*) from pg_replication_slots where slot_name like '%' || current_database()")
        .await;
    assert_eq!(left, "0", "nothing was created in its place");

    let other = shop(14).await;
    let mut flow = flow;
    flow.edit(&database.url(), &other.url());
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 1);
    assert!(message.contains("another source"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn until_idle_waits_for_a_long_transaction_that_committed_before_it_started() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    database.execute("insert into shop select id, id, repeat('n', 200) from generate_series(1, 300000) id").await;
    flow.drain().await;
    agrees(&flow, &database, "shop").await;
}
