//! First starts that cannot work: one clear error with its remedy, the right exit code, and nothing created.

use std::net::TcpListener;
use std::sync::Arc;

use ductstream_testkit::postgres::{Cluster, Postgres, TestDatabase};
use ductstream_testkit::process::{Process, eventually};

use crate::harness::{DUCTSTREAM, Flow, Shape, files};

/// Wrong usage or settings.
const SETTINGS: i32 = 2;
/// The flow failed.
const FAILED: i32 = 1;

async fn shop() -> TestDatabase {
    let database = Postgres::version(18).await.database().await;
    database.execute("create table shop (id int primary key, n int)").await;
    database
}

/// `run` ends with `code`, says `words` in one error, and has left nothing anywhere.
async fn refused(flow: &Flow, code: i32, words: &[&str]) {
    let (found, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(found, code, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in:\n{message}");
    }
    assert_eq!(message.matches("error:").count(), 1, "one error is told:\n{message}");
    assert!(message.contains("To go on:"), "no remedy in:\n{message}");
    assert!(files(&flow.out(), "jsonl").is_empty() && files(&flow.out(), "json").is_empty());
    assert!(!flow.out().exists(), "the output directory was created");
}

/// The database has neither slots nor publications beside `slots`.
async fn untouched(database: &TestDatabase, slots: usize) {
    let found = database.query("select slot_name from pg_replication_slots where database = current_database()").await;
    assert_eq!(found.len(), slots, "{found:?}");
    let publications = database.query("select pubname from pg_publication").await;
    assert!(publications.is_empty(), "{publications:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_answer_is_named() {
    let flow = Flow::at("postgresql://app@nowhere.invalid:5432/shop", "shop", &Shape::default());
    refused(&flow, FAILED, &["nowhere.invalid", "host"]).await;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let flow = Flow::at(&format!("postgresql://app@127.0.0.1:{port}/shop"), "shop", &Shape::default());
    refused(&flow, FAILED, &[&port.to_string(), "port"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_missing_privileges_are_named() {
    let mut builder = Cluster::builder(18);
    for role in ["app", "reader", "stranger"] {
        for database in ["all", "replication"] {
            builder = builder.hba(&format!("host {database} {role} 127.0.0.1/32 scram-sha-256"));
        }
    }
    let cluster = Arc::new(builder.start().await);
    let database = cluster.database().await;
    database
        .execute(
            "create role app login replication password 'right'; create role reader login password 'right';
             create role owner; create table shop (id int primary key); alter table shop owner to app",
        )
        .await;
    let refused_as = async |url: String, words: &[&str]| {
        refused(&Flow::at(&url, database.name(), &Shape::default()), SETTINGS, words).await;
        untouched(&database, 0).await;
    };
    refused_as(database.url_as("app", "wrong"), &["\"app\"", "password"]).await;
    refused_as(database.url_as("stranger", "right"), &["stranger", "password"]).await;
    refused_as(database.url_as("reader", "right"), &["REPLICATION"]).await;
    refused_as(database.url_as("app", "right"), &["permission denied for database", "grant"]).await;
    database
        .execute(&format!("grant create on database {} to app; alter table shop owner to owner", database.name()))
        .await;
    refused_as(database.url_as("app", "right"), &["must be owner of table shop"]).await;
    let nowhere = database.url_as("app", "right").replace(database.name(), "nowhere");
    refused_as(nowhere, &["\"nowhere\"", "does not exist"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_replicate_or_has_no_free_slot_is_refused() {
    let cluster = Arc::new(Cluster::builder(18).setting("max_replication_slots", "1").start().await);
    let database = cluster.database().await;
    database.execute("create table shop (id int primary key)").await;
    database.execute("select pg_create_physical_replication_slot('taken')").await;
    let flow = Flow::new(&database, &Shape::default());
    refused(&flow, SETTINGS, &["all replication slots are in use", "max_replication_slots"]).await;
    untouched(&database, 0).await;
    database.execute("select pg_drop_replication_slot('taken')").await;

    cluster.set("wal_level", "replica").await;
    cluster.restart().await;
    refused(&flow, SETTINGS, &["wal_level", "ALTER SYSTEM SET wal_level = logical"]).await;
    untouched(&database, 0).await;

    cluster.set("wal_level", "logical").await;
    cluster.restart().await;
    flow.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_cannot_be_streamed_are_named() {
    let database = shop().await;
    database
        .execute(
            "create table keyless (n int); create table nothing (id int primary key);
             alter table nothing replica identity nothing; create unlogged table cache (id int primary key);
             create table parted (n int) partition by range (n);
             create table part_1 partition of parted for values from (0) to (10)",
        )
        .await;
    for (table, words) in [
        ("public.shpo", &["\"public.shpo\"", "public.shop"][..]),
        ("public.keyless", &["public.keyless", "no primary key", "REPLICA IDENTITY FULL"]),
        ("public.nothing", &["public.nothing", "REPLICA IDENTITY DEFAULT"]),
        ("public.parted", &["public.part_1", "REPLICA IDENTITY FULL"]),
        ("public.cache", &["public.cache", "unlogged"]),
    ] {
        let flow = Flow::new(&database, &Shape { tables: &["public.shop", table], ..Shape::default() });
        refused(&flow, SETTINGS, words).await;
        untouched(&database, 0).await;
    }
    database.execute("insert into keyless values (1); update keyless set n = 2; delete from keyless").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_loses_its_identity_later_does_not_stop_the_flow() {
    let database = shop().await;
    let flow = Flow::new(&database, &Shape::default());
    flow.create().await;
    database.execute("alter table shop drop constraint shop_pkey; insert into shop values (1, 1)").await;
    flow.drain().await;
    assert_eq!(flow.records("public.shop").len(), 1);
    // A table that would join the publication is another matter: its application would be broken by us.
    database.execute("create table later (n int)").await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert!(code == SETTINGS && message.contains("public.later"), "{message}");
    database.execute("insert into later values (1); update later set n = 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_flow_file_is_refused_by_line_and_field() {
    let database = shop().await;
    let mut flow = Flow::new(&database, &Shape::default());
    flow.edit("  tables:", "  tabels:");
    let (code, message) = flow.fails("run", &[]).await;
    assert_eq!(code, SETTINGS);
    for word in ["flow.yaml:5", "tabels", "tables"] {
        assert!(message.contains(word), "{word:?} is missing in:\n{message}");
    }
    assert!(!flow.state().exists() && !flow.out().exists());
    untouched(&database, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_refused_before_the_source_is_touched() {
    let database = shop().await;
    for path in ["flow.yaml/out", "/sys/out"] {
        let mut flow = Flow::new(&database, &Shape::default());
        let (from, to) = (flow.out().display().to_string(), flow.directory.path().join(path).display().to_string());
        flow.edit(&from, &to);
        refused(&flow, SETTINGS, &["lake", "out"]).await;
        untouched(&database, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_does_not_exist_is_named() {
    let database = shop().await;
    let mut flow = Flow::new(&database, &Shape::default());
    flow.edit("tables: [\"public.*\"]", "publication: nothing_here");
    refused(&flow, SETTINGS, &["nothing_here", "CREATE PUBLICATION"]).await;
    untouched(&database, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_the_flows_name_that_holds_something_else_is_left_alone() {
    let database = shop().await;
    database.execute("create table others (id int primary key)").await;
    let flow = Flow::new(&database, &Shape { tables: &["public.shop"], ..Shape::default() });
    let publication = format!("ductstream_{}", flow.name);
    database.execute(&format!("create publication {publication} for table others")).await;
    refused(&flow, SETTINGS, &[&publication, "another flow"]).await;
    let tables = database.query_value("select string_agg(tablename, ',') from pg_publication_tables").await;
    assert_eq!(tables, "others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_another_kind_is_left_alone() {
    let database = shop().await;
    let flow = Flow::new(&database, &Shape::default());
    let slot = format!("ductstream_{}", flow.name);
    for (make, word, slots) in [
        (format!("select pg_create_physical_replication_slot('{slot}')"), "physical", 0),
        (format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)"), "two_phase", 1),
    ] {
        database.execute(&make).await;
        refused(&flow, SETTINGS, &[&slot, word, "source.slot"]).await;
        untouched(&database, slots).await;
        database.execute(&format!("select pg_drop_replication_slot('{slot}')")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_flow_on_a_slot_in_use_is_refused_and_a_second_run_of_one_flow_waits_its_turn() {
    let database = shop().await;
    let first = Flow::new(&database, &Shape::default());
    first.create().await;
    let slot = format!("ductstream_{}", first.name);
    let mut run = first.start();
    let pid = format!("select coalesce(active_pid, 0) from pg_replication_slots where slot_name = '{slot}'");
    eventually("an active slot", || async { database.query_value(&pid).await != "0" }).await;
    let pid = database.query_value(&pid).await;

    let source = format!("  slot: {slot}");
    let other = Flow::at(&database.url(), "other", &Shape { source: &source, ..Shape::default() });
    refused(&other, FAILED, &[&slot, &format!("in use by process {pid}"), "source.slot"]).await;
    let publications = database.query("select pubname from pg_publication").await;
    assert_eq!(publications.len(), 1, "the second flow made its publication");

    let (state, file) = (first.state(), first.file());
    let arguments = ["--state", state.to_str().unwrap(), "run", file.to_str().unwrap(), "--until-idle"];
    let second = Process::start(DUCTSTREAM, arguments, &[]);
    second.wait_for_stderr(|line| line.contains("in use by process") && line.contains("trying again")).await;
    run.kill().await.unwrap();
    database.execute("insert into shop values (1, 1)").await;
    let _ended = second.wait().await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_stopped_while_it_waits_for_transactions_leaves_nothing() {
    let database = shop().await;
    let flow = Flow::new(&database, &Shape::default());
    let writer = database.connect().await;
    writer.batch_execute("begin; insert into shop values (1, 1)").await.unwrap();
    let (state, file) = (flow.state(), flow.file());
    let arguments = ["--state", state.to_str().unwrap(), "run", file.to_str().unwrap()];
    let run = Process::start(DUCTSTREAM, arguments, &[]);
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
                   and backend_type = 'walsender' and wait_event_type = 'Lock'";
    eventually("the slot's creation to wait", || async { database.query_value(waiting).await == "1" }).await;
    run.signal("TERM").await;
    let ended = run.wait().await.expect_code(0);
    untouched(&database, 0).await;
    writer.batch_execute("commit").await.unwrap();
    untouched(&database, 0).await;
    assert!(!ended.stderr.contains("could not be taken back"), "{}", ended.stderr);
    flow.drain().await;
}
