//! Whole batches as JSON lines, in commit order across tables.

use std::collections::HashMap;
use std::sync::Arc;

use ductstream_core::{ChangeBatch, Envelope, Result, TableName, TableSchema};

use super::debezium::{MessageLines, ValueLines};
use super::encoder::Lines;
use super::plan::TablePlan;
use crate::envelope::check_envelope;
use crate::envelope::debezium::{Announcer, Debezium};
use crate::{JsonSettings, NumericJson};

/// Writes batches as JSON lines in commit order across tables, uncompressed: for standard output and other streams.
pub struct JsonLines {
    shape: Shape,
    /// In the envelope `debezium`.
    announcer: Option<Announcer>,
    plans: HashMap<TableName, (Arc<TableSchema>, Arc<Lines>)>,
}

/// What lines look like.
enum Shape {
    Table(Envelope, NumericJson),
    Debezium(Box<Debezium>, bool),
}

impl JsonLines {
    /// Lines in `envelope`. The compression of `settings` is not used.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the envelope does not exist yet.
    pub fn new(envelope: Envelope, settings: JsonSettings) -> Result<Self> {
        check_envelope(envelope)?;
        Ok(Self { shape: Shape::Table(envelope, settings.numeric), announcer: None, plans: HashMap::new() })
    }

    /// Lines of the values of the envelope `debezium`, or of whole messages: topic, key, headers and value.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range.
    pub fn debezium(debezium: Debezium, messages: bool) -> Result<Self> {
        debezium.settings.validate()?;
        let announcer = Some(Announcer::new(&debezium)?);
        Ok(Self { shape: Shape::Debezium(Box::new(debezium), messages), announcer, plans: HashMap::new() })
    }

    /// Appends a line per record of `batch` to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when JSON in this envelope cannot hold a table.
    pub fn append(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        let announced = self.announcer.as_ref().and_then(|announcer| announcer.announce(batch));
        let batch = announced.as_ref().unwrap_or(batch);
        let plans = batch.chunks.iter().map(|chunk| self.plan(&chunk.schema)).collect::<Result<Vec<_>>>()?;
        let mut next = vec![0; plans.len()];
        for run in &batch.runs {
            let chunk = run.chunk as usize;
            let rows = next[chunk]..next[chunk] + run.rows as usize;
            next[chunk] = rows.end;
            plans[chunk].push(&batch.chunks[chunk], rows, out)?;
        }
        Ok(())
    }

    fn plan(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<Lines>> {
        match self.plans.get(&schema.table) {
            Some((table, plan)) if Arc::ptr_eq(table, schema) || **table == **schema => Ok(plan.clone()),
            _ => {
                let plan = Arc::new(match &self.shape {
                    Shape::Table(envelope, numeric) => {
                        Lines::Table(Box::new(TablePlan::compile(*envelope, schema, *numeric)?))
                    }
                    Shape::Debezium(debezium, false) => {
                        Lines::Debezium(Box::new(ValueLines::compile(debezium, schema)?))
                    }
                    Shape::Debezium(debezium, true) => {
                        Lines::DebeziumMessages(Box::new(MessageLines::compile(debezium, schema)?))
                    }
                });
                self.plans.insert(schema.table.clone(), (schema.clone(), plan.clone()));
                Ok(plan)
            }
        }
    }
}
