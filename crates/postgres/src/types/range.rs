//! Ranges and multiranges.
//!
//! The binary form of a range is a byte of flags and the bounds that it has behind their lengths (`range_send` in
//! `src/backend/utils/adt/rangetypes.c`); of a multirange, a count and its ranges behind their lengths.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_schema::Fields;

use super::array::Lists;
use super::buffers::{Booleans, Nulls};
use super::builder::{Column, ColumnBuilder};
use super::bytes::Reader;
use super::literal::{Literal, write_bound};
use super::wire_type::{Typed, WireType};
use super::{Format, SpecialValues, ValueError, layout, text_output};

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_UNBOUNDED: u8 = 0x08;
const UPPER_UNBOUNDED: u8 = 0x10;

/// A range whose bounds are still as they were on the wire.
struct Binary<'a> {
    flags: u8,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
}

impl<'a> Binary<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let mut bound = |unbounded| {
            if flags & (EMPTY | unbounded) == 0 { reader.present("a range has a bound").map(Some) } else { Ok(None) }
        };
        let (lower, upper) = (bound(LOWER_UNBOUNDED)?, bound(UPPER_UNBOUNDED)?);
        reader.finish()?;
        Ok(Self { flags, lower, upper })
    }
}

/// A column of ranges.
#[derive(Debug)]
pub(super) struct Ranges {
    fields: Fields,
    lower: ColumnBuilder,
    upper: ColumnBuilder,
    lower_inclusive: Booleans,
    upper_inclusive: Booleans,
    empty: Booleans,
    nulls: Nulls,
    scratch: Vec<u8>,
}

/// What bounds do with a special value. A null bound would mean an unbounded range, so the range as a whole deals with
/// it.
fn bound_policy(special: SpecialValues) -> SpecialValues {
    if special == SpecialValues::Null { SpecialValues::Error } else { special }
}

impl Ranges {
    pub(super) fn new(subtype: &Typed, special: SpecialValues, capacity: usize) -> Self {
        let bounds = || ColumnBuilder::new(&subtype.wire, bound_policy(special), capacity);
        Self {
            fields: layout::range_fields(subtype, special),
            lower: bounds(),
            upper: bounds(),
            lower_inclusive: Booleans::new(capacity),
            upper_inclusive: Booleans::new(capacity),
            empty: Booleans::new(capacity),
            nulls: Nulls::new(capacity),
            scratch: Vec::new(),
        }
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let range = Binary::read(bytes)?;
        self.lower.append_part(Format::Binary, range.lower)?;
        self.upper.append_part(Format::Binary, range.upper)?;
        self.push_flags(range.flags, true);
        Ok(())
    }

    /// Reads a range from the front of `literal`.
    fn append_literal(&mut self, literal: &mut Literal<'_>) -> Result<(), ValueError> {
        if literal.accept_all(b"empty") {
            self.lower.append_null();
            self.upper.append_null();
            self.push_flags(EMPTY, true);
            return Ok(());
        }
        let mut flags = flag(literal.next()?, b"[(", LOWER_INCLUSIVE)?;
        append_bound(&mut self.lower, literal, &mut self.scratch)?;
        literal.expect(b',')?;
        append_bound(&mut self.upper, literal, &mut self.scratch)?;
        flags |= flag(literal.next()?, b"])", UPPER_INCLUSIVE)?;
        self.push_flags(flags, true);
        Ok(())
    }

    fn push_flags(&mut self, flags: u8, valid: bool) {
        self.lower_inclusive.push(Some(flags & LOWER_INCLUSIVE != 0));
        self.upper_inclusive.push(Some(flags & UPPER_INCLUSIVE != 0));
        self.empty.push(Some(flags & EMPTY != 0));
        self.nulls.push(valid);
    }
}

/// What a bracket says; the first of `brackets` is the inclusive one.
fn flag(bracket: u8, brackets: &[u8; 2], inclusive: u8) -> Result<u8, ValueError> {
    match bracket {
        bracket if bracket == brackets[0] => Ok(inclusive),
        bracket if bracket == brackets[1] => Ok(0),
        other => Err(ValueError::malformed(format!("a range has the bracket {:?}", char::from(other)))),
    }
}

fn append_bound(
    bounds: &mut ColumnBuilder,
    literal: &mut Literal<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let quoted = literal.part(b",])", scratch)?;
    let bounded = quoted || !scratch.is_empty();
    bounds.append_part(Format::Text, bounded.then_some(scratch.as_slice()))
}

impl Column for Ranges {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let before = self.len();
        let appended = match format {
            Format::Binary => self.append_binary(bytes),
            Format::Text => {
                let mut literal = Literal::new(bytes);
                self.append_literal(&mut literal).and_then(|()| literal.finish())
            }
        };
        if appended.is_err() {
            self.truncate(before);
        }
        appended
    }

    fn append_null(&mut self) {
        self.lower.append_null();
        self.upper.append_null();
        self.push_flags(0, false);
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        self.lower.truncate(len);
        self.upper.truncate(len);
        self.lower_inclusive.truncate(len);
        self.upper_inclusive.truncate(len);
        self.empty.truncate(len);
        self.nulls.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        let flags = [&self.lower_inclusive, &self.upper_inclusive, &self.empty];
        let flags: usize = flags.iter().map(|flags| flags.memory_bytes()).sum();
        self.lower.memory_bytes() + self.upper.memory_bytes() + flags + self.nulls.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let parts = vec![
            self.lower.finish(),
            self.upper.finish(),
            self.lower_inclusive.finish(),
            self.upper_inclusive.finish(),
            self.empty.finish(),
        ];
        Arc::new(StructArray::new(self.fields.clone(), parts, self.nulls.finish()))
    }
}

/// A column of multiranges.
#[derive(Debug)]
pub(super) struct Multiranges {
    lists: Lists,
    scratch: Vec<u8>,
}

impl Multiranges {
    pub(super) fn new(subtype: &Arc<Typed>, special: SpecialValues, capacity: usize) -> Self {
        // A multirange without one of its ranges would be another one: it is null as a whole.
        let items = ColumnBuilder::new(&WireType::Range(subtype.clone()), bound_policy(special), capacity);
        Self { lists: Lists::new(layout::range_item(subtype, special), items, capacity), scratch: Vec::new() }
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(4)?;
        self.lists.append_with(|ranges| {
            for _ in 0..count {
                ranges.append(Format::Binary, reader.present("a multirange has a range")?)?;
            }
            reader.finish()
        })
    }

    fn append_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        let mut literal = Literal::new(text);
        let scratch = &mut self.scratch;
        self.lists.append_with(|ranges| {
            literal.expect(b'{')?;
            if literal.accept_all(b"}") {
                return literal.finish();
            }
            loop {
                let start = literal;
                skip_range(&mut literal, scratch)?;
                ranges.append(Format::Text, start.until(&literal))?;
                if literal.next()? == b'}' {
                    return literal.finish();
                }
            }
        })
    }
}

/// Reads past a range.
fn skip_range(literal: &mut Literal<'_>, scratch: &mut Vec<u8>) -> Result<(), ValueError> {
    if literal.accept_all(b"empty") {
        return Ok(());
    }
    literal.next()?;
    literal.part(b",])", scratch)?;
    literal.expect(b',')?;
    literal.part(b",])", scratch)?;
    literal.next().map(|_| ())
}

impl Column for Multiranges {
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

/// Appends a binary range as the server prints it.
pub(super) fn render(subtype: &Typed, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let range = Binary::read(bytes)?;
    if range.flags & EMPTY != 0 {
        out.push_str("empty");
        return Ok(());
    }
    out.push(if range.flags & LOWER_INCLUSIVE != 0 { '[' } else { '(' });
    render_bound(subtype, range.lower, out)?;
    out.push(',');
    render_bound(subtype, range.upper, out)?;
    out.push(if range.flags & UPPER_INCLUSIVE != 0 { ']' } else { ')' });
    Ok(())
}

fn render_bound(subtype: &Typed, bound: Option<&[u8]>, out: &mut String) -> Result<(), ValueError> {
    if let Some(bytes) = bound {
        let mut text = String::new();
        text_output::render(&subtype.wire, bytes, &mut text)?;
        write_bound(&text, out);
    }
    Ok(())
}

/// Appends a binary multirange as the server prints it.
pub(super) fn render_multirange(subtype: &Typed, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(4)?;
    out.push('{');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        render(subtype, reader.present("a multirange has a range")?, out)?;
    }
    out.push('}');
    reader.finish()
}
