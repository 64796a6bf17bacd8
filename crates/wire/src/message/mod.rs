//! Records as messages, for topics.
//!
//! In record mode each record is a message: its value is the record in the envelope, its key the columns of the replica identity, both
//! in the flow's format. Truncates, and records of tables without a key, have no key. With `tombstones`, a message with the key and
//! no value follows each delete, so that a compacted topic forgets the row; one with the old key stands before each update that
//! changes the key, as nothing else would name the row that is no more.
//!
//! With a schema registry, keys and values carry the id of their schema in front, framed as Confluent's serializers do. Schemas
//! are named `{namespace}.{table}.Key` and `{namespace}.{table}.Value`, escaped where the language needs it; in the envelope
//! `debezium` as Debezium names them, with `{prefix}.` in front and `Envelope` for `Value`.
//!
//! In batch mode a message is what a file would be: the records that are encoded at once, without a key. Of Arrow it is an IPC stream.

mod batch;
mod debezium;
mod record;
mod shared;

use std::sync::Arc;

use ductstream_core::{Envelope, Error, MessageCodec, Result, WireFormat};

use crate::{ArrowCodec, SchemaRegistrar, WireSettings, build};

use batch::BatchCodec;
use debezium::DebeziumCodec;
use record::RecordCodec;

pub(crate) use debezium::EventMessages;
pub(crate) use record::MessageEnds;
pub use shared::SharedMessages;

/// What messages are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageShape {
    /// The format of keys and values.
    pub format: WireFormat,
    /// The envelope of values.
    pub envelope: Envelope,
    /// Whether a message is one record.
    pub mode: MessageMode,
    /// Whether a message without value follows a delete, and precedes a change of the key: in record mode only, and not in the envelope `debezium`, which has an option
    /// of its own for it.
    pub tombstones: bool,
}

/// How records are put into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageMode {
    /// Each record is a message.
    Record,
    /// What is encoded at once is one message.
    Batch,
}

/// The codec of messages of this shape; with `registry`, schemas are registered and messages framed.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the format has no such messages, the
/// envelope does not exist yet, or a setting of the format is out of range.
pub fn message_codec(
    shape: MessageShape,
    settings: &WireSettings,
    registry: Option<Arc<dyn SchemaRegistrar>>,
) -> Result<Arc<dyn MessageCodec>> {
    match shape.mode {
        MessageMode::Record if shape.envelope == Envelope::Debezium => {
            Ok(Arc::new(DebeziumCodec::new(shape.format, settings, registry)?))
        }
        MessageMode::Record => Ok(Arc::new(RecordCodec::new(shape, settings, registry)?)),
        MessageMode::Batch if registry.is_some() => {
            let message = "a schema registry has no effect on messages that are batches";
            Err(Error::configuration(message).with_remedy("send one record per message, or use no registry"))
        }
        MessageMode::Batch if shape.tombstones => {
            let message = "messages that are batches have no key, and so no tombstones";
            Err(Error::configuration(message).with_remedy("send one record per message, or no tombstones"))
        }
        // A message is read from its beginning, where a file is read from its end.
        MessageMode::Batch if shape.format == WireFormat::Arrow => {
            Ok(Arc::new(BatchCodec::new(Arc::new(ArrowCodec::stream(shape.envelope, settings.arrow.clone())?))))
        }
        MessageMode::Batch => Ok(Arc::new(BatchCodec::new(build(shape.format, shape.envelope, settings)?))),
    }
}

/// The media type of one value, or of a batch.
fn content_type(format: WireFormat, mode: MessageMode) -> &'static str {
    match (format, mode) {
        (WireFormat::Json, MessageMode::Record) => "application/json",
        (WireFormat::Json, MessageMode::Batch) => "application/jsonl",
        (WireFormat::Avro, MessageMode::Record) => "application/avro",
        (WireFormat::Avro, MessageMode::Batch) => "application/vnd.apache.avro.file",
        (WireFormat::Proto, _) => "application/protobuf",
        (WireFormat::Parquet, _) => "application/vnd.apache.parquet",
        (WireFormat::Arrow, _) => "application/vnd.apache.arrow.stream",
    }
}
