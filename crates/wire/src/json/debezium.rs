//! The envelope `debezium` as JSON: documents as Connect's `JsonConverter` writes them, by themselves and as lines.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, StructArray};
use arrow_schema::Field;
use ductstream_core::{Codec, Envelope, Error, Messages, ObjectEncoder, Result, TableChunk, TableSchema, WireFormat};

use super::compress::Compressor;
use super::encoder::{JsonEncoder, Lines};
use super::kind::Kind;
use super::text::push_string;
use super::values::Values;
use crate::envelope::ValueTransform;
use crate::envelope::debezium::{Debezium, connect, topic};
use crate::message::EventMessages;
use crate::rows::RowEncoder;
use crate::{JsonCompression, JsonSettings, NumericJson, WireSettings};

/// Files of JSON lines in the envelope `debezium`.
#[derive(Debug, Clone)]
pub struct DebeziumJson {
    debezium: Debezium,
    settings: JsonSettings,
}

impl DebeziumJson {
    /// JSON with these settings.
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
        let plan = ValueLines::compile(&self.debezium, schema)?;
        Ok(Box::new(JsonEncoder::new(Lines::Debezium(Box::new(plan)), Compressor::new(&self.settings)?)))
    }
}

/// The values of one table's events at one schema version, as lines. A tombstone has none.
pub(super) struct ValueLines {
    transform: ValueTransform,
    documents: Documents,
}

impl ValueLines {
    pub(super) fn compile(debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        let transform = ValueTransform::new(Envelope::Debezium, debezium, table)?;
        let ValueTransform::Debezium(events, _) = &transform else { return Err(Error::bug("no events")) };
        let documents = Documents::compile(events.value_field(), debezium.settings.schemas_enable)?;
        Ok(Self { transform, documents: documents.with_end(b"\n") })
    }

    pub(super) fn table(&self) -> &TableSchema {
        self.transform.table()
    }

    /// Appends the lines of `rows`.
    pub(super) fn push(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        self.documents.encode(&self.transform.apply(chunk, rows)?, out, &mut Vec::new())
    }
}

/// Whole messages of one table's events at one schema version, as lines: topic, key, headers and value.
pub(super) struct MessageLines {
    pub(super) table: Arc<TableSchema>,
    topic: String,
    messages: EventMessages,
}

impl MessageLines {
    pub(super) fn compile(debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        let topic = topic(table).unwrap_or_else(|| format!("{}.{}", debezium.prefix(), table.table));
        let settings = WireSettings { debezium: debezium.clone(), ..WireSettings::default() };
        Ok(Self { table: table.clone(), topic, messages: EventMessages::json(&settings, table)? })
    }

    /// Appends the lines of `rows`.
    pub(super) fn push(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        let mut messages = Messages::default();
        self.messages.push(chunk, rows, &mut messages)?;
        push_messages(&self.topic, &messages, out);
        Ok(())
    }
}

/// Appends a line for each message.
fn push_messages(topic: &str, messages: &Messages, out: &mut Vec<u8>) {
    for span in &messages.spans {
        let json = |range: &Option<Range<usize>>| range.as_ref().map_or(&b"null"[..], |range| messages.get(range));
        out.extend_from_slice(b"{\"topic\":");
        push_string(topic, out);
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
}

/// Writes keys or values as documents, with their schema or without.
#[derive(Debug)]
pub(crate) struct Documents {
    kind: Kind,
    /// What stands in front of each payload.
    head: Vec<u8>,
    /// What stands behind it.
    tail: Vec<u8>,
}

impl Documents {
    /// Documents of the structs of `field`.
    pub(crate) fn compile(field: &Field, schemas: bool) -> Result<Self> {
        let kind = Kind::of(field, NumericJson::String)?;
        if !schemas {
            return Ok(Self { kind, head: Vec::new(), tail: Vec::new() });
        }
        let mut head = b"{\"schema\":".to_vec();
        let failed = |error| Error::bug("writing a Connect schema").with_source(error);
        serde_json::to_writer(&mut head, &connect::schema(field, false)).map_err(failed)?;
        head.extend_from_slice(b",\"payload\":");
        Ok(Self { kind, head, tail: b"}".to_vec() })
    }

    /// The same with `end` behind every document.
    fn with_end(mut self, end: &[u8]) -> Self {
        self.tail.extend_from_slice(end);
        self
    }
}

impl RowEncoder for Documents {
    fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let structs = StructArray::from(rows.clone());
        let values = Values::bind(&self.kind, &structs)?;
        ends.reserve(rows.num_rows());
        for row in 0..rows.num_rows() {
            out.extend_from_slice(&self.head);
            values.push(row, out);
            out.extend_from_slice(&self.tail);
            ends.push(out.len());
        }
        Ok(())
    }
}
