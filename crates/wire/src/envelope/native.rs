//! The envelope `native`: operation, key, before, after, position and so on, with rows as structs.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray, new_null_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, FieldRef, Fields, SchemaRef};
use ductstream_core::{Op, Result, TableSchema};

use super::rows::Rows;
use super::{Columns, bug, commit_time_type, field, key_fields, nullable, unchanged_item};

pub(super) fn fields(table: &TableSchema) -> Vec<FieldRef> {
    let row = DataType::Struct(table.arrow.fields().clone());
    let mut fields = vec![field("op", DataType::Utf8), field("table", DataType::Utf8)];
    if !table.key.is_empty() {
        fields.push(nullable("key", DataType::Struct(key_fields(table))));
    }
    fields.extend([
        nullable("before", row.clone()),
        nullable("after", row),
        nullable("unchanged", DataType::List(unchanged_item())),
        field("position", DataType::Struct(position_fields())),
        field("xid", DataType::UInt32),
        field("commit_time", commit_time_type()),
        field("schema_version", DataType::UInt32),
    ]);
    fields
}

fn position_fields() -> Fields {
    Fields::from(vec![field("commit_lsn", DataType::UInt64), field("seq", DataType::UInt64)])
}

pub(super) fn columns(rows: &Rows<'_>, schema: &SchemaRef) -> Result<Columns> {
    let mut columns = vec![rows.ops(), rows.table_names()];
    if !rows.table().key.is_empty() {
        columns.push(key(rows)?);
    }
    columns.extend([
        before(rows, schema)?,
        after(rows)?,
        rows.unchanged(),
        position(rows)?,
        rows.xids(),
        rows.commit_times(),
        rows.schema_versions(),
    ]);
    Ok(columns)
}

fn structs(fields: Fields, columns: Columns, present: BooleanBuffer) -> Result<ArrayRef> {
    let array = StructArray::try_new(fields, columns, Some(NullBuffer::new(present)));
    Ok(Arc::new(array.map_err(bug("putting rows into a struct"))?))
}

/// The key of every record that has a row.
fn key(rows: &Rows<'_>) -> Result<ArrayRef> {
    let columns = rows.key_columns()?.into_iter().map(|(_, column)| column).collect();
    structs(key_fields(rows.table()), columns, rows.where_op(|op| op != Op::Truncate))
}

fn after(rows: &Rows<'_>) -> Result<ArrayRef> {
    let present = rows.where_op(|op| !matches!(op, Op::Delete | Op::Truncate));
    structs(rows.table().arrow.fields().clone(), rows.after(), present)
}

fn before(rows: &Rows<'_>, schema: &SchemaRef) -> Result<ArrayRef> {
    let fields = rows.table().arrow.fields();
    match rows.before() {
        Some(columns) => structs(fields.clone(), columns, rows.where_old_tells()),
        None => {
            let before = schema.field_with_name("before").map_err(bug("finding the column before"))?;
            Ok(new_null_array(before.data_type(), rows.len()))
        }
    }
}

fn position(rows: &Rows<'_>) -> Result<ArrayRef> {
    let columns: Columns = vec![Arc::new(rows.commit_lsns()), Arc::new(rows.seqs())];
    let array = StructArray::try_new(position_fields(), columns, None);
    Ok(Arc::new(array.map_err(bug("putting positions into a struct"))?))
}
