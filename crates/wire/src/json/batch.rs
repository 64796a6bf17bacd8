//! Whole batches as JSON lines, in commit order across tables.

use std::collections::HashMap;
use std::sync::Arc;

use ductstream_core::{ChangeBatch, Envelope, Result, TableName, TableSchema};

use super::plan::TablePlan;
use super::record::Records;
use crate::JsonSettings;
use crate::envelope::check_envelope;

/// Writes batches as JSON lines in commit order across tables, uncompressed: for standard output and other streams.
#[derive(Debug)]
pub struct JsonLines {
    envelope: Envelope,
    settings: JsonSettings,
    plans: HashMap<TableName, Arc<TablePlan>>,
}

impl JsonLines {
    /// Lines in `envelope`. The compression of `settings` is not used.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the envelope does not exist yet.
    pub fn new(envelope: Envelope, settings: JsonSettings) -> Result<Self> {
        check_envelope(envelope)?;
        Ok(Self { envelope, settings, plans: HashMap::new() })
    }

    /// Appends a line per record of `batch` to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when JSON in this envelope cannot hold a table.
    pub fn append(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        let plans = batch.chunks.iter().map(|chunk| self.plan(&chunk.schema)).collect::<Result<Vec<_>>>()?;
        let pairs = plans.iter().zip(&batch.chunks);
        let mut chunks =
            pairs.map(|(plan, chunk)| Ok((plan.bind(chunk)?, 0))).collect::<Result<Vec<(Records<'_>, usize)>>>()?;
        for run in &batch.runs {
            let (records, next) = &mut chunks[run.chunk as usize];
            let end = *next + run.rows as usize;
            (*next..end).for_each(|row| records.push(row, out));
            *next = end;
        }
        Ok(())
    }

    fn plan(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<TablePlan>> {
        match self.plans.get(&schema.table) {
            Some(plan) if Arc::ptr_eq(&plan.table, schema) || *plan.table == **schema => Ok(plan.clone()),
            _ => {
                let plan = Arc::new(TablePlan::compile(self.envelope, schema, self.settings.numeric)?);
                self.plans.insert(schema.table.clone(), plan.clone());
                Ok(plan)
            }
        }
    }
}
