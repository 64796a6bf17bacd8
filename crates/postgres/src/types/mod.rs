//! PostgreSQL's type system: column programs that append wire values straight to Arrow builders.
//!
//! [`TypeCatalog`] knows types by OID: the built-in ones from the start, all others from the rows of
//! [`TypeCatalog::query`]. [`ColumnProgram::compile`] turns a column's type into an Arrow type and a [`ColumnBuilder`],
//! which takes each value in the format in which it arrived, binary or text.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | `boolean`, `smallint`, `integer`, `bigint`, `oid` | Boolean, Int16, Int32, Int64, UInt32 |
//! | `real`, `double precision` | Float32, Float64 |
//! | `numeric(p,s)` of up to 38 (76) digits | Decimal128 (Decimal256) |
//! | other `numeric`, `money`, `timetz`, `pg_lsn`, enums | Utf8, as the server prints it |
//! | network, bit, geometric and text search types | Utf8, as the server prints it |
//! | `text`, `varchar`, `bpchar`, `name`, `citext`, `xml`, `ltree` | Utf8 |
//! | `json`, `jsonb` | Utf8 with extension type `arrow.json` |
//! | `bytea` | Binary |
//! | `uuid` | FixedSizeBinary(16) with extension type `arrow.uuid` |
//! | `date`, `time` | Date32, Time64(us) |
//! | `timestamp`, `timestamptz` | Timestamp(us), Timestamp(us, "UTC") |
//! | `interval` | Struct{months Int32, days Int32, micros Int64} |
//! | arrays | List of the element's type |
//! | ranges, multiranges | Struct{lower, upper, lower_inc, upper_inc, empty}; List of it |
//! | composites, domains | Struct; the base type |
//! | `hstore` | Map<Utf8, Utf8> |
//! | `vector(n)`, `halfvec(n)` | FixedSizeList of Float32 (Float16); List without a dimension |
//! | anything else | Utf8, as the server prints it |
//!
//! # Values that the Arrow type cannot hold
//!
//! numeric `NaN` and infinities; infinite dates, timestamps and intervals; timestamps after 294247-01-10 04:00:54;
//! `24:00:00`; arrays of more than one dimension or with another lower bound than 1. (A column's declared dimensions mean
//! nothing to the server, so such an array can turn up in every array column.) [`SpecialValues`] says what becomes of them:
//! - `error`: [`ValueError::Special`];
//! - `null`: the value becomes null; inside an array or a composite its element or field does, but a range as a whole,
//!   because a null bound would mean an unbounded one;
//! - `text`: a column of a type that has such values, itself or inside, is Utf8 and holds what the server prints.
//!
//! Years before 1 and after 9999 are numbers like all others.
//!
//! # What is read as text only
//!
//! A few types print something that their binary form does not tell: `money` (the currency and the number of its decimals
//! are those of the server's locale), the `reg*` types (the binary form is an OID, the text a name), and all types without
//! a decoder here. [`ColumnProgram::decodes_binary`] is false for their columns: a connection that carries one of them has
//! to ask for text. A binary value that comes nevertheless is [`ValueError::Malformed`]; it is never guessed at.

mod array;
mod bits;
mod buffers;
mod builder;
mod builtin;
mod bytes;
mod catalog;
mod composite;
mod datetime;
mod datetime_text;
mod float;
mod format_type;
mod geometric;
mod hstore;
mod interval;
mod layout;
mod literal;
mod network;
mod numeric;
mod program;
mod range;
mod scalar;
mod text_output;
mod tsearch;
mod vector;
mod wire_type;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use builder::ColumnBuilder;
pub use catalog::{CompositeField, TypeCatalog, TypeInfo, TypeKind};
pub use program::ColumnProgram;

/// What to do with a value that its column's Arrow type cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpecialValues {
    /// Stop the flow, with table, column and key named.
    #[default]
    Error,
    /// Store null.
    Null,
    /// Make the column text, so that it holds every value.
    Text,
}

/// Settings that a session must have, so that text values look as they are read and rendered here.
pub const SESSION_SETTINGS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
];

/// Why a value was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The column's Arrow type cannot hold the value; this is how the server prints it.
    #[error("{0} does not fit the column's type; see the setting special_values")]
    Special(String),
    /// The value was written when its composite type had other attributes.
    #[error("a composite value has {0}: its type was changed after the row was written")]
    Changed(String),
    /// The bytes are not a value of the column's type, or are one that only its text form tells.
    #[error("{0}")]
    Malformed(String),
}

impl ValueError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

/// How a value arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As the type's output function prints it.
    Text,
    /// As the type's send function writes it.
    Binary,
}
