//! Protobuf schemas from Arrow schemas.
//!
//! The envelope's own fields have the numbers 1 to 10. Those of a table's columns, and of the attributes of composites, are made of
//! their names: `262144 + fnv1a32(name) % (33554432 - 262144)`, or the next number that is free in the message. So a column has
//! the same number in every version of its table, unless two names meet, which the order of the columns decides.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use ductstream_core::{Envelope, Error, Result, TableName, metadata};

use crate::avro::schema::is_json;
use crate::envelope::OWN_COLUMNS;
use crate::names::escape;

use super::connect::{is_decimal, is_semantic, semantic, simple_name};

/// The numbers of fields that are made of names: their tags have four bytes.
const FIRST_NUMBER: u32 = 1 << 18;
const END_OF_NUMBERS: u32 = 1 << 25;

/// The envelope `native`, in the order of its numbers.
const NATIVE_FIELDS: [&str; 10] =
    ["op", "table", "key", "before", "after", "unchanged", "position", "xid", "commit_time", "schema_version"];

/// A file with one message for records, which is the first, and those that it is made of.
#[derive(Debug, Clone)]
pub(crate) struct ProtoSchema {
    pub(super) file: String,
    pub(super) package: String,
    pub(super) messages: Vec<Message>,
    /// How the fields of the first message are written.
    pub(super) plans: Vec<Plan>,
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<MessageField>,
}

#[derive(Debug, Clone)]
pub(super) struct MessageField {
    pub(super) name: String,
    pub(super) json_name: String,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    pub(super) comment: Option<String>,
}

/// The type of a field's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its name, and its number in descriptors.
    Scalar(&'static str, u8),
    /// Name of a message of the file.
    Message(String),
}

/// How a field is written.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tag: Vec<u8>,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// As the array says.
    Scalar,
    Decimal(i8),
    /// A message with the tag of the number's bytes, and behind them what is the same for all numbers.
    Unscaled {
        value: Vec<u8>,
        rest: Vec<u8>,
    },
    Message(Vec<Plan>),
    /// A message of items, each with the tag of its plan; without tags behind one length when `packed`.
    List {
        item: Box<Plan>,
        packed: bool,
    },
    /// A message of items that may be null: with the tag of the first, a message that may have the second.
    NullableList(Vec<u8>, Box<Plan>),
    Map {
        entry: Vec<u8>,
        key: Vec<u8>,
        value: Box<Plan>,
    },
    /// Items without a message around them.
    Repeated,
}

/// Which numbers the fields of a message have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Those of an envelope for its own fields, of names for others.
    Envelope(Envelope),
    /// 1, 2 and so on.
    Sequence,
    /// Of names.
    Names,
}

/// Whether the field of an envelope is a row.
fn is_image(name: &str) -> bool {
    matches!(name, "before" | "after")
}

const BOOL: Kind = Kind::Scalar("bool", 8);
pub(super) const INT32: Kind = Kind::Scalar("int32", 5);
const INT64: Kind = Kind::Scalar("int64", 3);
pub(super) const UINT32: Kind = Kind::Scalar("uint32", 13);
const UINT64: Kind = Kind::Scalar("uint64", 4);
const FLOAT: Kind = Kind::Scalar("float", 2);
const DOUBLE: Kind = Kind::Scalar("double", 1);
const STRING: Kind = Kind::Scalar("string", 9);
pub(super) const BYTES: Kind = Kind::Scalar("bytes", 12);

/// The package of a table's messages.
pub(crate) fn package(table: &TableName) -> String {
    format!("{}.{}", escape(&table.namespace), escape(&table.name))
}

/// The schema of the message `part` (`Key` or `Value`) in `package`, with these fields.
///
/// # Errors
/// `Configuration` when Protobuf cannot hold a column.
pub(crate) fn proto_schema(package: &str, part: &str, fields: &Fields, numbers: Numbers) -> Result<ProtoSchema> {
    let mut builder = Builder::default();
    let plans = builder.message(part.to_owned(), fields, numbers)?;
    let (file, package) = (format!("{package}.{part}.proto"), package.to_owned());
    Ok(ProtoSchema { file, package, messages: builder.messages, plans })
}

#[derive(Default)]
pub(super) struct Builder {
    pub(super) messages: Vec<Message>,
    /// Messages that several fields have, by the names and fields that they were asked for with: old and new rows have the same.
    shared: HashMap<(String, Fields), (String, Vec<Plan>)>,
}

impl Builder {
    fn message(&mut self, name: String, fields: &Fields, numbers: Numbers) -> Result<Vec<Plan>> {
        let index = self.begin(&name);
        let mut taken = Vec::with_capacity(fields.len());
        let (mut members, mut plans) = (Vec::new(), Vec::new());
        for field in fields {
            let number = number(field.name(), numbers, &taken);
            taken.push(number);
            let (member, plan) = self.field(&name, field, (number, numbers))?;
            members.push(member);
            plans.push(plan);
        }
        self.messages[index].fields = members;
        Ok(plans)
    }

    /// Puts a message behind those that there are; its fields come later, and their messages behind it.
    pub(super) fn begin(&mut self, name: &str) -> usize {
        self.messages.push(Message { name: name.to_owned(), fields: Vec::new() });
        self.messages.len() - 1
    }

    /// `name`, or with a number behind it when there is such a message.
    fn unique(&self, name: String) -> String {
        let taken = |name: &str| self.messages.iter().any(|message| message.name == name);
        if !taken(&name) {
            return name;
        }
        (2u32..).map(|suffix| format!("{name}_{suffix}")).find(|name| !taken(name)).unwrap_or(name)
    }

    fn field(
        &mut self,
        parent: &str,
        field: &Field,
        (number, numbers): (u32, Numbers),
    ) -> Result<(MessageField, Plan)> {
        let name = escape(field.name());
        let of_envelope = matches!(numbers, Numbers::Envelope(_));
        let is_names = of_envelope && matches!(field.name().as_str(), "_unchanged" | "unchanged");
        let (kind, shape) = match field.data_type() {
            DataType::List(item) if is_names && number < FIRST_NUMBER && item.data_type() == &DataType::Utf8 => {
                (STRING, Shape::Repeated)
            }
            DataType::Struct(fields) if numbers == Numbers::Envelope(Envelope::Native) => match field.name().as_str() {
                "before" | "after" => self.shared(format!("{parent}_row"), fields, Numbers::Names)?,
                "position" => self.structure(format!("{parent}_position"), fields, Numbers::Sequence)?,
                _ => self.structure(format!("{parent}_{name}"), fields, Numbers::Names)?,
            },
            DataType::Struct(fields) if of_envelope && is_semantic(field) && is_image(field.name()) => {
                self.shared(simple_name(field), fields, Numbers::Names)?
            }
            _ => self.data_type(format!("{parent}_{name}"), field)?,
        };
        let plan = Plan { tag: tag(number, &kind), shape };
        let repeated = matches!(plan.shape, Shape::Repeated);
        let comment = comment(field);
        let json_name = field.name().clone();
        Ok((MessageField { name, json_name, number, kind, repeated, comment }, plan))
    }

    /// A message named `wanted`, the same for all fields that ask for it.
    fn shared(&mut self, wanted: String, fields: &Fields, numbers: Numbers) -> Result<(Kind, Shape)> {
        let asked = (wanted, fields.clone());
        if let Some((name, plans)) = self.shared.get(&asked) {
            return Ok((Kind::Message(name.clone()), Shape::Message(plans.clone())));
        }
        let name = self.unique(asked.0.clone());
        let plans = self.message(name.clone(), fields, numbers)?;
        self.shared.insert(asked, (name.clone(), plans.clone()));
        Ok((Kind::Message(name), Shape::Message(plans)))
    }

    fn structure(&mut self, path: String, fields: &Fields, numbers: Numbers) -> Result<(Kind, Shape)> {
        let name = self.unique(path);
        let plans = self.message(name.clone(), fields, numbers)?;
        Ok((Kind::Message(name), Shape::Message(plans)))
    }

    /// The type of values of `field`; `path` is the name of the message that they may be.
    fn data_type(&mut self, path: String, field: &Field) -> Result<(Kind, Shape)> {
        let kind = match field.data_type() {
            DataType::Boolean => BOOL,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 => INT32,
            DataType::Int64 | DataType::Time64(TimeUnit::Microsecond) => INT64,
            DataType::Timestamp(TimeUnit::Microsecond, _) => INT64,
            DataType::UInt32 => UINT32,
            DataType::UInt64 => UINT64,
            DataType::Float16 | DataType::Float32 => FLOAT,
            DataType::Float64 => DOUBLE,
            DataType::Utf8 | DataType::FixedSizeBinary(16) => STRING,
            DataType::Binary if is_decimal(field) => return Ok(self.decimal(field)),
            DataType::Binary => BYTES,
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
                return Ok((STRING, Shape::Decimal(*scale)));
            }
            DataType::Struct(fields) if is_semantic(field) => {
                return self.shared(simple_name(field), fields, Numbers::Sequence);
            }
            DataType::Struct(fields) => return self.structure(path, fields, Numbers::Names),
            DataType::List(item) | DataType::FixedSizeList(item, _) => return self.list(path, item),
            DataType::Map(entries, _) => return self.map(path, field, entries),
            DataType::Dictionary(_, values) => {
                return self.data_type(path, &Field::new(field.name(), (**values).clone(), false));
            }
            _ => return Err(unsupported(field)),
        };
        Ok((kind, Shape::Scalar))
    }

    fn list(&mut self, path: String, item: &Field) -> Result<(Kind, Shape)> {
        let name = self.unique(path);
        let index = self.begin(&name);
        let wrapper = item.is_nullable().then(|| self.unique(format!("{name}_item")));
        let wrapper_index = wrapper.as_deref().map(|wrapper| self.begin(wrapper));
        let (kind, shape) = self.data_type(format!("{name}_value"), item)?;
        let plan = Box::new(Plan { tag: tag(1, &kind), shape });
        let (items, shape) = match (wrapper, wrapper_index) {
            (Some(wrapper), Some(index)) => {
                self.messages[index].fields = vec![MessageField { comment: comment(item), ..plain("value", 1, kind) }];
                let items = Kind::Message(wrapper);
                (items.clone(), Shape::NullableList(tag(1, &items), plan))
            }
            _ => {
                let packed = wire_type(&kind) != LENGTH_DELIMITED;
                let tag = if packed { tag(1, &STRING) } else { plan.tag };
                (kind, Shape::List { item: Box::new(Plan { tag, shape: plan.shape }), packed })
            }
        };
        let comment = comment(item).filter(|_| !item.is_nullable());
        self.messages[index].fields = vec![MessageField { repeated: true, comment, ..plain("items", 1, items) }];
        Ok((Kind::Message(name), shape))
    }

    fn map(&mut self, path: String, field: &Field, entries: &Field) -> Result<(Kind, Shape)> {
        let DataType::Struct(fields) = entries.data_type() else { return Err(unsupported(field)) };
        let value = fields.get(1).filter(|_| fields[0].data_type() == &DataType::Utf8);
        let value = value.ok_or_else(|| unsupported(field))?;
        let name = self.unique(path);
        let index = self.begin(&name);
        let entry = self.unique(format!("{name}_entry"));
        let entry_index = self.begin(&entry);
        let (kind, shape) = self.data_type(format!("{name}_value"), value)?;
        let value = Box::new(Plan { tag: tag(2, &kind), shape });
        self.messages[entry_index].fields = vec![plain("key", 1, STRING), plain("value", 2, kind)];
        let entry = Kind::Message(entry);
        let shape = Shape::Map { entry: tag(1, &entry), key: tag(1, &STRING), value };
        self.messages[index].fields = vec![MessageField { repeated: true, ..plain("entries", 1, entry) }];
        Ok((Kind::Message(name), shape))
    }
}

pub(super) fn plain(name: &str, number: u32, kind: Kind) -> MessageField {
    let name = name.to_owned();
    MessageField { json_name: name.clone(), name, number, kind, repeated: false, comment: None }
}

fn number(name: &str, numbers: Numbers, taken: &[u32]) -> u32 {
    let next = |index: usize| u32::try_from(index).unwrap_or(0) + 1;
    let own = match numbers {
        Numbers::Sequence | Numbers::Envelope(Envelope::Debezium) => return next(taken.len()),
        Numbers::Envelope(Envelope::Native) => NATIVE_FIELDS.iter().position(|own| *own == name),
        Numbers::Envelope(_) => OWN_COLUMNS.iter().position(|own| *own == name),
        Numbers::Names => None,
    };
    if let Some(index) = own {
        return next(index);
    }
    let mut number = FIRST_NUMBER + fnv1a(name.as_bytes()) % (END_OF_NUMBERS - FIRST_NUMBER);
    while taken.contains(&number) {
        number += 1;
    }
    number
}

/// The 32-bit hash FNV-1a.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

fn wire_type(kind: &Kind) -> u32 {
    match kind {
        _ if *kind == FLOAT => FIXED32,
        _ if *kind == DOUBLE => FIXED64,
        _ if *kind == STRING || *kind == BYTES => LENGTH_DELIMITED,
        Kind::Message(_) => LENGTH_DELIMITED,
        Kind::Scalar(..) => VARINT,
    }
}

/// What stands in front of a field's value.
pub(super) fn tag(number: u32, kind: &Kind) -> Vec<u8> {
    let mut tag = Vec::new();
    super::push_varint(u64::from(number << 3 | wire_type(kind)), &mut tag);
    tag
}

/// What the schema says of a field: its type in PostgreSQL, or in Connect, and what the number or text means.
fn comment(field: &Field) -> Option<String> {
    let said =
        field.metadata().get(metadata::PG_TYPE).or_else(|| semantic(field).filter(|_| !field.data_type().is_nested()));
    let pg_type = said.map(|name| name.replace(char::is_control, " "));
    let unit = match field.data_type() {
        DataType::Date32 => Some("days since 1970-01-01"),
        DataType::Time64(_) => Some("microseconds since midnight"),
        DataType::Timestamp(_, Some(_)) => Some("microseconds since 1970-01-01 UTC"),
        DataType::Timestamp(_, None) => Some("microseconds since 1970-01-01, no time zone"),
        DataType::Utf8 if is_json(field) => Some("JSON"),
        _ => None,
    };
    match (pg_type, unit) {
        (Some(pg_type), Some(unit)) => Some(format!("{pg_type}: {unit}")),
        (pg_type, unit) => pg_type.or_else(|| unit.map(str::to_owned)),
    }
}

fn unsupported(field: &Field) -> Error {
    let message = format!("Protobuf cannot hold column {} of Arrow type {}", field.name(), field.data_type());
    Error::configuration(message).with_remedy("leave the column out of the publication")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_made_of_names_and_step_aside() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        let first = number("a", Numbers::Names, &[]);
        assert_eq!(first, 262_144 + 0xe40c_292c % (33_554_432 - 262_144));
        assert_eq!(number("a", Numbers::Names, &[first, first + 1]), first + 2);
        assert_eq!(number("_seq", Numbers::Envelope(Envelope::Flat), &[first]), 3);
        assert_eq!(number("schema_version", Numbers::Envelope(Envelope::Native), &[]), 10);
    }

    #[test]
    fn tags_of_columns_have_four_bytes() {
        for number in [FIRST_NUMBER, END_OF_NUMBERS - 1] {
            assert_eq!(tag(number, &STRING).len(), 4);
        }
    }
}
