//! `vector` and `halfvec` of pgvector.
//!
//! The binary form is a count of 16 bits, 16 bits without meaning, and the elements. A column with a dimension is a
//! FixedSizeList; one without is a List, because its vectors differ in length.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float16Type, Float32Type};
use arrow_array::{ArrayRef, FixedSizeListArray, ListArray};
use half::f16;

use super::buffers::{Nulls, Offsets, Primitives};
use super::builder::Column;
use super::bytes::Reader;
use super::float::write_f32;
use super::scalar::{not_a, parse};
use super::{Format, ValueError, layout};

/// An element of a vector.
pub(super) trait Element: ArrowPrimitiveType {
    fn read(reader: &mut Reader<'_>) -> Result<Self::Native, ValueError>;
    fn from_f32(value: f32) -> Self::Native;
    fn to_f32(value: Self::Native) -> f32;
}

impl Element for Float32Type {
    fn read(reader: &mut Reader<'_>) -> Result<f32, ValueError> {
        reader.f32()
    }

    fn from_f32(value: f32) -> f32 {
        value
    }

    fn to_f32(value: f32) -> f32 {
        value
    }
}

impl Element for Float16Type {
    fn read(reader: &mut Reader<'_>) -> Result<f16, ValueError> {
        reader.u16().map(f16::from_bits)
    }

    fn from_f32(value: f32) -> f16 {
        f16::from_f32(value)
    }

    fn to_f32(value: f16) -> f32 {
        value.to_f32()
    }
}

fn read<T: Element>(bytes: &[u8], mut each: impl FnMut(T::Native)) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.u16()?;
    reader.u16()?;
    for _ in 0..count {
        each(T::read(&mut reader)?);
    }
    reader.finish()
}

fn read_text<T: Element>(text: &[u8], mut each: impl FnMut(T::Native)) -> Result<(), ValueError> {
    let elements = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    for element in elements.ok_or_else(|| not_a("vector", text))?.split(|byte| *byte == b',') {
        each(T::from_f32(parse(element, "vector")?));
    }
    Ok(())
}

/// A column of vectors.
#[derive(Debug)]
pub(super) struct Vectors<T: Element> {
    size: Option<i32>,
    offsets: Offsets,
    values: Primitives<T>,
    nulls: Nulls,
}

impl<T: Element> Vectors<T> {
    pub(super) fn new(size: Option<i32>, capacity: usize) -> Self {
        let elements = usize::try_from(size.unwrap_or(1)).unwrap_or(1);
        Self {
            size,
            offsets: Offsets::new(capacity),
            values: Primitives::new(capacity.saturating_mul(elements)),
            nulls: Nulls::new(capacity),
        }
    }

    fn fill(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let before = self.values.len();
        let push = |value| self.values.push(Some(value));
        match format {
            Format::Binary => read::<T>(bytes, push)?,
            Format::Text => read_text::<T>(bytes, push)?,
        }
        let len = self.values.len() - before;
        match self.size {
            Some(size) if usize::try_from(size) != Ok(len) => {
                Err(ValueError::malformed(format!("a vector of {len} dimensions in a column of {size}")))
            }
            _ => self.offsets.push(self.values.len()),
        }
    }
}

impl<T: Element> Column for Vectors<T> {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let before = self.values.len();
        let filled = self.fill(format, bytes);
        match filled {
            Ok(()) => self.nulls.push(true),
            Err(_) => self.values.truncate(before),
        }
        filled
    }

    fn append_null(&mut self) {
        // A list of fixed size has values even where it is null.
        for _ in 0..self.size.unwrap_or(0) {
            self.values.push(Some(T::default_value()));
        }
        self.offsets.push_empty();
        self.nulls.push(false);
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let end = self.offsets.truncate(len);
            let fixed = self.size.and_then(|size| usize::try_from(size).ok());
            self.values.truncate(fixed.map_or(end, |size| len * size));
            self.nulls.truncate(len);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.offsets.memory_bytes() + self.values.memory_bytes() + self.nulls.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let field = layout::vector_item(T::DATA_TYPE);
        let (offsets, nulls) = (self.offsets.finish(), self.nulls.finish());
        let values = self.values.finish(T::DATA_TYPE);
        match self.size {
            Some(size) => Arc::new(FixedSizeListArray::new(field, size, values, nulls)),
            None => Arc::new(ListArray::new(field, offsets, values, nulls)),
        }
    }
}

/// Appends a binary vector as the server prints it.
pub(super) fn render<T: Element>(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    out.push('[');
    let start = out.len();
    read::<T>(bytes, |value| {
        if out.len() > start {
            out.push(',');
        }
        write_f32(T::to_f32(value), out);
    })?;
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    fn encode(elements: &[f32]) -> Vec<u8> {
        let mut bytes = u16::try_from(elements.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(elements.iter().flat_map(|element| element.to_be_bytes()));
        bytes
    }

    #[test]
    fn vectors_of_one_size_make_a_list_of_fixed_size() {
        let mut vectors = Vectors::<Float32Type>::new(Some(2), 0);
        vectors.append(Format::Binary, &encode(&[1.0, -0.5])).unwrap();
        vectors.append_null();
        assert!(vectors.append(Format::Binary, &encode(&[1.0])).is_err());
        vectors.append(Format::Text, b"[3,4e+20]").unwrap();
        let array = vectors.finish();
        assert_eq!(array.len(), 3);
        assert!(array.is_null(1));
        let last = array.as_fixed_size_list().value(2);
        assert_eq!(last.as_primitive::<Float32Type>().values(), &[3.0, 4e20]);
    }

    #[test]
    fn vectors_without_a_size_make_a_list() {
        let mut vectors = Vectors::<Float16Type>::new(None, 0);
        vectors.append(Format::Text, b"[0.333251953125,65504]").unwrap();
        vectors.append(Format::Binary, &[0, 1, 0, 0, 0x3c, 0]).unwrap();
        assert!(vectors.append(Format::Text, b"[1,").is_err());
        let array = vectors.finish();
        assert_eq!(array.as_list::<i32>().value_offsets(), [0, 2, 3]);
        assert_eq!(array.as_list::<i32>().value(1).as_primitive::<Float16Type>().value(0), f16::ONE);
        let mut out = String::new();
        render::<Float16Type>(&[0, 2, 0, 0, 0x35, 0x55, 0x7b, 0xff], &mut out).unwrap();
        assert_eq!(out, "[0.33325195,65504]");
    }
}
