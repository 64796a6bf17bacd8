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
//!
//! The envelope `debezium` has the schemas that Connect's users know: see [`connect`].

pub(crate) mod connect;
mod container;
mod encoder;
pub(crate) mod rows;
pub(crate) mod schema;

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, ObjectEncoder, Result, TableName, TableSchema, WireFormat};

use crate::WireSettings;
use crate::envelope::ValueTransform;
use crate::names::escape;

use connect::connect_schema;
use encoder::AvroEncoder;
use schema::avro_schema;

/// Avro object container files in one envelope.
#[derive(Debug, Clone)]
pub struct AvroCodec {
    envelope: Envelope,
    settings: WireSettings,
}

impl AvroCodec {
    /// Avro in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range.
    pub fn new(envelope: Envelope, settings: &WireSettings) -> Result<Self> {
        settings.avro.validate()?;
        settings.debezium.settings.validate()?;
        Ok(Self { envelope, settings: settings.clone() })
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
        let transform = ValueTransform::new(self.envelope, &self.settings.debezium, schema)?;
        Ok(Box::new(AvroEncoder::new(transform, self.envelope, &self.settings.avro)?))
    }
}

/// The schema of values.
pub(crate) fn value_schema(transform: &ValueTransform) -> Result<serde_json::Value> {
    match transform {
        ValueTransform::Table(rows) => avro_schema(rows.schema(), &record_name(&rows.table().table, "Value")),
        ValueTransform::Debezium(events, _) => connect_schema(events.value_field()),
    }
}

/// The full name of the record `part` of a table.
pub(crate) fn record_name(table: &TableName, part: &str) -> String {
    format!("{}.{}.{part}", escape(&table.namespace), escape(&table.name))
}
