//! The format of the fuzz targets' inputs, which are also the files of the corpus.
//!
//! Two bytes of header: the version of PostgreSQL whose catalog the types come from, counted from 14, and options. Then
//! frames (the content of CopyData messages behind its length in four bytes), or for a single column its type's OID and
//! modifier, and values: a tag as in a row, a length in two bytes, and the bytes.
//!
//! Every sequence of bytes is an input: what is missing is read as zero, what is cut short as what there is.

use ductstream_postgres::types::SpecialValues;
use serde::{Deserialize, Serialize};

pub(crate) const OLDEST: u8 = 14;
pub(crate) const VERSIONS: usize = 5;
pub(crate) const HEADER: usize = 2;

/// What the catalog of a recorded database says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Described {
    /// Rows of [`TypeCatalog::query`].
    pub(crate) types: Vec<Vec<Option<String>>>,
    /// Primary keys of the tables under `REPLICA IDENTITY FULL`.
    pub(crate) keys: Vec<(u32, Vec<String>)>,
}

/// The options byte of a policy, with large batches and logical messages.
pub(crate) fn options_byte(special_values: SpecialValues) -> u8 {
    match special_values {
        SpecialValues::Error => 0,
        SpecialValues::Null => 1,
        SpecialValues::Text => 2,
    }
}

/// The frames that follow the header.
pub(crate) fn frames(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (frame, behind) = split(behind, u32::from_be_bytes(*length) as usize);
        rest = behind;
        Some(frame)
    })
}

/// Appends a frame.
pub(crate) fn push_frame(input: &mut Vec<u8>, frame: &[u8]) {
    input.extend_from_slice(&u32::try_from(frame.len()).expect("a frame of less than 4 GiB").to_be_bytes());
    input.extend_from_slice(frame);
}

/// A value of a single column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

/// The type's OID and modifier, and the values behind them.
pub(crate) fn column(rest: &[u8]) -> (u32, i32, impl Iterator<Item = Value<'_>>) {
    let word = |from| rest.get(from..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
    let mut values = rest.get(8..).unwrap_or_default();
    let next = move || {
        let (tag, behind) = values.split_first()?;
        if !matches!(tag, b't' | b'b') {
            values = behind;
            return Some(Value::Null);
        }
        let (length, behind) = behind.split_first_chunk::<2>()?;
        let (bytes, behind) = split(behind, u16::from_be_bytes(*length).into());
        values = behind;
        Some(if *tag == b't' { Value::Text(bytes) } else { Value::Binary(bytes) })
    };
    (u32::from_be_bytes(word(0)), i32::from_be_bytes(word(4)), std::iter::from_fn(next))
}

fn split(bytes: &[u8], length: usize) -> (&[u8], &[u8]) {
    bytes.split_at(length.min(bytes.len()))
}
