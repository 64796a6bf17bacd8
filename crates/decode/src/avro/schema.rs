//! Schemas, and the columns that records of them become.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use ductstream_core::{Error, Result, metadata};
use serde_json::Value;

use super::values::Reader;
use crate::datum::Datum;

/// A record's schema.
pub(super) struct Schema {
    /// As it was written.
    pub(super) text: String,
    pub(super) columns: SchemaRef,
    types: Vec<Type>,
}

/// How a value is read.
#[derive(Debug, Clone)]
pub(super) enum Type {
    Boolean,
    /// `int` and `long` are written alike.
    Long,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Text,
    Enum(Arc<[String]>),
    Record(Arc<[Type]>),
    Array(Box<Type>),
    Map(Box<Type>),
    /// A union of null, which is the branch with this index, and one other type.
    Nullable(i64, Box<Type>),
}

impl Schema {
    /// Parses the schema of a record.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            Error::configuration("the Avro schema is not JSON").with_source(error).with_remedy("give another schema")
        })?;
        let (field, kind) = Parser::default().parse(&document, "", "record").map_err(|what| {
            Error::configuration(format!("the Avro schema is none that DuctStream writes: {what}"))
                .with_remedy("give the schema that the data was written with")
        })?;
        match (field.data_type(), kind) {
            (DataType::Struct(fields), Type::Record(types)) => {
                let columns = Arc::new(arrow_schema::Schema::new(fields.clone()));
                Ok(Self { text: text.to_owned(), columns, types: types.to_vec() })
            }
            _ => Err(Error::configuration("the Avro schema is not that of a record")
                .with_remedy("give the schema that the data was written with")),
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// What is wrong where the reader stands.
    pub(super) fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<Option<Datum>>, String> {
        self.types.iter().map(|kind| reader.value(kind)).collect()
    }
}

/// Records that were defined so far, by their full names; `None` while one is being defined.
#[derive(Default)]
struct Parser(HashMap<String, Option<(DataType, Type)>>);

type Parsed = std::result::Result<(Field, Type), String>;

impl Parser {
    /// The field `name` whose type `schema` is, in `namespace`.
    fn parse(&mut self, schema: &Value, namespace: &str, name: &str) -> Parsed {
        match schema {
            Value::String(known) => self.named(known, namespace, name),
            Value::Array(branches) => self.union(branches, namespace, name),
            Value::Object(_) => self.object(schema, namespace, name),
            other => Err(format!("{other} is no type")),
        }
    }

    fn named(&mut self, known: &str, namespace: &str, name: &str) -> Parsed {
        let primitive = |data_type, kind| Ok((Field::new(name, data_type, false), kind));
        match known {
            "boolean" => primitive(DataType::Boolean, Type::Boolean),
            "int" => primitive(DataType::Int32, Type::Long),
            "long" => primitive(DataType::Int64, Type::Long),
            "float" => primitive(DataType::Float32, Type::Float),
            "double" => primitive(DataType::Float64, Type::Double),
            "bytes" => primitive(DataType::Binary, Type::Bytes),
            "string" => primitive(DataType::Utf8, Type::Text),
            _ => {
                let full = if known.contains('.') { known.to_owned() } else { full_name(namespace, known) };
                match self.0.get(&full).or_else(|| self.0.get(known)) {
                    Some(Some((data_type, kind))) => primitive(data_type.clone(), kind.clone()),
                    Some(None) => Err(format!("the record {full} contains itself")),
                    None => Err(format!("{known} is not defined")),
                }
            }
        }
    }

    fn union(&mut self, branches: &[Value], namespace: &str, name: &str) -> Parsed {
        let null = branches.iter().position(|branch| branch == "null");
        let (Some(null), [first, second]) = (null, branches) else {
            return Err(format!("{name} is a union of other than null and one type"));
        };
        let (field, kind) = self.parse(if null == 0 { second } else { first }, namespace, name)?;
        let null = i64::try_from(null).unwrap_or(0);
        Ok((field.with_nullable(true), Type::Nullable(null, Box::new(kind))))
    }

    fn object(&mut self, schema: &Value, namespace: &str, name: &str) -> Parsed {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        match schema.get("type") {
            Some(Value::String(kind)) if matches!(kind.as_str(), "record" | "error") => {
                self.record(schema, namespace, name)
            }
            Some(Value::String(kind)) if kind == "enum" => {
                let symbols = schema.get("symbols").and_then(Value::as_array).ok_or("an enum has no symbols")?;
                let symbols = symbols.iter().map(|it| it.as_str().unwrap_or_default().to_owned()).collect();
                Ok((Field::new(name, DataType::Utf8, false), Type::Enum(symbols)))
            }
            Some(Value::String(kind)) if kind == "fixed" => {
                let size = schema.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("a fixed type has no size")?;
                Ok((Field::new(name, DataType::Binary, false), Type::Fixed(size)))
            }
            Some(Value::String(kind)) if kind == "array" => {
                let (item, kind) =
                    self.parse(schema.get("items").ok_or("an array has no items")?, namespace, "item")?;
                Ok((Field::new(name, DataType::List(Arc::new(item)), false), Type::Array(Box::new(kind))))
            }
            Some(Value::String(kind)) if kind == "map" => {
                let (value, kind) =
                    self.parse(schema.get("values").ok_or("a map has no values")?, namespace, "value")?;
                let members = Fields::from(vec![Field::new("key", DataType::Utf8, false), value]);
                let entries: FieldRef = Arc::new(Field::new("entries", DataType::Struct(members), false));
                Ok((Field::new(name, DataType::Map(entries, false), false), Type::Map(Box::new(kind))))
            }
            Some(inner) => {
                let (field, kind) = self.parse(inner, namespace, name)?;
                let number = |key: &str| schema.get(key).and_then(Value::as_i64).unwrap_or(0);
                let field = logical(field, text("logicalType"), (number("precision"), number("scale")));
                let is_json = schema.get("ductstream.json").and_then(Value::as_bool).unwrap_or(false);
                let field = if is_json { json(field) } else { field };
                Ok((tagged(field, metadata::PG_DELIMITER, schema), kind))
            }
            None => Err("a type is missing".to_owned()),
        }
    }

    fn record(&mut self, schema: &Value, namespace: &str, name: &str) -> Parsed {
        let own = schema.get("name").and_then(Value::as_str).ok_or("a record has no name")?;
        let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = if own.contains('.') { own.to_owned() } else { full_name(namespace, own) };
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        self.0.insert(full.clone(), None);
        let members = schema.get("fields").and_then(Value::as_array).ok_or("a record has no fields")?;
        let (mut fields, mut types) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        for member in members {
            let escaped = member.get("name").and_then(Value::as_str).ok_or("a field has no name")?;
            // Names that Avro cannot have are kept beside.
            let name = member.get("ductstream.name").and_then(Value::as_str).unwrap_or(escaped);
            let (field, kind) = self.parse(member.get("type").ok_or("a field has no type")?, &namespace, name)?;
            fields.push(tagged(field, metadata::PG_TYPE, member));
            types.push(kind);
        }
        let (data_type, kind) = (DataType::Struct(fields.into()), Type::Record(types.into()));
        self.0.insert(full, Some((data_type.clone(), kind.clone())));
        Ok((Field::new(name, data_type, false), kind))
    }
}

fn full_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// `field` with the tag that is a property of `schema`, if it is there.
fn tagged(field: Field, tag: &str, schema: &Value) -> Field {
    let Some(value) = schema.get(tag).and_then(Value::as_str) else { return field };
    let mut tags = field.metadata().clone();
    tags.insert(tag.to_owned(), value.to_owned());
    field.with_metadata(tags)
}

/// Text that is a JSON document.
pub(crate) fn json(field: Field) -> Field {
    let mut tags = field.metadata().clone();
    tags.insert("ARROW:extension:name".to_owned(), "arrow.json".to_owned());
    tags.insert("ARROW:extension:metadata".to_owned(), String::new());
    field.with_metadata(tags)
}

fn logical(field: Field, logical: Option<&str>, (precision, scale): (i64, i64)) -> Field {
    let data_type = match (logical, field.data_type()) {
        (Some("decimal"), DataType::Binary) => match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) => DataType::Decimal128(precision, scale),
            (Ok(precision @ 39..=76), Ok(scale)) => DataType::Decimal256(precision, scale),
            _ => DataType::Binary,
        },
        (Some("date"), DataType::Int32) => DataType::Date32,
        (Some("time-micros"), DataType::Int64) => DataType::Time64(TimeUnit::Microsecond),
        (Some("local-timestamp-micros"), DataType::Int64) => DataType::Timestamp(TimeUnit::Microsecond, None),
        (Some("timestamp-micros"), DataType::Int64) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        (_, other) => other.clone(),
    };
    field.with_data_type(data_type)
}
