//! Apache Parquet, through the `parquet` crate's Arrow writer.
//!
//! Files carry the Arrow schema (with the `pg.*` metadata of each column), and `ductstream.table`,
//! `ductstream.schema_version` and `ductstream.envelope` as key-value metadata. Lists and maps are named as the Parquet
//! specification wants (`list.element`, `key_value`).
//!
//! Decimals of more than 38 digits are declared with 57 or 76; DuckDB reads them as doubles, pyarrow exactly.

mod decimal;
mod encoder;
mod properties;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use ductstream_core::{Codec, Envelope, Error, ObjectEncoder, Result, TableSchema, WireFormat};
use parquet::arrow::ArrowSchemaConverter;
use parquet::schema::types::SchemaDescriptor;

use crate::ParquetSettings;
use crate::envelope::{Transform, check_envelope};

use encoder::ParquetEncoder;

/// Parquet in one envelope.
#[derive(Debug, Clone)]
pub struct ParquetCodec {
    envelope: Envelope,
    settings: ParquetSettings,
}

impl ParquetCodec {
    /// Parquet in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range, or the envelope
    /// does not exist yet.
    pub fn new(envelope: Envelope, settings: ParquetSettings) -> Result<Self> {
        check_envelope(envelope)?;
        settings.validate()?;
        Ok(Self { envelope, settings })
    }
}

impl Codec for ParquetCodec {
    fn format(&self) -> WireFormat {
        WireFormat::Parquet
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let transform = Transform::new(self.envelope, schema)?;
        Ok(Box::new(ParquetEncoder::new(transform, self.envelope, &self.settings)?))
    }
}

/// The Parquet schema of files that hold record batches of `schema`.
pub(crate) fn parquet_schema(table: &TableSchema, schema: &SchemaRef) -> Result<SchemaDescriptor> {
    let schema = decimal::widen_schema(schema);
    ArrowSchemaConverter::new().with_coerce_types(true).convert(&schema).map_err(|error| {
        let message = format!("Parquet cannot hold the columns of table {}", table.table);
        Error::configuration(message).with_remedy("leave the table out, or set format to json").with_source(error)
    })
}
