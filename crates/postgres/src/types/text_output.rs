//! Binary values as the server prints them.

use std::fmt::Write;

use arrow_array::types::{Float16Type, Float32Type};

use super::bytes::{fixed, utf8};
use super::wire_type::WireType;
use super::{
    ValueError, array, bits, composite, datetime_text, float, geometric, hstore, interval, network, numeric, range,
    scalar, tsearch, vector,
};

/// Appends a binary value as the type's output function prints it in a session with
/// [`SESSION_SETTINGS`](super::SESSION_SETTINGS).
pub(super) fn render(wire: &WireType, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    match wire {
        WireType::Bool => out.push(if scalar::boolean(super::Format::Binary, bytes)? { 't' } else { 'f' }),
        WireType::Int2 => write_display(i16::from_be_bytes(fixed(bytes)?), out),
        WireType::Int4 => write_display(i32::from_be_bytes(fixed(bytes)?), out),
        WireType::Int8 => write_display(i64::from_be_bytes(fixed(bytes)?), out),
        WireType::Oid | WireType::Xid => write_display(u32::from_be_bytes(fixed(bytes)?), out),
        WireType::Xid8 => write_display(u64::from_be_bytes(fixed(bytes)?), out),
        WireType::Float4 => float::write_f32(f32::from_be_bytes(fixed(bytes)?), out),
        WireType::Float8 => float::write_f64(f64::from_be_bytes(fixed(bytes)?), out),
        WireType::Numeric | WireType::Decimal128(_) | WireType::Decimal256(_) => numeric::render(bytes, out)?,
        WireType::Text | WireType::Enum(_) | WireType::Json => out.push_str(utf8(bytes)?),
        WireType::Versioned | WireType::Jsonb => out.push_str(scalar::versioned(bytes)?),
        WireType::Char => render_char(fixed(bytes)?, out),
        WireType::Bytea => render_bytea(bytes, out),
        WireType::Uuid => render_uuid(fixed(bytes)?, out),
        WireType::Date => datetime_text::render_date(bytes, out)?,
        WireType::Time => datetime_text::render_time(bytes, out)?,
        WireType::Timetz => datetime_text::render_timetz(bytes, out)?,
        WireType::Timestamp => datetime_text::render_timestamp(bytes, false, out)?,
        WireType::Timestamptz => datetime_text::render_timestamp(bytes, true, out)?,
        WireType::Interval => interval::render(bytes, out)?,
        other => return render_structured(other, bytes, out),
    }
    Ok(())
}

fn render_structured(wire: &WireType, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    match wire {
        WireType::Inet => network::render(bytes, out),
        WireType::MacAddr => network::render_mac(bytes, out),
        WireType::Bits => bits::render(bytes, out),
        WireType::PgLsn => bits::render_lsn(bytes, out),
        WireType::Tid => bits::render_tid(bytes, out),
        WireType::Snapshot => bits::render_snapshot(bytes, out),
        WireType::Geometric(shape) => geometric::render(*shape, bytes, out),
        WireType::TsVector => tsearch::render_vector(bytes, out),
        WireType::TsQuery => tsearch::render_query(bytes, out),
        WireType::Hstore => hstore::render(bytes, out),
        WireType::Vector(_) => vector::render::<Float32Type>(bytes, out),
        WireType::HalfVector(_) => vector::render::<Float16Type>(bytes, out),
        WireType::SpacedArray(element) => array::render_spaced(element, bytes, out),
        WireType::Array(array) => array::render(array, bytes, out),
        WireType::Range(subtype) => range::render(subtype, bytes, out),
        WireType::Multirange(subtype) => range::render_multirange(subtype, bytes, out),
        WireType::Composite(fields) => composite::render(fields, bytes, out),
        _ => Err(ValueError::malformed(
            "the binary form of the type is not known; set `binary: false` in the source's settings",
        )),
    }
}

/// A printed value as the column stores it.
pub(super) fn printed<'a>(wire: &WireType, bytes: &'a [u8], scratch: &'a mut String) -> Result<&'a str, ValueError> {
    match (wire, bytes) {
        // Servers before PostgreSQL 16 print the byte itself, whatever the encoding; later ones as it is rendered here.
        (WireType::Char, [byte]) if !byte.is_ascii() => {
            scratch.clear();
            render_char([*byte], scratch);
            Ok(scratch)
        }
        _ => utf8(bytes),
    }
}

// Writing to a string cannot fail.

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

/// `"char"` is one byte; zero prints as nothing, and what is not ASCII as three octal digits.
fn render_char([byte]: [u8; 1], out: &mut String) {
    match byte {
        0 => {}
        1..0x80 => out.push(char::from(byte)),
        _ => {
            let _ = write!(out, "\\{byte:03o}");
        }
    }
}

fn render_bytea(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

fn render_uuid(uuid: [u8; 16], out: &mut String) {
    for (index, byte) in uuid.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(out, "{dash}{byte:02x}");
    }
}
