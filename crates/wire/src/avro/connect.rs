//! Avro schemas of Connect's, as Confluent's `AvroConverter` (its class `AvroData`) registers them.
//!
//! A struct is the record of its semantic name. What Connect knows of a type and Avro does not stands beside it: `connect.name`,
//! `connect.version`, `connect.parameters`, `connect.doc`, `connect.default`, and `connect.type` of an integer of 16 bits. Connect's own
//! logical types are Avro's, too. An optional field is a union with `null` in front and as default, or with `null` behind when it has
//! a default of its own.
//!
//! Where Avro refuses a name, the converter fails; here it is [escaped](crate::names).

use std::collections::{BTreeMap, HashMap};

use arrow_schema::{DataType, Field, Fields};
use ductstream_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::schema::ORIGINAL_NAME;
use crate::envelope::debezium::connect::{DECIMAL, DEFAULT, DOC, NAME, PARAMETERS, PRECISION, VERSION};
use crate::names::{escape, escape_path};

/// The precision of a decimal that says none.
const DEFAULT_PRECISION: i64 = 64;

/// The full name of the record that the structs of `field` are.
pub(crate) fn record_name(field: &Field) -> Result<String> {
    let name = field.metadata().get(NAME);
    name.map(|name| escape_path(name))
        .ok_or_else(|| Error::bug(format!("struct {} has no semantic name", field.name())))
}

/// The Avro schema of the values of `field`.
///
/// # Errors
/// `Configuration` when Avro cannot hold a column.
pub(crate) fn connect_schema(field: &Field) -> Result<Value> {
    Records::default().optional(field, "")
}

/// The records that the schema has defined so far, by full name.
#[derive(Default)]
struct Records(HashMap<String, Fields>);

impl Records {
    /// The type of `field`'s values, in a record of the namespace `space`.
    fn optional(&mut self, field: &Field, space: &str) -> Result<Value> {
        let plain = self.plain(field, space)?;
        Ok(match field.is_nullable() {
            false => plain,
            true if field.metadata().contains_key(DEFAULT) => json!([plain, "null"]),
            true => json!(["null", plain]),
        })
    }

    fn plain(&mut self, field: &Field, space: &str) -> Result<Value> {
        let mut schema = Map::new();
        match field.data_type() {
            DataType::Struct(fields) => {
                let name = record_name(field)?;
                match self.0.get(&name) {
                    Some(defined) if defined == fields => return Ok(json!(reference(&name, space))),
                    Some(_) => return Err(Error::bug(format!("two records of an Avro schema have the name {name}"))),
                    None => self.record(&name, fields, space, &mut schema)?,
                }
            }
            DataType::List(item) => {
                schema.insert("type".into(), json!("array"));
                schema.insert("items".into(), self.optional(item, space)?);
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(field)) };
                schema.insert("type".into(), json!("map"));
                schema.insert("values".into(), self.optional(&pair[1], space)?);
            }
            flat => drop(schema.insert("type".into(), json!(primitive(flat).ok_or_else(|| unsupported(field))?))),
        }
        annotate(field, &mut schema);
        // A type of which there is nothing to say is its name.
        Ok(if schema.len() == 1 { schema.remove("type").unwrap_or_default() } else { Value::Object(schema) })
    }

    fn record(&mut self, name: &str, fields: &Fields, space: &str, schema: &mut Map<String, Value>) -> Result<()> {
        self.0.insert(name.to_owned(), fields.clone());
        let (own_space, simple) = name.rsplit_once('.').unwrap_or(("", name));
        schema.insert("type".into(), json!("record"));
        schema.insert("name".into(), json!(simple));
        if own_space != space {
            schema.insert("namespace".into(), json!(own_space));
        }
        let members = fields.iter().map(|field| self.member(field, own_space)).collect::<Result<Vec<_>>>()?;
        schema.insert("fields".into(), members.into());
        Ok(())
    }

    fn member(&mut self, field: &Field, space: &str) -> Result<Value> {
        let name = escape(field.name());
        let mut member = Map::new();
        member.insert("name".into(), json!(name));
        member.insert("type".into(), self.optional(field, space)?);
        match default(field) {
            Some(default) => drop(member.insert("default".into(), default)),
            None if field.is_nullable() => drop(member.insert("default".into(), Value::Null)),
            None => {}
        }
        if name != *field.name() {
            member.insert(ORIGINAL_NAME.into(), json!(field.name()));
        }
        Ok(Value::Object(member))
    }
}

/// A record that was defined before; of the same namespace by its last name.
fn reference<'a>(name: &'a str, space: &str) -> &'a str {
    match name.rsplit_once('.') {
        Some((own_space, simple)) if own_space == space => simple,
        _ => name,
    }
}

fn primitive(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Boolean => "boolean",
        DataType::Int16 | DataType::Int32 => "int",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "bytes",
        _ => return None,
    })
}

/// What Connect knows of the type.
fn annotate(field: &Field, schema: &mut Map<String, Value>) {
    let tag = |key: &str| field.metadata().get(key).map(String::as_str);
    if let Some(doc) = tag(DOC) {
        schema.insert(DOC.into(), json!(doc));
    }
    if let Some(version) = tag(VERSION).and_then(|version| version.parse::<u32>().ok()) {
        schema.insert(VERSION.into(), json!(version));
    }
    let parameter =
        |(key, value): (&'_ String, &'_ String)| Some((key.strip_prefix(PARAMETERS)?.to_owned(), value.clone()));
    let parameters: BTreeMap<String, String> = field.metadata().iter().filter_map(parameter).collect();
    if !parameters.is_empty() {
        schema.insert("connect.parameters".into(), json!(parameters));
    }
    if let Some(default) = default(field) {
        schema.insert(DEFAULT.into(), default);
    }
    if let Some(name) = tag(NAME) {
        schema.insert(NAME.into(), json!(name));
        logical(name, &parameters, schema);
    }
    if field.data_type() == &DataType::Int16 {
        schema.insert("connect.type".into(), json!("int16"));
    }
}

/// The logical type of Avro's that is one of Connect's own.
fn logical(name: &str, parameters: &BTreeMap<String, String>, schema: &mut Map<String, Value>) {
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<i64>().ok());
    let logical = match name {
        DECIMAL => {
            let (scale, precision) = (number("scale").unwrap_or(0), number(PRECISION).unwrap_or(DEFAULT_PRECISION));
            schema.insert("scale".into(), json!(scale));
            schema.insert("precision".into(), json!(precision));
            "decimal"
        }
        "org.apache.kafka.connect.data.Date" => "date",
        "org.apache.kafka.connect.data.Time" => "time-millis",
        "org.apache.kafka.connect.data.Timestamp" => "timestamp-millis",
        _ => return,
    };
    schema.insert("logicalType".into(), json!(logical));
}

fn default(field: &Field) -> Option<Value> {
    field.metadata().get(DEFAULT).and_then(|default| serde_json::from_str(default).ok())
}

fn unsupported(field: &Field) -> Error {
    let message = format!("Avro cannot hold column {} of Arrow type {}", field.name(), field.data_type());
    Error::configuration(message).with_remedy("leave the column out of the publication")
}
