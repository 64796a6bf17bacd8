//! Messages: from chunks of Arrow columns to keyed messages, for destinations that are topics rather than files.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{ChangeBatch, Envelope, Result, TableChunk, TableSchema, WireFormat};

/// Encoded messages: one buffer, and where each message lies in it. Cleared and used again, so that a record costs no allocation.
#[derive(Debug, Default)]
pub struct Messages {
    /// The bytes of all keys, values and headers.
    pub bytes: Vec<u8>,
    /// The messages, in the order in which they have to be delivered. Their `rows` ascend.
    pub spans: Vec<MessageSpan>,
}

/// One message of [`Messages`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSpan {
    /// The rows of the chunk that the message was made of: one, or in batch mode a run of them. Several messages may be
    /// made of one row, such as a deletion and its tombstone.
    pub rows: Range<usize>,
    /// The key; `None` for a record without one.
    pub key: Option<Range<usize>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Range<usize>>,
    /// Headers that belong to the envelope, by name. Destinations add their own.
    pub headers: Vec<(&'static str, Range<usize>)>,
}

impl Messages {
    /// Forgets all messages and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// The bytes of a span.
    pub fn get(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}

/// One wire format in one envelope, as messages.
#[async_trait]
pub trait MessageCodec: Send + Sync {
    /// The format.
    fn format(&self) -> WireFormat;

    /// The envelope.
    fn envelope(&self) -> Envelope;

    /// The media type of a message's value, such as `application/json`.
    fn content_type(&self) -> &'static str;

    /// The batch with records of what the envelope tells beside rows, such as logical messages: records of tables that no source
    /// has, for which [`encoder`](Self::encoder) makes encoders as for others. Most envelopes tell nothing.
    fn announce(&self, batch: Arc<ChangeBatch>) -> Arc<ChangeBatch> {
        batch
    }

    /// The topic of the records of `table`, when it is a table that no source has.
    fn topic(&self, _table: &TableSchema) -> Option<String> {
        None
    }

    /// An encoder of messages to `topic` with records of one table at one schema version. With a schema registry, the schemas are
    /// registered when this returns, before the first message that needs them.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the format cannot hold the schema or the registry refuses
    /// it, [`ErrorKind::Retry`](crate::ErrorKind::Retry) when the registry cannot be reached.
    async fn encoder(&self, schema: &Arc<TableSchema>, topic: &str) -> Result<Box<dyn MessageEncoder>>;
}

/// Encodes records of one table at one schema version as messages to one topic.
pub trait MessageEncoder: Send {
    /// Appends the messages of `rows` of `chunk`, whose schema is the encoder's, to `out`. After an error, what was appended
    /// counts for nothing.
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()>;
}
