//! How many bytes of values a range of rows holds.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Bytes of the values of `len` rows from `from`. Depends on the values alone, not on how the rows were cut, and adds up: the size of
/// a range is the sum of the sizes of its parts.
pub(super) fn rows_bytes(batch: &RecordBatch, from: usize, len: usize) -> usize {
    batch.columns().iter().map(|column| array_bytes(column, from, len)).sum()
}

fn array_bytes(array: &dyn Array, from: usize, len: usize) -> usize {
    match array.data_type() {
        DataType::Utf8 => offsets_span(array.as_string::<i32>().value_offsets(), from, len).1,
        DataType::Binary => offsets_span(array.as_binary::<i32>().value_offsets(), from, len).1,
        DataType::FixedSizeBinary(size) => len * usize::try_from(*size).unwrap_or(0),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| array_bytes(column, from, len)).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, items) = offsets_span(list.value_offsets(), from, len);
            len + array_bytes(list.values(), start, items)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (start, items) = offsets_span(map.value_offsets(), from, len);
            len + array_bytes(map.keys(), start, items) + array_bytes(map.values(), start, items)
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            array_bytes(array.as_fixed_size_list().values(), from * size, len * size)
        }
        other => len * other.primitive_width().unwrap_or(1),
    }
}

/// Where the values of `len` rows from `from` begin, and how many there are.
fn offsets_span(offsets: &[i32], from: usize, len: usize) -> (usize, usize) {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
    (at(from), at(from + len) - at(from))
}
