//! One table's rows on their way into Arrow columns.

use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::DataType;
use ductstream_core::{OldImage, Op, Position, Unchanged};

use crate::pgoutput::{OldTuple, ParseError, Tuple, TupleValue};
use crate::types::{ColumnBuilder, ColumnProgram, ValueError};

/// What every row of a transaction shares, and the row's own place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowHead {
    pub(super) op: Op,
    pub(super) position: Position,
    pub(super) xid: u32,
    pub(super) commit_time: i64,
    pub(super) wire_bytes: usize,
}

/// Why a row was not appended.
#[derive(Debug)]
pub(super) enum RowError {
    /// The message is malformed.
    Parse(ParseError),
    /// A value does not fit its column.
    Value { column: usize, cause: ValueError },
    /// The row has another number of columns than the last Relation message.
    Columns { row: usize, relation: usize },
    /// An old image that leaves a value out.
    UnchangedInOldImage { column: usize },
}

impl From<ParseError> for RowError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

/// Collects the rows of one table at one schema version.
#[derive(Debug)]
pub(super) struct ChunkBuilder {
    /// What a row takes here even when all its values are null.
    fixed_row_bytes: usize,
    programs: Vec<ColumnProgram>,
    /// One builder per column, or none before the first chunk. They are kept from chunk to chunk, with the room that
    /// the last one needed.
    after: Vec<ColumnBuilder>,
    /// The same for old images; none before the first one.
    before: Vec<ColumnBuilder>,
    /// Rows that `before` holds so far, zero when the chunk has no old image; it is filled up with nulls when the next
    /// one comes.
    before_rows: usize,
    unchanged: Option<BooleanBufferBuilder>,
    rows: Rows,
    /// Rows of the last chunk: what the next one probably holds.
    expected_rows: usize,
}

/// What a chunk holds beside its columns.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) ops: Vec<Op>,
    pub(super) positions: Vec<Position>,
    pub(super) xids: Vec<u32>,
    pub(super) commit_times: Vec<i64>,
    pub(super) old: Vec<OldImage>,
    pub(super) wire_bytes: u64,
}

/// The columns and rows of a finished chunk.
pub(super) struct Finished {
    pub(super) after: Vec<ArrayRef>,
    pub(super) before: Option<Vec<ArrayRef>>,
    pub(super) unchanged: Option<Unchanged>,
    pub(super) rows: Rows,
}

impl ChunkBuilder {
    pub(super) fn new(programs: Vec<ColumnProgram>) -> Self {
        Self {
            fixed_row_bytes: programs.iter().map(|program| fixed_bytes(program.data_type())).sum(),
            programs,
            after: Vec::new(),
            before: Vec::new(),
            before_rows: 0,
            unchanged: None,
            rows: Rows::default(),
            expected_rows: 0,
        }
    }

    /// What a row takes at least, whatever it took on the wire: a null vector of a thousand numbers is one byte there.
    #[inline]
    pub(super) fn least_row_bytes(&self) -> usize {
        if self.before.is_empty() { self.fixed_row_bytes } else { 2 * self.fixed_row_bytes }
    }

    /// Makes room for a chunk like the last one. To be called before the first row.
    pub(super) fn start(&mut self) {
        if self.after.is_empty() {
            self.after = builders(&self.programs, self.expected_rows);
        }
        self.rows = Rows::with_capacity(self.expected_rows);
    }

    /// Gives back the room that is kept for the next chunk.
    pub(super) fn release(&mut self) {
        self.after = Vec::new();
        self.before = Vec::new();
    }

    /// Appends an inserted row.
    #[inline]
    pub(super) fn insert(&mut self, head: RowHead, new: Tuple<'_>) -> Result<(), RowError> {
        self.append_after(new)?;
        self.rows.push(head, OldImage::None);
        Ok(())
    }

    /// Appends an updated row with the old image, where the message has one.
    pub(super) fn update(&mut self, head: RowHead, old: Option<OldTuple<'_>>, new: Tuple<'_>) -> Result<(), RowError> {
        let image = match old {
            None => {
                self.append_after(new)?;
                OldImage::None
            }
            Some(OldTuple::Key(key)) => {
                self.append_before(key)?;
                // A key that is stored out of line and did not change comes in the old tuple only.
                self.append_after_with_old(new, key)?;
                OldImage::Key
            }
            Some(OldTuple::Full(row)) => {
                self.append_before(row)?;
                self.append_after_with_old(new, row)?;
                OldImage::Full
            }
        };
        self.rows.push(head, image);
        Ok(())
    }

    /// Appends a removed row.
    pub(super) fn delete(&mut self, head: RowHead, old: OldTuple<'_>) -> Result<(), RowError> {
        self.append_before(old.tuple())?;
        self.after.iter_mut().for_each(ColumnBuilder::append_null);
        let image = if matches!(old, OldTuple::Full(_)) { OldImage::Full } else { OldImage::Key };
        self.rows.push(head, image);
        Ok(())
    }

    /// Appends a record without a row.
    pub(super) fn truncate(&mut self, head: RowHead) {
        self.after.iter_mut().for_each(ColumnBuilder::append_null);
        self.rows.push(head, OldImage::None);
    }

    #[inline]
    fn append_after(&mut self, new: Tuple<'_>) -> Result<(), RowError> {
        check_columns(new, self.after.len())?;
        let mut values = new.values();
        for column in 0..self.after.len() {
            let Some(value) = values.next().transpose()? else { break };
            match value {
                TupleValue::Unchanged => self.append_unchanged(column),
                value => append(&mut self.after[column], column, value)?,
            }
        }
        values.end()?;
        Ok(())
    }

    /// As [`append_after`](Self::append_after), but takes what the new row leaves out from the old one.
    fn append_after_with_old(&mut self, new: Tuple<'_>, old: Tuple<'_>) -> Result<(), RowError> {
        check_columns(new, self.after.len())?;
        let (mut values, mut old_values) = (new.values(), old.values());
        for column in 0..self.after.len() {
            let Some(value) = values.next().transpose()? else { break };
            let old_value = old_values.next().transpose()?;
            match (value, old_value) {
                (TupleValue::Unchanged, Some(old @ (TupleValue::Text(_) | TupleValue::Binary(_)))) => {
                    append(&mut self.after[column], column, old)?;
                }
                (TupleValue::Unchanged, _) => self.append_unchanged(column),
                (value, _) => append(&mut self.after[column], column, value)?,
            }
        }
        values.end()?;
        Ok(())
    }

    fn append_before(&mut self, old: Tuple<'_>) -> Result<(), RowError> {
        check_columns(old, self.after.len())?;
        let row = self.rows.ops.len();
        if self.before.is_empty() {
            self.before = builders(&self.programs, self.expected_rows.max(row + 1));
        }
        fill_with_nulls(&mut self.before, self.before_rows, row);
        let mut values = old.values();
        for (column, builder) in self.before.iter_mut().enumerate() {
            let Some(value) = values.next().transpose()? else { break };
            append(builder, column, value)?;
        }
        values.end()?;
        self.before_rows = row + 1;
        Ok(())
    }

    fn append_unchanged(&mut self, column: usize) {
        self.after[column].append_null();
        let (row, columns) = (self.rows.ops.len(), self.after.len());
        let bits = self.unchanged.get_or_insert_with(|| BooleanBufferBuilder::new(columns * (row + 1)));
        // The mask is as long as the last row that needed it; the rest is filled up when the chunk is finished.
        let wanted = columns * (row + 1);
        bits.append_n(wanted.saturating_sub(bits.len()), false);
        bits.set_bit(row * columns + column, true);
    }

    /// The chunk's columns and rows; starts anew.
    pub(super) fn finish(&mut self) -> Finished {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.ops.len();
        self.expected_rows = count;
        Finished {
            after: finish_columns(&mut self.after, count),
            before: self.finish_before(count),
            unchanged: self.finish_unchanged(count),
            rows,
        }
    }

    fn finish_before(&mut self, rows: usize) -> Option<Vec<ArrayRef>> {
        let held = std::mem::take(&mut self.before_rows);
        if held == 0 {
            self.before = Vec::new();
            return None;
        }
        fill_with_nulls(&mut self.before, held, rows);
        Some(finish_columns(&mut self.before, rows))
    }

    fn finish_unchanged(&mut self, rows: usize) -> Option<Unchanged> {
        let columns = self.after.len();
        self.unchanged.take().map(|mut bits| {
            bits.append_n((columns * rows).saturating_sub(bits.len()), false);
            bits.truncate(columns * rows);
            Unchanged::new(columns, bits.finish())
        })
    }
}

impl Rows {
    fn with_capacity(rows: usize) -> Self {
        Self {
            ops: Vec::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            xids: Vec::with_capacity(rows),
            commit_times: Vec::with_capacity(rows),
            old: Vec::with_capacity(rows),
            wire_bytes: 0,
        }
    }

    #[inline]
    fn push(&mut self, head: RowHead, old: OldImage) {
        self.ops.push(head.op);
        self.positions.push(head.position);
        self.xids.push(head.xid);
        self.commit_times.push(head.commit_time);
        self.old.push(old);
        self.wire_bytes += head.wire_bytes as u64;
    }
}

/// Bytes of one value of a type whose values are all of one size; zero for the others.
fn fixed_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, count) => {
            usize::try_from(*count).unwrap_or_default() * fixed_bytes(item.data_type())
        }
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or_default(),
        DataType::Struct(fields) => fields.iter().map(|field| fixed_bytes(field.data_type())).sum(),
        other => other.primitive_width().unwrap_or_default(),
    }
}

fn check_columns(tuple: Tuple<'_>, relation: usize) -> Result<(), RowError> {
    if tuple.columns() == relation { Ok(()) } else { Err(RowError::Columns { row: tuple.columns(), relation }) }
}

#[inline]
fn append(builder: &mut ColumnBuilder, column: usize, value: TupleValue<'_>) -> Result<(), RowError> {
    let appended = match value {
        TupleValue::Binary(bytes) => builder.append_binary(bytes),
        TupleValue::Text(bytes) => builder.append_text(bytes),
        TupleValue::Null => {
            builder.append_null();
            Ok(())
        }
        TupleValue::Unchanged => return Err(RowError::UnchangedInOldImage { column }),
    };
    appended.map_err(|cause| RowError::Value { column, cause })
}

fn builders(programs: &[ColumnProgram], rows: usize) -> Vec<ColumnBuilder> {
    programs.iter().map(|program| program.builder(rows)).collect()
}

fn fill_with_nulls(builders: &mut [ColumnBuilder], from: usize, to: usize) {
    for builder in builders {
        (from..to).for_each(|_| builder.append_null());
    }
}

/// A row that failed half-way leaves columns of different lengths; what lies beyond the last whole row is cut off.
fn finish_columns(builders: &mut [ColumnBuilder], rows: usize) -> Vec<ArrayRef> {
    let finish = |builder: &mut ColumnBuilder| {
        let array = builder.finish();
        if array.len() > rows { array.slice(0, rows) } else { array }
    };
    builders.iter_mut().map(finish).collect()
}
