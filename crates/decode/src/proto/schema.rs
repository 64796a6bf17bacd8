//! From descriptors to columns.
//!
//! Protobuf has no dates, timestamps or ranges. What a number or a message stands for is said by the comment of its field, which descriptors carry as
//! `SourceCodeInfo`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, SchemaRef, TimeUnit};
use ductstream_core::{Error, Result, metadata};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Fields of tables have numbers from here on, those that the format itself needs below.
const FIRST_COLUMN: u32 = 1 << 18;

/// The one type of PostgreSQL whose arrays are not separated by commas.
const BOX: &str = "box";

/// Levels of messages: more than any schema has that DuctStream writes.
const DEPTH: usize = 64;

/// A message's schema.
pub(super) struct Schema {
    pub(super) message: MessageDescriptor,
    pub(super) columns: SchemaRef,
    pub(super) fields: Vec<Member>,
}

/// A field of a message, and how its values are read.
pub(super) struct Member {
    pub(super) field: FieldDescriptor,
    pub(super) shape: Shape,
}

/// How a value is read.
pub(super) enum Shape {
    Scalar,
    Record(Vec<Member>),
    /// `items` of a message of its own, each of which may be a message with a `value`.
    List {
        items: FieldDescriptor,
        value: Option<FieldDescriptor>,
        item: Box<Shape>,
    },
    /// `entries` of a message of its own.
    Map {
        entries: FieldDescriptor,
        key: FieldDescriptor,
        value: FieldDescriptor,
    },
    /// Values without a message around them, null when there are none.
    Repeated,
}

/// The comments of fields, by their paths in their file.
type Comments = HashMap<Vec<i32>, String>;

impl Schema {
    pub(super) fn of(message: &MessageDescriptor) -> Result<Self> {
        let comments = comments(message);
        let wrong = |what: String| {
            Error::configuration(format!("the Protobuf schema is none that DuctStream writes: {what}"))
                .with_remedy("give the schema that the data was written with")
        };
        let (fields, members) = record(message, &comments, DEPTH).map_err(wrong)?;
        let columns = Arc::new(arrow_schema::Schema::new(fields));
        Ok(Self { message: message.clone(), columns, fields: members })
    }

    /// The schema as text: messages with their fields.
    pub(super) fn definition(&self) -> String {
        let mut text = format!("package {};\n", self.message.package_name());
        let comments = comments(&self.message);
        for message in self.message.parent_file().messages() {
            text.push_str(&format!("\nmessage {} {{\n", message.name()));
            for field in message.fields() {
                if let Some(comment) = comments.get(field.path()) {
                    text.push_str(&format!("  // {comment}\n"));
                }
                let label = if field.is_list() { "repeated" } else { "optional" };
                let kind = match field.kind() {
                    Kind::Message(message) => format!(".{}", message.full_name()),
                    other => format!("{other:?}").to_lowercase(),
                };
                text.push_str(&format!("  {label} {kind} {} = {};\n", field.name(), field.number()));
            }
            text.push_str("}\n");
        }
        text
    }

    /// The table, as the package names it.
    pub(super) fn table(&self) -> String {
        self.message.package_name().to_owned()
    }
}

fn comments(message: &MessageDescriptor) -> Comments {
    let file = message.parent_file();
    let Some(info) = &file.file_descriptor_proto().source_code_info else { return Comments::new() };
    let comment = |text: &str| text.trim().to_owned();
    info.location.iter().filter_map(|it| Some((it.path.clone(), comment(it.leading_comments.as_deref()?)))).collect()
}

type Parsed<T> = std::result::Result<T, String>;

fn record(message: &MessageDescriptor, comments: &Comments, depth: usize) -> Parsed<(Fields, Vec<Member>)> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("message {} contains itself", message.name()))?;
    let mut fields = Vec::new();
    let mut members = Vec::new();
    // In the order of the schema, which is that of the columns, and not of the numbers.
    for proto in &message.descriptor_proto().field {
        let number = proto.number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let field = message.get_field(number).ok_or_else(|| format!("field {number} is missing"))?;
        let (data_type, shape) = data_type(&field, comments, depth)?;
        fields.push(tagged(&field, data_type, comments));
        members.push(Member { field, shape });
    }
    Ok((fields.into(), members))
}

/// What the comment of a field says: its PostgreSQL type, and what its values mean.
fn said<'c>(field: &FieldDescriptor, comments: &'c Comments) -> (Option<&'c str>, Option<&'c str>) {
    const UNITS: [&str; 3] = ["days since", "microseconds since", "JSON"];
    let is_unit = |text: &str| UNITS.iter().any(|unit| text.starts_with(unit));
    let Some(comment) = comments.get(field.path()) else { return (None, None) };
    match comment.rsplit_once(": ") {
        Some((pg_type, unit)) if is_unit(unit) => (Some(pg_type), Some(unit)),
        _ if is_unit(comment) => (None, Some(comment)),
        _ => (Some(comment), None),
    }
}

fn tagged(field: &FieldDescriptor, data_type: DataType, comments: &Comments) -> Field {
    let (pg_type, unit) = said(field, comments);
    let column = Field::new(field.json_name(), data_type, true);
    let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut tags: HashMap<_, _> = pg_type.map(|name| tag(metadata::PG_TYPE, name)).into_iter().collect();
    if pg_type == Some(BOX) {
        tags.extend([tag(metadata::PG_DELIMITER, ";")]);
    }
    let column = column.with_metadata(tags);
    if unit == Some("JSON") { crate::avro::json(column) } else { column }
}

fn data_type(field: &FieldDescriptor, comments: &Comments, depth: usize) -> Parsed<(DataType, Shape)> {
    let scalar = scalar(field, comments);
    match (field.kind(), scalar) {
        (Kind::Message(message), _) if !field.is_list() => nested(&message, comments, depth),
        (_, Some(data_type)) if field.is_list() => {
            Ok((DataType::List(Arc::new(Field::new("item", data_type, true))), Shape::Repeated))
        }
        (_, Some(data_type)) => Ok((data_type, Shape::Scalar)),
        (kind, None) => Err(format!("field {} of type {kind:?}", field.name())),
    }
}

fn scalar(field: &FieldDescriptor, comments: &Comments) -> Option<DataType> {
    let (_, unit) = said(field, comments);
    let unit = unit.unwrap_or_default();
    Some(match field.kind() {
        Kind::Bool => DataType::Boolean,
        Kind::Int32 if unit.starts_with("days since") => DataType::Date32,
        Kind::Int32 => DataType::Int32,
        Kind::Int64 if unit == "microseconds since midnight" => DataType::Time64(TimeUnit::Microsecond),
        Kind::Int64 if unit.ends_with("UTC") => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Int64 if unit.ends_with("no time zone") => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Int64 => DataType::Int64,
        Kind::Uint32 => DataType::UInt32,
        Kind::Uint64 => DataType::UInt64,
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        Kind::String => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        _ => return None,
    })
}

fn nested(message: &MessageDescriptor, comments: &Comments, depth: usize) -> Parsed<(DataType, Shape)> {
    let mut fields = message.fields();
    if let (Some(only), None) = (fields.next(), fields.next())
        && only.is_list()
        && only.number() < FIRST_COLUMN
    {
        return match only.name() {
            "items" => list(only, comments, depth),
            _ => map(only),
        };
    }
    let (fields, members) = record(message, comments, depth)?;
    Ok((DataType::Struct(known(fields)), Shape::Record(members)))
}

/// Intervals and ranges are told from composites by fields that name no type and are never null.
fn known(fields: Fields) -> Fields {
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let never_null = match names.as_slice() {
        ["months", "days", "micros"] => 0..3,
        ["lower", "upper", "lower_inc", "upper_inc", "empty"] => 2..5,
        _ => return fields,
    };
    if fields[never_null.clone()].iter().any(|field| field.metadata().contains_key(metadata::PG_TYPE)) {
        return fields;
    }
    let field = |(index, field): (usize, &Arc<Field>)| (**field).clone().with_nullable(!never_null.contains(&index));
    fields.iter().enumerate().map(field).collect()
}

fn list(items: FieldDescriptor, comments: &Comments, depth: usize) -> Parsed<(DataType, Shape)> {
    let wrapped = match items.kind() {
        Kind::Message(wrapper) => {
            let mut fields = wrapper.fields();
            match (fields.next(), fields.next()) {
                (Some(only), None) if only.name() == "value" && only.number() < FIRST_COLUMN => Some(only),
                _ => None,
            }
        }
        _ => None,
    };
    let value = wrapped.as_ref().unwrap_or(&items);
    let (data_type, shape) = match value.kind() {
        Kind::Message(message) => nested(&message, comments, depth)?,
        kind => {
            let data_type = scalar(value, comments).ok_or_else(|| format!("items of type {kind:?}"))?;
            (data_type, Shape::Scalar)
        }
    };
    let item = tagged(value, data_type, comments).with_name("item").with_nullable(wrapped.is_some());
    Ok((DataType::List(Arc::new(item)), Shape::List { items, value: wrapped, item: Box::new(shape) }))
}

fn map(entries: FieldDescriptor) -> Parsed<(DataType, Shape)> {
    let Kind::Message(entry) = entries.kind() else {
        return Err(format!("field {} is repeated", entries.name()));
    };
    let field = |number| entry.get_field(number).filter(|field| matches!(field.kind(), Kind::String));
    let (Some(key), Some(value)) = (field(1), field(2)) else {
        return Err(format!("field {} is repeated", entries.name()));
    };
    let members = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let member = Field::new("entries", DataType::Struct(members.into()), false);
    Ok((DataType::Map(Arc::new(member), false), Shape::Map { entries, key, value }))
}
