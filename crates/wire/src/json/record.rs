//! Documents: records in their envelopes.

use std::io::Write;

use ductstream_core::{Envelope, OldImage, Op, Position, TableChunk};

use super::plan::TablePlan;
use super::text::{push_int, push_string};
use super::time::{Style, push_timestamp};
use super::values::Values;
use crate::envelope::KeyChanges;

/// The records of one chunk.
pub(super) struct Records<'a> {
    plan: &'a TablePlan,
    chunk: &'a TableChunk,
    after: Vec<Values<'a>>,
    before: Option<Vec<Values<'a>>>,
    key_changes: KeyChanges<'a>,
    transaction: Transaction,
}

/// Text that is the same for every record of a transaction.
#[derive(Default)]
struct Transaction {
    of: Option<(u64, u32, i64)>,
    /// `"0/16B3748"`.
    commit_lsn: Vec<u8>,
    /// `"2026-11-23T11:24:39.049237Z"`.
    commit_time: Vec<u8>,
}

impl Transaction {
    fn enter(&mut self, position: Position, xid: u32, commit_time: i64) {
        let of = Some((position.commit_lsn.0, xid, commit_time));
        if self.of == of {
            return;
        }
        *self = Self { of, ..Self::default() };
        // Writing to memory does not fail.
        let _ = write!(self.commit_lsn, "\"{}\"", position.commit_lsn);
        self.commit_time.push(b'"');
        push_timestamp(commit_time, true, Style::Iso, &mut self.commit_time);
        self.commit_time.push(b'"');
    }
}

impl<'a> Records<'a> {
    pub(super) fn new(
        plan: &'a TablePlan,
        chunk: &'a TableChunk,
        after: Vec<Values<'a>>,
        before: Option<Vec<Values<'a>>>,
        key_changes: KeyChanges<'a>,
    ) -> Self {
        Self { plan, chunk, after, before, key_changes, transaction: Transaction::default() }
    }

    /// Appends the document of `row` and a line break.
    pub(super) fn push(&mut self, row: usize, out: &mut Vec<u8>) {
        self.push_document(row, out);
        out.push(b'\n');
    }

    /// Appends the document of `row`.
    pub(super) fn push_document(&mut self, row: usize, out: &mut Vec<u8>) {
        self.transaction.enter(self.chunk.positions[row], self.chunk.xids[row], self.chunk.commit_times[row]);
        match self.plan.envelope {
            Envelope::Flat => self.push_flat(row, out),
            _ => self.push_native(row, out),
        }
    }

    fn push_flat(&self, row: usize, out: &mut Vec<u8>) {
        let is_delete = self.chunk.ops[row] == Op::Delete;
        let old = self.before.as_deref().filter(|_| is_delete);
        let mut object = Object::begin(out);
        for (index, member) in self.plan.members.iter().enumerate().filter(|(index, _)| !self.is_unchanged(row, *index))
        {
            object.name(&member.prefix);
            let columns = old.filter(|_| self.plan.table.is_key(index)).unwrap_or(&self.after);
            columns[index].push(row, object.out);
        }
        object.name(b",\"_op\":");
        push_op(self.chunk.ops[row], object.out);
        out.extend_from_slice(b",\"_commit_lsn\":");
        out.extend_from_slice(&self.transaction.commit_lsn);
        out.extend_from_slice(b",\"_seq\":");
        push_int(self.chunk.positions[row].seq, out);
        out.extend_from_slice(b",\"_xid\":");
        push_int(self.chunk.xids[row], out);
        out.extend_from_slice(b",\"_commit_time\":");
        out.extend_from_slice(&self.transaction.commit_time);
        out.extend_from_slice(b",\"_unchanged\":");
        self.push_unchanged(row, out);
        out.extend_from_slice(b",\"_old_key\":");
        self.push_old_key(row, out);
        out.extend_from_slice(b",\"_schema_version\":");
        push_int(self.plan.table.version, out);
        out.push(b'}');
    }

    fn push_native(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"op\":");
        push_op(self.chunk.ops[row], out);
        out.extend_from_slice(b",\"table\":");
        out.extend_from_slice(&self.plan.table_name);
        out.extend_from_slice(b",\"key\":");
        self.push_key(row, out);
        out.extend_from_slice(b",\"before\":");
        self.push_before(row, out);
        out.extend_from_slice(b",\"after\":");
        self.push_after(row, out);
        out.extend_from_slice(b",\"unchanged\":");
        self.push_unchanged(row, out);
        out.extend_from_slice(b",\"position\":{\"commit_lsn\":");
        out.extend_from_slice(&self.transaction.commit_lsn);
        out.extend_from_slice(b",\"seq\":");
        push_int(self.chunk.positions[row].seq, out);
        out.extend_from_slice(b"},\"xid\":");
        push_int(self.chunk.xids[row], out);
        out.extend_from_slice(b",\"commit_time\":");
        out.extend_from_slice(&self.transaction.commit_time);
        out.extend_from_slice(b",\"schema_version\":");
        push_int(self.plan.table.version, out);
        out.push(b'}');
    }

    /// Appends the key of `row`; `null` when it has none.
    pub(super) fn push_key(&self, row: usize, out: &mut Vec<u8>) {
        let op = self.chunk.ops[row];
        let columns = self.before.as_ref().filter(|_| op == Op::Delete).unwrap_or(&self.after);
        if op == Op::Truncate || self.plan.table.key.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            self.push_row(columns, row, |index| self.plan.table.is_key(index), out);
        }
    }

    /// Whether `row` is an update that changed the key.
    pub(super) fn changed_key(&self, row: usize) -> bool {
        self.key_changes.changed(row)
    }

    /// Appends the old key of an update that changed it; `null` of everything else.
    pub(super) fn push_old_key(&self, row: usize, out: &mut Vec<u8>) {
        match self.before.as_ref().filter(|_| self.key_changes.changed(row)) {
            Some(before) => self.push_row(before, row, |index| self.plan.table.is_key(index), out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn push_before(&self, row: usize, out: &mut Vec<u8>) {
        match (self.before.as_ref().filter(|_| self.key_changes.tells_old(row)), self.chunk.old[row]) {
            (Some(before), OldImage::Full) => self.push_row(before, row, |_| true, out),
            (Some(before), OldImage::Key) => self.push_row(before, row, |index| self.plan.table.is_key(index), out),
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn push_after(&self, row: usize, out: &mut Vec<u8>) {
        match self.chunk.ops[row] {
            Op::Delete | Op::Truncate => out.extend_from_slice(b"null"),
            _ => self.push_row(&self.after, row, |index| !self.is_unchanged(row, index), out),
        }
    }

    fn push_row(&self, columns: &[Values<'_>], row: usize, shown: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        for (index, member) in self.plan.members.iter().enumerate().filter(|(index, _)| shown(*index)) {
            object.name(&member.prefix);
            columns[index].push(row, object.out);
        }
        out.push(b'}');
    }

    fn push_unchanged(&self, row: usize, out: &mut Vec<u8>) {
        let mut names = self.chunk.unchanged.iter().flat_map(|unchanged| unchanged.columns_of(row)).peekable();
        if names.peek().is_none() {
            return out.extend_from_slice(b"null");
        }
        out.push(b'[');
        for (index, column) in names.enumerate() {
            out.extend_from_slice(if index == 0 { b"" } else { b"," });
            push_string(&self.plan.members[column].name, out);
        }
        out.push(b']');
    }

    fn is_unchanged(&self, row: usize, column: usize) -> bool {
        self.chunk.unchanged.as_ref().is_some_and(|unchanged| unchanged.is_unchanged(row, column))
    }
}

/// An object that is being written, so that no comma stands in front of its first member.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Appends `,"name":`, or the same without the comma.
    fn name(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(&prefix[usize::from(self.is_empty)..]);
        self.is_empty = false;
    }
}

fn push_op(op: Op, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(op.as_str().as_bytes());
    out.push(b'"');
}
