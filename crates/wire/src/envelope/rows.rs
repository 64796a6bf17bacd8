//! The columns that envelopes are made of.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use arrow_select::filter::filter;
use arrow_select::zip::zip;
use ductstream_core::{Op, Position, Result, TableChunk, TableSchema, Unchanged};

use super::{Columns, KeyChanges, bug, key_fields, unchanged_item};

/// A range of a chunk's rows, not empty or empty.
pub(super) struct Rows<'a> {
    chunk: &'a TableChunk,
    rows: Range<usize>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(chunk: &'a TableChunk, rows: Range<usize>) -> Self {
        Self { chunk, rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn start(&self) -> usize {
        self.rows.start
    }

    pub(super) fn table(&self) -> &'a TableSchema {
        &self.chunk.schema
    }

    pub(super) fn after(&self) -> Columns {
        self.chunk.after.iter().map(|array| self.slice(array)).collect()
    }

    pub(super) fn before(&self) -> Option<Columns> {
        self.chunk.before.as_ref().map(|before| before.iter().map(|array| self.slice(array)).collect())
    }

    /// The key columns by index: from the old row of a delete, from the new row of everything else.
    pub(super) fn key_columns(&self) -> Result<Vec<(usize, ArrayRef)>> {
        let before = self.chunk.before.as_ref().filter(|_| self.any_op(Op::Delete));
        let deletes = before.map(|_| BooleanArray::new(self.where_op(|op| op == Op::Delete), None));
        let column = |index: usize| match (before, &deletes) {
            (Some(before), Some(deletes)) => {
                let (old, new) = (self.slice(&before[index]), self.slice(&self.chunk.after[index]));
                zip(deletes, &old, &new).map_err(bug("choosing the keys of deletes"))
            }
            _ => Ok(self.slice(&self.chunk.after[index])),
        };
        self.table().key.iter().map(|index| Ok((*index, column(*index)?))).collect()
    }

    /// The old key of every update that changed it; `None` of a table without key.
    pub(super) fn old_keys(&self) -> Result<Option<ArrayRef>> {
        let fields = key_fields(self.table());
        if fields.is_empty() {
            return Ok(None);
        }
        let changes = KeyChanges::of(self.chunk);
        let changed = self.bits(|row| changes.changed(row));
        let Some(before) = self.chunk.before.as_ref().filter(|_| changed.count_set_bits() > 0) else {
            return Ok(Some(new_null_array(&DataType::Struct(fields), self.len())));
        };
        let columns = self.table().key.iter().map(|index| self.slice(&before[*index])).collect();
        let array = StructArray::try_new(fields, columns, Some(NullBuffer::new(changed)));
        Ok(Some(Arc::new(array.map_err(bug("putting old keys into a struct"))?)))
    }

    /// The old key columns of the updates that changed the key, and of nothing else.
    pub(super) fn changed_keys(&self) -> Result<Columns> {
        let changes = KeyChanges::of(self.chunk);
        let changed = BooleanArray::new(self.bits(|row| changes.changed(row)), None);
        // Without old images nothing has changed, and of the new ones nothing is left.
        let columns = self.chunk.before.as_ref().unwrap_or(&self.chunk.after);
        let old = |index: &usize| filter(&self.slice(&columns[*index]), &changed);
        self.table().key.iter().map(old).collect::<Result<_, _>>().map_err(bug("choosing old keys"))
    }

    /// The position of a row, counted from the first of the range.
    pub(super) fn position(&self, row: usize) -> Position {
        self.chunk.positions[self.rows.start + row]
    }

    pub(super) fn xid(&self, row: usize) -> u32 {
        self.chunk.xids[self.rows.start + row]
    }

    pub(super) fn commit_time(&self, row: usize) -> i64 {
        self.chunk.commit_times[self.rows.start + row]
    }

    pub(super) fn ops(&self) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(self.chunk.ops[self.rows.clone()].iter().map(|op| op.as_str())))
    }

    pub(super) fn table_names(&self) -> ArrayRef {
        let name = self.table().table.to_string();
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name.as_str(), self.len())))
    }

    pub(super) fn commit_lsns(&self) -> UInt64Array {
        self.chunk.positions[self.rows.clone()].iter().map(|position| position.commit_lsn.0).collect::<Vec<_>>().into()
    }

    pub(super) fn seqs(&self) -> UInt64Array {
        self.chunk.positions[self.rows.clone()].iter().map(|position| position.seq).collect::<Vec<_>>().into()
    }

    pub(super) fn xids(&self) -> ArrayRef {
        Arc::new(UInt32Array::from(self.chunk.xids[self.rows.clone()].to_vec()))
    }

    pub(super) fn commit_times(&self) -> ArrayRef {
        let times = self.chunk.commit_times[self.rows.clone()].to_vec();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    }

    pub(super) fn schema_versions(&self) -> ArrayRef {
        Arc::new(UInt32Array::from_value(self.table().version, self.len()))
    }

    /// The names of each row's unchanged columns; null when there are none.
    pub(super) fn unchanged(&self) -> ArrayRef {
        let unchanged = self.chunk.unchanged.as_ref();
        unchanged.map_or_else(|| new_null_array(&DataType::List(unchanged_item()), self.len()), |it| self.names(it))
    }

    fn names(&self, unchanged: &Unchanged) -> ArrayRef {
        let mut lists = ListBuilder::new(StringBuilder::new()).with_field(unchanged_item());
        for row in self.rows.clone() {
            let mut columns = unchanged.columns_of(row).peekable();
            let any = columns.peek().is_some();
            columns.for_each(|column| lists.values().append_value(self.table().columns[column].name()));
            lists.append(any);
        }
        Arc::new(lists.finish())
    }

    pub(super) fn where_op(&self, matches: impl Fn(Op) -> bool) -> BooleanBuffer {
        self.bits(|row| matches(self.chunk.ops[row]))
    }

    /// Which records have an old image that tells something.
    pub(super) fn where_old_tells(&self) -> BooleanBuffer {
        let changes = KeyChanges::of(self.chunk);
        self.bits(|row| changes.tells_old(row))
    }

    fn any_op(&self, op: Op) -> bool {
        self.chunk.ops[self.rows.clone()].contains(&op)
    }

    fn bits(&self, bit: impl Fn(usize) -> bool) -> BooleanBuffer {
        BooleanBuffer::collect_bool(self.len(), |row| bit(self.rows.start + row))
    }

    fn slice(&self, array: &ArrayRef) -> ArrayRef {
        array.slice(self.rows.start, self.rows.len())
    }
}
