//! The batch that is being filled, and those that wait to be taken.

use std::collections::VecDeque;

use ductstream_core::{Barrier, ChangeBatch, Position, Run};

use super::relation::Relations;

/// More waiting batches than this count as full, however small they are: each barrier cuts one.
const MAX_SEALED: usize = 64;

/// Batches in the making.
#[derive(Debug)]
pub(super) struct Batches {
    limit_bytes: usize,
    open: Open,
    sealed: VecDeque<Sealed>,
    sealed_bytes: usize,
    /// The bound behind everything that was pushed.
    bound: Position,
    /// The bound behind the last batch that was sealed.
    sealed_bound: Position,
    end_time: Option<i64>,
}

#[derive(Debug, Default)]
struct Open {
    barriers: Vec<Barrier>,
    /// The tables that have rows, by index, in the order of their chunks.
    tables: Vec<usize>,
    runs: Vec<Run>,
    bytes: usize,
}

#[derive(Debug)]
struct Sealed {
    batch: ChangeBatch,
    bytes: usize,
}

impl Batches {
    pub(super) fn new(limit_bytes: usize, from: Position) -> Self {
        Self {
            limit_bytes,
            open: Open::default(),
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            bound: from,
            sealed_bound: from,
            end_time: None,
        }
    }

    /// Notes that the table at `index` got one more row, in `chunk` of the open batch when it has one there. Returns
    /// its chunk.
    #[inline]
    pub(super) fn count_row(&mut self, index: usize, chunk: Option<u32>) -> u32 {
        let chunk = chunk.unwrap_or_else(|| {
            self.open.tables.push(index);
            // One chunk per table, and there are fewer than 2^32 OIDs.
            (self.open.tables.len() - 1) as u32
        });
        match self.open.runs.last_mut() {
            Some(run) if run.chunk == chunk => run.rows += 1,
            _ => self.open.runs.push(Run { chunk, rows: 1 }),
        }
        chunk
    }

    /// Moves the bound behind a record of a transaction that committed at `commit_time`; `bytes` is what the record
    /// took on the wire.
    #[inline]
    pub(super) fn count_record(&mut self, position: Position, commit_time: i64, bytes: usize) {
        self.bound = position.next();
        self.end_time = Some(commit_time);
        self.open.bytes += bytes;
    }

    /// Moves the bound behind a logical message.
    pub(super) fn count_message(&mut self, position: Position, commit_time: Option<i64>, bytes: usize) {
        self.bound = self.bound.max(position.next());
        self.end_time = commit_time.or(self.end_time);
        self.open.bytes += bytes;
    }

    /// The bound behind everything that was pushed.
    pub(super) fn bound(&self) -> Position {
        self.bound
    }

    /// The tables that have rows in the open batch, by index.
    pub(super) fn open_tables(&self) -> &[usize] {
        &self.open.tables
    }

    /// Whether the open batch has reached its size.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.open.bytes >= self.limit_bytes
    }

    /// Adds a barrier to the open batch, which [`cut_rows`](Self::cut_rows) has cleared of rows from before it where
    /// that matters.
    pub(super) fn add_barrier(&mut self, barrier: Barrier) {
        self.open.barriers.push(barrier);
    }

    /// Moves the bound behind a whole transaction.
    pub(super) fn advance(&mut self, bound: Position, commit_time: i64) {
        if bound > self.bound {
            self.move_bound(bound, Some(commit_time));
        }
    }

    /// Moves the bound between transactions. The server's clock stands in where no transaction waits that has a time.
    pub(super) fn advance_idle(&mut self, bound: Position, server_time: i64) {
        if bound > self.bound {
            let waiting = self.has_records().then_some(self.end_time).flatten();
            self.move_bound(bound, waiting.or(Some(server_time)));
        }
    }

    /// The last batch that waits covers the new bound too, unless another one has begun behind it.
    fn move_bound(&mut self, bound: Position, time: Option<i64>) {
        self.bound = bound;
        self.end_time = time;
        if self.open.runs.is_empty()
            && self.open.barriers.is_empty()
            && let Some(last) = self.sealed.back_mut()
        {
            last.batch.end = bound;
            last.batch.end_time = time;
            self.sealed_bound = bound;
        }
    }

    /// Whether records wait to be taken.
    pub(super) fn has_records(&self) -> bool {
        !self.sealed.is_empty() || !self.open.runs.is_empty()
    }

    /// Whether [`take`](Self::take) would return a batch. A schema barrier alone waits for its first record.
    pub(super) fn has_pending(&self) -> bool {
        self.has_records() || self.bound > self.sealed_bound
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending_bytes() >= self.limit_bytes || self.sealed.len() >= MAX_SEALED
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.sealed_bytes + self.open.bytes
    }

    /// Seals the open batch when it holds rows, so that what comes next begins another one.
    pub(super) fn cut_rows(&mut self, relations: &mut Relations) {
        if !self.open.runs.is_empty() {
            self.seal(relations);
        }
    }

    /// Seals the open batch.
    pub(super) fn seal(&mut self, relations: &mut Relations) {
        let open = std::mem::take(&mut self.open);
        let batch = ChangeBatch {
            barriers: open.barriers,
            chunks: relations.finish(open.tables),
            runs: open.runs,
            end: self.bound,
            end_time: self.end_time,
        };
        self.sealed_bytes += open.bytes;
        self.sealed.push_back(Sealed { batch, bytes: open.bytes });
        self.sealed_bound = self.bound;
    }

    /// The oldest batch.
    pub(super) fn take(&mut self, relations: &mut Relations) -> Option<ChangeBatch> {
        if !self.has_pending() {
            return None;
        }
        if self.sealed.is_empty() {
            self.seal(relations);
        }
        let Sealed { batch, bytes } = self.sealed.pop_front()?;
        self.sealed_bytes -= bytes;
        Some(batch)
    }
}
