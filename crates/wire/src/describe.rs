//! What a table looks like in each format.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use ductstream_core::{Envelope, Error, Result, TableSchema};
use parquet::schema::printer::print_schema;

use crate::WireSettings;
use crate::avro::record_name;
use crate::avro::schema::avro_schema;
use crate::envelope::Transform;
use crate::json::json_schema;
use crate::parquet::parquet_schema;

/// A table's shape in an envelope.
#[derive(Debug, Clone)]
pub struct Shapes {
    /// The Arrow schema.
    pub arrow: SchemaRef,
    /// The Parquet schema, as text in Parquet's own notation.
    pub parquet: String,
    /// The Avro schema.
    pub avro: serde_json::Value,
    /// JSON Schema (2020-12) of a JSON document.
    pub json: serde_json::Value,
}

/// What the records of `table` look like in `envelope`.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the envelope or a format cannot hold the table.
pub fn describe(table: &Arc<TableSchema>, envelope: Envelope, settings: &WireSettings) -> Result<Shapes> {
    let transform = Transform::new(envelope, table)?;
    let arrow = transform.schema().clone();
    let mut text = Vec::new();
    print_schema(&mut text, parquet_schema(table, &arrow)?.root_schema());
    let failed = |error| Error::bug("printing a Parquet schema").with_source(error);
    let parquet = String::from_utf8(text).map_err(failed)?;
    let json = json_schema(envelope, table, settings.json.numeric)?;
    let avro = avro_schema(&arrow, &record_name(&table.table, "Value"))?;
    Ok(Shapes { arrow, parquet, avro, json })
}
