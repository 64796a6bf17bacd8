//! From a flow's format and envelope to its codec.

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, Error, MessageCodec, Result, WireFormat};

use crate::json::JsonMessages;
use crate::{DebeziumJson, JsonCodec, ParquetCodec, WireSettings};

/// The codec of a flow.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the format or envelope does not exist yet, or a
/// setting of the format is out of range.
pub fn build(format: WireFormat, envelope: Envelope, settings: &WireSettings) -> Result<Arc<dyn Codec>> {
    match format {
        WireFormat::Parquet => Ok(Arc::new(ParquetCodec::new(envelope, settings.parquet.clone())?)),
        WireFormat::Json if envelope == Envelope::Debezium => {
            Ok(Arc::new(DebeziumJson::new(settings.debezium.clone(), settings.json.clone())?))
        }
        WireFormat::Json => Ok(Arc::new(JsonCodec::new(envelope, settings.json.clone())?)),
        WireFormat::Arrow | WireFormat::Avro | WireFormat::Proto => {
            let error = Error::configuration(format!("format {format} is not available in this version"));
            Err(error.with_remedy("set format to parquet or json"))
        }
    }
}

/// The codec of a flow's messages, one per change. `tombstones` asks for a message without a value behind each deletion; in the envelope
/// `debezium` an option of its own does.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when there is none for the format and envelope, or a setting is
/// out of range.
pub fn message_codec(
    format: WireFormat,
    envelope: Envelope,
    settings: &WireSettings,
    tombstones: bool,
) -> Result<Arc<dyn MessageCodec>> {
    match (format, envelope) {
        (WireFormat::Json, Envelope::Debezium) => {
            Ok(Arc::new(DebeziumJson::new(settings.debezium.clone(), settings.json.clone())?))
        }
        (WireFormat::Json, _) => {
            settings.json.validate()?;
            Ok(Arc::new(JsonMessages { envelope, settings: settings.json.clone(), tombstones }))
        }
        _ => {
            let error = Error::configuration(format!("format {format} cannot be written as messages in this version"));
            Err(error.with_remedy("set `format: json`"))
        }
    }
}
