//! Arrow values in a form that a server can be asked for: numbers as numbers, dates and times as the integers below
//! them.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// The value at `row`; `None` when it is null. Parts of a nested value are separated by `|`, its nulls are `~`.
pub(super) fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::Float32 => hex(&array.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        DataType::Float64 => hex(&array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value(row).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(row).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        _ => shown_nested(array, row),
    })
}

fn shown_nested(array: &ArrayRef, row: usize) -> String {
    match array.data_type() {
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::Struct(_) => join(array.as_struct().columns().iter().map(|column| shown(column, row))),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            join(
                (0..entries.len()).flat_map(|entry| [shown(entries.column(0), entry), shown(entries.column(1), entry)]),
            )
        }
        other => panic!("no column has the type {other}"),
    }
}

fn all(array: &ArrayRef) -> String {
    join((0..array.len()).map(|row| shown(array, row)))
}

fn join(parts: impl Iterator<Item = Option<String>>) -> String {
    parts.map(|part| part.unwrap_or_else(|| "~".to_owned())).collect::<Vec<_>>().join("|")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
