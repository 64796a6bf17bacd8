//! One message for what is encoded at once.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Codec, Envelope, MessageCodec, MessageEncoder, MessageSpan, Messages, Result, TableChunk, TableSchema, WireFormat,
};

use super::{MessageMode, content_type};

/// Messages that hold what an object of `codec` would.
pub(super) struct BatchCodec {
    codec: Arc<dyn Codec>,
}

impl BatchCodec {
    pub(super) fn new(codec: Arc<dyn Codec>) -> Self {
        Self { codec }
    }
}

#[async_trait]
impl MessageCodec for BatchCodec {
    fn format(&self) -> WireFormat {
        self.codec.format()
    }

    fn envelope(&self) -> Envelope {
        self.codec.envelope()
    }

    fn content_type(&self) -> &'static str {
        content_type(self.format(), MessageMode::Batch)
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, _topic: &str) -> Result<Box<dyn MessageEncoder>> {
        // What the format cannot hold is refused here, not at the first record.
        self.codec.encoder(schema)?;
        Ok(Box::new(BatchEncoder { codec: self.codec.clone(), schema: schema.clone() }))
    }
}

struct BatchEncoder {
    codec: Arc<dyn Codec>,
    schema: Arc<TableSchema>,
}

impl MessageEncoder for BatchEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut encoder = self.codec.encoder(&self.schema)?;
        encoder.append(chunk, rows.clone())?;
        let start = out.bytes.len();
        out.bytes.extend_from_slice(&encoder.finish()?);
        let value = Some(start..out.bytes.len());
        out.spans.push(MessageSpan { rows, key: None, value, headers: Vec::new() });
        Ok(())
    }
}
