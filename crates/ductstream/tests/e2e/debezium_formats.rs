//! The envelope `debezium` as Avro and Protobuf, in topics with a schema registry, against the events and schemas of a real Debezium.

use std::collections::BTreeMap;
use std::sync::Arc;

use ductstream_testkit::kafka::Kafka;
use ductstream_testkit::python;
use ductstream_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::debezium::{assert_headers, assert_payload, changes, database, golden, rescued};
use crate::harness::{Flow, Shape};
use crate::kafka::broker;

const TOPICS: [&str; 5] =
    ["dbz.public.types", "dbz.public.t_toast", "dbz.public.t_full", "dbz.public.t_nopk", "dbz.message"];

/// What Confluent's deserializers make of topics, message by message, and the schemas of each subject.
async fn read(kafka: &Arc<Kafka>, registry: &str, format: &str, topics: &[String]) -> (Vec<Value>, Value) {
    let mut arguments = vec![kafka.address().to_owned(), registry.to_owned(), format.to_owned()];
    arguments.extend(topics.iter().cloned());
    let script = format!("{}{}", python::CONNECT, include_str!("debezium_formats.py"));
    let printed = tokio::task::spawn_blocking(move || {
        python::run(&script, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let mut lines: Vec<Value> =
        printed.await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schemas = lines.pop().unwrap();
    (lines, schemas)
}

/// Runs the golden SQL into topics, and returns their messages without the prefix of the topics, and the registered schemas.
async fn events(format: &str) -> (Vec<Value>, BTreeMap<String, Vec<String>>) {
    let (kafka, registry) = (broker(Kafka::shared).await, Registry::url().await);
    let database = database().await;
    let shape = Shape { envelope: "debezium", source: "  special_values: \"null\"", ..Shape::default() };
    let prefix = kafka.prefix();
    // Other tests share the broker: their messages go elsewhere.
    let messages = format!("topics: {{dbz.message: \"{prefix}dbz.message\"}}");
    let settings = format!("prefix: \"{prefix}dbz.\", {messages}, create_topics: {{partitions: 1}}");
    let mut flow = Flow::new(&database, &shape).into_topics(kafka.address(), &settings);
    let section = "debezium:\n  topic.prefix: dbz\n  skipped.operations: none";
    flow.edit("format: json", &format!("format: {format}\nschema_registry: {{url: \"{registry}\"}}\n{section}"));
    flow.edit("  tables: [\"public.*\"]", "  publication: types_pub");
    flow.create().await;
    for change in changes() {
        database.execute(change).await;
    }
    flow.drain().await;

    let topics = TOPICS.map(|topic| format!("{prefix}{topic}"));
    let (mut messages, schemas) = read(&kafka, &registry, format, &topics).await;
    for message in &mut messages {
        message["topic"] = message["topic"].as_str().unwrap().strip_prefix(&prefix).unwrap().into();
    }
    let schemas: BTreeMap<String, Vec<String>> = serde_json::from_value(schemas).unwrap();
    let named = |(subject, versions): (String, Vec<String>)| (subject.strip_prefix(&prefix).unwrap().into(), versions);
    (messages, schemas.into_iter().map(named).collect())
}

/// Every event is the golden one of its topic.
fn assert_golden(ours: &[Value]) {
    let theirs = golden();
    assert_eq!(ours.len(), theirs.len(), "{ours:#?}");
    for topic in TOPICS {
        let of_topic = |message: &&Value| message["topic"] == topic;
        let pairs = ours.iter().filter(of_topic).zip(theirs.iter().filter(of_topic));
        for (index, (ours, theirs)) in pairs.enumerate() {
            let payload = theirs["key"].get("payload").unwrap_or(&Value::Null);
            assert_eq!(&ours["key"], payload, "key of event {index} of {topic}");
            assert_eq!(ours["value"].is_null(), theirs["value"].is_null(), "tombstone {index} of {topic}");
            assert_payload(&ours["value"], theirs, index);
            assert_headers(ours, theirs, index);
        }
    }
    let moved = ours.iter().find(|message| message["headers"].get("__debezium.oldkey").is_some()).unwrap();
    assert_eq!(moved["headers"]["__debezium.oldkey"], r#"{"id":1}"#);
}

/// The golden Avro schemas: that of the values of `types`, and that of its keys.
fn golden_schemas() -> Vec<Value> {
    let text = include_str!("../golden/debezium/avro-schemas.txt");
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap()
}

/// An Avro schema of values without the columns that Debezium does not have.
fn comparable(mut schema: Value) -> Value {
    let rescued = rescued();
    let columns = schema["fields"][0]["type"][1]["fields"].as_array_mut().unwrap();
    columns.retain(|column| rescued.get(column["name"].as_str().unwrap()).is_none());
    // Debezium declares the elements as never null, which they may be.
    let array = columns.iter_mut().find(|column| column["name"] == "a_enum").unwrap();
    let items = &mut array["type"][1]["items"];
    if items.is_object() {
        *items = json!(["null", items]);
    }
    schema
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_has_the_events_and_the_schemas_of_debezium() {
    let (messages, schemas) = events("avro").await;
    assert_golden(&messages);
    let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let of = |subject: &str| schemas[subject].iter().map(parse).collect::<Vec<_>>();
    let [value, key] = <[Value; 2]>::try_from(golden_schemas()).unwrap();
    assert_eq!(of("dbz.public.types-key"), [key]);
    let [types] = <[Value; 1]>::try_from(of("dbz.public.types-value")).unwrap();
    assert_eq!(comparable(types), comparable(value));
    // A column came and one went: a version each. A table without primary key has no schema of keys.
    assert_eq!((of("dbz.public.t_full-value").len(), of("dbz.public.t_full-key").len()), (3, 1));
    assert!(!schemas.contains_key("dbz.public.t_nopk-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_has_the_events_of_debezium() {
    let (messages, schemas) = events("proto").await;
    assert_golden(&messages);
    let schema = &schemas["dbz.public.types-value"][0];
    for line in [
        "package dbz.public.types;",
        "message Envelope {",
        "  optional .dbz.public.types.Value after = 2;",
        "  // io.debezium.time.MicroTimestamp",
        "message Decimal {",
    ] {
        assert!(schema.contains(line), "{line} is not in {schema}");
    }
    assert_eq!((schemas["dbz.public.t_full-value"].len(), schemas["dbz.public.t_full-key"].len()), (3, 1));
}
