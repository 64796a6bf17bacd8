//! Which updates changed the key.

use arrow_array::Array;
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::SortOptions;
use ductstream_core::{OldImage, Op, TableChunk};

/// Tells which updates of a chunk changed the key.
///
/// An old image alone does not say so: under `REPLICA IDENTITY FULL` every update has one, and the server sends the old
/// key of an unchanged one when the key is stored out of line.
pub(crate) struct KeyChanges<'a> {
    chunk: &'a TableChunk,
    columns: Vec<KeyColumn>,
}

struct KeyColumn {
    index: usize,
    /// `None` for types that have no order; those are compared value by value.
    comparator: Option<DynComparator>,
}

impl<'a> KeyChanges<'a> {
    /// The key changes of `chunk`.
    pub(crate) fn of(chunk: &'a TableChunk) -> Self {
        let column = |before: &[_], index: usize| {
            let (before, after): (&dyn Array, &dyn Array) = (&before[index], &chunk.after[index]);
            KeyColumn { index, comparator: make_comparator(before, after, SortOptions::default()).ok() }
        };
        let before = chunk.before.as_deref();
        let columns = before.map(|before| chunk.schema.key.iter().map(|index| column(before, *index)).collect());
        Self { chunk, columns: columns.unwrap_or_default() }
    }

    /// Whether the record at `row` is an update that changed the key.
    pub(crate) fn changed(&self, row: usize) -> bool {
        self.chunk.ops[row] == Op::Update
            && self.chunk.old[row] != OldImage::None
            && self.columns.iter().any(|column| self.differs(column, row))
    }

    /// Whether the old image of the record at `row` tells something: an old key that is the new one does not.
    pub(crate) fn tells_old(&self, row: usize) -> bool {
        match self.chunk.old[row] {
            OldImage::None => false,
            OldImage::Full => true,
            OldImage::Key => self.chunk.ops[row] == Op::Delete || self.changed(row),
        }
    }

    fn differs(&self, KeyColumn { index, comparator }: &KeyColumn, row: usize) -> bool {
        if self.chunk.unchanged.as_ref().is_some_and(|unchanged| unchanged.is_unchanged(row, *index)) {
            return false;
        }
        match (comparator, &self.chunk.before) {
            (Some(comparator), _) => comparator(row, row).is_ne(),
            (None, Some(before)) => before[*index].slice(row, 1) != self.chunk.after[*index].slice(row, 1),
            (None, None) => false,
        }
    }
}
