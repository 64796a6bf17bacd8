//! Table schemas and chunks as Arrow IPC streams.
//!
//! A chunk's stream has one record batch. The columns about the record come first, then the new row, then, where the chunk has one, the
//! old row. A column's index says what it is: names of a table's columns may be anything.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeListArray, Int64Array, RecordBatch, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use ductstream_core::{Column, Lsn, OldImage, Op, PgType, Position, Result, TableChunk, TableSchema, Unchanged};

use super::format::{malformed, unwritable};

/// Operation, commit LSN, index in the transaction, xid, commit time, old image.
const RECORD_COLUMNS: usize = 6;

/// Every operation at the index of its number.
const OPS: [Op; 7] = [Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load, Op::Ddl, Op::Message];

/// Every kind of old image at the index of its number.
const OLD_IMAGES: [OldImage; 3] = [OldImage::None, OldImage::Key, OldImage::Full];

pub(super) fn write_schema(schema: &TableSchema) -> Result<Vec<u8>> {
    stream(&schema.arrow, None).map_err(|error| unwritable(error.into()))
}

/// The columns that [`write_schema`] wrote, which have these types in the source.
pub(super) fn read_schema(bytes: &[u8], types: Vec<PgType>) -> Result<Vec<Column>> {
    let schema = StreamReader::try_new(bytes, None).map_err(|error| malformed().with_source(error))?.schema();
    if schema.fields().len() != types.len() {
        return Err(malformed());
    }
    let columns = schema.fields().iter().zip(types);
    Ok(columns.map(|(field, pg_type)| Column { pg_type, field: field.clone() }).collect())
}

pub(super) fn write_chunk(chunk: &TableChunk) -> Result<Vec<u8>> {
    record_batch(chunk)
        .and_then(|batch| stream(&batch.schema(), Some(&batch)))
        .map_err(|error| unwritable(error.into()))
}

/// The chunk of `schema` that [`write_chunk`] wrote, with an old row or without, but for its bytes on the wire.
pub(super) fn read_chunk(bytes: &[u8], schema: Arc<TableSchema>, has_before: bool) -> Result<TableChunk> {
    let mut batches = StreamReader::try_new(bytes, None).map_err(|error| malformed().with_source(error))?;
    let batch = batches.next().ok_or_else(malformed)?.map_err(|error| malformed().with_source(error))?;
    let mut columns = batch.columns().iter();
    let ops = numbers::<UInt8Type>(columns.next())?;
    let lsns = numbers::<UInt64Type>(columns.next())?;
    let seqs = numbers::<UInt64Type>(columns.next())?;
    let xids = numbers::<UInt32Type>(columns.next())?;
    let commit_times = numbers::<Int64Type>(columns.next())?;
    let old = numbers::<UInt8Type>(columns.next())?;
    let width = schema.columns.len();
    let mut row = || {
        let row: Vec<ArrayRef> = columns.by_ref().take(width).cloned().collect();
        if row.len() == width { Ok(row) } else { Err(malformed()) }
    };
    let after = row()?;
    let before = has_before.then(row).transpose()?;
    let unchanged = columns.next().map(unchanged).transpose()?;
    Ok(TableChunk {
        schema,
        ops: named(&ops, &OPS)?,
        positions: lsns.into_iter().zip(seqs).map(|(lsn, seq)| Position::new(Lsn(lsn), seq)).collect(),
        xids,
        commit_times,
        after,
        before,
        old: named(&old, &OLD_IMAGES)?,
        unchanged,
        wire_bytes: 0,
    })
}

fn stream(schema: &SchemaRef, batch: Option<&RecordBatch>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    if let Some(batch) = batch {
        writer.write(batch)?;
    }
    writer.into_inner()
}

fn record_batch(chunk: &TableChunk) -> Result<RecordBatch, ArrowError> {
    let ops = chunk.ops.iter().map(|op| *op as u8);
    let old = chunk.old.iter().map(|old| *old as u8);
    let lsns = chunk.positions.iter().map(|position| position.commit_lsn.0);
    let seqs = chunk.positions.iter().map(|position| position.seq);
    let record: [ArrayRef; RECORD_COLUMNS] = [
        Arc::new(UInt8Array::from_iter_values(ops)),
        Arc::new(UInt64Array::from_iter_values(lsns)),
        Arc::new(UInt64Array::from_iter_values(seqs)),
        Arc::new(UInt32Array::from(chunk.xids.clone())),
        Arc::new(Int64Array::from(chunk.commit_times.clone())),
        Arc::new(UInt8Array::from_iter_values(old)),
    ];
    let names = ["op", "commit_lsn", "seq", "xid", "commit_time", "old"];
    let mut fields: Vec<FieldRef> = record.iter().zip(names).map(|(array, name)| field(array, name)).collect();
    let mut arrays = record.to_vec();
    for images in [Some(&chunk.after), chunk.before.as_ref()].into_iter().flatten() {
        fields.extend(chunk.schema.arrow.fields().iter().cloned());
        arrays.extend(images.iter().cloned());
    }
    if let Some(unchanged) = &chunk.unchanged {
        let width =
            i32::try_from(unchanged.column_count()).map_err(|error| ArrowError::from_external_error(error.into()))?;
        let item = Arc::new(Field::new("item", DataType::Boolean, false));
        let bits = Arc::new(BooleanArray::new(unchanged.bits().clone(), None));
        let mask: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, width, bits, None)?);
        fields.push(field(&mask, "unchanged"));
        arrays.push(mask);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn field(array: &ArrayRef, name: &str) -> FieldRef {
    Arc::new(Field::new(name, array.data_type().clone(), false))
}

fn numbers<T: ArrowPrimitiveType>(array: Option<&ArrayRef>) -> Result<Vec<T::Native>> {
    let array = array.and_then(|array| array.as_primitive_opt::<T>()).ok_or_else(malformed)?;
    Ok(array.values().to_vec())
}

fn named<T: Copy>(numbers: &[u8], all: &[T]) -> Result<Vec<T>> {
    numbers.iter().map(|number| all.get(usize::from(*number)).copied().ok_or_else(malformed)).collect()
}

fn unchanged(mask: &ArrayRef) -> Result<Unchanged> {
    let mask = mask.as_fixed_size_list_opt().ok_or_else(malformed)?;
    let width = usize::try_from(mask.value_length()).ok().filter(|width| *width > 0).ok_or_else(malformed)?;
    let bits = mask.values().as_boolean_opt().ok_or_else(malformed)?;
    Ok(Unchanged::new(width, bits.values().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_old_images_stand_at_the_index_of_their_number() {
        assert!(OPS.iter().enumerate().all(|(index, op)| *op as usize == index));
        assert!(OLD_IMAGES.iter().enumerate().all(|(index, old)| *old as usize == index));
    }
}
