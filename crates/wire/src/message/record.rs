//! One message per record.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use ductstream_core::{
    Envelope, Error, MessageCodec, MessageEncoder, MessageSpan, Messages, Op, Result, TableChunk, TableSchema,
    WireFormat,
};

use super::{MessageMode, MessageShape, content_type};
use crate::avro::record_name;
use crate::avro::rows::AvroRows;
use crate::avro::schema::avro_schema;
use crate::envelope::{KeyChanges, Transform, check_envelope};
use crate::json::JsonMessages;
use crate::proto::rows::ProtoRows;
use crate::proto::schema::{Numbers, package, proto_schema};
use crate::registry::frame;
use crate::rows::RowEncoder;
use crate::{SchemaDefinition, SchemaKind, SchemaRegistrar, SchemaSubject, WireSettings};

/// Messages of one record each.
pub(super) struct RecordCodec {
    shape: MessageShape,
    settings: WireSettings,
    registry: Option<Arc<dyn SchemaRegistrar>>,
}

impl RecordCodec {
    pub(super) fn new(
        shape: MessageShape,
        settings: &WireSettings,
        registry: Option<Arc<dyn SchemaRegistrar>>,
    ) -> Result<Self> {
        check_envelope(shape.envelope)?;
        match shape.format {
            WireFormat::Json => settings.json.validate()?,
            WireFormat::Avro | WireFormat::Proto => {}
            WireFormat::Arrow | WireFormat::Parquet => {
                let message = format!("format {} has no messages of one record", shape.format);
                return Err(Error::configuration(message).with_remedy("set format to json, avro or proto"));
            }
        }
        Ok(Self { shape, settings: settings.clone(), registry })
    }

    async fn frame(&self, subject: SchemaSubject<'_>, schema: SchemaDefinition) -> Result<Vec<u8>> {
        frame(self.registry.as_ref(), subject, schema).await
    }

    async fn json(&self, table: &Arc<TableSchema>, topic: &str) -> Result<Payload> {
        let mut messages = JsonMessages::new(self.shape.envelope, table, self.settings.json.numeric)?;
        let (value, key) = messages.schemas()?;
        let definition =
            |schema: serde_json::Value| SchemaDefinition { kind: SchemaKind::Json, text: schema.to_string() };
        let name = record_name(&table.table, "Value");
        let subject = SchemaSubject { topic, record_name: &name, is_key: false };
        messages.value_frame = self.frame(subject, definition(value)).await?;
        if let Some(key) = key {
            let name = record_name(&table.table, "Key");
            let subject = SchemaSubject { topic, record_name: &name, is_key: true };
            messages.key_frame = self.frame(subject, definition(key)).await?;
        }
        Ok(Payload::Json(messages))
    }

    async fn columns(&self, table: &Arc<TableSchema>, topic: &str) -> Result<Payload> {
        let transform = Transform::new(self.shape.envelope, table)?;
        let values = self.rows(transform.schema(), table, (topic, false)).await?;
        let keys = match transform.key_schema() {
            Some(schema) => Some(self.rows(&schema, table, (topic, true)).await?),
            None => None,
        };
        Ok(Payload::Columns { transform, values, keys })
    }

    async fn rows(
        &self,
        schema: &SchemaRef,
        table: &TableSchema,
        (topic, is_key): (&str, bool),
    ) -> Result<Box<dyn RowEncoder>> {
        let name = record_name(&table.table, if is_key { "Key" } else { "Value" });
        let subject = SchemaSubject { topic, record_name: &name, is_key };
        let numbers = if is_key { Numbers::Names } else { Numbers::Envelope(self.shape.envelope) };
        let of_table = |error: Error| error.context(format_args!("table {}", table.table));
        if self.shape.format == WireFormat::Proto {
            let part = if is_key { "Key" } else { "Value" };
            let proto = proto_schema(&package(&table.table), part, schema.fields(), numbers).map_err(of_table)?;
            let definition = SchemaDefinition { kind: SchemaKind::Protobuf, text: proto.to_string() };
            let frame = self.frame(subject, definition).await?;
            return Ok(Box::new(ProtoRows::new(schema.clone(), &proto).with_prefix(frame)));
        }
        let text = avro_schema(schema, &name).map_err(of_table)?.to_string();
        let frame = self.frame(subject, SchemaDefinition { kind: SchemaKind::Avro, text }).await?;
        Ok(Box::new(AvroRows::new(schema.clone()).with_prefix(frame)))
    }
}

#[async_trait]
impl MessageCodec for RecordCodec {
    fn format(&self) -> WireFormat {
        self.shape.format
    }

    fn envelope(&self) -> Envelope {
        self.shape.envelope
    }

    fn content_type(&self) -> &'static str {
        content_type(self.shape.format, MessageMode::Record)
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, topic: &str) -> Result<Box<dyn MessageEncoder>> {
        let payload = match self.shape.format {
            WireFormat::Json => self.json(schema, topic).await?,
            _ => self.columns(schema, topic).await?,
        };
        let ends = MessageEnds { with_old_keys: self.shape.tombstones, ..MessageEnds::default() };
        Ok(Box::new(RecordEncoder { payload, tombstones: self.shape.tombstones, ends }))
    }
}

/// How keys and values are written.
enum Payload {
    Columns { transform: Transform, values: Box<dyn RowEncoder>, keys: Option<Box<dyn RowEncoder>> },
    Json(JsonMessages),
}

struct RecordEncoder {
    payload: Payload,
    tombstones: bool,
    ends: MessageEnds,
}

/// Where the parts of messages end: all values lie first, then all keys, then all old keys.
#[derive(Debug, Default)]
pub(crate) struct MessageEnds {
    pub(crate) values: Vec<usize>,
    /// Empty for a table without a key.
    pub(crate) keys: Vec<usize>,
    /// Of the updates that changed the key, where `with_old_keys` asks for them.
    pub(crate) old_keys: Vec<usize>,
    pub(crate) with_old_keys: bool,
}

impl MessageEnds {
    fn clear(&mut self) {
        self.values.clear();
        self.keys.clear();
        self.old_keys.clear();
    }
}

/// Hands out what lies between ends that follow each other.
pub(super) struct Parts<'a> {
    start: usize,
    ends: std::slice::Iter<'a, usize>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(start: usize, ends: &'a [usize]) -> Self {
        Self { start, ends: ends.iter() }
    }
}

impl Iterator for Parts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let end = *self.ends.next()?;
        Some(std::mem::replace(&mut self.start, end)..end)
    }
}

impl RecordEncoder {
    fn write(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        self.ends.clear();
        match &mut self.payload {
            Payload::Columns { transform, values, keys } => {
                values.encode(&transform.apply(chunk, rows.clone())?, out, &mut self.ends.values)?;
                if let (Some(encoder), Some(keys)) = (keys, transform.keys(chunk, rows.clone())?) {
                    encoder.encode(&keys, out, &mut self.ends.keys)?;
                    let old_keys = if self.tombstones { transform.old_keys(chunk, rows)? } else { None };
                    old_keys.map_or(Ok(()), |keys| encoder.encode(&keys, out, &mut self.ends.old_keys))?;
                }
                Ok(())
            }
            Payload::Json(messages) => messages.write(chunk, rows, out, &mut self.ends),
        }
    }

    /// The messages of what [`write`](Self::write) wrote from `start` on.
    fn spans(&self, chunk: &TableChunk, rows: Range<usize>, start: usize, spans: &mut Vec<MessageSpan>) {
        let ends = &self.ends;
        let key_start = ends.values.last().copied().unwrap_or(start);
        let old_key_start = ends.keys.last().copied().unwrap_or(key_start);
        let mut keys = Parts::new(key_start, &ends.keys);
        let mut old_keys = Parts::new(old_key_start, &ends.old_keys);
        let changes = (!ends.old_keys.is_empty()).then(|| KeyChanges::of(chunk));
        for (row, value) in rows.zip(Parts::new(start, &ends.values)) {
            let op = chunk.ops[row];
            let key = keys.next().filter(|_| op != Op::Truncate);
            let message = |key, value| MessageSpan { rows: row..row + 1, key, value, headers: Vec::new() };
            if changes.as_ref().is_some_and(|changes| changes.changed(row)) {
                spans.push(message(old_keys.next(), None));
            }
            let tombstone = key.clone().filter(|_| self.tombstones && op == Op::Delete);
            spans.push(message(key, Some(value)));
            spans.extend(tombstone.map(|key| message(Some(key), None)));
        }
    }
}

impl MessageEncoder for RecordEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let start = out.bytes.len();
        let table = &chunk.schema.table;
        self.write(chunk, rows.clone(), &mut out.bytes)
            .map_err(|error| error.context(format_args!("table {table}")))?;
        out.spans.reserve(rows.len());
        self.spans(chunk, rows, start, &mut out.spans);
        Ok(())
    }
}
