//! Into topics of a real Kafka broker, read by Confluent's Python client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ductstream_core::Position;
use ductstream_testkit::kafka::{Kafka, Message, TokenEndpoint, USER};
use ductstream_testkit::postgres::{Certificates, Postgres, TestDatabase, supported_versions};
use serde_json::{Value, json};

use crate::harness::{Flow, Shape};

pub(crate) async fn shop(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    database
}

/// A flow of all tables into topics of its own, and what their names begin with.
pub(crate) fn flow(kafka: &Kafka, database: &TestDatabase, settings: &str) -> (Flow, String) {
    let prefix = kafka.prefix();
    let flow = Flow::new(database, &Shape::default());
    (flow.into_topics(kafka.address(), &format!("prefix: \"{prefix}\", {settings}")), prefix)
}

/// What there is in topics, off the async threads.
pub(crate) async fn read(kafka: &Arc<Kafka>, topics: &[&str]) -> Vec<Message> {
    let (kafka, topics) = (kafka.clone(), topics.iter().map(ToString::to_string).collect::<Vec<_>>());
    let read = move || kafka.read(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(read).await.unwrap()
}

pub(crate) async fn broker(make: impl FnOnce() -> Arc<Kafka> + Send + 'static) -> Arc<Kafka> {
    tokio::task::spawn_blocking(make).await.unwrap()
}

/// The last row of each key, as a consumer that drops repetitions has it in the end. Panics where a key is in two partitions, or a change
/// arrives for the first time behind a later one of its key.
pub(crate) fn folded(messages: &[Message]) -> BTreeMap<String, Value> {
    let mut seen: BTreeMap<&str, (i64, BTreeSet<Position>)> = BTreeMap::new();
    let mut changes: Vec<&Message> = Vec::new();
    for message in messages {
        let (key, position) = (message.key().unwrap(), message.position());
        let (partition, positions) = seen.entry(key).or_insert_with(|| (message.partition(), BTreeSet::new()));
        assert_eq!(*partition, message.partition(), "{key} is in two partitions");
        let is_last = positions.last().is_none_or(|last| *last < position);
        if positions.insert(position) {
            assert!(is_last, "{key}: the change at {position} comes behind a later one");
            changes.push(message);
        }
    }
    // A change of a key takes the row from one partition to another: only positions order the two.
    changes.sort_by_key(|message| message.position());
    let mut rows = BTreeMap::new();
    for message in changes {
        let (key, row) = (message.key().unwrap(), message.value().unwrap());
        if row["_old_key"].is_object() {
            rows.remove(&row["_old_key"].to_string());
        }
        match row["_op"].as_str().unwrap() {
            "delete" => rows.remove(key),
            _ => rows.insert(key.to_owned(), json!([row["id"], row["n"]])),
        };
    }
    rows
}

pub(crate) async fn source(database: &TestDatabase) -> BTreeMap<String, Value> {
    let rows = database.query("select id, n from shop").await;
    let number = |text: &Option<String>| text.as_ref().unwrap().parse::<i64>().unwrap();
    rows.iter()
        .map(|row| (number(&row[0]), number(&row[1])))
        .map(|(id, n)| (json!({"id": id}).to_string(), json!([id, n])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_arrives_in_order_with_key_headers_and_tombstone() {
    let kafka = broker(Kafka::shared).await;
    for version in supported_versions() {
        let database = shop(version).await;
        let (flow, prefix) = flow(
            &kafka,
            &database,
            "tombstones: true, create_topics: {partitions: 3, config: {retention.ms: 7200000}}",
        );
        flow.create().await;
        database.execute("insert into shop values (1, 1, 'a'), (2, 2, null)").await;
        database.execute("update shop set n = 10 where id = 1").await;
        database.execute("update shop set id = 3 where id = 2").await;
        database.execute("delete from shop where id = 1").await;
        database.execute("truncate shop").await;
        database.execute("insert into shop values (1, 5, 'b')").await;
        flow.drain().await;

        let topic = format!("{prefix}public.shop");
        let messages = read(&kafka, &[&topic]).await;
        let of = |key: &str| -> Vec<(Option<&str>, Option<Value>)> {
            let own = messages.iter().filter(|message| message.key() == Some(key));
            own.map(|message| (message.header("ductstream.op"), message.value().map(|value| value["n"].clone())))
                .collect()
        };
        let n = |n: i64| Some(json!(n));
        assert_eq!(
            of("{\"id\":1}"),
            [
                (Some("insert"), n(1)),
                (Some("update"), n(10)),
                (Some("delete"), Some(Value::Null)),
                (Some("delete"), None),
                (Some("insert"), n(5)),
            ]
        );
        assert_eq!(of("{\"id\":2}"), [(Some("insert"), n(2)), (Some("update"), None)], "the key that is no more");
        let moved = messages.iter().find(|message| message.key() == Some("{\"id\":3}")).unwrap();
        assert_eq!(moved.value().unwrap()["_old_key"], json!({"id": 2}));
        for message in &messages {
            assert_eq!(message.header("ductstream.table"), Some("public.shop"));
            assert_eq!(message.header("ductstream.schema_version"), Some("1"));
            assert_eq!(message.header("content-type"), message.value().map(|_| "application/json"));
        }
        let truncated: Vec<i64> =
            messages.iter().filter(|message| message.key().is_none()).map(Message::partition).collect();
        assert_eq!(truncated, [0, 1, 2], "a truncation is in every partition");
        let described = describe(&kafka, &topic).await;
        assert!(described.contains("PartitionCount: 3") && described.contains("retention.ms=7200000"), "{described}");
    }
}

async fn describe(kafka: &Arc<Kafka>, topic: &str) -> String {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    let describe = move || {
        let arguments = ["--bootstrap-server", kafka.address(), "--describe", "--topic", &topic];
        kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments)
    };
    tokio::task::spawn_blocking(describe).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_lie_where_the_java_client_puts_them() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (flow, prefix) = flow(&kafka, &database, "headers: false, create_topics: {partitions: 7}");
    flow.create().await;
    database.execute("insert into shop select id, 0, 'n' from generate_series(1, 200) id").await;
    flow.drain().await;
    let topic = format!("{prefix}public.shop");
    let ours = read(&kafka, &[&topic]).await;
    assert!(ours.iter().all(|message| message.header("ductstream.op").is_none()));

    let java = format!("{prefix}java");
    let (writer, keys, target) = (kafka.clone(), ours.clone(), java.clone());
    tokio::task::spawn_blocking(move || {
        writer.create_topic(&target, 7, &[]);
        let lines: String = keys.iter().map(|message| format!("{}\tx\n", message.key().unwrap())).collect();
        writer.produce(&target, &lines);
    })
    .await
    .unwrap();
    let partitions = |messages: &[Message]| -> BTreeMap<String, i64> {
        messages.iter().map(|message| (message.key().unwrap().to_owned(), message.partition())).collect()
    };
    let theirs = read(&kafka, &[&java]).await;
    assert_eq!(theirs.len(), 200);
    assert_eq!(partitions(&ours), partitions(&theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_keeps_its_order_in_one_partition() {
    let kafka = broker(Kafka::shared).await;
    let database = Postgres::version(18).await.database().await;
    database
        .execute("create table log (n int); create publication log_changes for table log with (publish = 'insert')")
        .await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: {partitions: 5}, topics: {public.log: \"x-log\"}");
    flow.edit("x-log", &format!("{prefix}log"));
    flow.edit("tables: [\"public.*\"]", "publication: log_changes");
    flow.create().await;
    for n in 0..20 {
        database.execute(&format!("insert into log select {n} from generate_series(1, 50)")).await;
    }
    flow.drain().await;
    let messages = read(&kafka, &[&format!("{prefix}log")]).await;
    assert_eq!(messages.len(), 1000);
    assert!(messages.iter().all(|message| message.key().is_none() && message.partition() == messages[0].partition()));
    assert!(messages.is_sorted_by_key(Message::position));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_password_reaches_the_broker_and_a_wrong_one_is_refused_with_the_remedy() {
    let kafka = broker(Kafka::shared).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let database = shop(18).await;
        let prefix = kafka.prefix();
        let mut flow = Flow::new(&database, &Shape::default());
        let ca = flow.directory.path().join("ca.pem");
        std::fs::write(&ca, kafka.authority()).unwrap();
        let (user, password) = USER;
        flow = flow.into_topics(
            kafka.secured_address(),
            &format!(
                "prefix: \"{prefix}\", create_topics: true, tls: {{ca: {}}}, \
                 sasl: {{mechanism: {mechanism}, username: {user}, password: {password}}}",
                ca.display()
            ),
        );
        flow.create().await;
        database.execute("insert into shop values (1, 1, 'a')").await;
        flow.drain().await;
        assert_eq!(read(&kafka, &[&format!("{prefix}public.shop")]).await.len(), 1);

        flow.edit(&format!("password: {password}"), "password: wrong-secret");
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 2);
        assert!(message.contains("correct `sasl`") && !message.contains("wrong-secret"), "{message}");
        let check = flow.command("check", &[]).output().await.unwrap();
        assert_eq!(check.status.code(), Some(3));
        assert!(String::from_utf8_lossy(&check.stdout).contains("correct `sasl`"), "{check:?}");

        flow.edit(&format!("tls: {{ca: {}}}", ca.display()), "tls: true");
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert!(code == 2 && message.contains("tls.ca"), "{code}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_message_that_reads_as_a_file_does_and_is_split_when_it_is_too_large() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let prefix = kafka.prefix();
    let flow = Flow::new(&database, &Shape { format: "parquet", ..Shape::default() });
    let flow = flow.into_topics(
        kafka.address(),
        &format!("prefix: \"{prefix}\", mode: batch, create_topics: {{partitions: 3}}, max_message_size: 20kB"),
    );
    flow.create().await;
    database.execute("insert into shop select id, id, md5(id::text) from generate_series(1, 5000) id").await;
    database.execute("delete from shop where id % 5 = 0").await;
    flow.drain().await;
    let topic = format!("{prefix}public.shop");
    let printed = tokio::task::spawn_blocking({
        let (kafka, topic) = (kafka.clone(), topic.clone());
        move || ductstream_testkit::python::run(include_str!("batches.py"), &[kafka.address(), &topic])
    });
    let read: Value = serde_json::from_str(&printed.await.unwrap()).unwrap();
    assert_eq!((&read["inserts"], &read["deletes"]), (&json!(5000), &json!(1000)), "{read}");
    assert_eq!((&read["in_order"], &read["partitions"]), (&json!(true), &json!(1)), "{read}");
    assert!(read["messages"].as_u64() > Some(5) && read["largest"].as_u64() <= Some(20_000), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_the_flow_in_and_is_asked_for_again_before_it_ends() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let prefix = kafka.prefix();
    let tokens = TokenEndpoint::start(4);
    let mut flow = Flow::new(&database, &Shape::default());
    let ca = flow.directory.path().join("ca.pem");
    std::fs::write(&ca, kafka.authority()).unwrap();
    let (id, secret) = USER;
    flow = flow.into_topics(
        kafka.secured_address(),
        &format!(
            "prefix: \"{prefix}\", create_topics: true, exactly_once: true, tls: {{ca: {}}}, sasl: {{mechanism: OAUTHBEARER, \
             token_url: \"{}\", client_id: {id}, client_secret: {secret}, scope: \"kafka events\"}}",
            ca.display(),
            tokens.url()
        ),
    );
    flow.create().await;
    let topic = format!("{prefix}public.shop");
    let mut run = flow.start();
    let asked = tokens.asked();
    for id in 0.. {
        database.execute(&format!("insert into shop values ({id}, 1, 'a')")).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if tokens.asked() > asked + 4 {
            break;
        }
        assert!(id < 300, "no further token was asked for\n{}", flow.log());
    }
    crate::harness::signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    assert_eq!(folded(&read(&kafka, &[&topic]).await), source(&database).await);
    assert!(!flow.log().contains(secret));

    flow.edit(&format!("client_secret: {secret}"), "client_secret: wrong-secret");
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("refuses the client") && message.contains("`sasl`"), "{message}");
    assert!(!message.contains("wrong-secret"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_get_the_same_messages() {
    let (kafka, other) = tokio::join!(broker(Kafka::shared), broker(|| Arc::new(Kafka::start())));
    let database = shop(18).await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: true, tombstones: true");
    let twin = flow.destinations().replace("name: bus", "name: twin").replace(kafka.address(), other.address());
    flow.edit("destinations:\n", &format!("destinations:\n{twin}"));
    flow.create().await;
    database.execute("insert into shop select id, id, md5(id::text) from generate_series(1, 20000) id").await;
    database.execute("update shop set n = n + 1 where id % 3 = 0").await;
    database.execute("delete from shop where id % 5 = 0").await;
    flow.drain().await;
    let topic = format!("{prefix}public.shop");
    let topics = &[topic.as_str()][..];
    let (here, there) = tokio::join!(read(&kafka, topics), read(&other, topics));
    let plain = |messages: &[Message]| -> Vec<_> {
        messages.iter().map(|message| (message.key().map(str::to_owned), message.value())).collect()
    };
    assert_eq!(here.len(), 20_000 + 6_666 + 2 * 4_000);
    assert!(plain(&here) == plain(&there), "the two brokers' messages differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired_is_refused_with_the_remedy() {
    let kafka = broker(|| Arc::new(Kafka::secured_by(Certificates::expired()))).await;
    let database = shop(18).await;
    let mut flow = Flow::new(&database, &Shape::default());
    let ca = flow.directory.path().join("ca.pem");
    std::fs::write(&ca, kafka.authority()).unwrap();
    let (user, password) = USER;
    let sasl = format!("sasl: {{mechanism: PLAIN, username: {user}, password: {password}}}");
    flow = flow.into_topics(kafka.secured_address(), &format!("tls: {{ca: {}}}, {sasl}", ca.display()));
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert!(
        code == 2 && message.contains("certificate") && message.contains("look at their dates"),
        "{code}: {message}"
    );
}
