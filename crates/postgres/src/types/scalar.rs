//! Booleans, integers, floats, byte strings, UUIDs and versioned text.

use std::str::FromStr;

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt32Type};
use arrow_schema::DataType;

use super::builder::Decode;
use super::bytes::{Reader, fixed, utf8};
use super::{Format, ValueError};

macro_rules! number {
    ($name:ident, $arrow:ident, $native:ident, $what:literal) => {
        #[doc = concat!("A column of `", $what, "`.")]
        #[derive(Debug)]
        pub(super) struct $name;

        impl Decode for $name {
            type Arrow = $arrow;

            fn decode(&self, format: Format, bytes: &[u8]) -> Result<$native, ValueError> {
                match format {
                    Format::Binary => fixed(bytes).map($native::from_be_bytes),
                    Format::Text => parse(bytes, $what),
                }
            }

            fn data_type(&self) -> DataType {
                $arrow::DATA_TYPE
            }
        }
    };
}

number!(Int2, Int16Type, i16, "smallint");
number!(Int4, Int32Type, i32, "integer");
number!(Int8, Int64Type, i64, "bigint");
number!(Oid, UInt32Type, u32, "oid");
number!(Float4, Float32Type, f32, "real");
number!(Float8, Float64Type, f64, "double precision");

/// An error that names the value and the type that it is not of.
pub(super) fn not_a(what: &str, bytes: &[u8]) -> ValueError {
    ValueError::malformed(format!("{:?} is not a value of type {what}", String::from_utf8_lossy(bytes)))
}

/// A number as the server prints it.
pub(super) fn parse<T: FromStr>(bytes: &[u8], what: &str) -> Result<T, ValueError> {
    utf8(bytes)?.parse().map_err(|_| not_a(what, bytes))
}

/// A boolean.
pub(super) fn boolean(format: Format, bytes: &[u8]) -> Result<bool, ValueError> {
    match (format, bytes) {
        (Format::Binary, [0]) | (Format::Text, b"f" | b"false") => Ok(false),
        (Format::Binary, [1]) | (Format::Text, b"t" | b"true") => Ok(true),
        _ => Err(not_a("boolean", bytes)),
    }
}

/// The text behind a version byte of 1 (`jsonb`, `ltree`, `jsonpath`).
pub(super) fn versioned(bytes: &[u8]) -> Result<&str, ValueError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        1 => utf8(reader.rest()),
        version => Err(ValueError::malformed(format!("binary version {version} is not known"))),
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A byte string as printed with `bytea_output` of `hex` or `escape`.
pub(super) fn bytea<'a>(text: &[u8], out: &'a mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    out.clear();
    let read = match text.strip_prefix(b"\\x") {
        Some(hex) => read_hex(hex, out),
        None => read_escape(text, out),
    };
    read.ok_or_else(|| ValueError::malformed("a value of type bytea is neither hex nor escape text"))?;
    Ok(out)
}

fn read_hex(hex: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = hex.as_chunks::<2>();
    for [high, low] in pairs {
        out.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
    }
    rest.is_empty().then_some(())
}

fn read_escape(mut text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some((byte, rest)) = text.split_first() {
        (*out).push(*byte);
        text = rest;
        if *byte != b'\\' {
            continue;
        }
        if let Some(rest) = rest.strip_prefix(b"\\") {
            text = rest;
        } else {
            let (digits, rest) = rest.split_first_chunk::<3>()?;
            let octal = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
            *out.last_mut()? = octal;
            text = rest;
        }
    }
    Some(())
}

/// A UUID.
pub(super) fn uuid(format: Format, bytes: &[u8]) -> Result<[u8; 16], ValueError> {
    match format {
        Format::Binary => fixed(bytes),
        Format::Text => parse_uuid(bytes).ok_or_else(|| not_a("uuid", bytes)),
    }
}

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut digits = text.iter().filter(|byte| **byte != b'-');
    for byte in &mut uuid {
        *byte = hex_digit(*digits.next()?)? << 4 | hex_digit(*digits.next()?)?;
    }
    digits.next().is_none().then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_strings_are_read_from_hex_and_escape_text() {
        let mut out = Vec::new();
        assert_eq!(bytea(b"\\x00ff7A", &mut out).unwrap(), [0, 0xff, 0x7a]);
        assert_eq!(bytea(b"\\x", &mut out).unwrap(), b"");
        assert_eq!(bytea(b"a\\\\b\\000\\377", &mut out).unwrap(), b"a\\b\x00\xff");
        assert!(bytea(b"\\x0", &mut out).is_err());
        assert!(bytea(b"\\9", &mut out).is_err());
    }

    #[test]
    fn numbers_are_the_same_in_both_formats() {
        assert_eq!(Int4.decode(Format::Text, b"-2147483648").unwrap(), i32::MIN);
        assert_eq!(Int4.decode(Format::Binary, &[0x80, 0, 0, 0]).unwrap(), i32::MIN);
        assert!(Int4.decode(Format::Binary, &[0; 3]).is_err());
        assert!(Float8.decode(Format::Text, b"NaN").unwrap().is_nan());
        assert_eq!(Float4.decode(Format::Text, b"-Infinity").unwrap(), f32::NEG_INFINITY);
        assert_eq!(Float8.decode(Format::Text, b"5e-324").unwrap(), f64::from_bits(1));
        assert_eq!(Oid.decode(Format::Text, b"4294967295").unwrap(), u32::MAX);
    }
}
