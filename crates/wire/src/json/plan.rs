//! What is known of a table's documents before the first record.

use std::sync::Arc;

use ductstream_core::{Envelope, Error, Result, TableChunk, TableSchema};

use super::kind::Member;
use super::record::Records;
use super::text::push_string;
use super::values::Values;
use crate::NumericJson;
use crate::envelope::{KeyChanges, check_table};

/// How the records of one table at one schema version are written.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    pub(super) table: Arc<TableSchema>,
    pub(super) envelope: Envelope,
    /// One per column.
    pub(super) members: Vec<Member>,
    /// The table's name as a JSON string.
    pub(super) table_name: Vec<u8>,
}

impl TablePlan {
    pub(super) fn compile(envelope: Envelope, table: &Arc<TableSchema>, numeric: NumericJson) -> Result<Self> {
        check_table(envelope, table)?;
        let of_table = |error: Error| error.context(format_args!("table {}", table.table));
        let members = table.columns.iter().map(|column| Member::new(&column.field, numeric).map_err(of_table));
        let mut table_name = Vec::new();
        push_string(&table.table.to_string(), &mut table_name);
        Ok(Self { table: table.clone(), envelope, members: members.collect::<Result<_>>()?, table_name })
    }

    /// The records of `chunk`, ready to be written.
    pub(super) fn bind<'a>(&'a self, chunk: &'a TableChunk) -> Result<Records<'a>> {
        let bind = |columns: &'a [arrow_array::ArrayRef]| {
            if columns.len() != self.members.len() {
                let (table, version) = (&self.table.table, self.table.version);
                return Err(Error::bug(format!(
                    "writing JSON: a chunk does not fit version {version} of table {table}"
                )));
            }
            let pairs = self.members.iter().zip(columns);
            pairs.map(|(member, column)| Values::bind(&member.kind, column)).collect::<Result<Vec<_>>>()
        };
        let before = chunk.before.as_deref().map(bind).transpose()?;
        Ok(Records::new(self, chunk, bind(&chunk.after)?, before, KeyChanges::of(chunk)))
    }
}
