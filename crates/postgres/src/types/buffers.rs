//! Growing columns of plain values.
//!
//! Unlike Arrow's own builders they can be cut back, which an array or a composite needs when a part of it cannot be
//! read.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::ValueError;

/// Bytes that a buffer keeps at most for the next batch, so that one large batch does not hold its memory for ever.
const RETAINED_BYTES_MAX: usize = 16 << 20;

/// Takes the values out and leaves room for as many.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len().min(RETAINED_BYTES_MAX / size_of::<T>().max(1));
    std::mem::replace(values, Vec::with_capacity(capacity))
}

/// Which values are null.
#[derive(Debug)]
pub(super) struct Nulls(NullBufferBuilder);

impl Nulls {
    pub(super) fn new(capacity: usize) -> Self {
        Self(NullBufferBuilder::new(capacity))
    }

    pub(super) fn push(&mut self, valid: bool) {
        self.0.append(valid);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.allocated_size()
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.0.finish()
    }
}

/// Values of a fixed size.
#[derive(Debug)]
pub(super) struct Primitives<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: Nulls,
}

impl<T: ArrowPrimitiveType> Primitives<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { values: Vec::with_capacity(capacity), nulls: Nulls::new(capacity) }
    }

    pub(super) fn push(&mut self, value: Option<T::Native>) {
        self.nulls.push(value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.nulls.memory_bytes()
    }

    pub(super) fn finish(&mut self, data_type: DataType) -> ArrayRef {
        let values = ScalarBuffer::from(take(&mut self.values));
        Arc::new(PrimitiveArray::<T>::new(values, self.nulls.finish()).with_data_type(data_type))
    }
}

/// Bits.
#[derive(Debug)]
pub(super) struct Booleans {
    values: BooleanBufferBuilder,
    nulls: Nulls,
}

impl Booleans {
    pub(super) fn new(capacity: usize) -> Self {
        Self { values: BooleanBufferBuilder::new(capacity), nulls: Nulls::new(capacity) }
    }

    pub(super) fn push(&mut self, value: Option<bool>) {
        self.nulls.push(value.is_some());
        self.values.append(value.unwrap_or_default());
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() / 8 + self.nulls.memory_bytes()
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let next = BooleanBufferBuilder::new(self.values.len());
        let values = std::mem::replace(&mut self.values, next).build();
        Arc::new(BooleanArray::new(values, self.nulls.finish()))
    }
}

/// Where each of a column's lists or strings ends in the values that they share.
#[derive(Debug)]
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    pub(super) fn new(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Self(offsets)
    }

    pub(super) fn push(&mut self, end: usize) -> Result<(), ValueError> {
        let end =
            i32::try_from(end).map_err(|_| ValueError::malformed("the column holds more than 2 GiB in one batch"))?;
        self.0.push(end);
        Ok(())
    }

    /// One more, without content.
    pub(super) fn push_empty(&mut self) {
        self.0.push(self.last());
    }

    fn last(&self) -> i32 {
        self.0.last().copied().unwrap_or_default()
    }

    /// Cuts back to `len`, and says where the last one ends.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last() as usize
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<i32>()
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<i32> {
        let offsets = take(&mut self.0);
        self.0.push(0);
        OffsetBuffer::new(ScalarBuffer::from(offsets))
    }
}

/// Strings of bytes of any length.
#[derive(Debug)]
pub(super) struct ByteStrings {
    offsets: Offsets,
    data: Vec<u8>,
    nulls: Nulls,
}

/// Bytes that a string is expected to have before any was seen.
const EXPECTED_LEN: usize = 16;

impl ByteStrings {
    pub(super) fn new(capacity: usize) -> Self {
        let data = Vec::with_capacity(capacity * EXPECTED_LEN);
        Self { offsets: Offsets::new(capacity), data, nulls: Nulls::new(capacity) }
    }

    pub(super) fn push(&mut self, value: &[u8]) -> Result<(), ValueError> {
        self.offsets.push(self.data.len() + value.len())?;
        self.data.extend_from_slice(value);
        self.nulls.push(true);
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.offsets.push_empty();
        self.nulls.push(false);
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let end = self.offsets.truncate(len);
            self.data.truncate(end);
            self.nulls.truncate(len);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.offsets.memory_bytes() + self.data.capacity() + self.nulls.memory_bytes()
    }

    fn parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        (self.offsets.finish(), Buffer::from_vec(take(&mut self.data)), self.nulls.finish())
    }

    /// As Utf8; every value pushed was valid UTF-8.
    pub(super) fn finish_text(&mut self) -> StringArray {
        let (offsets, data, nulls) = self.parts();
        StringArray::new(offsets, data, nulls)
    }

    /// As Binary.
    pub(super) fn finish_binary(&mut self) -> BinaryArray {
        let (offsets, data, nulls) = self.parts();
        BinaryArray::new(offsets, data, nulls)
    }
}

/// Strings of 16 bytes.
#[derive(Debug)]
pub(super) struct Uuids {
    data: Vec<u8>,
    nulls: Nulls,
}

impl Uuids {
    pub(super) fn new(capacity: usize) -> Self {
        Self { data: Vec::with_capacity(capacity * 16), nulls: Nulls::new(capacity) }
    }

    pub(super) fn push(&mut self, value: Option<[u8; 16]>) {
        self.nulls.push(value.is_some());
        self.data.extend_from_slice(&value.unwrap_or_default());
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.data.truncate(len * 16);
        self.nulls.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.data.capacity() + self.nulls.memory_bytes()
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let data = Buffer::from_vec(take(&mut self.data));
        Arc::new(FixedSizeBinaryArray::new(16, data, self.nulls.finish()))
    }
}
