//! Exactly once into Kafka, whatever happens, for a reader with `isolation.level=read_committed`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ductstream_testkit::kafka::{Kafka, Message};
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually_within;

use crate::harness::{Flow, signal};
use crate::kafka::{broker, flow, folded, read, shop, source};
use crate::kafka_faults::work;

const PATIENCE: Duration = Duration::from_secs(90);

/// What arrived is what the source holds, each change of each key once and in order.
async fn agrees(kafka: &Arc<Kafka>, topic: &str, database: &TestDatabase, flow: &Flow) {
    let messages = read(kafka, &[topic]).await;
    let mut seen = BTreeSet::new();
    for message in &messages {
        let position = message.position();
        assert!(seen.insert(position), "{position} is there twice\n{}", flow.log());
    }
    let expected = source(database).await;
    assert!(!expected.is_empty());
    assert!(
        folded(&messages) == expected,
        "{} changes do not fold to the source's rows\n{}",
        messages.len(),
        flow.log()
    );
}

async fn changes(kafka: &Arc<Kafka>, topic: &str) -> usize {
    read(kafka, &[topic]).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_effects_loses_and_doubles_nothing_in_topics() {
    let points = [
        ("kafka::before_commit", "2*off->panic"),
        ("kafka::after_commit", "2*off->panic"),
        ("runner::durable", "1*off->return"),
        ("runner::checkpointed", "1*off->return"),
        ("runner::acknowledged", "1*off->return"),
    ];
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    // Small batches and transactions: each point is passed several times.
    let (mut flow, prefix) =
        flow(&kafka, &database, "exactly_once: {transaction_size: 8KiB}, create_topics: {partitions: 3}");
    flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 8KiB\n");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    for (round, (point, crash)) in points.into_iter().enumerate() {
        work(&database, round as u32 + 1).await;
        let crashed = flow.command("run", &["--until-idle"]).env("FAILPOINTS", format!("{point}={crash}")).output();
        let crashed = crashed.await.unwrap();
        assert!(!crashed.status.success(), "{point} was never reached: {}", String::from_utf8_lossy(&crashed.stderr));
        flow.drain().await;
        agrees(&kafka, &topic, &database, &flow).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let kafka = broker(|| Arc::new(Kafka::start())).await;
    let database = shop(18).await;
    let (flow, prefix) =
        flow(&kafka, &database, "exactly_once: true, create_topics: {partitions: 3}, delivery_timeout: 5s");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    let mut run = flow.start();
    for round in 0..3 {
        work(&database, round * 2 + 1).await;
        let broken = kafka.clone();
        broker(move || {
            broken.kill();
            std::thread::sleep(Duration::from_secs(if round == 1 { 7 } else { 1 }));
            broken.restart();
            broken
        })
        .await;
        work(&database, round * 2 + 2).await;
    }
    let expected = source(&database).await;
    eventually_within(PATIENCE, "the source's rows", || async { folded(&read(&kafka, &[&topic]).await) == expected })
        .await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    agrees(&kafka, &topic, &database, &flow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_never_seen_in_part_when_they_are_aligned() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let settings = "exactly_once: {transaction_aligned: true, transaction_age: 1ms}, create_topics: true";
    let (mut flow, prefix) = flow(&kafka, &database, settings);
    flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 16KiB\n");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    let whole = |messages: &[Message]| {
        let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
        messages.iter().for_each(|message| *rows.entry(message.position().commit_lsn.0).or_default() += 1);
        // Every transaction inserts as many rows, which take several batches.
        assert!(rows.values().all(|rows| *rows == 1500), "{rows:?}");
        rows.len()
    };
    let mut transactions = 0;
    for round in 0..4 {
        let mut run = flow.start();
        for n in 0..6 {
            let first = (round * 6 + n) * 1500;
            let ids = format!("generate_series({first}, {})", first + 1499);
            database.execute(&format!("insert into shop select id, 0, repeat('n', 50) from {ids} id")).await;
            transactions += 1;
            whole(&read(&kafka, &[&topic]).await);
        }
        run.kill().await.unwrap();
        whole(&read(&kafka, &[&topic]).await);
    }
    flow.drain().await;
    assert_eq!(whole(&read(&kafka, &[&topic]).await), transactions);
    agrees(&kafka, &topic, &database, &flow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_above_the_limit_is_split_and_still_arrives_once() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let settings = "exactly_once: {transaction_aligned: true, transaction_size: 32KiB, transaction_limit: 64KiB}, create_topics: true";
    let (mut flow, prefix) = flow(&kafka, &database, settings);
    flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 64KiB\n");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    database.execute("insert into shop select id, 0, repeat('n', 100) from generate_series(1, 30000) id").await;
    let mut run = flow.start();
    eventually_within(PATIENCE, "a part of the transaction", || async { changes(&kafka, &topic).await > 0 }).await;
    run.kill().await.unwrap();
    flow.drain().await;
    agrees(&kafka, &topic, &database, &flow).await;
    let positions = read(&kafka, &[&format!("_ductstream.{}.bus", flow.name)]).await;
    let inside = positions.iter().filter(|stored| stored.value().unwrap()["position"]["seq"] != 0);
    assert!(inside.count() > 3, "it was committed inside, again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_gone_or_of_another_source_is_refused() {
    let kafka = broker(|| Arc::new(Kafka::start())).await;
    let database = shop(18).await;
    let (mut flow, prefix) =
        flow(&kafka, &database, "exactly_once: {position_topic: x-positions}, create_topics: true");
    let positions = format!("{prefix}positions");
    flow.edit("x-positions", &positions);
    flow.create().await;
    work(&database, 1).await;
    flow.drain().await;
    let other = shop(14).await;
    let mut elsewhere = Flow::new(&other, &crate::harness::Shape::default()).into_topics(
        kafka.address(),
        &format!("exactly_once: {{position_topic: {positions}}}, prefix: \"{prefix}\", create_topics: true"),
    );
    elsewhere.edit(&format!("name: {}\n", other.name()), &format!("name: {}\n", flow.name));
    let (code, message) = elsewhere.fails("run", &["--until-idle"]).await;
    assert!(code == 1 && message.contains("cannot be compared") && message.contains(&positions), "{code}: {message}");

    let (deleter, name) = (kafka.clone(), positions.clone());
    broker(move || {
        deleter.delete_topic(&name);
        deleter
    })
    .await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert!(code == 1 && message.contains("data may be missing") && message.contains(&positions), "{code}: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_replaced_while_it_slept_adds_nothing_when_it_wakes() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (flow, prefix) = flow(&kafka, &database, "exactly_once: true, create_topics: true");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    let mut asleep = flow.start();
    work(&database, 1).await;
    eventually_within(PATIENCE, "some changes", || async { changes(&kafka, &topic).await > 0 }).await;
    signal(&asleep, "STOP");
    work(&database, 2).await;
    let slot = format!("ductstream_{}", flow.name);
    let free =
        format!("select count(pg_terminate_backend(active_pid)) from pg_replication_slots where slot_name = '{slot}'");
    database.query_value(&free).await;
    let mut awake = flow.start();
    let expected = source(&database).await;
    eventually_within(PATIENCE, "the source's rows", || async { folded(&read(&kafka, &[&topic]).await) == expected })
        .await;
    signal(&asleep, "CONT");
    work(&database, 3).await;
    let expected = source(&database).await;
    eventually_within(PATIENCE, "the source's rows", || async { folded(&read(&kafka, &[&topic]).await) == expected })
        .await;
    asleep.kill().await.unwrap();
    signal(&awake, "TERM");
    assert_eq!(awake.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    agrees(&kafka, &topic, &database, &flow).await;
}
