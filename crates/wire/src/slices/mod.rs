//! Cuts appended rows into slices that do not depend on how they were appended.
//!
//! The Parquet writer ends pages and row groups by what it holds when it is called, and an Arrow file has a record batch for each
//! call, so the same rows written in other portions give other bytes. Slices of a fixed number of rows (or of bytes, when rows are wide) make the bytes a function of
//! the rows alone.

mod size;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;

use crate::limits;

use size::rows_bytes;

#[derive(Debug)]
pub(crate) struct Slices {
    schema: SchemaRef,
    /// Rows of the slice that is not complete yet. Each piece is more than twice as long as the next, so that rows that come one by
    /// one are copied a few times only.
    pieces: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Slices {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, pieces: Vec::new(), rows: 0, bytes: 0 }
    }

    /// Bytes of values that wait for their slice to be complete.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pieces.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// Takes rows from the front of `batch` until the slice is complete; returns the slice then.
    pub(crate) fn fill(&mut self, batch: &mut RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let take = self.fitting(batch);
        let bytes = rows_bytes(batch, 0, take);
        (self.rows, self.bytes) = (self.rows + take, self.bytes + bytes);
        let piece = batch.slice(0, take);
        *batch = batch.slice(take, batch.num_rows() - take);
        if self.rows >= limits::SLICE_ROWS || self.bytes >= limits::SLICE_BYTES {
            self.pieces.push(piece);
            return self.finish();
        }
        self.keep(piece)?;
        Ok(None)
    }

    /// The rows of the slice that is not complete; `None` when there are none.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        let mut pieces = std::mem::take(&mut self.pieces);
        match pieces.len() {
            0 | 1 => Ok(pieces.pop()),
            _ => concat_batches(&self.schema, &pieces).map(Some),
        }
    }

    /// How many rows of `batch` the slice still takes: up to the row that completes it.
    fn fitting(&self, batch: &RecordBatch) -> usize {
        let most = batch.num_rows().min(limits::SLICE_ROWS - self.rows);
        let room = limits::SLICE_BYTES - self.bytes;
        if rows_bytes(batch, 0, most) < room {
            return most;
        }
        let (mut least, mut enough) = (1, most);
        while least < enough {
            let middle = usize::midpoint(least, enough);
            if rows_bytes(batch, 0, middle) >= room { enough = middle } else { least = middle + 1 }
        }
        enough
    }

    /// Keeps a copy of `piece`: the piece itself would keep the whole chunk that it was cut from in memory.
    fn keep(&mut self, piece: RecordBatch) -> Result<(), ArrowError> {
        if piece.num_rows() == 0 {
            return Ok(());
        }
        let rows = |piece: &RecordBatch| piece.num_rows();
        let mut merged = vec![piece];
        while self.pieces.last().is_some_and(|last| rows(last) <= 2 * merged.iter().map(rows).sum::<usize>()) {
            merged.extend(self.pieces.pop());
        }
        merged.reverse();
        if merged.len() == 1 {
            // One batch alone would be handed back as it is.
            merged.push(RecordBatch::new_empty(self.schema.clone()));
        }
        self.pieces.push(concat_batches(&self.schema, &merged)?);
        Ok(())
    }
}
