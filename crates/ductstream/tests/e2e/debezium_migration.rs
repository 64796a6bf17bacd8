//! The page "Migrate from Debezium", walked with its own flow file.

use std::collections::BTreeMap;
use std::sync::Arc;

use ductstream_testkit::kafka::{Kafka, Message};
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::python;
use serde_json::Value;

use crate::debezium::{changes, database, golden};
use crate::harness::{Flow, Shape};
use crate::kafka::{broker, read};

const PAGE: &str = include_str!("../../../../docs/how-to/migrate-from-debezium.md");
const TABLES: [&str; 2] = ["t_full", "t_toast"];
const PLACEHOLDER: &str = "__debezium_unavailable_value";

/// Sends messages, of which each may have no key and no value.
const PRODUCER: &str = "
import json, sys
from confluent_kafka import Producer
producer = Producer({'bootstrap.servers': sys.argv[1]})
for line in sys.argv[2:]:
    topic, key, value = json.loads(line)
    producer.produce(topic, value, key)
assert producer.flush(30) == 0
";

/// What the topics of the tables hold from the time of Debezium, without Connect schemas.
async fn deliver_by_debezium(kafka: &Arc<Kafka>, prefix: &str) {
    let text = |document: &Value| document.get("payload").map(Value::to_string);
    let messages =
        golden().into_iter().filter(|event| TABLES.iter().any(|table| event["topic"] == format!("dbz.public.{table}")));
    let mut arguments = vec![kafka.address().to_owned()];
    arguments.extend(messages.map(|event| {
        let topic = format!("{prefix}{}", event["topic"].as_str().unwrap());
        serde_json::to_string(&(topic, text(&event["key"]), text(&event["value"]))).unwrap()
    }));
    assert!(arguments.len() > 10, "there are golden events");
    tokio::task::spawn_blocking(move || {
        python::run(PRODUCER, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .unwrap();
}

/// The flow file that the page shows, against this database and broker.
fn flow(kafka: &Kafka, database: &TestDatabase, prefix: &str) -> Flow {
    let yaml = PAGE.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut flow = Flow::new(database, &Shape::default()).with_document(yaml);
    flow.edit("postgresql://app@db:5432/shop", &database.url());
    flow.edit("name: shop", &format!("name: {}", database.name()));
    flow.edit("publication: dbz_publication", "publication: types_pub");
    flow.edit("topic.prefix: shop", "topic.prefix: dbz");
    flow.edit("kafka:9092", kafka.address());
    flow.edit("prefix: \"shop.\"", &format!("prefix: \"{prefix}dbz.\""));
    flow
}

/// The rows of a table as a consumer of Debezium's events keeps them, which knows nothing of who wrote them.
fn consumed(messages: &[Message]) -> BTreeMap<i64, Value> {
    let mut rows: BTreeMap<i64, Value> = BTreeMap::new();
    for message in messages {
        let Some(event) = message.value() else { continue };
        let id = || serde_json::from_str::<Value>(message.key().unwrap()).unwrap()["id"].as_i64().unwrap();
        match event["op"].as_str().unwrap() {
            "t" => rows.clear(),
            "d" => drop(rows.remove(&id())),
            _ => {
                let mut after = event["after"].clone();
                for (name, value) in after.as_object_mut().unwrap() {
                    if value == PLACEHOLDER {
                        *value = rows[&id()][name].clone();
                    }
                }
                rows.insert(id(), after);
            }
        }
    }
    rows
}

/// The rows of a table, and of each consumed one the columns that the table has.
async fn assert_consumed(database: &TestDatabase, table: &str, consumed: &BTreeMap<i64, Value>) {
    let rows = database.query(&format!("select to_jsonb(it) from {table} it order by id")).await;
    let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row[0].as_ref().unwrap()).unwrap()).collect();
    let ids: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(consumed.keys().copied().collect::<Vec<_>>(), ids, "{table}");
    for (row, id) in rows.iter().zip(ids) {
        for (name, value) in row.as_object().unwrap() {
            assert_eq!(&consumed[&id][name], value, "{name} of {id} in {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_debezium_reads_on_when_the_page_was_followed() {
    // Given: a database that Debezium has streamed, with its publication and slot, and the topics it has filled.
    let kafka = broker(Kafka::shared).await;
    let (prefix, database) = (kafka.prefix(), database().await);
    let debezium = format!("debezium_{}", database.name());
    database.execute(&format!("select pg_create_logical_replication_slot('{debezium}', 'pgoutput')")).await;
    for change in changes() {
        database.execute(change).await;
    }
    for table in TABLES {
        kafka.create_topic(&format!("{prefix}dbz.public.{table}"), 1, &[]);
    }
    deliver_by_debezium(&kafka, &prefix).await;

    // When: the page's steps are taken, one after the other.
    let mut flow = flow(&kafka, &database, &prefix);
    let checked = flow.command("check", &[]).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    flow.edit("brokers:", "create_topics: {partitions: 1}, brokers:");
    flow.create().await;
    database.execute("update t_full set s = 'ours' where id = 7; update t_full set id = 70 where id = 7").await;
    database.execute("insert into t_full (id, s, added) values (9, 'new', 1); delete from t_full where id = 8").await;
    database.execute("update t_toast set n = 3; insert into t_toast values (2, 1, 'small')").await;
    flow.drain().await;
    let dropped = tokio::process::Command::new(crate::harness::DUCTSTREAM)
        .args(["slot", "drop"])
        .arg(flow.file())
        .arg(&debezium)
        .output()
        .await
        .unwrap();
    assert!(dropped.status.success(), "{}", String::from_utf8_lossy(&dropped.stderr));

    // Then: the consumer has the tables, and Debezium's slot keeps nothing.
    for table in TABLES {
        let messages = read(&kafka, &[&format!("{prefix}dbz.public.{table}")]).await;
        assert_consumed(&database, table, &consumed(&messages)).await;
    }
    let slots = format!("select count(*) from pg_replication_slots where slot_name = '{debezium}'");
    assert_eq!(database.query_value(&slots).await, "0");
}
