use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use ductstream_core::{ChangeBatch, Envelope, Messages, ReplicaIdentity, Result, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table, table_with_identity};
use ductstream_testkit::python;
use ductstream_wire::{
    MessageMode, MessageShape, SchemaDefinition, SchemaRegistrar, SchemaSubject, WireSettings, message_codec,
};
use serde_json::{Value, json};

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

fn changes() -> ChangeBatch {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, 0).insert(&orders, 1, "a").update_key(&orders, (1, 2), "b");
    batch.delete(&orders, 2).truncate(&orders).commit(0x200).build()
}

async fn encode(shape: MessageShape, batch: &ChangeBatch, registry: Option<Arc<Registry>>) -> Messages {
    let registry = registry.map(|registry| registry as Arc<dyn SchemaRegistrar>);
    let codec = message_codec(shape, &WireSettings::default(), registry).unwrap();
    let (chunk, mut messages) = (&batch.chunks[0], Messages::default());
    let mut encoder = codec.encoder(&chunk.schema, "shop").await.unwrap();
    encoder.encode(chunk, 0..1, &mut messages).unwrap();
    encoder.encode(chunk, 1..chunk.len(), &mut messages).unwrap();
    messages
}

fn shape(format: WireFormat, envelope: Envelope) -> MessageShape {
    MessageShape { format, envelope, mode: MessageMode::Record, tombstones: true }
}

fn documents(messages: &Messages, skip: usize) -> Vec<(usize, Option<Value>, Option<Value>)> {
    let parse = |range: &Option<std::ops::Range<usize>>| {
        range.as_ref().map(|range| serde_json::from_slice(&messages.get(range)[skip..]).unwrap())
    };
    messages.spans.iter().map(|span| (span.rows.start, parse(&span.key), parse(&span.value))).collect()
}

#[tokio::test]
async fn json_messages_have_the_key_of_their_record_and_a_tombstone_names_each_key_that_is_gone() {
    let messages = encode(shape(WireFormat::Json, Envelope::Native), &changes(), None).await;
    let documents = documents(&messages, 0);
    let keys: Vec<_> = documents.iter().map(|(row, key, _)| (*row, key.clone())).collect();
    let key = |id: i64| Some(json!({"id": id}));
    assert_eq!(keys, [(0, key(1)), (1, key(1)), (1, key(2)), (2, key(2)), (2, key(2)), (3, None)]);
    let ops: Vec<_> = documents.iter().map(|(.., value)| value.as_ref().map(|it| it["op"].clone())).collect();
    assert_eq!(
        ops,
        [Some(json!("insert")), None, Some(json!("update")), Some(json!("delete")), None, Some(json!("truncate"))]
    );
}

#[tokio::test]
async fn without_tombstones_each_record_is_one_message_and_without_identity_it_has_no_key() {
    let orders =
        Arc::new((*table_with_identity("public.orders", 1, ReplicaIdentity::Nothing)).clone().with_key(Vec::new()));
    let batch = BatchBuilder::new().begin(0x100, 751, 0).insert(&orders, 1, "a").insert(&orders, 2, "b").build();
    for format in [WireFormat::Json, WireFormat::Avro, WireFormat::Proto] {
        let shape = MessageShape { tombstones: false, ..shape(format, Envelope::Flat) };
        let messages = encode(shape, &batch, None).await;
        assert!(messages.spans.iter().all(|span| span.key.is_none() && span.value.is_some()));
        assert_eq!(messages.spans.len(), 2);
    }
}

#[tokio::test]
async fn json_schemas_are_registered_and_their_ids_stand_in_front() {
    let registry = Arc::new(Registry::default());
    let messages = encode(shape(WireFormat::Json, Envelope::Flat), &changes(), Some(registry.clone())).await;
    let first = &messages.spans[0];
    assert_eq!(messages.get(first.value.as_ref().unwrap())[..5], [0, 0, 0, 1, 2]);
    assert_eq!(messages.get(first.key.as_ref().unwrap())[..5], [0, 0, 0, 1, 3]);
    assert_eq!(documents(&messages, 5)[0].1, Some(json!({"id": 1})));
    let known = registry.0.lock().unwrap();
    let names: Vec<_> = known.iter().map(|(subject, name, _)| (subject.as_str(), name.as_str())).collect();
    assert_eq!(names, [("shop-value", "public.orders.Value"), ("shop-key", "public.orders.Key")]);
    let key: Value = serde_json::from_str(&known[1].2).unwrap();
    assert_eq!(key["required"], json!(["id"]));
}

const FASTAVRO: &str = "
import fastavro, io, json, sys
schemas = {258 + index: fastavro.parse_schema(json.loads(text)) for index, text in enumerate(json.loads(sys.argv[1]))}
def read(text):
    if text is None: return None
    data = bytes.fromhex(text)
    assert data[0] == 0
    stream = io.BytesIO(data[5:])
    record = fastavro.schemaless_reader(stream, schemas[int.from_bytes(data[1:5], 'big')])
    assert not stream.read()
    return record
for key, value in json.loads(sys.argv[2]):
    key, value = read(key), read(value)
    print(key, value and (value['op'], value['after'] and value['after']['note'], value['position']['seq']))
";

#[tokio::test]
async fn fastavro_reads_framed_messages_by_the_registered_schemas() {
    let registry = Arc::new(Registry::default());
    let messages = encode(shape(WireFormat::Avro, Envelope::Native), &changes(), Some(registry.clone())).await;
    let hex = |range: &Option<std::ops::Range<usize>>| {
        let bytes = range.as_ref().map(|range| messages.get(range));
        bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let pairs: Vec<_> = messages.spans.iter().map(|span| json!([hex(&span.key), hex(&span.value)])).collect();
    let schemas: Vec<_> = registry.0.lock().unwrap().iter().map(|(.., text)| text.clone()).collect();
    let read = python::run(FASTAVRO, &[&json!(schemas).to_string(), &json!(pairs).to_string()]);
    let expected = "
{'id': 1} ('insert', 'a', 0)
{'id': 1} None
{'id': 2} ('update', 'b', 1)
{'id': 2} ('delete', None, 2)
{'id': 2} None
None ('truncate', None, 3)
";
    assert_eq!(read, expected.trim_start());
}

#[tokio::test]
async fn protobuf_messages_name_their_schema_and_its_first_message() {
    let registry = Arc::new(Registry::default());
    let messages = encode(shape(WireFormat::Proto, Envelope::Native), &changes(), Some(registry.clone())).await;
    let first = &messages.spans[0];
    assert_eq!(messages.get(first.value.as_ref().unwrap())[..6], [0, 0, 0, 1, 2, 0]);
    // The key's only field: its tag (number 27814624, a varint), and 1.
    let tag = [0x80, 0xae, 0x8d, 0x6a];
    assert_eq!(messages.get(first.key.as_ref().unwrap()), [&[0, 0, 0, 1, 3, 0][..], &tag, &[1]].concat());
    let rows: Vec<_> = messages.spans.iter().map(|span| (span.rows.start, span.value.is_some())).collect();
    assert_eq!(rows, [(0, true), (1, false), (1, true), (2, true), (2, false), (3, true)]);
    let known = registry.0.lock().unwrap();
    let names: Vec<_> = known.iter().map(|(subject, name, _)| (subject.as_str(), name.as_str())).collect();
    assert_eq!(names, [("shop-value", "public.orders.Value"), ("shop-key", "public.orders.Key")]);
    assert!(known[1].2.contains("message Key {\n  // bigint\n  optional int64 id = 27814624;"), "{}", known[1].2);
}

const ARROW_STREAM: &str = "
import pyarrow.ipc, sys
print(pyarrow.ipc.open_stream(bytes.fromhex(sys.argv[1])).read_all().column('_op').to_pylist())
";

#[tokio::test]
async fn a_batch_is_one_message_without_key() {
    let batch = changes();
    for format in [WireFormat::Json, WireFormat::Avro, WireFormat::Parquet, WireFormat::Arrow] {
        let shape = MessageShape { mode: MessageMode::Batch, tombstones: false, ..shape(format, Envelope::Flat) };
        let messages = encode(shape, &batch, None).await;
        let rows: Vec<_> = messages.spans.iter().map(|span| (span.rows.clone(), span.key.clone())).collect();
        assert_eq!(rows, [(0..1, None), (1..4, None)]);
        if format == WireFormat::Arrow {
            let hex = messages.get(messages.spans[1].value.as_ref().unwrap());
            let hex: String = hex.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(python::run(ARROW_STREAM, &[&hex]), "['update', 'delete', 'truncate']\n");
            continue;
        }
        let beginning = &messages.get(messages.spans[1].value.as_ref().unwrap())[..3];
        let expected = match format {
            WireFormat::Json => b"{\"i",
            WireFormat::Avro => b"Obj",
            _ => b"PAR",
        };
        assert_eq!(beginning, expected);
    }
}

#[test]
fn messages_that_cannot_be_are_refused_with_what_can() {
    let refused = |shape: MessageShape, registry: Option<Arc<dyn SchemaRegistrar>>| {
        message_codec(shape, &WireSettings::default(), registry).err().unwrap().to_string()
    };
    let batch = MessageShape { mode: MessageMode::Batch, ..shape(WireFormat::Json, Envelope::Flat) };
    assert!(refused(shape(WireFormat::Parquet, Envelope::Flat), None).contains("parquet"));
    assert!(refused(batch, None).contains("tombstones"));
    assert!(refused(batch, Some(Arc::new(Registry::default()))).contains("registry"));
}
