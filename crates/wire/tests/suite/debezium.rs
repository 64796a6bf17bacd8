//! The envelope `debezium`: what Avro and Protobuf readers make of it is what JSON says.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ductstream_core::{ChangeBatch, Envelope, Messages, ReplicaIdentity, Result, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table, table_with_identity};
use ductstream_testkit::python;
use ductstream_wire::envelope::debezium::{Debezium, DebeziumSettings};
use ductstream_wire::{
    MessageMode, MessageShape, SchemaDefinition, SchemaRegistrar, SchemaSubject, WireSettings, build, describe,
    message_codec,
};
use serde_json::{Value, json};

use super::types;

fn settings(options: Value) -> WireSettings {
    let settings: DebeziumSettings = serde_json::from_value(options).unwrap();
    WireSettings {
        debezium: Debezium { settings, flow: "shop".into(), database: "db".into() },
        ..WireSettings::default()
    }
}

/// The values of these rows in a file of the format, as JSON: read by fastavro, or by Google's protobuf.
fn file(format: WireFormat, settings: &WireSettings, chunk: &TableChunk, rows: &[usize]) -> Vec<Value> {
    let mut encoder = build(format, Envelope::Debezium, settings).unwrap().encoder(&chunk.schema).unwrap();
    rows.iter().for_each(|row| encoder.append(chunk, *row..row + 1).unwrap());
    let bytes = encoder.finish().unwrap();
    let script = match format {
        WireFormat::Json => return lines(std::str::from_utf8(&bytes).unwrap()),
        WireFormat::Avro => {
            "
import sys
for value in fastavro.reader(open(sys.argv[1], 'rb')):
    print(json.dumps(plain(value)))
"
        }
        _ => concat!(
            include_str!("delimited.py"),
            "
for row in rows:
    print(json.dumps(proto(row)))
"
        ),
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    lines(&python::run(&format!("{}{script}", python::CONNECT), &[path.to_str().unwrap()]))
}

/// Documents without the time at which they were made.
fn lines(text: &str) -> Vec<Value> {
    let timeless = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        ["ts_ms", "ts_us", "ts_ns"].iter().for_each(|name| drop(value.as_object_mut().unwrap().remove(*name).unwrap()));
        value
    };
    text.lines().map(timeless).collect()
}

/// Fails where the two differ. Readers make doubles of floats; JSON has their shortest text.
fn assert_same(found: &Value, expected: &Value, path: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{path}");
            expected.iter().for_each(|(name, value)| assert_same(&found[name], value, &format!("{path}/{name}")));
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            found.iter().zip(expected).for_each(|(found, expected)| assert_same(found, expected, path));
        }
        (Value::Number(found), Value::Number(expected)) if found != expected => {
            let float = |number: &serde_json::Number| number.as_f64().unwrap() as f32;
            assert!(found.is_f64() && float(found) == float(expected), "{path}: {found} is not {expected}");
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

#[test]
fn every_type_in_every_mode_is_the_same_in_avro_and_protobuf_as_in_json() {
    let chunk = types::chunk();
    for (options, rows) in [
        // The second row has a NaN, which `precise` does not take.
        (json!({}), &[0, 2][..]),
        (json!({"time.precision.mode": "connect", "hstore.handling.mode": "map"}), &[0, 2]),
        (
            json!({"decimal.handling.mode": "string", "interval.handling.mode": "string", "hstore.handling.mode": "map",
                "time.precision.mode": "isostring", "binary.handling.mode": "hex"}),
            &[0, 1, 2],
        ),
        (
            json!({"decimal.handling.mode": "double", "time.precision.mode": "microseconds",
                "binary.handling.mode": "base64"}),
            &[0, 1, 2],
        ),
    ] {
        let mut settings = settings(options.clone());
        settings.debezium.settings.schemas_enable = false;
        let expected = file(WireFormat::Json, &settings, &chunk, rows);
        assert_eq!(expected.len(), rows.len());
        assert!(expected[0]["after"].as_object().unwrap().len() > 20);
        for format in [WireFormat::Avro, WireFormat::Proto] {
            let found = file(format, &settings, &chunk, rows);
            assert_eq!(found.len(), expected.len());
            let pairs = found.iter().zip(&expected).enumerate();
            // Avro's names are escaped; composites, which could have others, are text here.
            pairs.for_each(|(row, pair)| assert_same(pair.0, pair.1, &format!("{format} {options} row {row}: ")));
        }
    }
}

/// A registry that gives ids from 258 on.
#[derive(Debug, Default)]
struct Registry(Mutex<Vec<(String, String, String)>>);

#[async_trait]
impl SchemaRegistrar for Registry {
    async fn register(&self, subject: &SchemaSubject<'_>, schema: &SchemaDefinition) -> Result<u32> {
        let part = if subject.is_key { "key" } else { "value" };
        let mut known = self.0.lock().unwrap();
        known.push((format!("{}-{part}", subject.topic), subject.record_name.to_owned(), schema.text.clone()));
        Ok(257 + u32::try_from(known.len()).unwrap())
    }
}

/// The messages of a batch of one table.
async fn messages(
    format: WireFormat,
    settings: &WireSettings,
    batch: &ChangeBatch,
    registry: Option<Arc<Registry>>,
) -> Messages {
    let shape = MessageShape { format, envelope: Envelope::Debezium, mode: MessageMode::Record, tombstones: false };
    let registry = registry.map(|registry| registry as Arc<dyn SchemaRegistrar>);
    let codec = message_codec(shape, settings, registry).unwrap();
    let (chunk, mut messages) = (&batch.chunks[0], Messages::default());
    let mut encoder = codec.encoder(&chunk.schema, "shop.public.orders").await.unwrap();
    encoder.encode(chunk, 0..1, &mut messages).unwrap();
    encoder.encode(chunk, 1..chunk.len(), &mut messages).unwrap();
    messages
}

fn changes() -> ChangeBatch {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, 0).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    batch.update_key(&orders, (1, 2), "b").delete(&orders, 2).truncate(&orders).commit(0x200).build()
}

/// Prints each message that is not framed: key and value by the schemas that `describe` gives.
const UNFRAMED: &str = "
import sys
schemas = json.loads(sys.argv[1])
for line in sys.argv[2:]:
    key, value = json.loads(line)
    read = lambda data, schema: data and avro(bytes.fromhex(data), schema)
    print(json.dumps([read(key, schemas['key']), read(value, schemas['value'])]))
";

#[tokio::test]
async fn avro_messages_without_a_registry_are_the_bare_records() {
    let (settings, batch) = (settings(json!({"skipped.operations": "none"})), changes());
    let registry = Arc::new(Registry::default());
    messages(WireFormat::Avro, &settings, &batch, Some(registry.clone())).await;
    let registered = registry.0.lock().unwrap().clone();
    let schema = |index: usize| serde_json::from_str::<Value>(&registered[index].2).unwrap();
    let names: Vec<_> = registered.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    assert_eq!(
        names,
        [
            ("shop.public.orders-value", "shop.public.orders.Envelope"),
            ("shop.public.orders-key", "shop.public.orders.Key")
        ]
    );
    let described = describe(&batch.chunks[0].schema, Envelope::Debezium, &settings).unwrap();
    assert_eq!(described.avro.unwrap(), schema(0));

    let messages = messages(WireFormat::Avro, &settings, &batch, None).await;
    let hex = |range: &Option<std::ops::Range<usize>>| {
        let bytes = range.as_ref().map(|range| messages.get(range).iter().map(|byte| format!("{byte:02x}")).collect());
        bytes.map_or(Value::Null, |text: String| text.into())
    };
    let mut arguments = vec![json!({"key": schema(1), "value": schema(0)}).to_string()];
    arguments.extend(messages.spans.iter().map(|span| json!([hex(&span.key), hex(&span.value)]).to_string()));
    let script = format!("{}{UNFRAMED}", python::CONNECT);
    let printed = python::run(&script, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let read: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = read.iter().map(|it| (&it[0]["id"], &it[1]["op"], &it[1]["after"]["note"])).collect();
    let (one, two, null) = (json!(1), json!(2), Value::Null);
    let placeholder = json!("__debezium_unavailable_value");
    assert_eq!(
        told,
        [
            (&one, &json!("c"), &json!("a")),
            (&one, &json!("u"), &placeholder),
            (&one, &json!("d"), &null),
            (&one, &null, &null),
            (&two, &json!("c"), &json!("b")),
            (&two, &json!("d"), &null),
            (&two, &null, &null),
            (&null, &json!("t"), &null),
        ]
    );
    // The two sides of a change of the key name each other, in JSON whatever the format.
    let header = |index: usize| {
        let headers = messages.spans[index].headers.iter();
        headers.map(|(name, value)| (*name, std::str::from_utf8(messages.get(value)).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(header(2), [("__debezium.newkey", r#"{"id":2}"#)]);
    assert_eq!(header(3), [("__debezium.newkey", r#"{"id":2}"#)]);
    assert_eq!(header(4), [("__debezium.oldkey", r#"{"id":1}"#)]);
    assert!(header(5).is_empty());
}

#[tokio::test]
async fn a_table_without_primary_key_has_updates_and_no_tombstones() {
    let orders = table_with_identity("public.orders", 1, ReplicaIdentity::Full);
    let every = (0..orders.columns.len()).collect();
    let orders = Arc::new((*orders).clone().with_key(every));
    let batch = BatchBuilder::new().begin(0x100, 751, 0).update_full(&orders, (1, "a"), (1, "b"));
    let batch = batch.delete_full(&orders, 1, "b").commit(0x200).build();
    let mut settings = settings(json!({}));
    settings.debezium.settings.schemas_enable = false;
    let messages = messages(WireFormat::Json, &settings, &batch, None).await;
    let ops: Vec<Value> = messages
        .spans
        .iter()
        .map(|span| serde_json::from_slice::<Value>(messages.get(span.value.as_ref().unwrap())).unwrap()["op"].clone())
        .collect();
    assert_eq!(ops, ["u", "d"]);
    assert!(messages.spans.iter().all(|span| span.key.is_none()));
}

#[test]
fn names_that_avro_and_protobuf_refuse_are_escaped_or_adjusted() {
    let schema = (*table("public.or ders", 1)).clone();
    let named = |options: Value| {
        let mut settings = settings(options);
        settings.debezium.flow = "my-shop".into();
        let shapes = describe(&Arc::new(schema.clone()), Envelope::Debezium, &settings).unwrap();
        let avro = shapes.avro.unwrap();
        (avro["namespace"].clone(), avro["connect.name"].clone(), shapes.proto.unwrap())
    };
    let (namespace, connect, proto) = named(json!({}));
    assert_eq!(namespace, "my_x002D_shop.public.or_x0020_ders");
    assert_eq!(connect, "my-shop.public.or ders.Envelope");
    assert!(proto.contains("package my_x002D_shop.public.or_x0020_ders;"), "{proto}");
    let (namespace, connect, _) = named(json!({"schema.name.adjustment.mode": "avro"}));
    assert_eq!((namespace, connect), (json!("my_shop.public.or_ders"), json!("my_shop.public.or_ders.Envelope")));
}
