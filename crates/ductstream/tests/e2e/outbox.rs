//! Destinations that follow a primary from outboxes on disk: brokers and buckets that are away, crashes, budgets, changes of mind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ductstream_core::{Lsn, Position};
use ductstream_testkit::kafka::Kafka;
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually_within;
use ductstream_testkit::python;
use ductstream_testkit::s3::S3Server;
use serde_json::Value;

use crate::harness::{Flow, Shape, files, signal, source_rows};
use crate::kafka::{broker, folded, read, shop, source};
use crate::kafka_faults::work;

const PATIENCE: Duration = Duration::from_secs(90);
const COLUMNS: &[&str] = &["id", "n", "note"];

/// A flow into a directory that decides, and another destination that follows.
fn following(database: &TestDatabase, outbox: &str, other: &str) -> Flow {
    let mut flow = Flow::new(database, &Shape { destination: "roll: {age: 100ms}", ..Shape::default() });
    flow.edit("retry:", &format!("ack: {{primary: lake{outbox}}}\nretry:"));
    flow.edit("destinations:\n", &format!("destinations:\n  - {{{other}}}\n"));
    flow
}

fn into_topics(database: &TestDatabase, kafka: &Kafka, settings: &str) -> (Flow, String) {
    let prefix = kafka.prefix();
    let bus = format!("name: bus, type: kafka, brokers: \"{}\", prefix: \"{prefix}\", {settings}", kafka.address());
    (following(database, "", &bus), format!("{prefix}public.shop"))
}

/// A follower in a bucket, and the directory that shows what is in it.
fn into_bucket(database: &TestDatabase, s3: &S3Server, outbox: &str) -> (Flow, PathBuf) {
    let remote = format!(
        "name: remote, type: s3, bucket: {}, endpoint: \"{}\", prefix: remote, access_key_id: {}, secret_access_key: {}, \
         retry_for: 500ms, roll: {{age: 100ms}}",
        s3.bucket(),
        s3.endpoint(),
        s3.access_key(),
        s3.secret_key()
    );
    (following(database, outbox, &remote), s3.root().join("remote"))
}

fn outbox(flow: &Flow, destination: &str) -> PathBuf {
    flow.state().join("outbox").join(&flow.name).join(destination)
}

fn outbox_bytes(flow: &Flow, destination: &str) -> u64 {
    files(&outbox(flow, destination), "outbox")
        .iter()
        .map(|file| std::fs::metadata(file).map_or(0, |it| it.len()))
        .sum()
}

/// Whether the slot was moved beyond everything that the database has written by now.
async fn moves(database: &TestDatabase, flow: &Flow) {
    let end = database.query_value("select pg_current_wal_insert_lsn()").await;
    let moved = format!(
        "select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = 'ductstream_{}'",
        flow.name
    );
    eventually_within(PATIENCE, "the slot to move", || async { database.query_value(&moved).await == "t" }).await;
}

fn rows(directory: &Path) -> Vec<String> {
    let arguments = [directory.to_str().unwrap(), "public.shop", &COLUMNS.join(","), "manifests"];
    python::run(include_str!("fold.py"), &arguments).lines().map(str::to_owned).collect()
}

/// Every change of the files below `directory`, in order.
fn changes(directory: &Path) -> Vec<Value> {
    let texts =
        files(&directory.join("public.shop"), "jsonl").into_iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>())
        .collect()
}

fn positions(changes: &[Value]) -> BTreeSet<Position> {
    let lsn = |change: &Value| change["_commit_lsn"].as_str().unwrap().parse::<Lsn>().unwrap();
    changes.iter().map(|change| Position::new(lsn(change), change["_seq"].as_u64().unwrap())).collect()
}

async fn files_agree(database: &TestDatabase, directories: &[&Path]) {
    let expected = source_rows(database, "shop", COLUMNS).await;
    assert!(!expected.is_empty());
    for directory in directories {
        let found = rows(directory);
        assert!(found == expected, "{}: {} rows of {}", directory.display(), found.len(), expected.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_hold_up_neither_files_nor_slot_and_get_everything_after_every_kill() {
    let kafka = broker(|| Arc::new(Kafka::start())).await;
    let database = shop(18).await;
    let (flow, topic) = into_topics(&database, &kafka, "create_topics: {partitions: 3}, delivery_timeout: 5s");
    flow.create().await;
    let mut round = 0;
    for is_away in [true, true, false, true, true] {
        let changed = kafka.clone();
        let set = move || {
            if is_away {
                changed.kill()
            } else {
                changed.restart()
            };
            changed
        };
        if round != 1 && round != 4 {
            broker(set).await;
        }
        round += 1;
        let mut run = flow.start();
        work(&database, round * 2).await;
        moves(&database, &flow).await;
        // Wherever the flow stands in this.
        work(&database, round * 2 + 1).await;
        run.kill().await.unwrap();
    }
    assert!(outbox_bytes(&flow, "bus") > 10_000, "the topic is owed something");
    let down = kafka.clone();
    broker(move || {
        down.restart();
        down
    })
    .await;
    flow.drain().await;
    files_agree(&database, &[&flow.out()]).await;
    let messages = read(&kafka, &[&topic]).await;
    assert!(folded(&messages) == source(&database).await, "{}", flow.log());
    let delivered: BTreeSet<Position> = messages.iter().map(|message| message.position()).collect();
    let written = positions(&changes(&flow.out()));
    let (missing, more): (Vec<_>, Vec<_>) =
        (written.difference(&delivered).collect(), delivered.difference(&written).collect());
    assert!(
        missing.is_empty() && more.is_empty(),
        "the topic lacks {missing:?} and has more: {more:?}\n{}",
        flow.log()
    );
    assert_eq!(outbox_bytes(&flow, "bus"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_effects_loses_and_doubles_nothing_in_a_bucket_that_follows() {
    let points = [
        ("outbox::appended", "3*off->return"),
        ("outbox::synced", "3*off->return"),
        ("runner::durable", "1*off->return"),
        ("runner::checkpointed", "1*off->return"),
        ("runner::acknowledged", "1*off->return"),
    ];
    let (database, s3) = (shop(18).await, S3Server::start());
    let (mut flow, remote) = into_bucket(&database, &s3, "");
    flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 8KiB\n");
    flow.create().await;
    let mut round = 0;
    for (point, crash) in points {
        for is_away in [true, false] {
            round += 1;
            s3.set_down(is_away.then_some(503));
            let run = flow.command("run", &[]).env("FAILPOINTS", format!("{point}={crash}")).output();
            let (crashed, ()) = tokio::join!(run, work(&database, round));
            let crashed = crashed.unwrap();
            assert!(
                !crashed.status.success(),
                "{point} was never reached: {}",
                String::from_utf8_lossy(&crashed.stderr)
            );
        }
        s3.set_down(None);
        flow.drain().await;
        files_agree(&database, &[&flow.out(), &remote]).await;
        assert_eq!(changes(&remote).len(), changes(&flow.out()).len(), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_is_said_kept_and_waited_for() {
    let (database, s3) = (shop(18).await, S3Server::start());
    let (mut flow, remote) = into_bucket(&database, &s3, ", outbox: {budget: 1MiB}");
    flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 32KiB\n");
    flow.create().await;
    s3.set_down(Some(503));
    let mut run = flow.start();
    for n in 0..80 {
        let ids = format!("generate_series({n}00, {n}49) id");
        database.execute(&format!("insert into shop select id, 1, repeat('n', 1000) from {ids}")).await;
    }
    let said = "the outbox of destination remote has used up its budget of 1MiB";
    eventually_within(PATIENCE, "the warning", || async { flow.log().contains(said) }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = outbox_bytes(&flow, "remote");
    assert!(held > 900_000 && held <= 1 << 20, "{held}");
    let waits = format!(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn) > 1000000 from pg_replication_slots where slot_name = 'ductstream_{}'",
        flow.name
    );
    assert_eq!(database.query_value(&waits).await, "t", "the server keeps what found no room");
    let report = flow.command("check", &[]).output().await.unwrap();
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.contains("outbox of remote") && report.contains("raise `ack.outbox.budget`"), "{report}");
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    s3.set_down(None);
    let mut run = flow.start();
    moves(&database, &flow).await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    flow.drain().await;
    files_agree(&database, &[&flow.out(), &remote]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncates_and_new_columns_pass_through_the_outbox_in_their_place() {
    let (database, s3) = (shop(18).await, S3Server::start());
    let (flow, remote) = into_bucket(&database, &s3, "");
    flow.create().await;
    s3.set_down(Some(503));
    let mut run = flow.start();
    database.execute("insert into shop values (1, 1, 'a'), (2, 2, null)").await;
    database.execute("alter table shop add column extra numeric(12,2)").await;
    database.execute("insert into shop values (3, 3, 'c', 1.50)").await;
    database.execute("truncate shop").await;
    database.execute("insert into shop values (4, 4, repeat('x', 100000), 2.25)").await;
    database.execute("update shop set n = 5").await;
    database.execute("alter table shop drop column extra").await;
    database.execute("delete from shop where id = 4; insert into shop values (5, 5, 'e')").await;
    moves(&database, &flow).await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    assert!(changes(&remote).is_empty());
    s3.set_down(None);
    flow.drain().await;
    let (primary, follower) = (changes(&flow.out()), changes(&remote));
    assert_eq!(follower, primary, "the same documents in the same order");
    let names: Vec<&str> = primary.iter().map(|change| change["_op"].as_str().unwrap()).collect();
    assert_eq!(names, ["insert", "insert", "insert", "truncate", "insert", "update", "delete", "insert"]);
    let versions: Vec<&Value> = primary.iter().map(|change| &change["_schema_version"]).collect();
    assert_eq!(versions, [1, 1, 2, 2, 2, 2, 3, 3]);
    files_agree(&database, &[&remote]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_primary_and_back_to_all_deliver_what_is_owed_first() {
    let (database, s3) = (shop(18).await, S3Server::start());
    let (mut flow, remote) = into_bucket(&database, &s3, "");
    flow.create().await;
    let mut seed = 0;
    for (from, to, is_kept) in [
        ("{primary: lake}", "{primary: remote}", false),
        ("{primary: remote}", "{primary: lake}", true),
        ("{primary: lake}", "all", false),
    ] {
        seed += 1;
        s3.set_down((from == "{primary: lake}").then_some(503));
        let mut run = flow.start();
        work(&database, seed).await;
        moves(&database, &flow).await;
        run.kill().await.unwrap();
        flow.edit(&format!("ack: {from}"), &format!("ack: {to}"));
        seed += 1;
        work(&database, seed).await;
        s3.set_down(None);
        flow.drain().await;
        files_agree(&database, &[&flow.out(), &remote]).await;
        assert_eq!(outbox(&flow, "remote").exists(), is_kept, "an outbox that nobody writes to is removed");
    }
    assert!(!outbox(&flow, "lake").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_lost_or_damaged_is_refused_and_one_that_comes_back_goes_on() {
    let (database, s3) = (shop(18).await, S3Server::start());
    let (flow, remote) = into_bucket(&database, &s3, "");
    flow.create().await;
    s3.set_down(Some(503));
    let mut run = flow.start();
    work(&database, 1).await;
    moves(&database, &flow).await;
    run.kill().await.unwrap();
    s3.set_down(None);

    let (place, aside) = (outbox(&flow, "remote"), flow.directory.path().join("aside"));
    std::fs::rename(&place, &aside).unwrap();
    let refused = |(code, said): (i32, String)| {
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("destination remote: the outbox in") && said.contains("put the directory back"),
            "{said}"
        );
    };
    refused(flow.fails("run", &["--until-idle"]).await);
    let check = flow.command("check", &[]).output().await.unwrap();
    let report = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.code() == Some(3) && report.contains("outbox of remote"), "{report}");

    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(&aside, &place).unwrap();
    let segment = files(&place, "outbox").remove(0);
    let whole = std::fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 3] ^= 4;
    std::fs::write(&segment, damaged).unwrap();
    refused(flow.fails("run", &["--until-idle"]).await);
    assert!(changes(&remote).is_empty(), "nothing is delivered beyond a gap");

    std::fs::write(&segment, whole).unwrap();
    flow.drain().await;
    files_agree(&database, &[&flow.out(), &remote]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_removes_outboxes_after_it_has_said_what_they_hold() {
    let (database, s3) = (shop(18).await, S3Server::start());
    let (flow, _) = into_bucket(&database, &s3, "");
    flow.create().await;
    s3.set_down(Some(503));
    let mut run = flow.start();
    work(&database, 1).await;
    moves(&database, &flow).await;
    run.kill().await.unwrap();
    // The server notices a moment later that its reader has gone.
    let idle = format!("select not active from pg_replication_slots where slot_name = 'ductstream_{}'", flow.name);
    eventually_within(PATIENCE, "the slot to be free", || async { database.query_value(&idle).await == "t" }).await;
    let place = outbox(&flow, "remote");
    let (code, said) = flow.fails("cleanup", &["--yes"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("remove the outbox {} with", place.display())), "{said}");
    assert!(!place.exists() && !place.parent().unwrap().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_follower_that_no_repetition_repairs_ends_the_flow_by_name() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, topic) = into_topics(&database, &kafka, "create_topics: false");
    flow.create().await;
    database.execute("insert into shop values (1, 1, 'a')").await;
    let (code, said) = flow.fails("run", &[]).await;
    assert!(code == 2 && said.contains("destination bus") && said.contains(&topic), "{code}: {said}");
    flow.edit("create_topics: false", "create_topics: true");
    flow.drain().await;
    assert_eq!(read(&kafka, &[&topic]).await.len(), 1);
}
