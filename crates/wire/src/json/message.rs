//! Documents by themselves, with their keys.

use std::ops::Range;
use std::sync::Arc;

use ductstream_core::{Envelope, Result, TableChunk, TableSchema};
use serde_json::Value;

use super::plan::TablePlan;
use super::schema::{json_schema, key_schema};
use crate::NumericJson;
use crate::message::MessageEnds;

/// Writes records of one table at one schema version, and their keys, as documents.
#[derive(Debug)]
pub(crate) struct JsonMessages {
    plan: TablePlan,
    numeric: NumericJson,
    /// What stands in front of every value.
    pub(crate) value_frame: Vec<u8>,
    /// What stands in front of every key.
    pub(crate) key_frame: Vec<u8>,
}

impl JsonMessages {
    pub(crate) fn new(envelope: Envelope, table: &Arc<TableSchema>, numeric: NumericJson) -> Result<Self> {
        let plan = TablePlan::compile(envelope, table, numeric)?;
        Ok(Self { plan, numeric, value_frame: Vec::new(), key_frame: Vec::new() })
    }

    /// The JSON Schemas of the values and of the keys, where there are keys.
    pub(crate) fn schemas(&self) -> Result<(Value, Option<Value>)> {
        let table = &self.plan.table;
        let value = json_schema(self.plan.envelope, table, self.numeric)?;
        Ok((value, key_schema(table, self.numeric)?))
    }

    /// Appends all values, then all keys, then all old keys, and where each of them ends.
    pub(crate) fn write(
        &self,
        chunk: &TableChunk,
        rows: Range<usize>,
        out: &mut Vec<u8>,
        ends: &mut MessageEnds,
    ) -> Result<()> {
        let mut records = self.plan.bind(chunk)?;
        for row in rows.clone() {
            out.extend_from_slice(&self.value_frame);
            records.push_document(row, out);
            ends.values.push(out.len());
        }
        if self.plan.table.key.is_empty() {
            return Ok(());
        }
        for row in rows.clone() {
            out.extend_from_slice(&self.key_frame);
            records.push_key(row, out);
            ends.keys.push(out.len());
        }
        for row in rows.filter(|_| ends.with_old_keys).filter(|row| records.changed_key(*row)) {
            out.extend_from_slice(&self.key_frame);
            records.push_old_key(row, out);
            ends.old_keys.push(out.len());
        }
        Ok(())
    }
}
