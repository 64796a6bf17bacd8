//! Envelopes: the logical shape of an encoded change, as transforms from chunks to Arrow record batches.
//!
//! `flat` is the row's own columns (of a delete: the key, the rest null), then columns that begin with `_`. `native` is
//! operation, table, key, before, after and so on, with rows as structs.
//!
//! A value that the WAL did not carry is null in its column and named in `_unchanged` (`unchanged` in `native`), so that it
//! is never taken for NULL. Of an old image that holds only the key, `before` has the other columns null.
//!
//! A table without key has neither `_old_key` (`flat`) nor `key` (`native`): a struct has to have a field.

pub mod debezium;
mod flat;
mod key;
mod native;
mod rows;
mod values;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use ductstream_core::{Envelope, Error, Result, TableChunk, TableSchema};

pub(crate) use flat::OWN_COLUMNS;
pub(crate) use key::KeyChanges;
pub(crate) use values::ValueTransform;

use rows::Rows;

/// Puts chunks of one table at one schema version into an envelope.
#[derive(Debug, Clone)]
pub struct Transform {
    table: Arc<TableSchema>,
    envelope: Envelope,
    schema: SchemaRef,
}

impl Transform {
    /// The transform of `table` into `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the envelope does not exist yet, or a column of
    /// the table has the name of one of the envelope's own.
    pub fn new(envelope: Envelope, table: &Arc<TableSchema>) -> Result<Self> {
        check_table(envelope, table)?;
        let fields = match envelope {
            Envelope::Flat => flat::fields(table),
            _ => native::fields(table),
        };
        let schema = Schema::new(fields).with_metadata(metadata(envelope, table));
        Ok(Self { table: table.clone(), envelope, schema: Arc::new(schema) })
    }

    /// The Arrow schema of every record batch, with the `pg.*` metadata of each column and the table, schema version and envelope in its
    /// own metadata.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Puts `rows` of `chunk` into the envelope. The table's own columns are not copied, except for the key columns where
    /// there are deletes.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the chunk is not of the table.
    pub fn apply(&self, chunk: &TableChunk, rows: Range<usize>) -> Result<RecordBatch> {
        if rows.end > chunk.len() || chunk.after.len() != self.table.columns.len() {
            return Err(self.mismatch());
        }
        let rows = Rows::new(chunk, rows);
        let columns = match self.envelope {
            Envelope::Flat => flat::columns(&rows)?,
            _ => native::columns(&rows, &self.schema)?,
        };
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|error| self.mismatch().with_source(error))
    }

    /// The Arrow schema of [`keys`](Self::keys); `None` of a table without key.
    pub fn key_schema(&self) -> Option<SchemaRef> {
        let fields = key_fields(&self.table);
        (!fields.is_empty()).then(|| Arc::new(Schema::new(fields)))
    }

    /// The key columns of `rows` of `chunk`: of a delete the old row's, of everything else the new one's. Those of a truncate are
    /// null. `None` of a table without key.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the chunk is not of the table.
    pub fn keys(&self, chunk: &TableChunk, rows: Range<usize>) -> Result<Option<RecordBatch>> {
        let Some(schema) = self.key_schema() else { return Ok(None) };
        if rows.end > chunk.len() || chunk.after.len() != self.table.columns.len() {
            return Err(self.mismatch());
        }
        let columns = Rows::new(chunk, rows).key_columns()?.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(schema, columns).map(Some).map_err(|error| self.mismatch().with_source(error))
    }

    /// The old keys of those of `rows` that changed the key, with the [schema](Self::key_schema) of keys. `None` of a table without key.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the chunk is not of the table.
    pub fn old_keys(&self, chunk: &TableChunk, rows: Range<usize>) -> Result<Option<RecordBatch>> {
        let Some(schema) = self.key_schema() else { return Ok(None) };
        if rows.end > chunk.len() || chunk.after.len() != self.table.columns.len() {
            return Err(self.mismatch());
        }
        let columns = Rows::new(chunk, rows).changed_keys()?;
        RecordBatch::try_new(schema, columns).map(Some).map_err(|error| self.mismatch().with_source(error))
    }

    fn mismatch(&self) -> Error {
        let (table, version) = (&self.table.table, self.table.version);
        Error::bug(format!(
            "putting records into an envelope: the chunk does not fit version {version} of table {table}"
        ))
    }
}

/// What files and streams say of themselves: `ductstream.table`, `ductstream.schema_version` and `ductstream.envelope`.
pub(crate) fn metadata(envelope: Envelope, table: &TableSchema) -> HashMap<String, String> {
    let entries = [
        ("ductstream.table", table.table.to_string()),
        ("ductstream.schema_version", table.version.to_string()),
        ("ductstream.envelope", envelope.to_string()),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Refuses an envelope that does not exist yet.
pub(crate) fn check_envelope(envelope: Envelope) -> Result<()> {
    match envelope {
        Envelope::Flat | Envelope::Native => Ok(()),
        Envelope::Debezium => {
            let error = Error::configuration(format!("envelope {envelope} is not available in this format"));
            Err(error.with_remedy("set format to json, avro or proto, or envelope to flat or native"))
        }
    }
}

/// Refuses a table whose columns would be taken for the envelope's own.
pub(crate) fn check_table(envelope: Envelope, table: &TableSchema) -> Result<()> {
    check_envelope(envelope)?;
    let taken = |name: &str| OWN_COLUMNS.iter().any(|own| own.eq_ignore_ascii_case(name));
    let collision = table.columns.iter().find(|column| envelope == Envelope::Flat && taken(column.name()));
    collision.map_or(Ok(()), |column| {
        let (name, table) = (column.name(), &table.table);
        let message = format!("column {name} of table {table} has the name of a column that envelope flat adds");
        Err(Error::configuration(message)
            .with_remedy("set envelope to native, or leave the column out of the publication"))
    })
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, false))
}

fn nullable(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn commit_time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn unchanged_item() -> FieldRef {
    field("item", DataType::Utf8)
}

/// The fields of the table's key; empty when it has none.
fn key_fields(table: &TableSchema) -> Fields {
    table.key.iter().map(|index| table.columns[*index].field.clone()).collect()
}

fn bug(doing: &'static str) -> impl FnOnce(arrow_schema::ArrowError) -> Error {
    move |error| Error::bug(format!("{doing} failed")).with_source(error)
}

type Columns = Vec<ArrayRef>;
