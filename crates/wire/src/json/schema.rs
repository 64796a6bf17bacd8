//! The shape of a table's documents as JSON Schema.

use arrow_schema::Field;
use ductstream_core::{Envelope, Result, TableSchema};
use serde_json::{Map, Value, json};

use super::kind::{Kind, Member};
use crate::NumericJson;
use crate::envelope::check_table;

/// JSON Schema (2020-12) of the documents of `table` in `envelope`.
pub(crate) fn json_schema(envelope: Envelope, table: &TableSchema, numeric: NumericJson) -> Result<Value> {
    check_table(envelope, table)?;
    let members = table.columns.iter().map(|column| Member::new(&column.field, numeric)).collect::<Result<Vec<_>>>()?;
    let key = table.key.iter().map(|index| &members[*index]);
    let key = if table.key.is_empty() { json!({"type": "null"}) } else { nullable(object(key, true)) };
    let document = match envelope {
        Envelope::Flat => flat(&members, &key),
        _ => native(&members, &key),
    };
    Ok(titled(format!("{} version {}", table.table, table.version), document))
}

/// JSON Schema (2020-12) of the values of the events of `table`, whose Connect type is `event`; with `schemas`, of documents that carry
/// their Connect schema.
pub(crate) fn debezium_json_schema(table: &TableSchema, event: &Field, schemas: bool) -> Result<Value> {
    let payload = value(&Kind::of(event, NumericJson::String)?);
    let document = match schemas {
        false => payload,
        true => json!({
            "type": "object",
            "properties": {"schema": {"type": "object"}, "payload": payload},
            "required": ["schema", "payload"],
            "additionalProperties": false,
        }),
    };
    Ok(titled(format!("{} version {}", table.table, table.version), document))
}

/// JSON Schema of the keys of `table`; `None` of a table without key.
pub(super) fn key_schema(table: &TableSchema, numeric: NumericJson) -> Result<Option<Value>> {
    let columns = table.key.iter().map(|index| Member::new(&table.columns[*index].field, numeric));
    let members = columns.collect::<Result<Vec<_>>>()?;
    let title = format!("key of {}", table.table);
    Ok((!members.is_empty()).then(|| titled(title, object(members.iter(), true))))
}

fn titled(title: String, document: Value) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(title));
    if let Value::Object(document) = document {
        schema.extend(document);
    }
    Value::Object(schema)
}

/// A row may lack columns (those that are unchanged), so only the envelope's own members are required.
fn flat(members: &[Member], old_key: &Value) -> Value {
    let mut properties = properties(members);
    let own = [
        ("_op", operation()),
        ("_commit_lsn", lsn()),
        ("_seq", unsigned()),
        ("_xid", unsigned()),
        ("_commit_time", date_time()),
        ("_unchanged", names()),
        ("_old_key", old_key.clone()),
        ("_schema_version", unsigned()),
    ];
    let required = own.iter().map(|(name, _)| json!(name)).collect::<Value>();
    properties.extend(own.map(|(name, schema)| (name.to_owned(), schema)));
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn native(members: &[Member], key: &Value) -> Value {
    let row = nullable(object(members.iter(), false));
    let position = json!({
        "type": "object",
        "properties": {"commit_lsn": lsn(), "seq": unsigned()},
        "required": ["commit_lsn", "seq"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "op": operation(),
            "table": {"type": "string"},
            "key": key,
            "before": row,
            "after": row,
            "unchanged": names(),
            "position": position,
            "xid": unsigned(),
            "commit_time": date_time(),
            "schema_version": unsigned(),
        },
        "required": [
            "op", "table", "key", "before", "after", "unchanged", "position", "xid", "commit_time", "schema_version"
        ],
        "additionalProperties": false,
    })
}

fn object<'a>(members: impl Iterator<Item = &'a Member> + Clone, complete: bool) -> Value {
    let names: Vec<_> = members.clone().map(|member| member.name.clone()).collect();
    let mut schema = json!({"type": "object", "properties": properties(members), "additionalProperties": false});
    if complete {
        schema["required"] = json!(names);
    }
    schema
}

fn properties<'a>(members: impl IntoIterator<Item = &'a Member>) -> Map<String, Value> {
    members.into_iter().map(|member| (member.name.clone(), nullable(value(&member.kind)))).collect()
}

/// The schema of a value that is not null.
fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int16 | Kind::Int32 | Kind::Int64 => json!({"type": "integer"}),
        Kind::UInt32 | Kind::UInt64 => unsigned(),
        Kind::Lsn => lsn(),
        Kind::Float16 | Kind::Float32 | Kind::Float64 => special_number(),
        Kind::Decimal128(_, NumericJson::Number) | Kind::Decimal256(_, NumericJson::Number) => {
            json!({"type": "number"})
        }
        Kind::Decimal128(..) | Kind::Decimal256(..) => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$"}),
        Kind::Number => special_number(),
        Kind::Json => json!({}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
        Kind::Interval => json!({"type": "string", "description": "ISO 8601 duration"}),
        Kind::Date => json!({"type": "string", "description": "ISO 8601 date"}),
        Kind::Time => json!({"type": "string", "description": "ISO 8601 time of day"}),
        Kind::Timestamp => json!({"type": "string", "description": "ISO 8601 date and time without time zone"}),
        Kind::TimestampUtc => json!({"type": "string", "description": "ISO 8601 date and time in UTC"}),
        Kind::Range(_) => json!({"type": "string", "description": "a range as PostgreSQL prints it"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Struct(members) => object(members.iter(), true),
        Kind::List(item, _) | Kind::FixedSizeList(item) => json!({"type": "array", "items": nullable(value(item))}),
        Kind::Map => json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}}),
    }
}

fn nullable(mut schema: Value) -> Value {
    match schema.get("type") {
        Some(Value::String(name)) => schema["type"] = json!([name, "null"]),
        Some(Value::Array(_)) | None if schema.get("anyOf").is_none() => {}
        _ => return json!({"anyOf": [schema, {"type": "null"}]}),
    }
    schema
}

fn special_number() -> Value {
    json!({"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]})
}

fn operation() -> Value {
    json!({"enum": ["insert", "update", "delete", "truncate", "load"]})
}

fn lsn() -> Value {
    json!({"type": "string", "pattern": "^[0-9A-F]{1,8}/[0-9A-F]{1,8}$"})
}

fn unsigned() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn date_time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn names() -> Value {
    json!({"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1})
}
