//! Avro's binary encoding, from the columns.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ductstream_core::{Error, Result};

use crate::json::push_uuid;
use crate::rows::{Data, RowEncoder, Values, span};

/// Writes each row as the record that [`avro_schema`](super::schema::avro_schema) or
/// [`connect_schema`](super::connect::connect_schema) describes.
#[derive(Debug)]
pub(crate) struct AvroRows {
    schema: SchemaRef,
    prefix: Vec<u8>,
}

impl AvroRows {
    /// Rows of `schema`.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, prefix: Vec::new() }
    }

    /// The same with `prefix` in front of every row.
    pub(crate) fn with_prefix(self, prefix: Vec<u8>) -> Self {
        Self { prefix, ..self }
    }
}

impl RowEncoder for AvroRows {
    fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        if rows.num_columns() != self.schema.fields().len() {
            return Err(Error::bug("writing Avro: a batch does not fit its schema"));
        }
        let pairs = self.schema.fields().iter().zip(rows.columns());
        let columns = pairs.map(|(field, array)| Values::bind(field, array)).collect::<Result<Vec<_>>>()?;
        ends.reserve(rows.num_rows());
        for row in 0..rows.num_rows() {
            out.extend_from_slice(&self.prefix);
            for column in &columns {
                push(column, row, out)?;
            }
            ends.push(out.len());
        }
        Ok(())
    }
}

/// Appends a value: of a nullable one, first which branch of the union `["null", type]` follows, or of `[type, "null"]` where there is
/// a default, which has to be of the first.
#[inline]
fn push(values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if values.nullable {
        let null = if values.has_default { 2 } else { 0 };
        if values.is_null(row) {
            out.push(null);
            return Ok(());
        }
        out.push(2 - null);
    }
    push_data(&values.data, row, out)
}

fn push_data(data: &Data<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match data {
        Data::Bool(array) => out.push(u8::from(array.value(row))),
        Data::Int8(values) => push_long(values[row].into(), out),
        Data::Int16(values) => push_long(values[row].into(), out),
        Data::Int32(values) => push_long(values[row].into(), out),
        Data::Int64(values) => push_long(values[row], out),
        Data::UInt32(values) => push_long(values[row].into(), out),
        Data::UInt64(values) => push_long(signed(values[row])?, out),
        Data::Float16(values) => out.extend_from_slice(&values[row].to_f32().to_le_bytes()),
        Data::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Decimal128(values) => push_bytes(shortest(&values[row].to_be_bytes()), out),
        Data::Decimal256(values) => push_bytes(shortest(&values[row].to_be_bytes()), out),
        Data::Text(array) => push_bytes(array.value(row).as_bytes(), out),
        Data::Bytes(array) => push_bytes(array.value(row), out),
        Data::Uuid(array) => {
            push_long(36, out);
            push_uuid(array.value(row), out);
        }
        Data::Struct(members) => return members.iter().try_for_each(|member| push(member, row, out)),
        Data::List(offsets, items) => return push_items(items, span(offsets, row), out),
        Data::FixedSizeList(size, items) => return push_items(items, row * size..(row + 1) * size, out),
        Data::Map { offsets, keys, values } => {
            let entries = span(offsets, row);
            if !entries.is_empty() {
                push_long(length(entries.len()), out);
                for entry in entries {
                    push_bytes(keys.value(entry).as_bytes(), out);
                    push(values, entry, out)?;
                }
            }
            out.push(0);
        }
        Data::Dictionary(keys, values) => return push_data(&values.data, usize::try_from(keys[row]).unwrap_or(0), out),
    }
    Ok(())
}

/// An array: one block of all items, then an empty one.
fn push_items(items: &Values<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    if !range.is_empty() {
        push_long(length(range.len()), out);
        for item in range {
            push(items, item, out)?;
        }
    }
    out.push(0);
    Ok(())
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_long(length(bytes.len()), out);
    out.extend_from_slice(bytes);
}

/// Appends a number as zigzag varint: small ones of either sign take one byte.
#[inline]
pub(crate) fn push_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Lengths of things in memory never exceed `i64`.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Big-endian two's complement without the bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
    let repeats = |pair: &[u8]| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0;
    let superfluous = bytes.windows(2).take_while(|pair| repeats(pair)).count();
    &bytes[superfluous..]
}

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::data(format!("Avro has no number as large as {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_varints() {
        for (value, bytes) in
            [(0, vec![0]), (-1, vec![1]), (64, vec![0x80, 1]), (i64::MIN, [vec![0xff; 9], vec![1]].concat())]
        {
            let mut out = Vec::new();
            push_long(value, &mut out);
            assert_eq!(out, bytes, "{value}");
        }
    }

    #[test]
    fn decimals_have_no_superfluous_bytes() {
        for (value, bytes) in
            [(0i128, &[0u8][..]), (127, &[127]), (128, &[0, 128]), (-128, &[128]), (-129, &[0xff, 127])]
        {
            assert_eq!(shortest(&value.to_be_bytes()), bytes, "{value}");
        }
    }
}
