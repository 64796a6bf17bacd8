//! What the envelope tells beside rows, as records that are encoded and delivered as rows are.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::FieldRef;
use ductstream_core::{Barrier, ChangeBatch, HEARTBEAT_PREFIX, LogicalMessage, Result, Run, TableChunk, TableSchema};

use super::messages::{self, MessageTransform, NO_VERSION};
use super::prefixes::Prefixes;
use super::{Debezium, DebeziumTransform, Events};

/// Makes the events of a table's records, or of logical messages.
#[derive(Clone)]
pub(crate) enum EventTransform {
    Rows(Box<DebeziumTransform>),
    Messages(Box<MessageTransform>),
}

impl EventTransform {
    /// The transform of the records of `table`.
    pub(crate) fn new(debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        Ok(match table.version {
            NO_VERSION => Self::Messages(Box::new(MessageTransform::new(debezium, table))),
            _ => Self::Rows(Box::new(DebeziumTransform::new(debezium, table)?)),
        })
    }

    pub(crate) fn table(&self) -> &Arc<TableSchema> {
        match self {
            Self::Rows(transform) => transform.table(),
            Self::Messages(transform) => &transform.table,
        }
    }

    /// The key as a struct with its Connect types; `None` when events have no key.
    pub(crate) fn key_field(&self) -> Option<&FieldRef> {
        match self {
            Self::Rows(transform) => transform.key_field(),
            Self::Messages(transform) => Some(&transform.key_field),
        }
    }

    /// The value as a struct with its Connect types.
    pub(crate) fn value_field(&self) -> &FieldRef {
        match self {
            Self::Rows(transform) => transform.value_field(),
            Self::Messages(transform) => &transform.value_field,
        }
    }

    /// The events of `rows` of `chunk`.
    pub(crate) fn apply(&self, chunk: &TableChunk, rows: Range<usize>) -> Result<Events> {
        match self {
            Self::Rows(transform) => transform.apply(chunk, rows),
            Self::Messages(transform) => transform.apply(chunk, rows),
        }
    }
}

/// The topic of the records of `table` when it is one that no source has.
pub(crate) fn topic(table: &TableSchema) -> Option<String> {
    (table.version == NO_VERSION).then(|| table.table.to_string())
}

/// Adds records of what is told beside rows to batches.
#[derive(Debug)]
pub(crate) struct Announcer {
    messages: Arc<TableSchema>,
    prefixes: Prefixes,
}

impl Announcer {
    /// # Errors
    /// `Configuration` when an option cannot be used.
    pub(crate) fn new(debezium: &Debezium) -> Result<Self> {
        Ok(Self { messages: messages::table(debezium), prefixes: debezium.settings.prefixes()? })
    }

    /// The batch with records of the logical messages among its barriers, in front of the others; `None` when there are none.
    pub(crate) fn announce(&self, batch: &ChangeBatch) -> Option<ChangeBatch> {
        let told: Vec<&LogicalMessage> = batch.barriers.iter().filter_map(|barrier| self.told(barrier)).collect();
        if told.is_empty() {
            return None;
        }
        let mut announced = batch.clone();
        announced.chunks.push(messages::chunk(&self.messages, &told, batch.end_time.unwrap_or(0)));
        announced.runs.insert(0, Run { chunk: batch.chunks.len() as u32, rows: told.len() as u32 });
        Some(announced)
    }

    fn told<'a>(&self, barrier: &'a Barrier) -> Option<&'a LogicalMessage> {
        match barrier {
            Barrier::Message(message) if message.prefix == HEARTBEAT_PREFIX => None,
            Barrier::Message(message) => self.prefixes.take(&message.prefix).then_some(message),
            Barrier::Schema { .. } | Barrier::Truncate { .. } => None,
        }
    }
}
