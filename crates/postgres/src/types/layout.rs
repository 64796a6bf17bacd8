//! The Arrow types of columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use ductstream_core::{PgType, metadata};

use super::SpecialValues;
use super::wire_type::{ArrayType, Typed, WireType};

const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// Whether the column of a type is Utf8 that holds the server's text because of `special`.
pub(super) fn is_text(wire: &WireType, special: SpecialValues) -> bool {
    special == SpecialValues::Text && wire.has_special_values()
}

/// The Arrow type of a column.
pub(super) fn data_type(wire: &WireType, special: SpecialValues) -> DataType {
    if is_text(wire, special) {
        return DataType::Utf8;
    }
    match wire {
        WireType::Bool => DataType::Boolean,
        WireType::Int2 => DataType::Int16,
        WireType::Int4 => DataType::Int32,
        WireType::Int8 => DataType::Int64,
        WireType::Oid => DataType::UInt32,
        WireType::Float4 => DataType::Float32,
        WireType::Float8 => DataType::Float64,
        WireType::Decimal128(declared) => DataType::Decimal128(declared.arrow_precision(), declared.arrow_scale()),
        WireType::Decimal256(declared) => DataType::Decimal256(declared.arrow_precision(), declared.arrow_scale()),
        WireType::Bytea => DataType::Binary,
        WireType::Uuid => DataType::FixedSizeBinary(16),
        WireType::Date => DataType::Date32,
        WireType::Time => DataType::Time64(TimeUnit::Microsecond),
        WireType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        WireType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        nested => nested_data_type(nested, special),
    }
}

/// The time zone of a timestamptz column.
pub(super) const UTC: &str = "UTC";

fn nested_data_type(wire: &WireType, special: SpecialValues) -> DataType {
    match wire {
        WireType::Interval => DataType::Struct(interval_fields()),
        WireType::Array(array) => DataType::List(item(array, special)),
        WireType::Range(subtype) => DataType::Struct(range_fields(subtype, special)),
        WireType::Multirange(subtype) => DataType::List(range_item(subtype, special)),
        WireType::Composite(fields) => DataType::Struct(composite_fields(fields, special)),
        WireType::Hstore => DataType::Map(entries(), false),
        WireType::Vector(size) => vector(DataType::Float32, *size),
        WireType::HalfVector(size) => vector(DataType::Float16, *size),
        _ => DataType::Utf8,
    }
}

/// A nullable field with the metadata of its PostgreSQL type.
pub(super) fn field(name: &str, wire: &WireType, pg: &PgType, special: SpecialValues) -> FieldRef {
    let mut entries = HashMap::from([
        (metadata::PG_TYPE.to_owned(), pg.name.clone()),
        (metadata::PG_OID.to_owned(), pg.oid.to_string()),
        (metadata::PG_TYPMOD.to_owned(), pg.typmod.to_string()),
    ]);
    if let WireType::Enum(labels) = wire
        && !labels.is_empty()
    {
        entries.insert(metadata::PG_LABELS.to_owned(), labels.to_string());
    }
    let extension = match wire {
        WireType::Json | WireType::Jsonb => Some("arrow.json"),
        WireType::Uuid => Some("arrow.uuid"),
        _ => None,
    };
    if let Some(extension) = extension {
        entries.insert(EXTENSION_NAME.to_owned(), extension.to_owned());
        // The specification of both wants metadata that says nothing.
        entries.insert(EXTENSION_METADATA.to_owned(), String::new());
    }
    Arc::new(Field::new(name, data_type(wire, special), true).with_metadata(entries))
}

fn typed_field(name: &str, typed: &Typed, special: SpecialValues) -> FieldRef {
    field(name, &typed.wire, &typed.pg, special)
}

/// The field of an array's elements.
pub(super) fn item(array: &ArrayType, special: SpecialValues) -> FieldRef {
    let field = typed_field("item", &array.element, special);
    if array.delimiter == b',' {
        return field;
    }
    let mut entries = field.metadata().clone();
    entries.insert(metadata::PG_DELIMITER.to_owned(), char::from(array.delimiter).to_string());
    Arc::new(Arc::unwrap_or_clone(field).with_metadata(entries))
}

/// The fields of an interval.
pub(super) fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("months", DataType::Int32, false),
        Field::new("days", DataType::Int32, false),
        Field::new("micros", DataType::Int64, false),
    ])
}

/// The fields of a range.
pub(super) fn range_fields(subtype: &Typed, special: SpecialValues) -> Fields {
    let flag = |name| Arc::new(Field::new(name, DataType::Boolean, false));
    Fields::from(vec![
        typed_field("lower", subtype, special),
        typed_field("upper", subtype, special),
        flag("lower_inc"),
        flag("upper_inc"),
        flag("empty"),
    ])
}

/// The field of a multirange's ranges. It names no type, which tells it from the field of an array's elements.
pub(super) fn range_item(subtype: &Typed, special: SpecialValues) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(range_fields(subtype, special)), true))
}

/// The fields of a composite.
pub(super) fn composite_fields(fields: &[(String, Typed)], special: SpecialValues) -> Fields {
    fields.iter().map(|(name, typed)| typed_field(name, typed, special)).collect()
}

/// The fields of a map's entries.
pub(super) fn entry_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)])
}

/// The field of an hstore's entries.
pub(super) fn entries() -> FieldRef {
    Arc::new(Field::new("entries", DataType::Struct(entry_fields()), false))
}

/// The field of a vector's elements, which are never null.
pub(super) fn vector_item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, false))
}

fn vector(element: DataType, size: Option<i32>) -> DataType {
    let item = vector_item(element);
    size.map_or_else(|| DataType::List(item.clone()), |size| DataType::FixedSizeList(item.clone(), size))
}
