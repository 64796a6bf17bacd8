//! Brokers that are down, topics that are missing, messages that are too large.

use std::sync::Arc;
use std::time::Duration;

use ductstream_testkit::kafka::Kafka;
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually_within;

use crate::harness::signal;
use crate::kafka::{broker, flow, folded, read, shop, source};

const PATIENCE: Duration = Duration::from_secs(90);

/// Transactions of inserts, updates, key changes and deletes, told by `seed`.
pub(crate) async fn work(database: &TestDatabase, seed: u32) {
    for n in 0..60 {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_again_loses_nothing_and_keeps_the_order_of_each_key() {
    let kafka = broker(|| Arc::new(Kafka::start())).await;
    let database = shop(18).await;
    let (flow, prefix) = flow(&kafka, &database, "create_topics: {partitions: 4}, delivery_timeout: 5s");
    flow.create().await;
    let mut run = flow.start();
    for round in 0..3 {
        work(&database, round * 2 + 1).await;
        let down = kafka.clone();
        broker(move || {
            down.kill();
            down.clone()
        })
        .await;
        work(&database, round * 2 + 2).await;
        // Shorter and longer than a message waits for its confirmation.
        tokio::time::sleep(Duration::from_secs(if round == 1 { 7 } else { 1 })).await;
        let up = kafka.clone();
        broker(move || {
            up.restart();
            up.clone()
        })
        .await;
    }
    let expected = source(&database).await;
    let topic = format!("{prefix}public.shop");
    eventually_within(PATIENCE, "the source's rows", || async { folded(&read(&kafka, &[&topic]).await) == expected })
        .await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    assert_eq!(folded(&read(&kafka, &[&topic]).await), source(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let kafka = broker(|| Arc::new(Kafka::start())).await;
    let database = shop(18).await;
    let (flow, prefix) = flow(&kafka, &database, "create_topics: true");
    flow.create().await;
    database.execute("insert into shop values (1, 1, 'a')").await;
    let down = kafka.clone();
    broker(move || {
        down.kill();
        down.clone()
    })
    .await;
    let mut run = flow.start();
    eventually_within(PATIENCE, "an attempt that failed", || async { flow.log().contains("cannot reach kafka at") })
        .await;
    let up = kafka.clone();
    broker(move || {
        up.restart();
        up.clone()
    })
    .await;
    let topic = format!("{prefix}public.shop");
    eventually_within(PATIENCE, "the row", || async { read(&kafka, &[&topic]).await.len() == 1 }).await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_or_deleted_is_refused_by_name_and_one_that_is_created_goes_on() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (flow, prefix) = flow(&kafka, &database, "create_topics: false");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    database.execute("insert into shop values (1, 1, 'a')").await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 2);
    assert!(
        message.contains(&topic) && message.contains("public.shop") && message.contains("create_topics"),
        "{message}"
    );

    let (creator, name) = (kafka.clone(), topic.clone());
    broker(move || {
        creator.create_topic(&name, 1, &[]);
        creator
    })
    .await;
    flow.drain().await;
    assert_eq!(read(&kafka, &[&topic]).await.len(), 1);

    let (deleter, name) = (kafka.clone(), topic.clone());
    broker(move || {
        deleter.delete_topic(&name);
        deleter
    })
    .await;
    database.execute("insert into shop values (2, 1, 'a')").await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert!(code == 2 && message.contains(&topic), "{code}: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_too_large_stops_the_flow_with_its_table_position_and_size() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, prefix) =
        flow(&kafka, &database, "create_topics: {config: {max.message.bytes: 200000}}, max_message_size: 100kB");
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    database.execute("insert into shop values (1, 1, 'a')").await;
    flow.drain().await;
    database.execute("insert into shop values (2, 1, repeat('x', 150000))").await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 1);
    assert!(
        message.contains("public.shop") && message.contains("150") && message.contains("max_message_size"),
        "{message}"
    );
    assert_eq!(read(&kafka, &[&topic]).await.len(), 1);

    // The topic takes it, so it goes on once the flow sends it; a topic that does not says so itself.
    flow.edit("max_message_size: 100kB", "max_message_size: 400kB");
    flow.drain().await;
    assert_eq!(read(&kafka, &[&topic]).await.len(), 2);
    database.execute("insert into shop values (3, 1, repeat('x', 250000))").await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert!(code == 1 && message.contains(&topic) && message.contains("max.message.bytes"), "{code}: {message}");

    // Whatever came behind it waits, too, and keeps its place.
    database.execute("update shop set n = 2").await;
    let (grower, name) = (kafka.clone(), topic.clone());
    broker(move || {
        grower.set_topic(&name, "max.message.bytes", "500000");
        grower
    })
    .await;
    flow.drain().await;
    assert_eq!(folded(&read(&kafka, &[&topic]).await), source(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_used_and_a_deleted_topic_is_created_again() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let settings = "create_topics: {partitions: 1}, properties: {topic.metadata.refresh.interval.ms: 500}";
    let (flow, prefix) = flow(&kafka, &database, settings);
    let topic = format!("{prefix}public.shop");
    flow.create().await;
    let mut run = flow.start();
    database.execute("insert into shop select id, 1, 'a' from generate_series(1, 100) id").await;
    eventually_within(PATIENCE, "the rows", || async { read(&kafka, &[&topic]).await.len() == 100 }).await;
    let (grower, name) = (kafka.clone(), topic.clone());
    broker(move || {
        grower.add_partitions(&name, 4);
        grower
    })
    .await;
    // Keys that the source has not had before: those of the first hundred stay where they are.
    let mut id = 100;
    eventually_within(PATIENCE, "a message in a new partition", || {
        id += 1;
        let (database, kafka, topic) = (&database, &kafka, &topic);
        async move {
            database.execute(&format!("insert into shop values ({id}, 1, 'a')")).await;
            read(kafka, &[topic]).await.iter().any(|message| message.partition() > 0)
        }
    })
    .await;
    let expected = source(&database).await;
    eventually_within(PATIENCE, "the source's rows", || async { folded(&read(&kafka, &[&topic]).await) == expected })
        .await;

    let (deleter, name) = (kafka.clone(), topic.clone());
    broker(move || {
        deleter.delete_topic(&name);
        deleter
    })
    .await;
    // Every row once more, so that the new topic leads to all of them.
    database.execute("insert into shop values (-1, 1, 'a')").await;
    database.execute("update shop set n = n + 1").await;
    let expected = source(&database).await;
    eventually_within(PATIENCE, "the rows in the topic that was created again", || async {
        folded(&read(&kafka, &[&topic]).await) == expected
    })
    .await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
}
