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
use crate::envelope::{Transform, check_envelope};
use crate::json::JsonMessages;
use crate::registry::push_frame;
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
            WireFormat::Avro => {}
            WireFormat::Proto | WireFormat::Arrow | WireFormat::Parquet => {
                let message = format!("format {} has no messages of one record", shape.format);
                return Err(Error::configuration(message).with_remedy("set format to json or avro"));
            }
        }
        Ok(Self { shape, settings: settings.clone(), registry })
    }

    /// What stands in front of every key or value: nothing without a registry.
    async fn frame(&self, subject: SchemaSubject<'_>, schema: SchemaDefinition) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        if let Some(registry) = &self.registry {
            push_frame(schema.kind, registry.register(&subject, &schema).await?, &mut frame);
        }
        Ok(frame)
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
        let of_table = |error: Error| error.context(format_args!("table {}", table.table));
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
        let tombstones = self.shape.tombstones;
        Ok(Box::new(RecordEncoder { payload, tombstones, value_ends: Vec::new(), key_ends: Vec::new() }))
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
    value_ends: Vec<usize>,
    /// Empty for a table without a key.
    key_ends: Vec<usize>,
}

impl RecordEncoder {
    /// Writes all values, then all keys.
    fn write(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Vec<u8>) -> Result<usize> {
        self.value_ends.clear();
        self.key_ends.clear();
        match &mut self.payload {
            Payload::Columns { transform, values, keys } => {
                values.encode(&transform.apply(chunk, rows.clone())?, out, &mut self.value_ends)?;
                let key_start = out.len();
                if let (Some(encoder), Some(keys)) = (keys, transform.keys(chunk, rows)?) {
                    encoder.encode(&keys, out, &mut self.key_ends)?;
                }
                Ok(key_start)
            }
            Payload::Json(messages) => messages.write(chunk, rows, out, (&mut self.value_ends, &mut self.key_ends)),
        }
    }
}

impl MessageEncoder for RecordEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let mut value_start = out.bytes.len();
        let table = &chunk.schema.table;
        let mut key_start = self
            .write(chunk, rows.clone(), &mut out.bytes)
            .map_err(|error| error.context(format_args!("table {table}")))?;
        out.spans.reserve(rows.len());
        for (index, row) in rows.enumerate() {
            let op = chunk.ops[row];
            let value = value_start..self.value_ends[index];
            value_start = value.end;
            let key = self.key_ends.get(index).map(|end| key_start..*end);
            key_start = key.as_ref().map_or(key_start, |key| key.end);
            let key = key.filter(|_| op != Op::Truncate);
            let message = |value| MessageSpan { rows: row..row + 1, key: key.clone(), value, headers: Vec::new() };
            out.spans.push(message(Some(value)));
            if self.tombstones && op == Op::Delete && key.is_some() {
                out.spans.push(message(None));
            }
        }
        Ok(())
    }
}
