use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use ductstream_core::{Envelope, Messages, Result, TableChunk, WireFormat};
use ductstream_decode::{Options, SchemaText, schema_id};
use ductstream_wire::envelope::debezium::Debezium;
use ductstream_wire::{
    MessageMode, MessageShape, SchemaDefinition, SchemaKind, SchemaRegistrar, SchemaSubject, WireSettings,
    message_codec,
};

use super::support::{changes, lines, printed, read};
use super::types;

/// A registry that gives ids from 0 on.
#[derive(Debug, Default)]
struct Registry(Mutex<Vec<SchemaDefinition>>);

#[async_trait]
impl SchemaRegistrar for Registry {
    async fn register(&self, _: &SchemaSubject<'_>, schema: &SchemaDefinition) -> Result<u32> {
        let mut known = self.0.lock().unwrap();
        known.push(schema.clone());
        Ok(u32::try_from(known.len() - 1).unwrap())
    }
}

impl Registry {
    fn schema(&self, id: u32) -> SchemaText {
        let SchemaDefinition { kind, text } = self.0.lock().unwrap()[id as usize].clone();
        match kind {
            SchemaKind::Avro => SchemaText::Avro(text),
            SchemaKind::Protobuf => SchemaText::Proto(text),
            SchemaKind::Json => SchemaText::Json(text),
        }
    }
}

async fn encode(shape: MessageShape, chunk: &TableChunk, registry: Option<Arc<Registry>>) -> Messages {
    let registry = registry.map(|registry| registry as Arc<dyn SchemaRegistrar>);
    // The name of a flow, which Debezium's names begin with, is never empty.
    let debezium = Debezium { flow: "shop".into(), ..Debezium::default() };
    let settings = WireSettings { debezium, ..WireSettings::default() };
    let codec = message_codec(shape, &settings, registry).unwrap();
    let mut messages = Messages::default();
    let mut encoder = codec.encoder(&chunk.schema, "shop").await.unwrap();
    encoder.encode(chunk, 0..chunk.len(), &mut messages).unwrap();
    messages
}

fn shape(format: WireFormat, mode: MessageMode) -> MessageShape {
    MessageShape { format, envelope: Envelope::Flat, mode, tombstones: false }
}

fn values(messages: &Messages) -> Vec<Bytes> {
    let values = messages.spans.iter().filter_map(|span| span.value.as_ref());
    values.map(|value| Bytes::copy_from_slice(messages.get(value))).collect()
}

fn keys(messages: &Messages) -> Vec<Bytes> {
    let keys = messages.spans.iter().filter_map(|span| span.key.as_ref());
    keys.map(|key| Bytes::copy_from_slice(messages.get(key))).collect()
}

#[tokio::test]
async fn framed_records_are_read_by_the_schema_that_they_name() {
    for chunk in [types::chunk(), changes().chunks.remove(0)] {
        let expected = lines(Envelope::Flat, &chunk);
        for format in [WireFormat::Json, WireFormat::Avro, WireFormat::Proto] {
            let registry = Arc::new(Registry::default());
            let messages = encode(shape(format, MessageMode::Record), &chunk, Some(registry.clone())).await;
            let by_id = |message: &Bytes| {
                let schema = schema_id(message).map(|id| registry.schema(id));
                printed(message.clone(), &Options { format: None, schema, is_framed: true })
            };
            assert_eq!(values(&messages).iter().map(by_id).collect::<String>(), expected, "{format}");
            let first = keys(&messages).iter().map(by_id).next().unwrap();
            assert!(first == "{\"i4\":7}\n" || first == "{\"id\":9}\n", "{format}: {first}");
        }
    }
}

#[tokio::test]
async fn bare_records_are_read_by_a_schema_that_is_given() {
    let chunk = types::chunk();
    let expected = lines(Envelope::Flat, &chunk);
    for format in [WireFormat::Json, WireFormat::Avro, WireFormat::Proto] {
        let registry = Arc::new(Registry::default());
        encode(shape(format, MessageMode::Record), &chunk, Some(registry.clone())).await;
        let messages = encode(shape(format, MessageMode::Record), &chunk, None).await;
        let SchemaDefinition { text, .. } = registry.0.lock().unwrap()[0].clone();
        let schema = Some(SchemaText::recognise(text.into()).unwrap());
        for format in [None, Some(format)] {
            let options = Options { format, schema: schema.clone(), is_framed: false };
            let found: String = values(&messages).iter().map(|message| printed(message.clone(), &options)).collect();
            assert_eq!(found, expected, "{format:?}");
        }
        // One with an id in front, though nobody asked a registry.
        let framed = encode(shape(format, MessageMode::Record), &chunk, Some(registry.clone())).await;
        let options = Options { schema: schema.clone(), ..Options::default() };
        let found: String = values(&framed).iter().map(|message| printed(message.clone(), &options)).collect();
        assert_eq!(found, expected, "{format}, framed");
    }
}

#[tokio::test]
async fn a_batch_is_read_as_a_file_is() {
    let chunk = types::chunk();
    for format in [WireFormat::Json, WireFormat::Avro, WireFormat::Proto, WireFormat::Arrow, WireFormat::Parquet] {
        let messages = encode(shape(format, MessageMode::Batch), &chunk, None).await;
        let found: String = values(&messages).iter().map(|it| printed(it.clone(), &Options::default())).collect();
        assert_eq!(found, lines(Envelope::Flat, &chunk), "{format}");
    }
}

#[tokio::test]
async fn of_a_document_with_a_connect_schema_the_payload_is_printed() {
    let shape = MessageShape { envelope: Envelope::Debezium, ..shape(WireFormat::Json, MessageMode::Record) };
    let messages = encode(shape, &changes().chunks[0], None).await;
    let inserted = values(&messages).swap_remove(1);
    let whole: serde_json::Value = serde_json::from_slice(&inserted).unwrap();
    let found: serde_json::Value = serde_json::from_str(&printed(inserted.clone(), &Options::default())).unwrap();
    assert_eq!(found, whole["payload"]);
    let document = ductstream_decode::open(inserted, &Options::default()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&document.definition.unwrap()).unwrap();
    assert_eq!(schema, whole["schema"]);
    let row = "{\"schema\":\"s\",\"payload\":1}\n";
    assert_eq!(printed(row, &Options::default()), row, "columns of these names are no such document");
}

#[tokio::test]
async fn debezium_s_events_are_read_by_the_schemas_that_connect_would_register() {
    for format in [WireFormat::Avro, WireFormat::Proto] {
        let registry = Arc::new(Registry::default());
        let shape = MessageShape { envelope: Envelope::Debezium, ..shape(format, MessageMode::Record) };
        let messages = encode(shape, &changes().chunks[0], Some(registry.clone())).await;
        let inserted = values(&messages).swap_remove(1);
        let schema = schema_id(&inserted).map(|id| registry.schema(id));
        let found = printed(inserted, &Options { format: None, schema, is_framed: true });
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(
            (&found["op"], &found["after"]["id"], &found["source"]["table"]),
            (&"c".into(), &1.into(), &"orders".into())
        );
        assert_eq!(found["after"]["note"], "a\n\"b\"", "{format}");
    }
}

#[tokio::test]
async fn a_record_of_another_schema_is_an_error_and_not_another_record() {
    let registry = Arc::new(Registry::default());
    let chunk = changes().chunks.remove(0);
    for format in [WireFormat::Avro, WireFormat::Proto] {
        encode(shape(format, MessageMode::Record), &types::chunk(), Some(registry.clone())).await;
        let count = registry.0.lock().unwrap().len();
        let other = registry.schema(u32::try_from(count).unwrap() - 2);
        let message = values(&encode(shape(format, MessageMode::Record), &chunk, None).await).swap_remove(0);
        let (_, error) = read(message, &Options { schema: Some(other), ..Options::default() });
        assert!(error.unwrap().message().contains("damaged at byte"), "{format}");
    }
}

#[tokio::test]
async fn a_message_without_its_schema_says_how_to_bring_it() {
    let registry = Arc::new(Registry::default());
    let messages = encode(shape(WireFormat::Avro, MessageMode::Record), &types::chunk(), Some(registry)).await;
    let (_, error) = read(values(&messages).swap_remove(0), &Options::default());
    assert!(error.unwrap().report().contains("--registry"));
    let (_, error) = read("", &Options { format: Some(WireFormat::Proto), ..Options::default() });
    assert!(error.unwrap().report().contains("--schema"));
}
