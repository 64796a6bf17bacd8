//! Connect schemas: their place in Arrow's, and their text.
//!
//! A field's Connect type is its Arrow type (int16, int32, int64, float, double, boolean, string, bytes, array, map, struct), and
//! whether it is optional is whether it is nullable. The rest is metadata: [`NAME`], [`VERSION`], [`DOC`], [`DEFAULT`] (as
//! JSON), and a [`PARAMETERS`] entry for each parameter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use serde_json::{Map, Value, json};

/// The semantic type, such as `io.debezium.time.Date`.
pub const NAME: &str = "connect.name";
/// The version of the semantic type.
pub const VERSION: &str = "connect.version";
/// What it says of itself.
pub const DOC: &str = "connect.doc";
/// The default value, as JSON.
pub const DEFAULT: &str = "connect.default";
/// What the names of parameters begin with, such as `connect.parameters.scale`.
pub const PARAMETERS: &str = "connect.parameters.";

/// Semantic type of numbers that are an integer, as bytes, and a scale, as a parameter.
pub(crate) const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
/// The parameter that says how many digits a [`DECIMAL`] has.
pub(crate) const PRECISION: &str = "connect.decimal.precision";

/// A Connect type on its way to becoming a field.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    pub(super) data_type: DataType,
    metadata: HashMap<String, String>,
}

impl Connect {
    /// A plain type.
    pub(super) fn plain(data_type: DataType) -> Self {
        Self { data_type, metadata: HashMap::new() }
    }

    /// A semantic type at version 1.
    pub(super) fn named(data_type: DataType, name: &str) -> Self {
        Self::plain(data_type).with(NAME, name).with(VERSION, "1")
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn parameter(self, name: &str, value: impl Into<String>) -> Self {
        self.with(&format!("{PARAMETERS}{name}"), value)
    }

    /// Whether it is a semantic type.
    pub(super) fn is_named(&self) -> bool {
        self.metadata.contains_key(NAME)
    }

    pub(super) fn field(self, name: &str, optional: bool) -> FieldRef {
        Arc::new(Field::new(name, self.data_type, optional).with_metadata(self.metadata))
    }
}

/// The Connect schema of `field` as the JSON that Connect's `JsonConverter` writes; with the member `field` when it is one of a struct.
pub(crate) fn schema(field: &Field, in_struct: bool) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), type_name(field.data_type()).into());
    match field.data_type() {
        DataType::Struct(fields) => {
            schema.insert("fields".into(), fields.iter().map(|field| self::schema(field, true)).collect());
        }
        DataType::List(item) => drop(schema.insert("items".into(), self::schema(item, false))),
        DataType::Map(entries, _) => {
            if let DataType::Struct(pair) = entries.data_type() {
                schema.insert("keys".into(), self::schema(&pair[0], false));
                schema.insert("values".into(), self::schema(&pair[1], false));
            }
        }
        _ => {}
    }
    schema.insert("optional".into(), field.is_nullable().into());
    describe(field, &mut schema);
    if in_struct {
        schema.insert("field".into(), field.name().clone().into());
    }
    Value::Object(schema)
}

fn describe(field: &Field, schema: &mut Map<String, Value>) {
    let tags = field.metadata();
    if let Some(name) = tags.get(NAME) {
        schema.insert("name".into(), name.clone().into());
    }
    if let Some(version) = tags.get(VERSION).and_then(|version| version.parse::<u32>().ok()) {
        schema.insert("version".into(), version.into());
    }
    if let Some(doc) = tags.get(DOC) {
        schema.insert("doc".into(), doc.clone().into());
    }
    let parameter = |(key, value): (&String, &String)| Some((key.strip_prefix(PARAMETERS)?.to_owned(), value.clone()));
    let parameters: BTreeMap<String, String> = tags.iter().filter_map(parameter).collect();
    if !parameters.is_empty() {
        schema.insert("parameters".into(), json!(parameters));
    }
    if let Some(default) = tags.get(DEFAULT).and_then(|default| serde_json::from_str::<Value>(default).ok()) {
        schema.insert("default".into(), default);
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Binary => "bytes",
        DataType::List(_) => "array",
        DataType::Map(..) => "map",
        DataType::Struct(_) => "struct",
        _ => "string",
    }
}
