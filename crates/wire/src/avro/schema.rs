//! Avro schemas from Arrow schemas.

use arrow_schema::{DataType, Field, Fields, Metadata, Schema, TimeUnit};
use ductstream_core::{Error, Result, metadata};
use serde_json::{Map, Value, json};

use crate::names::escape;

/// Properties of a field in the Avro schema: its own name where that had to be escaped.
pub(super) const ORIGINAL_NAME: &str = "ductstream.name";
/// Property of the type of text that is a JSON document.
const JSON_TEXT: &str = "ductstream.json";

/// The Avro schema of records with the fields of `schema`, named `record_name`: a full name, whose parts are escaped already.
///
/// # Errors
/// `Configuration` when Avro cannot hold a column.
pub(crate) fn avro_schema(schema: &Schema, record_name: &str) -> Result<Value> {
    let mut record = record(record_name, schema.fields())?;
    for (key, value) in sorted(schema.metadata()) {
        if key.starts_with("ductstream.") {
            record[key] = property(value);
        }
    }
    Ok(record)
}

fn record(full_name: &str, fields: &Fields) -> Result<Value> {
    let members = fields.iter().map(|field| member(full_name, field)).collect::<Result<Vec<_>>>()?;
    let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    let mut record = Map::new();
    record.insert("type".into(), json!("record"));
    record.insert("name".into(), json!(name));
    if !namespace.is_empty() {
        record.insert("namespace".into(), json!(namespace));
    }
    record.insert("fields".into(), Value::Array(members));
    Ok(Value::Object(record))
}

fn member(parent: &str, field: &Field) -> Result<Value> {
    let name = escape(field.name());
    let mut member = Map::new();
    member.insert("name".into(), json!(name));
    member.insert("type".into(), nullable(&format!("{parent}.{name}"), field)?);
    if field.is_nullable() {
        member.insert("default".into(), Value::Null);
    }
    if name != *field.name() {
        member.insert(ORIGINAL_NAME.into(), json!(field.name()));
    }
    if let Some(pg_type) = field.metadata().get(metadata::PG_TYPE) {
        member.insert(metadata::PG_TYPE.into(), json!(pg_type));
    }
    Ok(Value::Object(member))
}

/// The type of `field`'s values; `path` is the name of the record that they may be.
fn nullable(path: &str, field: &Field) -> Result<Value> {
    let data_type = data_type(path, field)?;
    Ok(if field.is_nullable() { json!(["null", data_type]) } else { data_type })
}

fn data_type(path: &str, field: &Field) -> Result<Value> {
    let logical = |base: &str, logical: &str| json!({"type": base, "logicalType": logical});
    let decimal = |precision: u8, scale: i8| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    Ok(match field.data_type() {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => json!("long"),
        DataType::Float16 | DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => decimal(*precision, *scale),
        DataType::Utf8 => text(field),
        DataType::Binary => json!("bytes"),
        DataType::FixedSizeBinary(16) => logical("string", "uuid"),
        DataType::Date32 => logical("int", "date"),
        DataType::Time64(TimeUnit::Microsecond) => logical("long", "time-micros"),
        DataType::Timestamp(TimeUnit::Microsecond, None) => logical("long", "local-timestamp-micros"),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => logical("long", "timestamp-micros"),
        DataType::Struct(fields) => record(path, fields)?,
        DataType::List(item) | DataType::FixedSizeList(item, _) => {
            json!({"type": "array", "items": nullable(path, item)?})
        }
        DataType::Map(entries, _) => map(path, field, entries)?,
        DataType::Dictionary(_, values) => data_type(path, &Field::new(field.name(), (**values).clone(), false))?,
        _ => return Err(unsupported(field)),
    })
}

fn map(path: &str, field: &Field, entries: &Field) -> Result<Value> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 && fields[0].data_type() == &DataType::Utf8 => {
            Ok(json!({"type": "map", "values": nullable(path, &fields[1])?}))
        }
        _ => Err(unsupported(field)),
    }
}

/// Text, with what a reader has to know to show it as it was: that it is JSON, and what stands between such texts in an array.
fn text(field: &Field) -> Value {
    let mut text = Map::from_iter([("type".to_owned(), json!("string"))]);
    if is_json(field) {
        text.insert(JSON_TEXT.into(), json!(true));
    }
    if let Some(delimiter) = field.metadata().get(metadata::PG_DELIMITER) {
        text.insert(metadata::PG_DELIMITER.into(), json!(delimiter));
    }
    if text.len() == 1 { json!("string") } else { Value::Object(text) }
}

/// Whether the text is a JSON document.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.json")
}

fn unsupported(field: &Field) -> Error {
    let message = format!("Avro cannot hold column {} of Arrow type {}", field.name(), field.data_type());
    Error::configuration(message).with_remedy("leave the column out of the publication")
}

/// In an order that is always the same: a schema is compared as text.
fn sorted(metadata: &Metadata) -> Vec<(&String, &String)> {
    let mut entries: Vec<_> = metadata.iter().collect();
    entries.sort_unstable();
    entries
}

/// A property's value: metadata is text, and numbers and objects stand in it as JSON.
fn property(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}
