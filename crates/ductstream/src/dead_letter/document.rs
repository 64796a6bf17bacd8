//! A dead letter as it is kept: one document of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ductstream_core::{Envelope, Error, Op, Position, Refused, Result, TableChunk, TableName};
use ductstream_wire::{JsonSettings, WireSettings, build, pack_record, unpack_record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A record that was refused, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The record's position as sixteen hexadecimal digits each, joined by `-`: unique in a flow and destination, and sorts as positions do.
    pub id: String,
    /// The flow.
    pub flow: String,
    /// The destination that refused it.
    pub destination: String,
    /// When, in ISO 8601 with microseconds, UTC.
    pub refused_at: String,
    /// The record's table.
    pub table: TableName,
    /// What the record does.
    pub op: Op,
    /// Where it stands.
    pub position: Position,
    /// Version of the table's schema.
    pub schema_version: u32,
    /// Why it was refused.
    pub error: Reason,
    /// The record in the envelope `native`, to be read by people.
    pub record: Box<RawValue>,
    /// The record as it came from the source, to be delivered again: an Arrow IPC stream, in base64.
    pub original: String,
}

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was wrong.
    pub message: String,
    /// What can be done about it.
    pub remedy: Option<String>,
}

impl DeadLetter {
    /// The letter of a record that `destination` of `flow` refused at a time, in microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the record cannot be written.
    pub fn new(flow: &str, destination: &str, refused: &Refused<'_>, time: i64) -> Result<Self> {
        let (chunk, row) = (refused.chunk, refused.row);
        let remedy = refused.error.remedy().map(str::to_owned);
        Ok(Self {
            id: chunk.positions[row].object_name(),
            flow: flow.to_owned(),
            destination: destination.to_owned(),
            refused_at: iso(time),
            table: chunk.schema.table.clone(),
            op: chunk.ops[row],
            position: chunk.positions[row],
            schema_version: chunk.schema.version,
            error: Reason { message: refused.error.message().to_owned(), remedy },
            record: record(chunk, row)?,
            original: BASE64.encode(pack_record(chunk, row)?),
        })
    }

    /// The record, as a chunk of one row.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when the letter is damaged.
    pub fn chunk(&self) -> Result<TableChunk> {
        unpack_record(&self.bytes()?).map_err(|error| error.context(format_args!("dead letter {}", self.id)))
    }

    /// The record as it came from the source: an Arrow IPC stream of one row.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let damaged =
            |error| Error::data(format!("dead letter {}: its original is damaged", self.id)).with_source(error);
        BASE64.decode(&self.original).map_err(damaged)
    }
}

/// A time in microseconds since 1970-01-01 UTC.
pub(crate) fn iso(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Now, in microseconds since 1970-01-01 UTC.
pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

fn record(chunk: &TableChunk, row: usize) -> Result<Box<RawValue>> {
    let settings = WireSettings { json: JsonSettings::default(), ..WireSettings::default() };
    let codec = build(ductstream_core::WireFormat::Json, Envelope::Native, &settings)?;
    let mut encoder = codec.encoder(&chunk.schema)?;
    encoder.append(chunk, row..row + 1)?;
    let failed = |error: serde_json::Error| Error::bug("a record's own JSON cannot be read").with_source(error);
    serde_json::from_slice(&encoder.finish()?).map_err(failed)
}
