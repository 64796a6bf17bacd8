//! The values of records in any envelope, as rows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use ductstream_core::{Envelope, Error, Result, TableChunk, TableSchema};

use super::Transform;
use super::debezium::{Debezium, EventTransform};

/// Makes the values of one table's records at one schema version: for formats that are written from rows, and for files, which have no
/// keys.
pub(crate) enum ValueTransform {
    Table(Transform),
    Debezium(Box<EventTransform>, SchemaRef),
}

impl ValueTransform {
    /// The transform of `table` into `envelope`.
    pub(crate) fn new(envelope: Envelope, debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        match envelope {
            Envelope::Debezium => {
                let transform = EventTransform::new(debezium, table)?;
                let DataType::Struct(fields) = transform.value_field().data_type() else {
                    return Err(Error::bug("an event is no struct"));
                };
                let schema = Arc::new(Schema::new(fields.clone()));
                Ok(Self::Debezium(Box::new(transform), schema))
            }
            _ => Ok(Self::Table(Transform::new(envelope, table)?)),
        }
    }

    pub(crate) fn table(&self) -> &Arc<TableSchema> {
        match self {
            Self::Table(transform) => transform.table(),
            Self::Debezium(transform, _) => transform.table(),
        }
    }

    /// The Arrow schema of every record batch.
    pub(crate) fn schema(&self) -> &SchemaRef {
        match self {
            Self::Table(transform) => transform.schema(),
            Self::Debezium(_, schema) => schema,
        }
    }

    /// The values of `rows` of `chunk`. In the envelope `debezium` a record may have several, or none; a tombstone has none.
    pub(crate) fn apply(&self, chunk: &TableChunk, rows: Range<usize>) -> Result<RecordBatch> {
        match self {
            Self::Table(transform) => transform.apply(chunk, rows),
            Self::Debezium(transform, _) => transform.apply(chunk, rows)?.value_rows(),
        }
    }
}
