//! A batch as bytes, and back, without loss: a header that says what the batch is made of, then its parts.
//!
//! A part is a table schema or a chunk, each an Arrow IPC stream of its own, or the content of a logical message. How the columns
//! of a chunk lie in its stream is the matter of `columns`.

use std::sync::Arc;

use ductstream_core::{
    Barrier, ChangeBatch, Error, LogicalMessage, PgType, Position, ReplicaIdentity, Result, Run, SchemaRecord,
    TableChunk, TableName, TableSchema,
};
use serde::{Deserialize, Serialize};

use super::columns;

/// What a batch is made of. Parts are named by their index.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    end: Position,
    end_time: Option<i64>,
    /// Chunk and rows of each run.
    runs: Vec<(u32, u32)>,
    schemas: Vec<SchemaHeader>,
    chunks: Vec<ChunkHeader>,
    barriers: Vec<BarrierHeader>,
    /// Bytes of each part, in the order in which they follow.
    parts: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaHeader {
    table: TableName,
    oid: u32,
    version: u32,
    identity: ReplicaIdentity,
    types: Vec<PgType>,
    key: Vec<usize>,
    part: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkHeader {
    schema: usize,
    has_before: bool,
    wire_bytes: u64,
    part: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum BarrierHeader {
    Schema { schema: usize, previous: Option<usize>, record: SchemaRecord },
    Truncate { tables: Vec<TableName>, cascade: bool, restart_identity: bool },
    Message { position: Position, xid: Option<u32>, commit_time: Option<i64>, prefix: String, part: usize },
}

/// The bytes of `batch`.
pub(super) fn encode(batch: &ChangeBatch) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    let barriers = batch.barriers.iter().map(|barrier| writer.barrier(barrier)).collect::<Result<_>>()?;
    let chunks = batch.chunks.iter().map(|chunk| writer.chunk(chunk)).collect::<Result<_>>()?;
    let header = Header {
        end: batch.end,
        end_time: batch.end_time,
        runs: batch.runs.iter().map(|run| (run.chunk, run.rows)).collect(),
        schemas: writer.headers,
        chunks,
        barriers,
        parts: writer.parts.iter().map(Vec::len).collect(),
    };
    let header = serde_json::to_vec(&header).map_err(|error| unwritable(error.into()))?;
    let length = u32::try_from(header.len()).map_err(|error| unwritable(error.into()))?;
    let mut bytes = Vec::with_capacity(4 + header.len() + writer.parts.iter().map(Vec::len).sum::<usize>());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&header);
    for part in &writer.parts {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// The batch that [`encode`] made `bytes` of.
pub(super) fn decode(bytes: &[u8]) -> Result<ChangeBatch> {
    let (header, mut rest) = split_header(bytes)?;
    let mut parts = Vec::with_capacity(header.parts.len());
    for length in &header.parts {
        let (part, after) = rest.split_at_checked(*length).ok_or_else(malformed)?;
        parts.push(part);
        rest = after;
    }
    let mut reader = Reader { parts, schemas: Vec::with_capacity(header.schemas.len()) };
    for schema in header.schemas {
        let schema = reader.read_schema(schema)?;
        reader.schemas.push(schema);
    }
    let barriers = header.barriers.into_iter().map(|barrier| reader.barrier(barrier)).collect::<Result<_>>()?;
    let chunks = header.chunks.iter().map(|chunk| reader.chunk(chunk)).collect::<Result<_>>()?;
    let runs = header.runs.into_iter().map(|(chunk, rows)| Run { chunk, rows }).collect();
    Ok(ChangeBatch { barriers, chunks, runs, end: header.end, end_time: header.end_time })
}

/// The bound after the batch, without reading the batch.
pub(super) fn end_of(bytes: &[u8]) -> Result<Position> {
    split_header(bytes).map(|(header, _)| header.end)
}

fn split_header(bytes: &[u8]) -> Result<(Header, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(malformed)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| malformed())?;
    let (header, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let header = serde_json::from_slice(header).map_err(|error| malformed().with_source(error))?;
    Ok((header, rest))
}

#[derive(Default)]
struct Writer {
    /// The schemas that the batch refers to, each once.
    schemas: Vec<Arc<TableSchema>>,
    headers: Vec<SchemaHeader>,
    parts: Vec<Vec<u8>>,
}

impl Writer {
    fn part(&mut self, part: Vec<u8>) -> usize {
        self.parts.push(part);
        self.parts.len() - 1
    }

    fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<usize> {
        let same = |known: &Arc<TableSchema>| Arc::ptr_eq(known, schema) || known == schema;
        if let Some(index) = self.schemas.iter().position(same) {
            return Ok(index);
        }
        let part = self.part(columns::write_schema(schema)?);
        self.headers.push(SchemaHeader {
            table: schema.table.clone(),
            oid: schema.oid,
            version: schema.version,
            identity: schema.identity,
            types: schema.columns.iter().map(|column| column.pg_type.clone()).collect(),
            key: schema.key.clone(),
            part,
        });
        self.schemas.push(schema.clone());
        Ok(self.schemas.len() - 1)
    }

    fn chunk(&mut self, chunk: &TableChunk) -> Result<ChunkHeader> {
        let schema = self.schema(&chunk.schema)?;
        let part = self.part(columns::write_chunk(chunk)?);
        Ok(ChunkHeader { schema, has_before: chunk.before.is_some(), wire_bytes: chunk.wire_bytes, part })
    }

    fn barrier(&mut self, barrier: &Barrier) -> Result<BarrierHeader> {
        Ok(match barrier {
            Barrier::Schema { schema, previous, record } => BarrierHeader::Schema {
                schema: self.schema(schema)?,
                previous: previous.as_ref().map(|previous| self.schema(previous)).transpose()?,
                record: record.clone(),
            },
            Barrier::Truncate { tables, cascade, restart_identity } => BarrierHeader::Truncate {
                tables: tables.clone(),
                cascade: *cascade,
                restart_identity: *restart_identity,
            },
            Barrier::Message(message) => BarrierHeader::Message {
                position: message.position,
                xid: message.xid,
                commit_time: message.commit_time,
                prefix: message.prefix.clone(),
                part: self.part(message.content.clone()),
            },
        })
    }
}

struct Reader<'a> {
    parts: Vec<&'a [u8]>,
    schemas: Vec<Arc<TableSchema>>,
}

impl Reader<'_> {
    fn part(&self, index: usize) -> Result<&[u8]> {
        self.parts.get(index).copied().ok_or_else(malformed)
    }

    fn schema(&self, index: usize) -> Result<Arc<TableSchema>> {
        self.schemas.get(index).cloned().ok_or_else(malformed)
    }

    fn read_schema(&self, header: SchemaHeader) -> Result<Arc<TableSchema>> {
        let columns = columns::read_schema(self.part(header.part)?, header.types)?;
        let schema = TableSchema::new(header.table, header.oid, header.version, header.identity, columns);
        Ok(Arc::new(schema.with_key(header.key)))
    }

    fn chunk(&self, header: &ChunkHeader) -> Result<TableChunk> {
        let schema = self.schema(header.schema)?;
        let mut chunk = columns::read_chunk(self.part(header.part)?, schema, header.has_before)?;
        chunk.wire_bytes = header.wire_bytes;
        Ok(chunk)
    }

    fn barrier(&self, header: BarrierHeader) -> Result<Barrier> {
        Ok(match header {
            BarrierHeader::Schema { schema, previous, record } => Barrier::Schema {
                schema: self.schema(schema)?,
                previous: previous.map(|previous| self.schema(previous)).transpose()?,
                record,
            },
            BarrierHeader::Truncate { tables, cascade, restart_identity } => {
                Barrier::Truncate { tables, cascade, restart_identity }
            }
            BarrierHeader::Message { position, xid, commit_time, prefix, part } => Barrier::Message(LogicalMessage {
                position,
                xid,
                commit_time,
                prefix,
                content: self.part(part)?.to_vec(),
            }),
        })
    }
}

pub(super) fn unwritable(cause: ductstream_core::BoxError) -> Error {
    Error::bug("cannot write a batch for the outbox").with_source(cause)
}

/// The checksum was right, and yet the bytes are no batch: not what a torn or damaged file looks like.
pub(super) fn malformed() -> Error {
    Error::bug("a batch in the outbox does not read back")
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
