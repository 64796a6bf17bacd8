//! Messages of the envelope `debezium`, in every format.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use ductstream_core::{
    ChangeBatch, Envelope, Error, MessageCodec, MessageEncoder, MessageSpan, Messages, Result, TableChunk, TableSchema,
    WireFormat,
};

use super::record::Parts;
use super::{MessageMode, content_type};
use crate::avro::connect::{connect_schema, record_name};
use crate::avro::rows::AvroRows;
use crate::envelope::debezium::{Announcer, EventTransform, Kind, topic};
use crate::json::Documents;
use crate::proto::connect::connect_proto;
use crate::proto::rows::ProtoRows;
use crate::proto::schema::Numbers;
use crate::registry::frame;
use crate::rows::RowEncoder;
use crate::{SchemaDefinition, SchemaKind, SchemaRegistrar, SchemaSubject, WireSettings};

/// The header that a delete has when an update changed the key.
const NEW_KEY: &str = "__debezium.newkey";
/// The header that a create has when an update changed the key.
const OLD_KEY: &str = "__debezium.oldkey";

/// Events as messages. Whether tombstones follow deletes is one of Debezium's own options.
pub(super) struct DebeziumCodec {
    format: WireFormat,
    settings: WireSettings,
    registry: Option<Arc<dyn SchemaRegistrar>>,
    announcer: Announcer,
}

impl DebeziumCodec {
    pub(super) fn new(
        format: WireFormat,
        settings: &WireSettings,
        registry: Option<Arc<dyn SchemaRegistrar>>,
    ) -> Result<Self> {
        settings.debezium.settings.validate()?;
        match format {
            WireFormat::Json if registry.is_some() => {
                let message = "format json in envelope debezium carries its own schemas, and takes no schema registry";
                let remedy = "use no registry, or set format to avro or proto, or envelope to flat or native";
                Err(Error::configuration(message).with_remedy(remedy))
            }
            WireFormat::Json | WireFormat::Avro | WireFormat::Proto => {
                let announcer = Announcer::new(&settings.debezium)?;
                Ok(Self { format, settings: settings.clone(), registry, announcer })
            }
            WireFormat::Arrow | WireFormat::Parquet => {
                let message = format!("format {format} has no messages of one record");
                Err(Error::configuration(message).with_remedy("set format to json, avro or proto"))
            }
        }
    }

    /// The encoder of the structs of `field`.
    async fn rows(&self, field: &Field, topic: &str, is_key: bool) -> Result<Box<dyn RowEncoder>> {
        let DataType::Struct(fields) = field.data_type() else { return Err(Error::bug("an event is no struct")) };
        let schema = Arc::new(Schema::new(fields.clone()));
        match self.format {
            WireFormat::Avro => {
                let text = connect_schema(field)?.to_string();
                let frame = self.frame(field, SchemaDefinition { kind: SchemaKind::Avro, text }, topic, is_key).await?;
                Ok(Box::new(AvroRows::new(schema).with_prefix(frame)))
            }
            WireFormat::Proto => {
                let numbers = if is_key { Numbers::Names } else { Numbers::Envelope(Envelope::Debezium) };
                let proto = connect_proto(field, numbers)?;
                let definition = SchemaDefinition { kind: SchemaKind::Protobuf, text: proto.to_string() };
                let frame = self.frame(field, definition, topic, is_key).await?;
                Ok(Box::new(ProtoRows::new(schema, &proto).with_prefix(frame)))
            }
            _ => Ok(Box::new(Documents::compile(field, self.settings.debezium.settings.schemas_enable)?)),
        }
    }

    async fn frame(&self, field: &Field, definition: SchemaDefinition, topic: &str, is_key: bool) -> Result<Vec<u8>> {
        let record_name = record_name(field)?;
        frame(self.registry.as_ref(), SchemaSubject { topic, record_name: &record_name, is_key }, definition).await
    }
}

#[async_trait]
impl MessageCodec for DebeziumCodec {
    fn format(&self) -> WireFormat {
        self.format
    }

    fn envelope(&self) -> Envelope {
        Envelope::Debezium
    }

    fn content_type(&self) -> &'static str {
        content_type(self.format, MessageMode::Record)
    }

    fn announce(&self, batch: Arc<ChangeBatch>) -> Arc<ChangeBatch> {
        self.announcer.announce(&batch).map_or(batch, Arc::new)
    }

    fn topic(&self, table: &TableSchema) -> Option<String> {
        topic(table)
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, topic: &str) -> Result<Box<dyn MessageEncoder>> {
        let transform = EventTransform::new(&self.settings.debezium, schema)?;
        let of_table = |error: Error| error.context(format_args!("table {}", schema.table));
        let values = self.rows(transform.value_field(), topic, false).await.map_err(of_table)?;
        let keys = match transform.key_field() {
            Some(field) => Some(KeyEncoders {
                keys: self.rows(field, topic, true).await.map_err(of_table)?,
                headers: Box::new(header_encoder(field, self.format, &self.settings)?),
            }),
            None => None,
        };
        Ok(Box::new(EventMessages { transform, values, keys }))
    }
}

/// How the keys in headers are written: as Connect's header converters do, which do not know of the schema registry, as JSON.
fn header_encoder(field: &Field, format: WireFormat, settings: &WireSettings) -> Result<Documents> {
    Documents::compile(field, format == WireFormat::Json && settings.debezium.settings.schemas_enable)
}

/// Writes the events of one table at one schema version as messages.
pub(crate) struct EventMessages {
    transform: EventTransform,
    values: Box<dyn RowEncoder>,
    /// `None` of a table without primary key.
    keys: Option<KeyEncoders>,
}

struct KeyEncoders {
    keys: Box<dyn RowEncoder>,
    headers: Box<dyn RowEncoder>,
}

impl EventMessages {
    /// JSON messages.
    pub(crate) fn json(settings: &WireSettings, table: &Arc<TableSchema>) -> Result<Self> {
        let transform = EventTransform::new(&settings.debezium, table)?;
        let schemas = settings.debezium.settings.schemas_enable;
        let values = Box::new(Documents::compile(transform.value_field(), schemas)?);
        let key = |field| -> Result<Box<dyn RowEncoder>> { Ok(Box::new(Documents::compile(field, schemas)?)) };
        let keys = match transform.key_field() {
            Some(field) => Some(KeyEncoders { keys: key(field)?, headers: key(field)? }),
            None => None,
        };
        Ok(Self { transform, values, keys })
    }

    /// Appends the messages of `rows`: all values, then all keys, then all headers.
    pub(crate) fn push(&self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let first = rows.start;
        let events = self.transform.apply(chunk, rows)?;
        let values = encode(&*self.values, &events.value_rows()?, out)?;
        let (mut keys, mut headers) = (Vec::new(), Vec::new());
        if let (Some(encoders), Some(rows)) = (&self.keys, events.key_rows()) {
            keys = encode(&*encoders.keys, &rows, out)?;
            let others = (0..events.events.len()).filter_map(|index| events.counterpart(index));
            let others: UInt32Array = others.map(|index| Some(index as u32)).collect();
            if !others.is_empty() {
                let rows = take_record_batch(&rows, &others)
                    .map_err(|error| Error::bug("choosing the keys of headers").with_source(error))?;
                headers = encode(&*encoders.headers, &rows, out)?;
            }
        }
        let (mut values, mut keys, mut headers) = (values.into_iter(), keys.into_iter(), headers.into_iter());
        for (index, event) in events.events.iter().enumerate() {
            let key = keys.next().filter(|_| event.kind != Kind::Truncate);
            let value = if event.kind == Kind::Tombstone { None } else { values.next() };
            let header = events.counterpart(index).and_then(|_| headers.next());
            let name = if event.kind == Kind::Create { OLD_KEY } else { NEW_KEY };
            let row = first + event.row;
            let headers = header.map(|header| (name, header)).into_iter().collect();
            out.spans.push(MessageSpan { rows: row..row + 1, key, value, headers });
        }
        Ok(())
    }
}

impl MessageEncoder for EventMessages {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let table = &chunk.schema.table;
        self.push(chunk, rows, out).map_err(|error| error.context(format_args!("table {table}")))
    }
}

/// Appends rows, and returns where each of them lies.
fn encode(encoder: &dyn RowEncoder, rows: &RecordBatch, out: &mut Messages) -> Result<Vec<Range<usize>>> {
    let (start, mut ends) = (out.bytes.len(), Vec::with_capacity(rows.num_rows()));
    encoder.encode(rows, &mut out.bytes, &mut ends)?;
    Ok(Parts::new(start, &ends).collect())
}
