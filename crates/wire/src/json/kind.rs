//! How the values of a column are written, decided once per schema.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use ductstream_core::{Error, Result, metadata};

use super::text::push_string;
use crate::NumericJson;

/// The OID of `numeric`, which is the same in every database.
const NUMERIC_OID: &str = "1700";

/// How values are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int16,
    Int32,
    Int64,
    UInt32,
    UInt64,
    /// An address in the WAL, which is a number elsewhere.
    Lsn,
    Float16,
    Float32,
    Float64,
    /// Digits after the point, and whether to quote.
    Decimal128(i8, NumericJson),
    Decimal256(i8, NumericJson),
    Text,
    /// Text that is a number, unless it is `NaN` or an infinity.
    Number,
    Json,
    Bytes,
    Uuid,
    Date,
    Time,
    Timestamp,
    TimestampUtc,
    Interval,
    Range(Box<Kind>),
    Struct(Vec<Member>),
    List(Box<Kind>, ListText),
    FixedSizeList(Box<Kind>),
    /// Text to text.
    Map,
}

/// How a list is written as text of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ListText {
    /// An array, with the delimiter of its elements, which are quoted where they need it.
    Array(u8),
    /// A multirange, whose ranges stand as they are.
    Multirange,
}

impl ListText {
    fn of(item: &Field) -> Self {
        let tags = item.metadata();
        let range = matches!(item.data_type(), DataType::Struct(fields) if is_range(fields));
        if range && !tags.contains_key(metadata::PG_TYPE) {
            return Self::Multirange;
        }
        Self::Array(tags.get(metadata::PG_DELIMITER).and_then(|delimiter| delimiter.bytes().next()).unwrap_or(b','))
    }
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    /// `,"name":`; the comma is left out in front of an object's first member.
    pub(super) prefix: Vec<u8>,
    pub(super) kind: Kind,
}

impl Member {
    pub(super) fn new(field: &Field, numeric: NumericJson) -> Result<Self> {
        let mut prefix = vec![b','];
        push_string(field.name(), &mut prefix);
        prefix.push(b':');
        Ok(Self { name: field.name().clone(), prefix, kind: Kind::of(field, numeric)? })
    }
}

impl Kind {
    /// How the values of `field` are written.
    ///
    /// # Errors
    /// `Configuration` when the type is not one that the source makes.
    pub(super) fn of(field: &Field, numeric: NumericJson) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Bool,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt32 => Self::UInt32,
            DataType::UInt64 => Self::UInt64,
            DataType::Float16 => Self::Float16,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(_, scale) => Self::Decimal128(*scale, numeric),
            DataType::Decimal256(_, scale) => Self::Decimal256(*scale, numeric),
            DataType::Utf8 => text(field, numeric),
            DataType::Binary => Self::Bytes,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::Date32 => Self::Date,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::TimestampUtc,
            DataType::Struct(fields) => structure(fields, numeric)?,
            DataType::List(item) => Self::List(Box::new(Self::of(item, numeric)?), ListText::of(item)),
            DataType::FixedSizeList(item, _) => Self::FixedSizeList(Box::new(Self::of(item, numeric)?)),
            DataType::Map(..) => Self::Map,
            other => {
                let message = format!("JSON cannot hold column {} of Arrow type {other}", field.name());
                return Err(Error::configuration(message).with_remedy("leave the column out of the publication"));
            }
        })
    }
}

fn text(field: &Field, numeric: NumericJson) -> Kind {
    let tags = field.metadata();
    if tags.get("ARROW:extension:name").is_some_and(|name| name == "arrow.json") {
        return Kind::Json;
    }
    let is_numeric = tags.get(metadata::PG_OID).is_some_and(|oid| oid == NUMERIC_OID);
    if is_numeric && numeric == NumericJson::Number { Kind::Number } else { Kind::Text }
}

fn structure(fields: &Fields, numeric: NumericJson) -> Result<Kind> {
    if is_interval(fields) {
        return Ok(Kind::Interval);
    }
    if is_range(fields) {
        return Ok(Kind::Range(Box::new(Kind::of(&fields[0], numeric)?)));
    }
    fields.iter().map(|field| Member::new(field, numeric)).collect::<Result<_>>().map(Kind::Struct)
}

/// Intervals and ranges have fields that are never null; those of a composite always may be, so the two cannot be mistaken.
pub(crate) fn is_interval(fields: &Fields) -> bool {
    names(fields).eq(["months", "days", "micros"]) && fields.iter().all(|field| !field.is_nullable())
}

pub(super) fn is_range(fields: &Fields) -> bool {
    names(fields).eq(["lower", "upper", "lower_inc", "upper_inc", "empty"])
        && fields[2..].iter().all(|field| !field.is_nullable() && field.data_type() == &DataType::Boolean)
}

fn names(fields: &Fields) -> impl Iterator<Item = &str> {
    fields.iter().map(|field| field.name().as_str())
}
