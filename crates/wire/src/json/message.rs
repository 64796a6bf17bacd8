//! One JSON document per message, with the key as a document of its own.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Envelope, MessageCodec, MessageEncoder, MessageSpan, Messages, Op, Result, TableChunk, TableSchema, WireFormat,
};

use super::plan::TablePlan;
use crate::JsonSettings;

/// JSON messages in one envelope.
#[derive(Debug)]
pub(crate) struct JsonMessages {
    pub(crate) envelope: Envelope,
    pub(crate) settings: JsonSettings,
    /// Whether each deletion is followed by a message without a value.
    pub(crate) tombstones: bool,
}

struct JsonMessageEncoder {
    plan: TablePlan,
    tombstones: bool,
}

#[async_trait]
impl MessageCodec for JsonMessages {
    fn format(&self) -> WireFormat {
        WireFormat::Json
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, _topic: &str) -> Result<Box<dyn MessageEncoder>> {
        let plan = TablePlan::compile(self.envelope, schema, self.settings.numeric)?;
        Ok(Box::new(JsonMessageEncoder { plan, tombstones: self.tombstones }))
    }
}

impl MessageEncoder for JsonMessageEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let mut records = self.plan.bind(chunk)?;
        for row in rows {
            let has_key = !chunk.schema.key.is_empty() && chunk.ops[row] != Op::Truncate;
            let begin = out.bytes.len();
            if has_key {
                records.push_key(row, &mut out.bytes);
            }
            let key_end = out.bytes.len();
            records.push(row, &mut out.bytes);
            // Lines end with a line break, messages do not.
            out.bytes.pop();
            let key = has_key.then_some(begin..key_end);
            let span =
                MessageSpan { rows: row..row + 1, key, value: Some(key_end..out.bytes.len()), headers: Vec::new() };
            let tombstone = (self.tombstones && has_key && chunk.ops[row] == Op::Delete)
                .then(|| MessageSpan { value: None, ..span.clone() });
            out.spans.push(span);
            out.spans.extend(tombstone);
        }
        Ok(())
    }
}
