//! Decimals of more than 38 digits.
//!
//! DuckDB reads them as doubles, and reads them wrong (by a power of two) unless their length is a multiple of eight bytes. The
//! length follows from the declared precision, so it is raised to one that gives such a length. Values and scale stay the
//! same, and the column's own precision is in its `pg.type`.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, make_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};

/// The precisions of decimals of 24 and 32 bytes.
const PRECISIONS: [u8; 2] = [57, 76];

/// `schema` with decimals of such precisions; the same one when there is nothing to change.
pub(super) fn widen_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(widen_field).collect();
    if fields == *schema.fields() {
        return schema.clone();
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `batch` in the types of `schema`, which is [`widen_schema`] of its own.
pub(super) fn widen_batch(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if Arc::ptr_eq(schema, &batch.schema()) {
        return Ok(batch);
    }
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns = pairs.map(|(column, field)| widen_array(column, field.data_type())).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

fn widen_field(field: &FieldRef) -> FieldRef {
    let data_type = widen_type(field.data_type());
    if data_type == *field.data_type() { field.clone() } else { Arc::new(retyped(field, data_type)) }
}

fn retyped(field: &Field, data_type: DataType) -> Field {
    field.clone().with_data_type(data_type)
}

fn widen_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal256(precision, scale) => {
            let wide = PRECISIONS.into_iter().find(|wide| wide >= precision).unwrap_or(*precision);
            DataType::Decimal256(wide, *scale)
        }
        DataType::List(item) => DataType::List(widen_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(widen_field).collect()),
        other => other.clone(),
    }
}

fn widen_array(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    widen_data(&array.to_data(), data_type).map(make_array)
}

fn widen_data(data: &ArrayData, data_type: &DataType) -> Result<ArrayData, ArrowError> {
    let types: Vec<&DataType> = match data_type {
        DataType::List(item) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    };
    let children = data.child_data().iter().zip(types).map(|(child, data_type)| widen_data(child, data_type));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    let builder = data.clone().into_builder().data_type(data_type.clone());
    if children.is_empty() { builder.build() } else { builder.child_data(children).build() }
}
