//! Arrays of the same values, down to the same bytes.
//!
//! What lies in memory below a null depends on how the chunk was built, and an IPC file holds it as it is. Here it becomes zero or empty.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, ListArray, MapArray, RecordBatch, StructArray, make_array};
use arrow_buffer::NullBuffer;
use arrow_data::transform::MutableArrayData;
use arrow_schema::{ArrowError, DataType};

/// `batch` with nothing below its nulls.
pub(super) fn canonical_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| canonical(column, None)).collect::<Result<_, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}

/// `array` with nothing below its nulls, and null where `hidden` is: there, the struct that it is part of is null.
fn canonical(array: &ArrayRef, hidden: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let nulls = NullBuffer::union(hidden, array.nulls()).filter(|nulls| nulls.null_count() > 0);
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let columns = columns.map(|column| canonical(column, nulls.as_ref())).collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?)
        }
        DataType::List(_) => {
            let (item, offsets, values, nulls) = copy(array, nulls.as_ref())?.as_list::<i32>().clone().into_parts();
            Arc::new(ListArray::try_new(item, offsets, canonical(&values, None)?, nulls)?)
        }
        DataType::FixedSizeList(..) => {
            let (item, size, values, nulls) = copy(array, nulls.as_ref())?.as_fixed_size_list().clone().into_parts();
            Arc::new(FixedSizeListArray::try_new(item, size, canonical(&values, None)?, nulls)?)
        }
        DataType::Map(..) => {
            let (field, offsets, entries, nulls, sorted) = copy(array, nulls.as_ref())?.as_map().clone().into_parts();
            let entries = canonical(&(Arc::new(entries) as ArrayRef), None)?.as_struct().clone();
            Arc::new(MapArray::try_new(field, offsets, entries, nulls, sorted)?)
        }
        _ if nulls.is_none() => array.clone(),
        _ => copy(array, nulls.as_ref())?,
    })
}

/// The values of `array` where `nulls` has none, and zero or empty ones elsewhere.
fn copy(array: &dyn Array, nulls: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], nulls.is_some(), array.len());
    let Some(nulls) = nulls else {
        copy.try_extend(0, 0, array.len())?;
        return Ok(make_array(copy.freeze()));
    };
    let mut copied = 0;
    for (start, end) in nulls.valid_slices() {
        copy.try_extend_nulls(start - copied)?;
        copy.try_extend(0, start, end)?;
        copied = end;
    }
    copy.try_extend_nulls(array.len() - copied)?;
    Ok(make_array(copy.freeze()))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringArray};
    use arrow_schema::{Field, Fields};

    use super::*;

    #[test]
    fn nothing_is_left_below_nulls() {
        let words = StringArray::from(vec!["left", "gone", "kept"]);
        let numbers = Int32Array::from(vec![Some(1), Some(2), None]);
        let fields =
            Fields::from(vec![Field::new("word", DataType::Utf8, false), Field::new("number", DataType::Int32, true)]);
        let nulls = NullBuffer::from(vec![true, false, true]);
        let columns: Vec<ArrayRef> = vec![Arc::new(words), Arc::new(numbers)];
        let array: ArrayRef = Arc::new(StructArray::new(fields, columns, Some(nulls)));
        let canonical = canonical(&array, None).unwrap();
        assert_eq!(&canonical, &array);
        let columns = canonical.as_struct().columns();
        assert_eq!(columns[0].as_string::<i32>().value_data(), b"leftkept");
        assert_eq!(*columns[1].as_primitive::<arrow_array::types::Int32Type>().values(), [1, 0, 0]);
    }
}
