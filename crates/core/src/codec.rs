//! Wire formats: from chunks of Arrow columns to bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Result, TableChunk, TableSchema};

/// The byte encoding of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireFormat {
    /// Arrow IPC.
    Arrow,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Proto,
    /// JSON, one document per record.
    Json,
}

/// The logical shape of an encoded change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// Operation, key, before, after, position and so on as named fields.
    Native,
    /// The row's own columns, then `_op` and the other `_` columns.
    Flat,
    /// The shape that Debezium emits.
    Debezium,
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
            Self::Proto => "proto",
            Self::Json => "json",
        })
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Flat => "flat",
            Self::Debezium => "debezium",
        })
    }
}

/// One wire format in one envelope.
pub trait Codec: Send + Sync {
    /// The format.
    fn format(&self) -> WireFormat;

    /// The envelope.
    fn envelope(&self) -> Envelope;

    /// What a file of this format is named, without the dot: `parquet`, `jsonl`, `jsonl.zst`.
    fn extension(&self) -> &'static str;

    /// Begins an object that holds records of one table at one schema version.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the format cannot hold the schema.
    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>>;
}

/// Encodes one object: append, take what is complete as often as you like, finish.
///
/// The object is the concatenation of everything that [`take`](Self::take) and [`finish`](Self::finish) returned, in
/// order. The same records appended in the same order give the same bytes, wherever the calls are cut. After an error the
/// encoder is dropped.
pub trait ObjectEncoder: Send {
    /// Appends `rows` of `chunk`, whose schema is the encoder's.
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()>;

    /// Encoded bytes that will not change any more and were not taken yet. May be empty, however much was appended.
    fn take(&mut self) -> Vec<u8>;

    /// Bytes that `take` would return.
    fn ready_bytes(&self) -> usize;

    /// Bytes of memory in use.
    fn memory_bytes(&self) -> usize;

    /// Size that the object would have if it were finished now: exact or an estimate from above.
    fn size_bytes(&self) -> u64;

    /// Completes the object and returns what was not taken yet.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}
