//! The envelope `flat`: the row's own columns, then those that begin with `_`.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, FieldRef};
use ductstream_core::{Result, TableSchema};

use super::rows::Rows;
use super::{Columns, commit_time_type, field, key_fields, nullable, unchanged_item};

/// The names of the envelope's own columns, in order.
pub(crate) const OWN_COLUMNS: [&str; 8] =
    ["_op", "_commit_lsn", "_seq", "_xid", "_commit_time", "_unchanged", "_old_key", "_schema_version"];

pub(super) fn fields(table: &TableSchema) -> Vec<FieldRef> {
    let mut fields: Vec<_> = table.columns.iter().map(|column| column.field.clone()).collect();
    fields.extend([
        field("_op", DataType::Utf8),
        field("_commit_lsn", DataType::UInt64),
        field("_seq", DataType::UInt64),
        field("_xid", DataType::UInt32),
        field("_commit_time", commit_time_type()),
        nullable("_unchanged", DataType::List(unchanged_item())),
    ]);
    if !table.key.is_empty() {
        fields.push(nullable("_old_key", DataType::Struct(key_fields(table))));
    }
    fields.push(field("_schema_version", DataType::UInt32));
    fields
}

pub(super) fn columns(rows: &Rows<'_>) -> Result<Columns> {
    let mut columns = rows.after();
    for (index, key) in rows.key_columns()? {
        columns[index] = key;
    }
    columns.extend([
        rows.ops(),
        Arc::new(rows.commit_lsns()) as ArrayRef,
        Arc::new(rows.seqs()),
        rows.xids(),
        rows.commit_times(),
        rows.unchanged(),
    ]);
    columns.extend(rows.old_keys()?);
    columns.push(rows.schema_versions());
    Ok(columns)
}
