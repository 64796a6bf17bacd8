//! Composites.
//!
//! The binary form is the number of fields, and per field its type and its value behind its length (`record_send` in
//! `src/backend/utils/adt/rowtypes.c`).

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_schema::Fields;

use super::buffers::Nulls;
use super::builder::{Column, ColumnBuilder};
use super::bytes::Reader;
use super::literal::{Literal, write_field};
use super::wire_type::Typed;
use super::{Format, SpecialValues, ValueError, layout, text_output};

/// The named fields of a composite type.
type TypedFields = Arc<[(String, Typed)]>;

/// Reads the header of a binary composite: the number of its fields, which may be fewer than the type has today.
///
/// New attributes of a type stand at its end, and the server itself reads them as null from rows that are older.
fn read_header(fields: &[(String, Typed)], reader: &mut Reader<'_>) -> Result<usize, ValueError> {
    let count = reader.count(8)?;
    if count <= fields.len() { Ok(count) } else { Err(more_fields(fields.len())) }
}

/// Reads a field's value, and makes sure that its type is the expected one.
fn read_field<'a>((name, typed): &(String, Typed), reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, ValueError> {
    let oid = reader.u32()?;
    if oid != typed.pg.oid {
        return Err(ValueError::Changed(format!("a field {name} of type {oid} instead of {}", typed.pg.oid)));
    }
    reader.sized()
}

fn more_fields(known: usize) -> ValueError {
    ValueError::Changed(format!("more than the type's {known} fields"))
}

/// A column of composites.
#[derive(Debug)]
pub(super) struct Composites {
    types: TypedFields,
    fields: Fields,
    columns: Vec<ColumnBuilder>,
    nulls: Nulls,
    scratch: Vec<u8>,
}

impl Composites {
    pub(super) fn new(types: &TypedFields, special: SpecialValues, capacity: usize) -> Self {
        Self {
            types: types.clone(),
            fields: layout::composite_fields(types, special),
            columns: types.iter().map(|(_, typed)| ColumnBuilder::new(&typed.wire, special, capacity)).collect(),
            nulls: Nulls::new(capacity),
            scratch: Vec::new(),
        }
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let mut reader = Reader::new(bytes);
        let count = read_header(&self.types, &mut reader)?;
        for (index, (field, column)) in self.types.iter().zip(&mut self.columns).enumerate() {
            let value = if index < count { read_field(field, &mut reader)? } else { None };
            column.append_part(Format::Binary, value)?;
        }
        reader.finish()
    }

    fn append_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        let mut literal = Literal::new(text);
        literal.expect(b'(')?;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if index > 0 && literal.peek() == Some(b')') {
                column.append_part(Format::Text, None)?;
                continue;
            }
            if index > 0 {
                literal.expect(b',')?;
            }
            let quoted = literal.part(b",)", &mut self.scratch)?;
            let null = !quoted && self.scratch.is_empty();
            column.append_part(Format::Text, (!null).then_some(self.scratch.as_slice()))?;
        }
        if literal.peek() == Some(b',') {
            return Err(more_fields(self.columns.len()));
        }
        literal.expect(b')')?;
        literal.finish()
    }
}

impl Column for Composites {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let before = self.len();
        let appended = match format {
            Format::Binary => self.append_binary(bytes),
            Format::Text => self.append_text(bytes),
        };
        match appended {
            Ok(()) => self.nulls.push(true),
            Err(_) => self.truncate(before),
        }
        appended
    }

    fn append_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::append_null);
        self.nulls.push(false);
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
        self.nulls.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.columns.iter().map(ColumnBuilder::memory_bytes).sum::<usize>() + self.nulls.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        Arc::new(StructArray::new(self.fields.clone(), columns, self.nulls.finish()))
    }
}

/// Appends a binary composite as the server prints it.
pub(super) fn render(fields: &[(String, Typed)], bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = read_header(fields, &mut reader)?;
    out.push('(');
    for (index, field) in fields.iter().take(count).enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Some(value) = read_field(field, &mut reader)? {
            let mut text = String::new();
            text_output::render(&field.1.wire, value, &mut text)?;
            write_field(&text, out);
        }
    }
    out.push(')');
    reader.finish()
}
