//! Change batches: runs of records in commit order, held as Arrow columns per table.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use serde::{Deserialize, Serialize};

use crate::{Lsn, Position, SchemaRecord, TableName, TableSchema};

/// What a record does to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Op {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A removed row.
    Delete,
    /// The whole table was emptied; carries no row.
    Truncate,
    /// A row read by a snapshot.
    Load,
    /// A captured schema change.
    Ddl,
    /// A logical decoding message.
    Message,
}

impl Op {
    /// The operation's name in every envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Load => "load",
            Self::Ddl => "ddl",
            Self::Message => "message",
        }
    }
}

/// What the WAL carried of a row's old image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OldImage {
    /// Nothing.
    None,
    /// The key columns; the other columns of `before` are null and mean nothing.
    Key,
    /// The whole row.
    Full,
}

/// Which values of a chunk's `after` columns the WAL did not carry (TOASTed and not changed). Such a value is null in its
/// column and is not NULL in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchanged {
    columns: usize,
    bits: BooleanBuffer,
}

impl Unchanged {
    /// Bit `row * columns + column` is set where the value is unchanged. `bits.len()` is a multiple of `columns`.
    pub fn new(columns: usize, bits: BooleanBuffer) -> Self {
        debug_assert!(columns > 0 && bits.len().is_multiple_of(columns), "one bit per row and column");
        Self { columns, bits }
    }

    /// Whether the value of `column` in `row` is unchanged.
    pub fn is_unchanged(&self, row: usize, column: usize) -> bool {
        self.bits.value(row * self.columns + column)
    }

    /// How many columns each row has a bit for.
    pub fn column_count(&self) -> usize {
        self.columns
    }

    /// The bits as [`new`](Self::new) takes them.
    pub fn bits(&self) -> &BooleanBuffer {
        &self.bits
    }

    fn since_row(&self, row: usize) -> Self {
        let from = row * self.columns;
        Self { columns: self.columns, bits: self.bits.slice(from, self.bits.len() - from) }
    }

    /// Indexes of the unchanged columns of `row`, ascending.
    pub fn columns_of(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns).filter(move |column| self.is_unchanged(row, *column))
    }
}

/// Records of one table at one schema version, in commit order, one array entry per record.
#[derive(Debug, Clone)]
pub struct TableChunk {
    /// The table's columns at this version.
    pub schema: Arc<TableSchema>,
    /// What each record does.
    pub ops: Vec<Op>,
    /// Where each record stands; strictly ascending.
    pub positions: Vec<Position>,
    /// The top-level transaction of each record.
    pub xids: Vec<u32>,
    /// Commit time of each record's transaction, in microseconds since 1970-01-01 UTC.
    pub commit_times: Vec<i64>,
    /// The new row, one array per column of `schema`; all null for a delete or truncate.
    pub after: Vec<ArrayRef>,
    /// The old row where the WAL carried one, shaped as `after`; `None` when no record of the chunk has one.
    pub before: Option<Vec<ArrayRef>>,
    /// What `before` holds of each record. As long as `ops`.
    pub old: Vec<OldImage>,
    /// Which values of `after` are unchanged rather than NULL; `None` when there is no such value.
    pub unchanged: Option<Unchanged>,
    /// Bytes of tuple data on the wire.
    pub wire_bytes: u64,
}

impl TableChunk {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The records from `row` on, sharing the arrays.
    fn since_row(&self, row: usize) -> Self {
        let rows = self.len() - row;
        let slice = |arrays: &[ArrayRef]| arrays.iter().map(|array| array.slice(row, rows)).collect::<Vec<_>>();
        Self {
            schema: self.schema.clone(),
            ops: self.ops[row..].to_vec(),
            positions: self.positions[row..].to_vec(),
            xids: self.xids[row..].to_vec(),
            commit_times: self.commit_times[row..].to_vec(),
            after: slice(&self.after),
            before: self.before.as_deref().map(slice),
            old: self.old[row..].to_vec(),
            unchanged: self.unchanged.as_ref().map(|unchanged| unchanged.since_row(row)),
            wire_bytes: self.wire_bytes * rows as u64 / self.len().max(1) as u64,
        }
    }

    /// Bytes of memory that the chunk holds.
    pub fn memory_bytes(&self) -> usize {
        let arrays = self.after.iter().chain(self.before.iter().flatten());
        let columns: usize = arrays.map(|array| array.get_array_memory_size()).sum();
        columns + self.len() * (size_of::<Op>() + size_of::<OldImage>() + size_of::<Position>() + 12)
    }
}

/// The prefix of the logical messages that keep a slot moving. They tell nothing.
pub const HEARTBEAT_PREFIX: &str = "ductstream.heartbeat";

/// A logical decoding message (`pg_logical_emit_message`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// Where it stands. A non-transactional message stands alone at its own LSN.
    pub position: Position,
    /// Its transaction; `None` for a non-transactional one.
    pub xid: Option<u32>,
    /// Commit time of its transaction, in microseconds since 1970-01-01 UTC; `None` for a non-transactional one.
    pub commit_time: Option<i64>,
    /// The prefix given by the sender.
    pub prefix: String,
    /// The content.
    pub content: Vec<u8>,
}

/// An event that must not be reordered with data.
#[derive(Debug, Clone)]
pub enum Barrier {
    /// A table was seen at a version for the first time. `previous` is the version before it, if there was one.
    Schema {
        /// The new version.
        schema: Arc<TableSchema>,
        /// The version before.
        previous: Option<Arc<TableSchema>>,
        /// What to store, so that the version survives a restart.
        record: SchemaRecord,
    },
    /// The tables were emptied by one statement; the batch starts with a truncate record for each of them.
    Truncate {
        /// The tables that the flow carries, in the order of the server.
        tables: Vec<TableName>,
        /// `TRUNCATE ... CASCADE`.
        cascade: bool,
        /// `TRUNCATE ... RESTART IDENTITY`.
        restart_identity: bool,
    },
    /// A logical decoding message.
    Message(LogicalMessage),
}

impl Barrier {
    /// Whether it is a logical message before `position`.
    pub fn is_before(&self, position: Position) -> bool {
        matches!(self, Self::Message(message) if message.position < position)
    }
}

/// The next `rows` records of the batch are the next `rows` records of chunk `chunk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Index into the batch's chunks.
    pub chunk: u32,
    /// How many records.
    pub rows: u32,
}

/// A run of records in commit order. May cross transactions and tables, and may be cut inside a transaction.
#[derive(Debug, Clone, Default)]
pub struct ChangeBatch {
    /// To be dealt with before the batch's first record, in this order. A batch holds no record from before its barriers.
    pub barriers: Vec<Barrier>,
    /// The records, per table and schema version.
    pub chunks: Vec<TableChunk>,
    /// How the chunks' records interleave.
    pub runs: Vec<Run>,
    /// The bound after the batch: once every record before it is durable, it may become a checkpoint. A batch without
    /// records moves only the bound.
    pub end: Position,
    /// Commit time of the batch's last transaction, or the server's clock when it has none; microseconds since 1970-01-01 UTC.
    pub end_time: Option<i64>,
}

impl ChangeBatch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(TableChunk::len).sum()
    }

    /// Whether there is no record (there may still be barriers, and a bound).
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(TableChunk::is_empty)
    }

    /// Bytes of memory that the batch holds.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(TableChunk::memory_bytes).sum()
    }

    /// Position of the first record.
    pub fn first_position(&self) -> Option<Position> {
        self.records().next().map(|record| record.position())
    }

    /// The same batch without its records and logical messages before `position`. Other barriers stay.
    #[must_use]
    pub fn since(&self, position: Position) -> Self {
        let skip: Vec<usize> =
            self.chunks.iter().map(|chunk| chunk.positions.partition_point(|at| *at < position)).collect();
        let mut left = skip.clone();
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let left = &mut left[run.chunk as usize];
            let skipped = (*left).min(run.rows as usize);
            *left -= skipped;
            if skipped < run.rows as usize {
                runs.push(Run { chunk: run.chunk, rows: run.rows - skipped as u32 });
            }
        }
        let chunks = self.chunks.iter().zip(skip).map(|(chunk, row)| chunk.since_row(row)).collect();
        let barriers = self.barriers.iter().filter(|barrier| !barrier.is_before(position)).cloned().collect();
        Self { barriers, chunks, runs, end: self.end, end_time: self.end_time }
    }

    /// The records in commit order across chunks.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut taken = vec![0usize; self.chunks.len()];
        self.runs.iter().flat_map(move |run| {
            let chunk = run.chunk as usize;
            let from = taken[chunk];
            taken[chunk] += run.rows as usize;
            (from..taken[chunk]).map(move |row| Record { chunk: &self.chunks[chunk], row })
        })
    }
}

/// One record of a batch: a view into its chunk.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The chunk that holds the record.
    pub chunk: &'a TableChunk,
    /// The record's row in the chunk.
    pub row: usize,
}

impl Record<'_> {
    /// What the record does.
    pub fn op(&self) -> Op {
        self.chunk.ops[self.row]
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.chunk.positions[self.row]
    }

    /// The LSN of its transaction's commit record.
    pub fn commit_lsn(&self) -> Lsn {
        self.position().commit_lsn
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int32Array;
    use arrow_schema::{DataType, Field};

    use super::*;
    use crate::{Column, PgType, ReplicaIdentity};

    fn chunk(name: &str, positions: &[u64]) -> TableChunk {
        let pg_type = PgType { oid: 23, typmod: -1, name: "integer".into() };
        let column = Column { pg_type, field: Arc::new(Field::new("id", DataType::Int32, true)) };
        let schema = TableSchema::new(TableName::new("public", name), 1, 1, ReplicaIdentity::Default, vec![column]);
        TableChunk {
            schema: Arc::new(schema),
            ops: vec![Op::Insert; positions.len()],
            positions: positions.iter().map(|seq| Position::new(Lsn(8), *seq)).collect(),
            xids: vec![1; positions.len()],
            commit_times: vec![0; positions.len()],
            after: vec![Arc::new(Int32Array::from(vec![0; positions.len()]))],
            before: None,
            old: vec![OldImage::None; positions.len()],
            unchanged: None,
            wire_bytes: 0,
        }
    }

    #[test]
    fn a_batch_since_a_position_keeps_order_and_drops_only_what_is_before_it() {
        let run = |chunk, rows| Run { chunk, rows };
        let batch = ChangeBatch {
            chunks: vec![chunk("a", &[0, 1, 4]), chunk("b", &[2, 3, 5])],
            runs: vec![run(0, 2), run(1, 2), run(0, 1), run(1, 1)],
            ..ChangeBatch::default()
        };
        for from in 0..=6 {
            let seqs: Vec<u64> =
                batch.since(Position::new(Lsn(8), from)).records().map(|record| record.position().seq).collect();
            assert_eq!(seqs, (from..6).collect::<Vec<_>>());
        }
    }

    #[test]
    fn records_walk_in_commit_order_across_chunks() {
        let run = |chunk, rows| Run { chunk, rows };
        let batch = ChangeBatch {
            chunks: vec![chunk("a", &[0, 1, 4]), chunk("b", &[2, 3, 5])],
            runs: vec![run(0, 2), run(1, 2), run(0, 1), run(1, 1)],
            ..ChangeBatch::default()
        };
        let seqs: Vec<u64> = batch.records().map(|record| record.position().seq).collect();
        assert_eq!(seqs, [0, 1, 2, 3, 4, 5]);
        assert_eq!(batch.len(), 6);
        assert_eq!(batch.first_position(), Some(Position::new(Lsn(8), 0)));
    }
}
