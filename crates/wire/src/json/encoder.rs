//! Writes one object of JSON lines.

use std::ops::Range;

use ductstream_core::{Error, ObjectEncoder, Result, TableChunk, TableSchema};

use super::compress::Compressor;
use super::debezium::{MessageLines, ValueLines};
use super::plan::TablePlan;

/// How records become lines.
pub(super) enum Lines {
    Table(Box<TablePlan>),
    Debezium(Box<ValueLines>),
    DebeziumMessages(Box<MessageLines>),
}

impl Lines {
    pub(super) fn push(&self, chunk: &TableChunk, mut rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Table(plan) => {
                let mut records = plan.bind(chunk)?;
                rows.by_ref().for_each(|row| records.push(row, out));
                Ok(())
            }
            Self::Debezium(plan) => plan.push(chunk, rows, out),
            Self::DebeziumMessages(plan) => plan.push(chunk, rows, out),
        }
    }

    fn table(&self) -> &TableSchema {
        match self {
            Self::Table(plan) => &plan.table,
            Self::Debezium(plan) => plan.table(),
            Self::DebeziumMessages(plan) => &plan.table,
        }
    }
}

pub(super) struct JsonEncoder {
    plan: Lines,
    compressor: Compressor,
    /// Lines that the compressor has not taken yet.
    lines: Vec<u8>,
    /// Bytes of lines so far, before compression.
    lines_total: u64,
    /// Bytes of a line on average in the last append, to reserve memory by.
    line_bytes: usize,
    taken: u64,
}

impl JsonEncoder {
    pub(super) fn new(plan: Lines, compressor: Compressor) -> Self {
        Self { plan, compressor, lines: Vec::new(), lines_total: 0, line_bytes: 0, taken: 0 }
    }

    fn failed(&self) -> Error {
        Error::bug(format!("compressing JSON lines of table {}", self.plan.table().table))
    }
}

impl ObjectEncoder for JsonEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()> {
        if rows.end > chunk.len() {
            return Err(Error::bug(format!("writing JSON: rows {rows:?} of a chunk of {}", chunk.len())));
        }
        let mut lines = std::mem::take(&mut self.lines);
        let before = lines.len();
        let count = rows.len();
        lines.reserve(count * self.line_bytes);
        self.plan.push(chunk, rows, &mut lines)?;
        let written = lines.len() - before;
        self.lines_total += written as u64;
        self.line_bytes = written.checked_div(count).unwrap_or(self.line_bytes);
        self.lines = lines;
        self.compressor.feed(&mut self.lines).map_err(|error| self.failed().with_source(error))
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.compressor.out_mut());
        self.taken += bytes.len() as u64;
        bytes
    }

    fn ready_bytes(&self) -> usize {
        self.compressor.out().len()
    }

    fn memory_bytes(&self) -> usize {
        self.compressor.memory_bytes() + self.lines.capacity()
    }

    fn size_bytes(&self) -> u64 {
        let waiting = self.lines.len() as u64;
        let held = self.compressor.held_bytes(self.lines_total - waiting);
        self.taken + self.compressor.out().len() as u64 + held + waiting
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        let failed = self.failed();
        self.compressor.finish(&mut self.lines).map_err(|error| failed.with_source(error))
    }
}
