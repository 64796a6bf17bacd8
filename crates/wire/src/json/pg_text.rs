//! Values as PostgreSQL prints them, for the bounds of ranges (which may be of any type that has an order).

use super::text::{push_decimal, push_int, push_uuid};
use super::time::{Interval, Style, push_date, push_time, push_timestamp};
use super::values::{Data, Values, span};
use super::{float, kind::ListText, kind::Member};

impl Values<'_> {
    /// Appends the value of `row`, which is not null.
    pub(super) fn push_postgres(&self, row: usize, out: &mut Vec<u8>) {
        match &self.data {
            Data::Bool(array) => out.push(if array.value(row) { b't' } else { b'f' }),
            Data::Int16(values) => push_int(values[row], out),
            Data::Int32(values) => push_int(values[row], out),
            Data::Int64(values) => push_int(values[row], out),
            Data::UInt32(values) => push_int(values[row], out),
            Data::UInt64(values) => push_int(values[row], out),
            Data::Lsn(values) => out.extend_from_slice(values.get(row).to_string().as_bytes()),
            Data::Float16(values) => float::push_postgres(values[row].to_f32(), out),
            Data::Float32(values) => float::push_postgres(values[row], out),
            Data::Float64(values) => float::push_postgres(values[row], out),
            Data::Decimal128(values, scale, _) => push_decimal(itoa::Buffer::new().format(values[row]), *scale, out),
            Data::Decimal256(values, scale, _) => push_decimal(&values[row].to_string(), *scale, out),
            Data::Text(text) | Data::Number(text) | Data::Json(text) => {
                out.extend_from_slice(text.value(row).as_bytes());
            }
            Data::Bytes(array) => push_hex(array.value(row), out),
            Data::Uuid(array) => push_uuid(array.value(row), out),
            Data::Date(values) => push_date(values[row], Style::Postgres, out),
            Data::Time(values) => push_time(values[row], Style::Postgres, out),
            Data::Timestamp(values) => push_timestamp(values[row], false, Style::Postgres, out),
            Data::TimestampUtc(values) => push_timestamp(values[row], true, Style::Postgres, out),
            Data::Interval { months, days, micros } => {
                Interval { months: months[row], days: days[row], micros: micros[row] }.push_postgres(out);
            }
            Data::Range(range) => range.push_postgres(row, out),
            Data::Struct(members) => push_record(members, row, out),
            Data::List(offsets, items, ListText::Array(delimiter)) => {
                push_array(items, span(offsets, row), *delimiter, out);
            }
            Data::List(offsets, ranges, ListText::Multirange) => push_multirange(ranges, span(offsets, row), out),
            Data::FixedSizeList(size, items) => push_vector(items, row * size..(row + 1) * size, out),
            Data::Map { offsets, keys, values } => push_hstore(keys, values, span(offsets, row), out),
        }
    }
}

/// Appends the value of `row` in quotes where `range_out` and `record_out` do: when it is empty, or has a space, a quote, a
/// backslash or one of `special`.
pub(super) fn push_quoted(values: &Values<'_>, row: usize, special: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    values.push_postgres(row, out);
    let text = &out[start..];
    let needs = |byte: &u8| special.contains(byte) || matches!(byte, b'"' | b'\\') || is_space(*byte);
    if !text.is_empty() && !text.iter().any(needs) {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// What PostgreSQL takes for white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn push_record(members: &[(&Member, Values<'_>)], row: usize, out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, (_, values)) in members.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"" } else { b"," });
        if !values.is_null(row) {
            push_quoted(values, row, b"(),", out);
        }
    }
    out.push(b')');
}

fn push_multirange(ranges: &Values<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, item) in range.enumerate() {
        out.extend_from_slice(if index == 0 { b"" } else { b"," });
        ranges.push_postgres(item, out);
    }
    out.push(b'}');
}

fn push_array(items: &Values<'_>, range: std::ops::Range<usize>, delimiter: u8, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, item) in range.enumerate() {
        out.extend((index > 0).then_some(delimiter));
        if items.is_null(item) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let start = out.len();
        items.push_postgres(item, out);
        let text = &out[start..];
        let needs = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}') || *byte == delimiter || is_space(*byte);
        if text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(needs) {
            let text = out.split_off(start);
            push_backslashed(&text, out);
        }
    }
    out.push(b'}');
}

fn push_vector(items: &Values<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in range.enumerate() {
        out.extend_from_slice(if index == 0 { b"" } else { b"," });
        items.push_postgres(item, out);
    }
    out.push(b']');
}

fn push_hstore(keys: &arrow_array::StringArray, values: &Values<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    for (index, entry) in range.enumerate() {
        out.extend_from_slice(if index == 0 { b"" } else { b", " });
        push_backslashed(keys.value(entry).as_bytes(), out);
        out.extend_from_slice(b"=>");
        if values.is_null(entry) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let mut text = Vec::new();
        values.push_postgres(entry, &mut text);
        push_backslashed(&text, out);
    }
}

/// Appends `text` in quotes, with backslashes in front of quotes and backslashes.
fn push_backslashed(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
