//! Arrays of one batch, ready to be read row by row without looking at their types again.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray};
use arrow_buffer::{NullBuffer, i256};
use arrow_schema::{DataType, Field, TimeUnit};
use ductstream_core::{Error, Result};
use half::f16;

use crate::envelope::debezium::connect::DEFAULT;

/// The values of a column, or of a part of one.
pub(crate) struct Values<'a> {
    nulls: Option<&'a NullBuffer>,
    /// Whether the schema allows nulls, whatever this array holds.
    pub(crate) nullable: bool,
    /// Whether the schema has a default that is not null.
    pub(crate) has_default: bool,
    pub(crate) data: Data<'a>,
}

/// Values by how they lie in memory: dates are `Int32`, times and timestamps `Int64`.
pub(crate) enum Data<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float16(&'a [f16]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128]),
    Decimal256(&'a [i256]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Struct(Vec<Values<'a>>),
    List(&'a [i32], Box<Values<'a>>),
    FixedSizeList(usize, Box<Values<'a>>),
    Map { offsets: &'a [i32], keys: &'a StringArray, values: Box<Values<'a>> },
    Dictionary(&'a [i32], Box<Values<'a>>),
}

impl<'a> Values<'a> {
    /// The values of `array`, whose field is `field`.
    ///
    /// # Errors
    /// `Configuration` when rows cannot be made of the type.
    pub(crate) fn bind(field: &Field, array: &'a dyn Array) -> Result<Self> {
        let data = match bind_flat(array) {
            Some(data) => Some(data),
            None => bind_nested(field, array)?,
        };
        let data = data.ok_or_else(|| unsupported(field, array.data_type()))?;
        let has_default = field.metadata().contains_key(DEFAULT);
        Ok(Self { nulls: array.nulls(), nullable: field.is_nullable(), has_default, data })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

/// The items of row `row` of a list.
pub(crate) fn span(offsets: &[i32], row: usize) -> Range<usize> {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
    at(row)..at(row + 1)
}

fn unsupported(field: &Field, data_type: &DataType) -> Error {
    let message = format!("rows with column {} of Arrow type {data_type} cannot be written", field.name());
    Error::configuration(message).with_remedy("leave the column out of the publication")
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_primitive_opt::<T>().map(|array| &**array.values())
}

fn bind_flat(array: &dyn Array) -> Option<Data<'_>> {
    Some(match array.data_type() {
        DataType::Boolean => Data::Bool(array.as_boolean_opt()?),
        DataType::Int8 => Data::Int8(numbers::<Int8Type>(array)?),
        DataType::Int16 => Data::Int16(numbers::<Int16Type>(array)?),
        DataType::Int32 => Data::Int32(numbers::<Int32Type>(array)?),
        DataType::Date32 => Data::Int32(numbers::<Date32Type>(array)?),
        DataType::Int64 => Data::Int64(numbers::<Int64Type>(array)?),
        DataType::Time64(TimeUnit::Microsecond) => Data::Int64(numbers::<Time64MicrosecondType>(array)?),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Data::Int64(numbers::<TimestampMicrosecondType>(array)?),
        DataType::UInt32 => Data::UInt32(numbers::<UInt32Type>(array)?),
        DataType::UInt64 => Data::UInt64(numbers::<UInt64Type>(array)?),
        DataType::Float16 => Data::Float16(numbers::<Float16Type>(array)?),
        DataType::Float32 => Data::Float32(numbers::<Float32Type>(array)?),
        DataType::Float64 => Data::Float64(numbers::<Float64Type>(array)?),
        DataType::Decimal128(..) => Data::Decimal128(numbers::<Decimal128Type>(array)?),
        DataType::Decimal256(..) => Data::Decimal256(numbers::<Decimal256Type>(array)?),
        DataType::Utf8 => Data::Text(array.as_string_opt()?),
        DataType::Binary => Data::Bytes(array.as_binary_opt()?),
        DataType::FixedSizeBinary(16) => Data::Uuid(array.as_fixed_size_binary_opt()?),
        _ => return None,
    })
}

fn bind_nested<'a>(field: &Field, array: &'a dyn Array) -> Result<Option<Data<'a>>> {
    // The field's own types, as only they tell what may be null.
    Ok(match field.data_type() {
        DataType::Struct(fields) => match array.as_struct_opt().filter(|it| it.num_columns() == fields.len()) {
            Some(array) => {
                let pairs = fields.iter().zip(array.columns());
                Some(Data::Struct(pairs.map(|(field, column)| Values::bind(field, column)).collect::<Result<_>>()?))
            }
            None => None,
        },
        DataType::List(item) => match array.as_list_opt::<i32>() {
            Some(list) => Some(Data::List(list.value_offsets(), Box::new(Values::bind(item, list.values())?))),
            None => None,
        },
        DataType::FixedSizeList(item, size) => match array.as_fixed_size_list_opt() {
            Some(list) => {
                let size = usize::try_from(*size).unwrap_or(0);
                Some(Data::FixedSizeList(size, Box::new(Values::bind(item, list.values())?)))
            }
            None => None,
        },
        DataType::Map(entries, _) => bind_map(entries, array)?,
        DataType::Dictionary(_, values) => match array.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => {
                let item = Field::new(field.name(), (**values).clone(), false);
                let values = Values::bind(&item, dictionary.values())?;
                Some(Data::Dictionary(dictionary.keys().values(), Box::new(values)))
            }
            None => None,
        },
        _ => None,
    })
}

fn bind_map<'a>(entries: &Field, array: &'a dyn Array) -> Result<Option<Data<'a>>> {
    let DataType::Struct(fields) = entries.data_type() else { return Ok(None) };
    let Some(map) = array.as_map_opt() else { return Ok(None) };
    let (Some(keys), Some(value)) = (map.keys().as_string_opt(), fields.get(1)) else { return Ok(None) };
    let values = Box::new(Values::bind(value, map.values())?);
    Ok(Some(Data::Map { offsets: map.value_offsets(), keys, values }))
}
