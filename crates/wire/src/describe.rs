//! What a table looks like in each format.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use ductstream_core::{Envelope, Error, Result, TableSchema};
use parquet::schema::printer::print_schema;

use crate::WireSettings;
use crate::avro::record_name;
use crate::avro::schema::avro_schema;
use crate::envelope::debezium::connect::schema as connect_schema;
use crate::envelope::{Transform, ValueTransform};
use crate::json::{debezium_json_schema, json_schema};
use crate::parquet::parquet_schema;
use crate::proto::schema::{Numbers, package, proto_schema};

/// A table's shape in an envelope.
#[derive(Debug, Clone)]
pub struct Shapes {
    /// The Arrow schema.
    pub arrow: SchemaRef,
    /// The Parquet schema, as text in Parquet's own notation; `None` when the envelope is not written as Parquet.
    pub parquet: Option<String>,
    /// The Avro schema; `None` when the envelope is not written as Avro.
    pub avro: Option<serde_json::Value>,
    /// The Protobuf schema, as the text of a `.proto` file; `None` when the envelope is not written as Protobuf.
    pub proto: Option<String>,
    /// JSON Schema (2020-12) of a JSON document.
    pub json: serde_json::Value,
    /// The Connect schemas of the envelope `debezium`.
    pub connect: Option<ConnectSchemas>,
}

/// Connect schemas, as the JSON that Connect's `JsonConverter` writes.
#[derive(Debug, Clone)]
pub struct ConnectSchemas {
    /// That of keys; `None` for a table whose events have none.
    pub key: Option<serde_json::Value>,
    /// That of values.
    pub value: serde_json::Value,
}

/// What the records of `table` look like in `envelope`.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the envelope or a format cannot hold the table.
pub fn describe(table: &Arc<TableSchema>, envelope: Envelope, settings: &WireSettings) -> Result<Shapes> {
    if envelope == Envelope::Debezium {
        return describe_debezium(table, settings);
    }
    let transform = Transform::new(envelope, table)?;
    let arrow = transform.schema().clone();
    let mut text = Vec::new();
    print_schema(&mut text, parquet_schema(table, &arrow)?.root_schema());
    let failed = |error| Error::bug("printing a Parquet schema").with_source(error);
    let parquet = Some(String::from_utf8(text).map_err(failed)?);
    let json = json_schema(envelope, table, settings.json.numeric)?;
    let avro = Some(avro_schema(&arrow, &record_name(&table.table, "Value"))?);
    let proto =
        Some(proto_schema(&package(&table.table), "Value", arrow.fields(), Numbers::Envelope(envelope))?.to_string());
    Ok(Shapes { arrow, parquet, avro, proto, json, connect: None })
}

fn describe_debezium(table: &Arc<TableSchema>, settings: &WireSettings) -> Result<Shapes> {
    let values = ValueTransform::new(Envelope::Debezium, &settings.debezium, table)?;
    let ValueTransform::Debezium(transform, arrow) = &values else { return Err(Error::bug("no events")) };
    let value = transform.value_field();
    let json = debezium_json_schema(table, value, settings.debezium.settings.schemas_enable)?;
    let key = transform.key_field().map(|key| connect_schema(key, false));
    let connect = Some(ConnectSchemas { key, value: connect_schema(value, false) });
    let avro = Some(crate::avro::value_schema(&values)?);
    let proto = Some(crate::proto::value_schema(&values, Envelope::Debezium)?.to_string());
    Ok(Shapes { arrow: arrow.clone(), parquet: None, avro, proto, json, connect })
}
