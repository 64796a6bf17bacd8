//! Values that stand for values that are not known.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray,
    MapArray, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, FieldRef, Fields};
use ductstream_core::{Error, Result};

use super::convert::failed;

/// What to fill with.
#[derive(Clone, Copy)]
pub(super) enum Fill<'a> {
    /// What says least: zero, false, nothing.
    Zero,
    /// This text: in arrays as their one element, or where the elements are numbers, a number for each of its bytes.
    Placeholder(&'a str),
}

/// One value of a type.
pub(super) fn filled(data_type: &DataType, fill: Fill<'_>) -> Result<ArrayRef> {
    match data_type {
        DataType::List(item) => list(item, fill),
        DataType::Struct(fields) => structure(fields, fill),
        DataType::Map(entries, _) => map(entries, fill),
        flat => scalars(flat, fill, 1),
    }
}

fn scalars(data_type: &DataType, fill: Fill<'_>, count: usize) -> Result<ArrayRef> {
    let text = match fill {
        Fill::Zero => "",
        Fill::Placeholder(text) => text,
    };
    // A number cannot say that it is not known: only inside of arrays do the bytes spell it out.
    let codes = |many: bool| -> Vec<u8> {
        match fill {
            Fill::Placeholder(text) if many => text.bytes().collect(),
            _ => vec![0; count],
        }
    };
    let codes = codes(count > 1);
    Ok(match data_type {
        DataType::Boolean => Arc::new(codes.iter().map(|code| Some(*code != 0)).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(codes.into_iter().map(i16::from).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(codes.into_iter().map(i32::from).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(codes.into_iter().map(i64::from).collect::<Int64Array>()),
        DataType::Float32 => Arc::new(codes.into_iter().map(f32::from).collect::<Float32Array>()),
        DataType::Float64 if matches!(fill, Fill::Placeholder(_)) && count == 1 => {
            Arc::new(Float64Array::from(vec![f64::NAN]))
        }
        DataType::Float64 => Arc::new(codes.into_iter().map(f64::from).collect::<Float64Array>()),
        DataType::Binary => Arc::new(BinaryArray::from_iter_values([text.as_bytes()])),
        DataType::Utf8 => Arc::new(StringArray::from_iter_values([text])),
        other => return Err(Error::bug(format!("envelope debezium has no Connect type for {other}"))),
    })
}

fn list(item: &FieldRef, fill: Fill<'_>) -> Result<ArrayRef> {
    let items = match fill {
        Fill::Zero => arrow_array::new_empty_array(item.data_type()),
        Fill::Placeholder(text) if item.data_type().is_primitive() || item.data_type() == &DataType::Boolean => {
            scalars(item.data_type(), fill, text.len().max(2))?
        }
        Fill::Placeholder(_) => filled(item.data_type(), fill)?,
    };
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, items, None).map_err(failed)?))
}

fn structure(fields: &Fields, fill: Fill<'_>) -> Result<ArrayRef> {
    let columns = fields.iter().map(|field| filled(field.data_type(), fill)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None).map_err(failed)?))
}

fn map(entries: &FieldRef, fill: Fill<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("a map's entries are no struct"));
    };
    let pairs = structure(fields, fill)?;
    let pairs = if matches!(fill, Fill::Zero) { pairs.slice(0, 0) } else { pairs };
    let pairs = arrow_array::cast::AsArray::as_struct(&pairs).clone();
    let offsets = OffsetBuffer::from_lengths([arrow_array::Array::len(&pairs)]);
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, None, false).map_err(failed)?))
}
