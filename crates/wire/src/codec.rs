//! From a flow's format and envelope to its codec.

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, Result, WireFormat};

use crate::{ArrowCodec, AvroCodec, DebeziumJson, JsonCodec, ParquetCodec, ProtoCodec, WireSettings};

/// The codec of a flow.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the format does not have the envelope, or a
/// setting of the format is out of range.
pub fn build(format: WireFormat, envelope: Envelope, settings: &WireSettings) -> Result<Arc<dyn Codec>> {
    match format {
        WireFormat::Parquet => Ok(Arc::new(ParquetCodec::new(envelope, settings.parquet.clone())?)),
        WireFormat::Json if envelope == Envelope::Debezium => {
            Ok(Arc::new(DebeziumJson::new(settings.debezium.clone(), settings.json.clone())?))
        }
        WireFormat::Json => Ok(Arc::new(JsonCodec::new(envelope, settings.json.clone())?)),
        WireFormat::Avro => Ok(Arc::new(AvroCodec::new(envelope, settings)?)),
        WireFormat::Arrow => Ok(Arc::new(ArrowCodec::new(envelope, settings.arrow.clone())?)),
        WireFormat::Proto => Ok(Arc::new(ProtoCodec::new(envelope, settings)?)),
    }
}
