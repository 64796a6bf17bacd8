//! From values to columns.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ListArray, MapArray, PrimitiveArray, RecordBatch, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef, TimeUnit};
use ductstream_core::{Error, Result};

use crate::datum::Datum;

/// Rows of `schema`.
pub(crate) fn batch(schema: &SchemaRef, rows: Vec<Vec<Option<Datum>>>) -> Result<RecordBatch> {
    let count = rows.len();
    let members = columns(schema.fields(), rows.into_iter().map(Some), count);
    let arrays = members.and_then(|columns| {
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options)
    });
    arrays.map_err(|error| Error::data("the values do not fit their schema").with_source(error))
}

/// A column of each of `fields`; where a row is missing, its values are null or, where they cannot be, nothing in particular.
fn columns(
    fields: &Fields,
    rows: impl Iterator<Item = Option<Vec<Option<Datum>>>>,
    count: usize,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut columns: Vec<Vec<Option<Datum>>> = fields.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        let mut members = row.unwrap_or_default().into_iter();
        columns.iter_mut().for_each(|column| column.push(members.next().flatten()));
    }
    fields.iter().zip(columns).map(|(field, values)| array(field, values)).collect()
}

fn array(field: &Field, values: Vec<Option<Datum>>) -> Result<ArrayRef, ArrowError> {
    Ok(match field.data_type() {
        DataType::Boolean => Arc::new(booleans(field, values)?),
        DataType::Int32 => numbers::<Int32Type>(field, values, narrow)?,
        DataType::Date32 => numbers::<Date32Type>(field, values, narrow)?,
        DataType::Int64 => numbers::<Int64Type>(field, values, Datum::int)?,
        DataType::Time64(TimeUnit::Microsecond) => numbers::<Time64MicrosecondType>(field, values, Datum::int)?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType>(field, values, Datum::int)?
        }
        DataType::UInt32 => numbers::<UInt32Type>(field, values, |it| it.unsigned().and_then(|it| it.try_into().ok()))?,
        DataType::UInt64 => numbers::<UInt64Type>(field, values, Datum::unsigned)?,
        DataType::Float32 => numbers::<Float32Type>(field, values, |it| match it {
            Datum::Float(value) => Some(*value),
            _ => None,
        })?,
        DataType::Float64 => numbers::<Float64Type>(field, values, |it| match it {
            Datum::Double(value) => Some(*value),
            _ => None,
        })?,
        DataType::Utf8 => texts(field, values)?,
        DataType::Binary => binaries(field, values)?,
        DataType::Decimal128(..) | DataType::Decimal256(..) => decimals(field, values)?,
        _ => nested(field, values)?,
    })
}

fn narrow(value: &Datum) -> Option<i32> {
    value.int().and_then(|value| value.try_into().ok())
}

fn misfit(field: &Field, value: &Datum) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("{value:?} is no value of {} {}", field.name(), field.data_type()))
}

fn numbers<T: ArrowPrimitiveType>(
    field: &Field,
    values: Vec<Option<Datum>>,
    number: impl Fn(&Datum) -> Option<T::Native>,
) -> Result<ArrayRef, ArrowError> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(values.len());
    for value in &values {
        match value {
            Some(value) => builder.append_value(number(value).ok_or_else(|| misfit(field, value))?),
            None if field.is_nullable() => builder.append_null(),
            None => builder.append_value(T::default_value()),
        }
    }
    let array: PrimitiveArray<T> = builder.finish().with_data_type(field.data_type().clone());
    Ok(Arc::new(array))
}

fn booleans(field: &Field, values: Vec<Option<Datum>>) -> Result<arrow_array::BooleanArray, ArrowError> {
    let mut builder = BooleanBuilder::with_capacity(values.len());
    for value in &values {
        match value {
            Some(Datum::Bool(value)) => builder.append_value(*value),
            Some(value) => return Err(misfit(field, value)),
            None if field.is_nullable() => builder.append_null(),
            None => builder.append_value(false),
        }
    }
    Ok(builder.finish())
}

fn texts(field: &Field, values: Vec<Option<Datum>>) -> Result<ArrayRef, ArrowError> {
    let mut builder = StringBuilder::new();
    for value in &values {
        match value {
            Some(Datum::Text(text)) => builder.append_value(text),
            Some(value) => return Err(misfit(field, value)),
            None if field.is_nullable() => builder.append_null(),
            None => builder.append_value(""),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn binaries(field: &Field, values: Vec<Option<Datum>>) -> Result<ArrayRef, ArrowError> {
    let mut builder = BinaryBuilder::new();
    for value in &values {
        match value {
            Some(Datum::Bytes(bytes)) => builder.append_value(bytes),
            Some(value) => return Err(misfit(field, value)),
            None if field.is_nullable() => builder.append_null(),
            None => builder.append_value(b""),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Big-endian two's complement, as short as it is.
fn decimals(field: &Field, values: Vec<Option<Datum>>) -> Result<ArrayRef, ArrowError> {
    let mut numbers = Vec::with_capacity(values.len());
    for value in &values {
        numbers.push(match value {
            Some(Datum::Bytes(bytes)) => {
                Some(integer(bytes).ok_or_else(|| misfit(field, &Datum::Bytes(bytes.clone())))?)
            }
            Some(value) => return Err(misfit(field, value)),
            None if field.is_nullable() => None,
            None => Some(i256::ZERO),
        });
    }
    if let DataType::Decimal128(..) = field.data_type() {
        let mut builder = Decimal128Builder::new().with_data_type(field.data_type().clone());
        for number in numbers {
            let narrow = number.map(|number| number.to_i128().ok_or_else(|| too_wide(field)));
            builder.append_option(narrow.transpose()?);
        }
        return Ok(Arc::new(builder.finish()));
    }
    let mut builder = Decimal256Builder::new().with_data_type(field.data_type().clone());
    numbers.into_iter().for_each(|number| builder.append_option(number));
    Ok(Arc::new(builder.finish()))
}

fn too_wide(field: &Field) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("a number has more digits than {} {}", field.name(), field.data_type()))
}

fn integer(bytes: &[u8]) -> Option<i256> {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [sign; 32];
    whole.get_mut(32usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i256::from_be_bytes(whole))
}

fn nested(field: &Field, values: Vec<Option<Datum>>) -> Result<ArrayRef, ArrowError> {
    let present: Vec<bool> = values.iter().map(Option::is_some).collect();
    let nulls = field.is_nullable().then(|| NullBuffer::from(present));
    let count = values.len();
    match field.data_type() {
        DataType::Struct(fields) => {
            let mut rows = Vec::with_capacity(count);
            for value in values {
                rows.push(match value {
                    Some(Datum::Record(members)) => Some(members),
                    Some(value) => return Err(misfit(field, &value)),
                    None => None,
                });
            }
            let columns = columns(fields, rows.into_iter(), count)?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, count)?))
        }
        DataType::List(item) => {
            let (mut lengths, mut items) = (Vec::with_capacity(count), Vec::new());
            for value in values {
                let list = match value {
                    Some(Datum::List(list)) => list,
                    Some(value) => return Err(misfit(field, &value)),
                    None => Vec::new(),
                };
                lengths.push(list.len());
                items.extend(list);
            }
            let offsets = OffsetBuffer::from_lengths(lengths);
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, array(item, items)?, nulls)?))
        }
        DataType::Map(entries, sorted) => map(field, (entries, *sorted), values, nulls),
        other => Err(ArrowError::NotYetImplemented(format!("columns of type {other}"))),
    }
}

fn map(
    field: &Field,
    (entries, sorted): (&Arc<Field>, bool),
    values: Vec<Option<Datum>>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::SchemaError(format!("the entries of {} are no records", field.name())));
    };
    let (mut lengths, mut rows) = (Vec::with_capacity(values.len()), Vec::new());
    for value in values {
        let map = match value {
            Some(Datum::Map(map)) => map,
            Some(value) => return Err(misfit(field, &value)),
            None => Vec::new(),
        };
        lengths.push(map.len());
        rows.extend(map.into_iter().map(|(key, value)| Some(vec![Some(Datum::Text(key)), value])));
    }
    let count = rows.len();
    let members = columns(fields, rows.into_iter(), count)?;
    let entries_array = StructArray::try_new_with_length(fields.clone(), members, None, count)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(lengths), entries_array, nulls, sorted)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_keep_their_sign() {
        for (bytes, number) in [(&[0x7f][..], 127), (&[0xff], -1), (&[0x00, 0x80], 128), (&[0x80], -128), (&[], 0)] {
            assert_eq!(integer(bytes), Some(i256::from_i128(number)));
        }
        assert_eq!(integer(&[0; 33]), None);
    }
}
