//! The envelope `debezium` as JSON: messages with keys, and lines of values.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::Field;
use async_trait::async_trait;
use ductstream_core::{
    Codec, Envelope, Error, MessageCodec, MessageEncoder, MessageSpan, Messages, ObjectEncoder, Result, TableChunk,
    TableSchema, WireFormat,
};

use super::compress::Compressor;
use super::encoder::{JsonEncoder, Lines};
use super::kind::Kind;
use super::text::push_string;
use super::values::Values;
use crate::envelope::debezium::{Debezium, DebeziumTransform, Kind as EventKind, connect};
use crate::{JsonCompression, JsonSettings, NumericJson};

/// The header that a delete has when an update changed the key.
const NEW_KEY: &str = "__debezium.newkey";
/// The header that a create has when an update changed the key.
const OLD_KEY: &str = "__debezium.oldkey";

/// JSON in the envelope `debezium`, as Connect's `JsonConverter` writes it.
#[derive(Debug, Clone)]
pub struct DebeziumJson {
    debezium: Debezium,
    settings: JsonSettings,
}

impl DebeziumJson {
    /// JSON with these settings. The compression is that of files.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range.
    pub fn new(debezium: Debezium, settings: JsonSettings) -> Result<Self> {
        debezium.settings.validate()?;
        settings.validate()?;
        Ok(Self { debezium, settings })
    }
}

impl Codec for DebeziumJson {
    fn format(&self) -> WireFormat {
        WireFormat::Json
    }

    fn envelope(&self) -> Envelope {
        Envelope::Debezium
    }

    fn extension(&self) -> &'static str {
        match self.settings.compression {
            JsonCompression::None => "jsonl",
            JsonCompression::Gzip => "jsonl.gz",
            JsonCompression::Zstd => "jsonl.zst",
        }
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let plan = DebeziumPlan::compile(&self.debezium, schema)?;
        Ok(Box::new(JsonEncoder::new(Lines::Debezium(Box::new(plan)), Compressor::new(&self.settings)?)))
    }
}

#[async_trait]
impl MessageCodec for DebeziumJson {
    fn format(&self) -> WireFormat {
        WireFormat::Json
    }

    fn envelope(&self) -> Envelope {
        Envelope::Debezium
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, _topic: &str) -> Result<Box<dyn MessageEncoder>> {
        Ok(Box::new(DebeziumPlan::compile(&self.debezium, schema)?))
    }
}

/// How the events of one table at one schema version are written.
pub(super) struct DebeziumPlan {
    pub(super) table: Arc<TableSchema>,
    topic: String,
    transform: DebeziumTransform,
    key: Option<Document>,
    value: Document,
}

impl DebeziumPlan {
    pub(super) fn compile(debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        let transform = DebeziumTransform::new(debezium, table)?;
        let schemas = debezium.settings.schemas_enable;
        let key = transform.key_field().map(|field| Document::compile(field, schemas)).transpose()?;
        let value = Document::compile(transform.value_field(), schemas)?;
        let topic = format!("{}.{}", debezium.prefix(), table.table);
        Ok(Self { table: table.clone(), topic, transform, key, value })
    }

    /// Appends the values of `rows` as lines. A tombstone has none.
    pub(super) fn push_lines(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        let events = self.transform.apply(chunk, rows)?;
        let values = Values::bind(&self.value.kind, &events.values)?;
        for (index, _) in events.events.iter().enumerate().filter(|(_, event)| event.kind != EventKind::Tombstone) {
            self.value.push(&values, index, out);
            out.push(b'\n');
        }
        Ok(())
    }

    /// Appends the messages of `rows` as lines: topic, key, headers and value.
    pub(super) fn push_messages(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        let mut messages = Messages::default();
        self.push(chunk, rows, &mut messages)?;
        for span in &messages.spans {
            let json = |range: &Option<Range<usize>>| range.as_ref().map_or(&b"null"[..], |range| messages.get(range));
            out.extend_from_slice(b"{\"topic\":");
            push_string(&self.topic, out);
            out.extend_from_slice(b",\"key\":");
            out.extend_from_slice(json(&span.key));
            out.extend_from_slice(b",\"headers\":{");
            for (index, (name, value)) in span.headers.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                push_string(name, out);
                out.push(b':');
                out.extend_from_slice(messages.get(value));
            }
            out.extend_from_slice(b"},\"value\":");
            out.extend_from_slice(json(&span.value));
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn push(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let start = rows.start;
        let events = self.transform.apply(chunk, rows)?;
        let values = Values::bind(&self.value.kind, &events.values)?;
        let keys = match (&self.key, &events.keys) {
            (Some(document), Some(keys)) => Some((document, Values::bind(&document.kind, keys)?)),
            _ => None,
        };
        let mut push = |document: &Document, values: &Values<'_>, index| {
            let from = out.bytes.len();
            document.push(values, index, &mut out.bytes);
            from..out.bytes.len()
        };
        for (index, event) in events.events.iter().enumerate() {
            let mut key_of = |index| keys.as_ref().map(|(document, keys)| push(document, keys, index));
            let key = if event.kind == EventKind::Truncate { None } else { key_of(index) };
            let of_row =
                |kind| events.events.iter().enumerate().find(|(_, other)| other.row == event.row && other.kind == kind);
            let other = match event.kind {
                _ if !event.key_change => None,
                EventKind::Create => of_row(EventKind::Delete).map(|(index, _)| (OLD_KEY, index)),
                _ => of_row(EventKind::Create).map(|(index, _)| (NEW_KEY, index)),
            };
            let header = other.and_then(|(name, index)| Some((name, key_of(index)?)));
            let value = (event.kind != EventKind::Tombstone).then(|| push(&self.value, &values, index));
            let row = start + event.row;
            out.spans.push(MessageSpan { rows: row..row + 1, key, value, headers: header.into_iter().collect() });
        }
        Ok(())
    }
}

impl MessageEncoder for DebeziumPlan {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        self.push(chunk, rows, out)
    }
}

/// A key or value as a document, with its schema or without.
struct Document {
    kind: Kind,
    /// What stands in front of the payload.
    head: Vec<u8>,
    /// What stands behind it.
    tail: &'static [u8],
}

impl Document {
    fn compile(field: &Field, schemas: bool) -> Result<Self> {
        let kind = Kind::of(field, NumericJson::String)?;
        if !schemas {
            return Ok(Self { kind, head: Vec::new(), tail: b"" });
        }
        let mut head = b"{\"schema\":".to_vec();
        let failed = |error| Error::bug("writing a Connect schema").with_source(error);
        serde_json::to_writer(&mut head, &connect::schema(field, false)).map_err(failed)?;
        head.extend_from_slice(b",\"payload\":");
        Ok(Self { kind, head, tail: b"}" })
    }

    fn push(&self, values: &Values<'_>, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        values.push(row, out);
        out.extend_from_slice(self.tail);
    }
}
