//! Arrays.
//!
//! The binary form is the number of dimensions, a flag, the element type, per dimension its length and lower bound, and
//! the elements behind their lengths (`array_send` in `src/backend/utils/adt/arrayfuncs.c`).

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_schema::FieldRef;

use super::buffers::{Nulls, Offsets};
use super::builder::{Column, ColumnBuilder};
use super::bytes::{Reader, utf8};
use super::literal::{Literal, write_element};
use super::wire_type::{ArrayType, WireType};
use super::{Format, SpecialValues, ValueError, layout, text_output};

/// The largest number of dimensions that the server allows (`MAXDIM`).
const DIMENSIONS_MAX: i32 = 6;

/// Bytes that an element takes at least: its length.
const ELEMENT_LEN: usize = 4;

struct Dimension {
    len: usize,
    lower_bound: i32,
}

/// A binary array.
struct Binary<'a> {
    dimensions: Vec<Dimension>,
    elements: Reader<'a>,
}

impl<'a> Binary<'a> {
    fn read(bytes: &'a [u8], element: Option<u32>) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let dimensions = reader.i32()?;
        reader.i32()?;
        let found = reader.u32()?;
        if !(0..=DIMENSIONS_MAX).contains(&dimensions) || element.is_some_and(|element| element != found) {
            return Err(ValueError::malformed(format!("an array of type {found} with {dimensions} dimensions")));
        }
        let dimension = |_| {
            let len = reader.count(0)?;
            Ok(Dimension { len, lower_bound: reader.i32()? })
        };
        let mut dimensions = (0..dimensions).map(dimension).collect::<Result<Vec<_>, _>>()?;
        let lengths = dimensions.iter().map(|dimension| dimension.len);
        let count = lengths.reduce(usize::saturating_mul).unwrap_or_default();
        reader.fits(count, ELEMENT_LEN)?;
        // Without elements it is the empty array, whatever its dimensions are: so the server prints it.
        if count == 0 {
            dimensions.clear();
        }
        Ok(Self { dimensions, elements: reader })
    }

    /// The length, if a list holds the array.
    fn list_len(&self) -> Option<usize> {
        match self.dimensions.as_slice() {
            [] => Some(0),
            [Dimension { len, lower_bound: 1 }] => Some(*len),
            _ => None,
        }
    }
}

/// Lists of any kind: where each ends, and what they hold.
#[derive(Debug)]
pub(super) struct Lists {
    field: FieldRef,
    offsets: Offsets,
    nulls: Nulls,
    items: ColumnBuilder,
}

impl Lists {
    pub(super) fn new(field: FieldRef, items: ColumnBuilder, capacity: usize) -> Self {
        Self { field, offsets: Offsets::new(capacity), nulls: Nulls::new(capacity), items }
    }

    /// Appends what `fill` puts into the items, or nothing when it fails.
    pub(super) fn append_with(
        &mut self,
        fill: impl FnOnce(&mut ColumnBuilder) -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        let before = self.items.len();
        let filled = fill(&mut self.items).and_then(|()| self.offsets.push(self.items.len()));
        match filled {
            Ok(()) => self.nulls.push(true),
            Err(_) => self.items.truncate(before),
        }
        filled
    }

    pub(super) fn append_null(&mut self) {
        self.offsets.push_empty();
        self.nulls.push(false);
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let items = self.offsets.truncate(len);
            self.items.truncate(items);
            self.nulls.truncate(len);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.offsets.memory_bytes() + self.nulls.memory_bytes() + self.items.memory_bytes()
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        Arc::new(ListArray::new(self.field.clone(), self.offsets.finish(), items, self.nulls.finish()))
    }
}

/// A column of arrays.
#[derive(Debug)]
pub(super) struct Arrays {
    array: Arc<ArrayType>,
    lists: Lists,
    scratch: Vec<u8>,
}

impl Arrays {
    pub(super) fn new(array: &Arc<ArrayType>, special: SpecialValues, capacity: usize) -> Self {
        let items = ColumnBuilder::new(&array.element.wire, special, capacity);
        let lists = Lists::new(layout::item(array, special), items, capacity);
        Self { array: array.clone(), lists, scratch: Vec::new() }
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let binary = Binary::read(bytes, Some(self.array.element.pg.oid))?;
        let Some(len) = binary.list_len() else {
            let mut literal = String::new();
            render(&self.array, bytes, &mut literal)?;
            return Err(ValueError::Special(literal));
        };
        let mut elements = binary.elements;
        self.lists.append_with(|items| {
            for _ in 0..len {
                items.append_part(Format::Binary, elements.sized()?)?;
            }
            elements.finish()
        })
    }

    fn append_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        let mut literal = Literal::new(text);
        // `[0:1]={...}`, `{{...},{...}}`
        if text.starts_with(b"[") || text.starts_with(b"{{") {
            return Err(ValueError::Special(utf8(text)?.to_owned()));
        }
        let (scratch, delimiter) = (&mut self.scratch, self.array.delimiter);
        self.lists.append_with(|items| {
            literal.expect(b'{')?;
            if literal.accept_all(b"}") {
                return literal.finish();
            }
            loop {
                let quoted = literal.part(&[delimiter, b'}'], scratch)?;
                let null = !quoted && scratch.eq_ignore_ascii_case(b"null");
                items.append_part(Format::Text, (!null).then_some(scratch.as_slice()))?;
                if literal.next()? == b'}' {
                    return literal.finish();
                }
            }
        })
    }
}

impl Column for Arrays {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        match format {
            Format::Binary => self.append_binary(bytes),
            Format::Text => self.append_text(bytes),
        }
    }

    fn append_null(&mut self) {
        self.lists.append_null();
    }

    fn len(&self) -> usize {
        self.lists.len()
    }

    fn truncate(&mut self, len: usize) {
        self.lists.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.lists.memory_bytes() + self.scratch.capacity()
    }

    fn finish(&mut self) -> ArrayRef {
        self.lists.finish()
    }
}

/// Appends a binary array as the server prints it.
pub(super) fn render(array: &ArrayType, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut binary = Binary::read(bytes, Some(array.element.pg.oid))?;
    // Writing to a string cannot fail.
    if binary.dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
        for Dimension { len, lower_bound } in &binary.dimensions {
            let upper_bound = i64::from(*lower_bound) + i64::try_from(*len).unwrap_or(i64::MAX) - 1;
            let _ = write!(out, "[{lower_bound}:{upper_bound}]");
        }
        out.push('=');
    }
    if binary.dimensions.is_empty() {
        out.push_str("{}");
    } else {
        render_dimension(array, &binary.dimensions, &mut binary.elements, out)?;
    }
    binary.elements.finish()
}

fn render_dimension(
    array: &ArrayType,
    dimensions: &[Dimension],
    elements: &mut Reader<'_>,
    out: &mut String,
) -> Result<(), ValueError> {
    let Some((dimension, inner)) = dimensions.split_first() else {
        return render_element(array, elements, out);
    };
    out.push('{');
    for index in 0..dimension.len {
        if index > 0 {
            out.push(char::from(array.delimiter));
        }
        render_dimension(array, inner, elements, out)?;
    }
    out.push('}');
    Ok(())
}

fn render_element(array: &ArrayType, elements: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    match elements.sized()? {
        None => out.push_str("NULL"),
        Some(bytes) => {
            let mut element = String::new();
            text_output::render(&array.element.wire, bytes, &mut element)?;
            write_element(&element, array.delimiter, out);
        }
    }
    Ok(())
}

/// Appends an `int2vector` or `oidvector`: its elements, separated by spaces.
pub(super) fn render_spaced(element: &WireType, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let Binary { dimensions, mut elements } = Binary::read(bytes, None)?;
    let start = out.len();
    for _ in 0..dimensions.iter().map(|dimension| dimension.len).sum() {
        if out.len() > start {
            out.push(' ');
        }
        let element_bytes = elements.sized()?.unwrap_or_default();
        text_output::render(element, element_bytes, out)?;
    }
    elements.finish()
}
