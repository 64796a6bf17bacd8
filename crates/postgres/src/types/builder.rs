//! Column builders: values in, Arrow arrays out.

use std::sync::Arc;

use arrow_array::types::{Decimal128Type, Decimal256Type, Float16Type, Float32Type};
use arrow_array::{ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;

use super::array::Arrays;
use super::buffers::{Booleans, ByteStrings, Primitives, Uuids};
use super::bytes::utf8;
use super::composite::Composites;
use super::datetime::{Date, Time, Timestamp, Timestamptz};
use super::hstore::Hstores;
use super::interval::Intervals;
use super::numeric::Decimal;
use super::range::{Multiranges, Ranges};
use super::scalar::{Float4, Float8, Int2, Int4, Int8, Oid, boolean, bytea, uuid, versioned};
use super::vector::Vectors;
use super::wire_type::WireType;
use super::{Format, SpecialValues, ValueError, layout, text_output};

/// The values of one column, as they arrive.
///
/// When an append fails, the column is as it was before.
#[derive(Debug)]
pub struct ColumnBuilder {
    cells: Cells,
    special: SpecialValues,
}

impl ColumnBuilder {
    pub(super) fn new(wire: &WireType, special: SpecialValues, capacity: usize) -> Self {
        Self { cells: Cells::new(wire, special, capacity), special }
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        self.cells.append_null();
    }

    /// Appends a value as the type's output function prints it, in a session with
    /// [`SESSION_SETTINGS`](super::SESSION_SETTINGS).
    ///
    /// # Errors
    /// The bytes are not such a value, or the column's Arrow type cannot hold it and the policy is `error`.
    pub fn append_text(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        self.append(Format::Text, bytes)
    }

    /// Appends a value as the type's send function writes it.
    ///
    /// # Errors
    /// As [`append_text`](Self::append_text); also for every value of a type whose binary form is not known here.
    pub fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        self.append(Format::Binary, bytes)
    }

    pub(super) fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        match self.cells.append(format, bytes) {
            Err(ValueError::Special(_)) if self.special == SpecialValues::Null => {
                self.append_null();
                Ok(())
            }
            result => result,
        }
    }

    /// Appends a part of a composite value, which may be null.
    pub(super) fn append_part(&mut self, format: Format, part: Option<&[u8]>) -> Result<(), ValueError> {
        match part {
            Some(bytes) => self.append(format, bytes),
            None => {
                self.append_null();
                Ok(())
            }
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the builder holds, room for more values included.
    pub fn memory_bytes(&self) -> usize {
        self.cells.memory_bytes()
    }

    /// The values as an array of the program's type. The builder is empty afterwards, with room for about as many
    /// values.
    pub fn finish(&mut self) -> ArrayRef {
        self.cells.finish()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.cells.truncate(len);
    }
}

/// How one kind of column stores its values. An `append` that fails leaves it as it was.
pub(super) trait Column {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError>;
    fn append_null(&mut self);
    fn len(&self) -> usize;
    fn truncate(&mut self, len: usize);
    fn memory_bytes(&self) -> usize;
    fn finish(&mut self) -> ArrayRef;
}

/// How a value of fixed size is read.
pub(super) trait Decode: std::fmt::Debug {
    type Arrow: ArrowPrimitiveType;
    fn decode(&self, format: Format, bytes: &[u8]) -> Result<<Self::Arrow as ArrowPrimitiveType>::Native, ValueError>;
    fn data_type(&self) -> DataType;
}

/// A column of values of fixed size.
#[derive(Debug)]
struct Scalars<D: Decode> {
    decode: D,
    values: Primitives<D::Arrow>,
}

impl<D: Decode> Scalars<D> {
    fn new(decode: D, capacity: usize) -> Self {
        Self { decode, values: Primitives::new(capacity) }
    }
}

impl<D: Decode> Column for Scalars<D> {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        self.values.push(Some(self.decode.decode(format, bytes)?));
        Ok(())
    }

    fn append_null(&mut self) {
        self.values.push(None);
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        self.values.finish(self.decode.data_type())
    }
}

impl Column for Booleans {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        self.push(Some(boolean(format, bytes)?));
        Ok(())
    }

    fn append_null(&mut self) {
        self.push(None);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        self.finish()
    }
}

impl Column for Uuids {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        self.push(Some(uuid(format, bytes)?));
        Ok(())
    }

    fn append_null(&mut self) {
        self.push(None);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        self.finish()
    }
}

/// How the bytes of a column of strings come from a value.
#[derive(Debug)]
enum Strings {
    /// Both formats are the text.
    Text,
    /// A version byte stands before the text in binary.
    Versioned,
    /// Binary values are rendered as the server prints them.
    Rendered(Box<WireType>, String),
    /// A Binary column.
    Bytea(Vec<u8>),
}

#[derive(Debug)]
struct StringCells {
    strings: Strings,
    values: ByteStrings,
}

impl StringCells {
    fn new(strings: Strings, capacity: usize) -> Self {
        Self { strings, values: ByteStrings::new(capacity) }
    }
}

impl Column for StringCells {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        match (&mut self.strings, format) {
            (Strings::Bytea(_), Format::Binary) => self.values.push(bytes),
            (Strings::Bytea(scratch), Format::Text) => self.values.push(bytea(bytes, scratch)?),
            (Strings::Rendered(wire, scratch), Format::Binary) => {
                scratch.clear();
                text_output::render(wire, bytes, scratch)?;
                self.values.push(scratch.as_bytes())
            }
            (Strings::Rendered(wire, scratch), Format::Text) => {
                self.values.push(text_output::printed(wire, bytes, scratch)?.as_bytes())
            }
            (Strings::Versioned, Format::Binary) => self.values.push(versioned(bytes)?.as_bytes()),
            (Strings::Text, _) | (Strings::Versioned, Format::Text) => self.values.push(utf8(bytes)?.as_bytes()),
        }
    }

    fn append_null(&mut self) {
        self.values.push_null();
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        match self.strings {
            Strings::Bytea(_) => Arc::new(self.values.finish_binary()),
            _ => Arc::new(self.values.finish_text()),
        }
    }
}

#[derive(Debug)]
enum Cells {
    Bool(Booleans),
    Int2(Scalars<Int2>),
    Int4(Scalars<Int4>),
    Int8(Scalars<Int8>),
    Oid(Scalars<Oid>),
    Float4(Scalars<Float4>),
    Float8(Scalars<Float8>),
    Decimal128(Scalars<Decimal<Decimal128Type>>),
    Decimal256(Scalars<Decimal<Decimal256Type>>),
    Date(Scalars<Date>),
    Time(Scalars<Time>),
    Timestamp(Scalars<Timestamp>),
    Timestamptz(Scalars<Timestamptz>),
    Uuid(Uuids),
    Strings(StringCells),
    Interval(Intervals),
    Array(Box<Arrays>),
    Range(Box<Ranges>),
    Multirange(Box<Multiranges>),
    Composite(Box<Composites>),
    Hstore(Box<Hstores>),
    Vector(Vectors<Float32Type>),
    HalfVector(Vectors<Float16Type>),
}

impl Cells {
    fn new(wire: &WireType, special: SpecialValues, capacity: usize) -> Self {
        if layout::is_text(wire, special) {
            return Self::rendered(wire, capacity);
        }
        match wire {
            WireType::Bool => Self::Bool(Booleans::new(capacity)),
            WireType::Int2 => Self::Int2(Scalars::new(Int2, capacity)),
            WireType::Int4 => Self::Int4(Scalars::new(Int4, capacity)),
            WireType::Int8 => Self::Int8(Scalars::new(Int8, capacity)),
            WireType::Oid => Self::Oid(Scalars::new(Oid, capacity)),
            WireType::Float4 => Self::Float4(Scalars::new(Float4, capacity)),
            WireType::Float8 => Self::Float8(Scalars::new(Float8, capacity)),
            WireType::Decimal128(declared) => Self::Decimal128(Scalars::new(Decimal::new(*declared), capacity)),
            WireType::Decimal256(declared) => Self::Decimal256(Scalars::new(Decimal::new(*declared), capacity)),
            WireType::Date => Self::Date(Scalars::new(Date, capacity)),
            WireType::Time => Self::Time(Scalars::new(Time, capacity)),
            WireType::Timestamp => Self::Timestamp(Scalars::new(Timestamp, capacity)),
            WireType::Timestamptz => Self::Timestamptz(Scalars::new(Timestamptz, capacity)),
            WireType::Uuid => Self::Uuid(Uuids::new(capacity)),
            WireType::Bytea => Self::Strings(StringCells::new(Strings::Bytea(Vec::new()), capacity)),
            WireType::Text | WireType::Enum(_) | WireType::Json => {
                Self::Strings(StringCells::new(Strings::Text, capacity))
            }
            WireType::Versioned | WireType::Jsonb => Self::Strings(StringCells::new(Strings::Versioned, capacity)),
            nested => Self::nested(nested, special, capacity),
        }
    }

    fn nested(wire: &WireType, special: SpecialValues, capacity: usize) -> Self {
        match wire {
            WireType::Interval => Self::Interval(Intervals::new(capacity)),
            WireType::Array(array) => Self::Array(Box::new(Arrays::new(array, special, capacity))),
            WireType::Range(subtype) => Self::Range(Box::new(Ranges::new(subtype, special, capacity))),
            WireType::Multirange(subtype) => Self::Multirange(Box::new(Multiranges::new(subtype, special, capacity))),
            WireType::Composite(fields) => Self::Composite(Box::new(Composites::new(fields, special, capacity))),
            WireType::Hstore => Self::Hstore(Box::new(Hstores::new(capacity))),
            WireType::Vector(size) => Self::Vector(Vectors::new(*size, capacity)),
            WireType::HalfVector(size) => Self::HalfVector(Vectors::new(*size, capacity)),
            other => Self::rendered(other, capacity),
        }
    }

    fn rendered(wire: &WireType, capacity: usize) -> Self {
        Self::Strings(StringCells::new(Strings::Rendered(Box::new(wire.clone()), String::new()), capacity))
    }
}

macro_rules! each {
    ($cells:expr, $column:ident => $call:expr) => {
        match $cells {
            Cells::Bool($column) => $call,
            Cells::Int2($column) => $call,
            Cells::Int4($column) => $call,
            Cells::Int8($column) => $call,
            Cells::Oid($column) => $call,
            Cells::Float4($column) => $call,
            Cells::Float8($column) => $call,
            Cells::Decimal128($column) => $call,
            Cells::Decimal256($column) => $call,
            Cells::Date($column) => $call,
            Cells::Time($column) => $call,
            Cells::Timestamp($column) => $call,
            Cells::Timestamptz($column) => $call,
            Cells::Uuid($column) => $call,
            Cells::Strings($column) => $call,
            Cells::Interval($column) => $call,
            Cells::Array($column) => $call,
            Cells::Range($column) => $call,
            Cells::Multirange($column) => $call,
            Cells::Composite($column) => $call,
            Cells::Hstore($column) => $call,
            Cells::Vector($column) => $call,
            Cells::HalfVector($column) => $call,
        }
    };
}

impl Column for Cells {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        each!(self, column => column.append(format, bytes))
    }

    fn append_null(&mut self) {
        each!(self, column => column.append_null());
    }

    fn len(&self) -> usize {
        each!(self, column => column.len())
    }

    fn truncate(&mut self, len: usize) {
        each!(self, column => column.truncate(len));
    }

    fn memory_bytes(&self) -> usize {
        each!(self, column => column.memory_bytes())
    }

    fn finish(&mut self) -> ArrayRef {
        each!(self, column => column.finish())
    }
}
