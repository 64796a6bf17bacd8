//! Rows of record batches, one after the other: what Avro and Protobuf are written from.

mod values;

use arrow_array::RecordBatch;
use ductstream_core::Result;

pub(crate) use values::{Data, Values, span};

/// Encodes the rows of record batches of one schema, each by itself.
pub(crate) trait RowEncoder: Send + Sync {
    /// Appends every row of `rows` to `out`, and to `ends` where each of them ends in `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind) when a value does not fit the format;
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the batch has another schema.
    fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()>;
}
