//! The values of one column of one chunk, ready to be written row by row.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray};
use arrow_buffer::{NullBuffer, i256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ductstream_core::{Error, Lsn, Result};
use half::f16;

use super::float;
use super::kind::{Kind, ListText, Member};
use super::range::RangeValues;
use super::text::{push_decimal, push_int, push_json, push_number, push_string, push_uuid};
use super::time::{Interval, Style, push_date, push_time, push_timestamp};
use crate::NumericJson;

/// A column, or a part of one.
pub(super) struct Values<'a> {
    nulls: Option<&'a NullBuffer>,
    pub(super) data: Data<'a>,
}

pub(super) enum Data<'a> {
    Bool(&'a BooleanArray),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Lsn(LsnValues<'a>),
    Float16(&'a [f16]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128], i8, NumericJson),
    Decimal256(&'a [i256], i8, NumericJson),
    Text(&'a StringArray),
    Number(&'a StringArray),
    Json(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a [i32]),
    Time(&'a [i64]),
    Timestamp(&'a [i64]),
    TimestampUtc(&'a [i64]),
    Interval { months: &'a [i32], days: &'a [i32], micros: &'a [i64] },
    Range(Box<RangeValues<'a>>),
    Struct(Vec<(&'a Member, Values<'a>)>),
    List(&'a [i32], Box<Values<'a>>, ListText),
    FixedSizeList(usize, Box<Values<'a>>),
    Map { offsets: &'a [i32], keys: &'a StringArray, values: Box<Values<'a>> },
}

/// Addresses as formats have them that keep no text of them: signed where there is no unsigned type.
pub(super) enum LsnValues<'a> {
    Unsigned(&'a [u64]),
    Signed(&'a [i64]),
}

impl<'a> LsnValues<'a> {
    fn bind(array: &'a dyn Array) -> Option<Self> {
        let unsigned = numbers::<UInt64Type>(array).map(Self::Unsigned);
        unsigned.or_else(|| numbers::<Int64Type>(array).map(Self::Signed))
    }

    pub(super) fn get(&self, row: usize) -> Lsn {
        Lsn(match self {
            Self::Unsigned(values) => values[row],
            Self::Signed(values) => values[row].cast_unsigned(),
        })
    }
}

impl<'a> Values<'a> {
    /// The values of `array`, to be written as `kind` says.
    ///
    /// # Errors
    /// `Bug` when the array's type is not the one that `kind` was made of.
    pub(super) fn bind(kind: &'a Kind, array: &'a dyn Array) -> Result<Self> {
        let mismatch = || Error::bug(format!("writing JSON: an array of type {} was not expected", array.data_type()));
        let data = match kind {
            Kind::Struct(_) | Kind::List(..) | Kind::FixedSizeList(_) | Kind::Map | Kind::Range(_) | Kind::Interval => {
                bind_nested(kind, array)?
            }
            flat => bind_flat(flat, array),
        };
        Ok(Self { nulls: array.nulls(), data: data.ok_or_else(mismatch)? })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of `row` as JSON.
    pub(super) fn push(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &self.data {
            Data::Bool(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Data::Int16(values) => push_int(values[row], out),
            Data::Int32(values) => push_int(values[row], out),
            Data::Int64(values) => push_int(values[row], out),
            Data::UInt32(values) => push_int(values[row], out),
            Data::UInt64(values) => push_int(values[row], out),
            Data::Float16(values) => float::push_json(values[row].to_f32(), out),
            Data::Float32(values) => float::push_json(values[row], out),
            Data::Float64(values) => float::push_json(values[row], out),
            Data::Text(array) => push_string(array.value(row), out),
            Data::Number(array) => push_number(array.value(row), out),
            Data::Json(array) => push_json(array.value(row), out),
            Data::Decimal128(_, _, NumericJson::Number) | Data::Decimal256(_, _, NumericJson::Number) => {
                self.push_bare(row, out);
            }
            Data::Range(range) => range.push_json(row, out),
            Data::Struct(_) | Data::List(..) | Data::FixedSizeList(..) | Data::Map { .. } => self.push_nested(row, out),
            // Nothing of these has to be escaped.
            _ => {
                out.push(b'"');
                self.push_bare(row, out);
                out.push(b'"');
            }
        }
    }

    /// Appends what stands between the quotes.
    fn push_bare(&self, row: usize, out: &mut Vec<u8>) {
        match &self.data {
            Data::Decimal128(values, scale, _) => {
                push_decimal(itoa::Buffer::new().format(values[row]), *scale, out);
            }
            Data::Decimal256(values, scale, _) => push_decimal(&values[row].to_string(), *scale, out),
            Data::Lsn(values) => out.extend_from_slice(values.get(row).to_string().as_bytes()),
            Data::Bytes(array) => push_base64(array.value(row), out),
            Data::Uuid(array) => push_uuid(array.value(row), out),
            Data::Date(values) => push_date(values[row], Style::Iso, out),
            Data::Time(values) => push_time(values[row], Style::Iso, out),
            Data::Timestamp(values) => push_timestamp(values[row], false, Style::Iso, out),
            Data::TimestampUtc(values) => push_timestamp(values[row], true, Style::Iso, out),
            Data::Interval { months, days, micros } => {
                Interval { months: months[row], days: days[row], micros: micros[row] }.push_iso(out);
            }
            _ => {}
        }
    }

    fn push_nested(&self, row: usize, out: &mut Vec<u8>) {
        match &self.data {
            Data::Struct(members) => push_object(members, row, out),
            Data::List(offsets, items, _) => push_array(items, span(offsets, row), out),
            Data::FixedSizeList(size, items) => push_array(items, row * size..(row + 1) * size, out),
            Data::Map { offsets, keys, values } => {
                out.push(b'{');
                for (index, entry) in span(offsets, row).enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    push_string(keys.value(entry), out);
                    out.push(b':');
                    values.push(entry, out);
                }
                out.push(b'}');
            }
            _ => {}
        }
    }
}

fn push_object(members: &[(&Member, Values<'_>)], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (member, values)) in members.iter().enumerate() {
        out.extend_from_slice(&member.prefix[usize::from(index == 0)..]);
        values.push(row, out);
    }
    out.push(b'}');
}

fn push_array(items: &Values<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in range.enumerate() {
        out.extend_from_slice(if index == 0 { b"" } else { b"," });
        items.push(item, out);
    }
    out.push(b']');
}

/// The items of row `row` of a list.
pub(super) fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
    at(row)..at(row + 1)
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The space is exactly what the encoding takes, so this cannot fail; if it did, the value would be shorter.
    let written = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_primitive_opt::<T>().map(|array| &**array.values())
}

fn bind_flat<'a>(kind: &Kind, array: &'a dyn Array) -> Option<Data<'a>> {
    Some(match kind {
        Kind::Bool => Data::Bool(array.as_boolean_opt()?),
        Kind::Int16 => Data::Int16(numbers::<Int16Type>(array)?),
        Kind::Int32 => Data::Int32(numbers::<Int32Type>(array)?),
        Kind::Int64 => Data::Int64(numbers::<Int64Type>(array)?),
        Kind::UInt32 => Data::UInt32(numbers::<UInt32Type>(array)?),
        Kind::UInt64 => Data::UInt64(numbers::<UInt64Type>(array)?),
        Kind::Lsn => Data::Lsn(LsnValues::bind(array)?),
        Kind::Float16 => Data::Float16(numbers::<Float16Type>(array)?),
        Kind::Float32 => Data::Float32(numbers::<Float32Type>(array)?),
        Kind::Float64 => Data::Float64(numbers::<Float64Type>(array)?),
        Kind::Decimal128(scale, numeric) => Data::Decimal128(numbers::<Decimal128Type>(array)?, *scale, *numeric),
        Kind::Decimal256(scale, numeric) => Data::Decimal256(numbers::<Decimal256Type>(array)?, *scale, *numeric),
        Kind::Text => Data::Text(array.as_string_opt()?),
        Kind::Number => Data::Number(array.as_string_opt()?),
        Kind::Json => Data::Json(array.as_string_opt()?),
        Kind::Bytes => Data::Bytes(array.as_binary_opt()?),
        Kind::Uuid => Data::Uuid(array.as_fixed_size_binary_opt()?),
        Kind::Date => Data::Date(numbers::<Date32Type>(array)?),
        Kind::Time => Data::Time(numbers::<Time64MicrosecondType>(array)?),
        Kind::Timestamp => Data::Timestamp(numbers::<TimestampMicrosecondType>(array)?),
        Kind::TimestampUtc => Data::TimestampUtc(numbers::<TimestampMicrosecondType>(array)?),
        _ => return None,
    })
}

fn bind_nested<'a>(kind: &'a Kind, array: &'a dyn Array) -> Result<Option<Data<'a>>> {
    Ok(match kind {
        Kind::Struct(members) => bind_struct(members, array)?,
        Kind::List(item, text) => match array.as_list_opt::<i32>() {
            Some(list) => Some(Data::List(list.value_offsets(), Box::new(Values::bind(item, list.values())?), *text)),
            None => None,
        },
        Kind::FixedSizeList(item) => match array.as_fixed_size_list_opt() {
            Some(list) => {
                let size = usize::try_from(list.value_length()).unwrap_or(0);
                Some(Data::FixedSizeList(size, Box::new(Values::bind(item, list.values())?)))
            }
            None => None,
        },
        Kind::Map => bind_map(array)?,
        Kind::Range(bound) => RangeValues::bind(bound, array)?.map(|range| Data::Range(Box::new(range))),
        _ => bind_interval(array),
    })
}

fn bind_struct<'a>(members: &'a [Member], array: &'a dyn Array) -> Result<Option<Data<'a>>> {
    let Some(columns) = array.as_struct_opt().map(|array| array.columns()).filter(|it| it.len() == members.len())
    else {
        return Ok(None);
    };
    let pairs = members.iter().zip(columns);
    pairs
        .map(|(member, column)| Ok((member, Values::bind(&member.kind, column)?)))
        .collect::<Result<_>>()
        .map(|it| Some(Data::Struct(it)))
}

fn bind_map(array: &dyn Array) -> Result<Option<Data<'_>>> {
    let Some(map) = array.as_map_opt() else { return Ok(None) };
    let Some(keys) = map.keys().as_string_opt() else { return Ok(None) };
    let values = Box::new(Values::bind(&Kind::Text, map.values())?);
    Ok(Some(Data::Map { offsets: map.value_offsets(), keys, values }))
}

fn bind_interval(array: &dyn Array) -> Option<Data<'_>> {
    let array = array.as_struct_opt().filter(|array| array.num_columns() == 3)?;
    Some(Data::Interval {
        months: numbers::<Int32Type>(array.column(0))?,
        days: numbers::<Int32Type>(array.column(1))?,
        micros: numbers::<Int64Type>(array.column(2))?,
    })
}
