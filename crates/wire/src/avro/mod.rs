//! Apache Avro: object container files, and records by themselves.
//!
//! | Arrow | Avro |
//! |---|---|
//! | Boolean | boolean |
//! | Int16, Int32; Int64, UInt32, UInt64 | int; long |
//! | Float16, Float32; Float64 | float; double |
//! | Decimal128, Decimal256 | bytes, `decimal` |
//! | Utf8, dictionaries of it | string |
//! | Binary | bytes |
//! | `FixedSizeBinary(16)` | string, `uuid` |
//! | Date32; Time64 | int, `date`; long, `time-micros` |
//! | Timestamp; with time zone | long, `local-timestamp-micros`; `timestamp-micros` |
//! | Struct | record |
//! | List, FixedSizeList; Map | array; map |
//!
//! A field that may be null is a union of `null` and its type, with default `null`. The record of table `public.orders` is
//! `public.orders.Value`; the record of a field is named after the field, in the namespace of the record that it is in. Names are
//! [escaped](crate::names); a field whose name was has its own one as property `ductstream.name`.

mod container;
mod encoder;
pub(crate) mod rows;
pub(crate) mod schema;

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, ObjectEncoder, Result, TableName, TableSchema, WireFormat};

use crate::AvroSettings;
use crate::envelope::{Transform, check_envelope};
use crate::names::escape;

use encoder::AvroEncoder;

/// Avro object container files in one envelope.
#[derive(Debug, Clone)]
pub struct AvroCodec {
    envelope: Envelope,
    settings: AvroSettings,
}

impl AvroCodec {
    /// Avro in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range, or the envelope
    /// does not exist yet.
    pub fn new(envelope: Envelope, settings: AvroSettings) -> Result<Self> {
        check_envelope(envelope)?;
        settings.validate()?;
        Ok(Self { envelope, settings })
    }
}

impl Codec for AvroCodec {
    fn format(&self) -> WireFormat {
        WireFormat::Avro
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn extension(&self) -> &'static str {
        "avro"
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let transform = Transform::new(self.envelope, schema)?;
        Ok(Box::new(AvroEncoder::new(transform, self.envelope, &self.settings)?))
    }
}

/// The full name of the record `part` of a table.
pub(crate) fn record_name(table: &TableName, part: &str) -> String {
    format!("{}.{}.{part}", escape(&table.namespace), escape(&table.name))
}
