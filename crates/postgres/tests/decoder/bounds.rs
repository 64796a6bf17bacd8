//! How much memory a message may take.
//!
//! The columns are Arrow arrays. A value of a type of fixed width takes its width there and a bit, also when it is null
//! and one byte on the wire; a string or a list takes an offset of four bytes; a composite takes what its fields take,
//! and a `vector(n)` its `n` elements. So the bound is a multiple of the message's length, by what one value of the type
//! takes at most, and a constant for each column, because buffers are allocated in steps of 64 bytes.
//!
//! One type prints far more than it takes on the wire: a `numeric` of one digit may stand for `1e131071`, and PostgreSQL
//! prints all of them.

use arrow_schema::DataType;
use ductstream_postgres::types::{ColumnProgram, TypeCatalog, TypeKind};

/// Buffers double when they are full, and a finished column leaves room for as much again.
const GROWTH: usize = 4;
/// Characters per byte of what is printed (bits: 8; a quote in nested literals doubles with each level), printed into a
/// scratch buffer and copied from there, or into the text of an error.
const PRINTED: usize = 64;
/// The same for a numeric: 131,072 digits before the point and 16,383 behind it, from eight bytes.
const PRINTED_NUMERIC: usize = (131_072 + 16_384) / 8 * 2 * GROWTH;
/// The arrays, fields and builders themselves, for each part of a type.
const PER_PART: usize = 4 << 10;
const NUMERIC: u32 = 1700;

/// What the values of one column may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// For each byte on the wire.
    pub(crate) per_byte: usize,
    /// For each value, whatever its length.
    pub(crate) per_value: usize,
    /// For each batch.
    pub(crate) per_batch: usize,
}

impl Bound {
    pub(crate) fn of(catalog: &TypeCatalog, program: &ColumnProgram) -> Self {
        let oid = program.pg_type().oid;
        let printed = if holds_numeric(catalog, oid) { PRINTED_NUMERIC } else { PRINTED };
        Self {
            per_byte: GROWTH * largest_slot(program.data_type()) + printed,
            per_value: GROWTH * slot(program.data_type()),
            per_batch: PER_PART * parts(program.data_type()),
        }
    }
}

/// What one value takes in Arrow when it is null or empty.
fn slot(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean => 1,
        DataType::FixedSizeList(item, count) => {
            1 + usize::try_from(*count).unwrap_or_default() * slot(item.data_type())
        }
        DataType::FixedSizeBinary(bytes) => 1 + usize::try_from(*bytes).unwrap_or_default(),
        DataType::Struct(fields) => 1 + fields.iter().map(|field| slot(field.data_type())).sum::<usize>(),
        other => 1 + other.primitive_width().unwrap_or(size_of::<i32>()),
    }
}

/// The largest slot in the type: an array has many values of its element's type in one value of its own.
fn largest_slot(data_type: &DataType) -> usize {
    nested(data_type).iter().map(|part| largest_slot(part)).max().unwrap_or_default().max(slot(data_type))
}

fn parts(data_type: &DataType) -> usize {
    1 + nested(data_type).iter().map(|part| parts(part)).sum::<usize>()
}

fn nested(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    }
}

fn holds_numeric(catalog: &TypeCatalog, oid: u32) -> bool {
    let Some(info) = catalog.get(oid) else { return false };
    match &info.kind {
        TypeKind::Base | TypeKind::Enum { .. } => oid == NUMERIC,
        TypeKind::Array { element: part }
        | TypeKind::Domain { base: part, .. }
        | TypeKind::Range { subtype: part }
        | TypeKind::Multirange { range: part } => holds_numeric(catalog, *part),
        TypeKind::Composite { fields } => fields.iter().any(|field| holds_numeric(catalog, field.oid)),
    }
}
