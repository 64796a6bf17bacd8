//! Protobuf's binary encoding, from the columns.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ductstream_core::{Error, Result};

use super::schema::{Plan, ProtoSchema, Shape};
use super::{push_delimited, push_varint};
use crate::json::{push_decimal, push_uuid};
use crate::rows::{Data, RowEncoder, Values, span};

/// Writes each row as the first message of its schema.
#[derive(Debug)]
pub(crate) struct ProtoRows {
    schema: SchemaRef,
    plans: Vec<Plan>,
    prefix: Vec<u8>,
}

impl ProtoRows {
    /// Rows of `schema`, of which `proto` was made.
    pub(crate) fn new(schema: SchemaRef, proto: &ProtoSchema) -> Self {
        Self { schema, plans: proto.plans.clone(), prefix: Vec::new() }
    }

    /// The same with `prefix` in front of every row.
    pub(crate) fn with_prefix(self, prefix: Vec<u8>) -> Self {
        Self { prefix, ..self }
    }
}

impl RowEncoder for ProtoRows {
    fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        if rows.num_columns() != self.plans.len() {
            return Err(Error::bug("writing Protobuf: a batch does not fit its schema"));
        }
        let pairs = self.schema.fields().iter().zip(rows.columns());
        let columns = pairs.map(|(field, array)| Values::bind(field, array)).collect::<Result<Vec<_>>>()?;
        ends.reserve(rows.num_rows());
        for row in 0..rows.num_rows() {
            out.extend_from_slice(&self.prefix);
            push_fields(&self.plans, &columns, row, out)?;
            ends.push(out.len());
        }
        Ok(())
    }
}

fn push_fields(plans: &[Plan], values: &[Values<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    plans.iter().zip(values).try_for_each(|(plan, values)| push(plan, values, row, out))
}

/// Appends a field; nothing for null.
#[inline]
fn push(plan: &Plan, values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if values.is_null(row) {
        return Ok(());
    }
    match (&plan.shape, &values.data) {
        (Shape::Repeated, Data::List(offsets, items)) => {
            let item = Plan { tag: plan.tag.clone(), shape: Shape::Scalar };
            span(offsets, row).try_for_each(|index| push(&item, items, index, out))
        }
        (shape, data) => {
            out.extend_from_slice(&plan.tag);
            push_data(shape, data, row, out)
        }
    }
}

fn push_data(shape: &Shape, data: &Data<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match (shape, data) {
        (Shape::Scalar, data) => return push_scalar(data, row, out),
        (Shape::Decimal(scale), Data::Decimal128(values)) => {
            let mut digits = itoa::Buffer::new();
            push_delimited(out, |out| push_decimal(digits.format(values[row]), *scale, out));
        }
        (Shape::Decimal(scale), Data::Decimal256(values)) => {
            push_delimited(out, |out| push_decimal(&values[row].to_string(), *scale, out));
        }
        (Shape::Unscaled { value, rest }, Data::Bytes(array)) => push_delimited(out, |out| {
            out.extend_from_slice(value);
            push_bytes(array.value(row), out);
            out.extend_from_slice(rest);
        }),
        (Shape::Message(plans), Data::Struct(members)) => {
            return push_delimited(out, |out| push_fields(plans, members, row, out));
        }
        (Shape::List { .. } | Shape::NullableList(..), Data::List(offsets, items)) => {
            return push_delimited(out, |out| push_items(shape, items, span(offsets, row), out));
        }
        (Shape::List { .. } | Shape::NullableList(..), Data::FixedSizeList(size, items)) => {
            return push_delimited(out, |out| push_items(shape, items, row * size..(row + 1) * size, out));
        }
        (Shape::Map { entry, key, value }, Data::Map { offsets, keys, values }) => {
            return push_delimited(out, |out| {
                span(offsets, row).try_for_each(|index| {
                    out.extend_from_slice(entry);
                    push_delimited(out, |out| {
                        out.extend_from_slice(key);
                        push_bytes(keys.value(index).as_bytes(), out);
                        push(value, values, index, out)
                    })
                })
            });
        }
        (shape, Data::Dictionary(keys, values)) => {
            return push_data(shape, &values.data, usize::try_from(keys[row]).unwrap_or(0), out);
        }
        _ => return Err(Error::bug("writing Protobuf: an array does not fit its schema")),
    }
    Ok(())
}

fn push_items(shape: &Shape, items: &Values<'_>, mut range: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    match shape {
        Shape::List { packed: true, .. } if range.is_empty() => Ok(()),
        Shape::List { item, packed: true } => {
            out.extend_from_slice(&item.tag);
            push_delimited(out, |out| range.try_for_each(|index| push_data(&item.shape, &items.data, index, out)))
        }
        Shape::List { item, .. } => range.try_for_each(|index| push(item, items, index, out)),
        Shape::NullableList(tag, value) => range.try_for_each(|index| {
            out.extend_from_slice(tag);
            push_delimited(out, |out| push(value, items, index, out))
        }),
        _ => Err(Error::bug("writing Protobuf: a list does not fit its schema")),
    }
}

fn push_scalar(data: &Data<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match data {
        Data::Bool(array) => out.push(u8::from(array.value(row))),
        Data::Int8(values) => push_signed(values[row].into(), out),
        Data::Int16(values) => push_signed(values[row].into(), out),
        Data::Int32(values) => push_signed(values[row].into(), out),
        Data::Int64(values) => push_signed(values[row], out),
        Data::UInt32(values) => push_varint(values[row].into(), out),
        Data::UInt64(values) => push_varint(values[row], out),
        Data::Float16(values) => out.extend_from_slice(&values[row].to_f32().to_le_bytes()),
        Data::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Text(array) => push_bytes(array.value(row).as_bytes(), out),
        Data::Bytes(array) => push_bytes(array.value(row), out),
        Data::Uuid(array) => push_delimited(out, |out| push_uuid(array.value(row), out)),
        Data::Dictionary(keys, values) => {
            return push_scalar(&values.data, usize::try_from(keys[row]).unwrap_or(0), out);
        }
        _ => return Err(Error::bug("writing Protobuf: an array does not fit its schema")),
    }
    Ok(())
}

/// A negative number takes ten bytes, of 32 bits as of 64.
#[inline]
fn push_signed(value: i64, out: &mut Vec<u8>) {
    push_varint(value.cast_unsigned(), out);
}

#[inline]
fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
