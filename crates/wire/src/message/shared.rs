//! Messages that several destinations send are made once.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use ductstream_core::{
    ChangeBatch, Envelope, MessageCodec, MessageEncoder, MessageSpan, Messages, Position, Result, TableChunk,
    TableName, TableSchema, WireFormat,
};
use parking_lot::Mutex;

use crate::limits;

/// What one destination has encoded is kept for the others, until all have it or newer messages need the room: a destination that
/// lags encodes for itself.
pub struct SharedMessages {
    codec: Arc<dyn MessageCodec>,
    /// How many destinations use it.
    users: usize,
    encoders: tokio::sync::Mutex<HashMap<Stream, Known>>,
    made: Arc<Mutex<Made>>,
}

/// A topic, and the table and schema version of its records.
type Stream = (String, TableName, u32);

/// An encoder that may still be in use, and the schema that it is for.
type Known = (Arc<TableSchema>, Weak<Mutex<Original>>);

/// The encoder that does the work.
struct Original {
    number: u64,
    /// Where the latest messages begin that it has made.
    latest: Option<Position>,
    encoder: Box<dyn MessageEncoder>,
}

/// Which messages: those of so many records from a position on, which are so many rows into their chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    encoder: u64,
    first: Position,
    rows: Range<usize>,
}

/// Messages that somebody may still want.
#[derive(Default)]
struct Made {
    encoders: u64,
    bytes: usize,
    /// With how many more destinations will ask.
    messages: HashMap<Key, (Arc<Messages>, usize)>,
    /// In the order in which they were made; some are taken already.
    order: VecDeque<Key>,
}

impl SharedMessages {
    /// Shares the messages of `codec` between so many destinations.
    pub fn new(codec: Arc<dyn MessageCodec>, users: usize) -> Self {
        Self { codec, users, encoders: tokio::sync::Mutex::default(), made: Arc::default() }
    }
}

#[async_trait]
impl MessageCodec for SharedMessages {
    fn format(&self) -> WireFormat {
        self.codec.format()
    }

    fn envelope(&self) -> Envelope {
        self.codec.envelope()
    }

    fn content_type(&self) -> &'static str {
        self.codec.content_type()
    }

    fn announce(&self, batch: Arc<ChangeBatch>) -> Arc<ChangeBatch> {
        self.codec.announce(batch)
    }

    fn topic(&self, table: &TableSchema) -> Option<String> {
        self.codec.topic(table)
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, topic: &str) -> Result<Box<dyn MessageEncoder>> {
        let mut encoders = self.encoders.lock().await;
        encoders.retain(|_, (_, encoder)| encoder.strong_count() > 0);
        let stream = (topic.to_owned(), schema.table.clone(), schema.version);
        let known = encoders.get(&stream).filter(|(known, _)| known == schema);
        let original = match known.and_then(|(_, encoder)| encoder.upgrade()) {
            Some(original) => original,
            None => {
                let encoder = self.codec.encoder(schema, topic).await?;
                let original =
                    Arc::new(Mutex::new(Original { number: self.made.lock().number(), latest: None, encoder }));
                encoders.insert(stream, (schema.clone(), Arc::downgrade(&original)));
                original
            }
        };
        Ok(Box::new(SharedEncoder { original, users: self.users, made: self.made.clone() }))
    }
}

struct SharedEncoder {
    original: Arc<Mutex<Original>>,
    users: usize,
    made: Arc<Mutex<Made>>,
}

impl MessageEncoder for SharedEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        let Some(first) = chunk.positions.get(rows.start).copied() else { return Ok(()) };
        // Held while it encodes: whoever comes for the same messages waits for them.
        let mut original = self.original.lock();
        let key = Key { encoder: original.number, first, rows: rows.clone() };
        if let Some(messages) = self.made.lock().take(&key) {
            append(&messages, out);
            return Ok(());
        }
        let mut messages = Messages::default();
        original.encoder.encode(chunk, rows, &mut messages)?;
        append(&messages, out);
        // What one that lags has to make again, the others have had.
        if original.latest <= Some(first) {
            original.latest = Some(first);
            self.made.lock().keep(key, Arc::new(messages), self.users - 1);
        }
        Ok(())
    }
}

impl Made {
    fn number(&mut self) -> u64 {
        self.encoders += 1;
        self.encoders
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Messages>> {
        let (messages, users) = self.messages.get_mut(key)?;
        let taken = messages.clone();
        *users -= 1;
        if *users == 0 {
            self.forget(key);
        }
        Some(taken)
    }

    fn keep(&mut self, key: Key, messages: Arc<Messages>, users: usize) {
        self.bytes += size(&messages);
        self.messages.insert(key.clone(), (messages, users));
        self.order.push_back(key);
        while self.bytes > limits::SHARED_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.forget(&oldest);
        }
        while self.order.pop_front_if(|oldest| !self.messages.contains_key(oldest)).is_some() {}
    }

    fn forget(&mut self, key: &Key) {
        if let Some((messages, _)) = self.messages.remove(key) {
            self.bytes -= size(&messages);
        }
    }
}

/// Bytes of memory that messages take.
fn size(messages: &Messages) -> usize {
    messages.bytes.capacity() + messages.spans.capacity() * size_of::<MessageSpan>()
}

/// Adds messages to others.
fn append(messages: &Messages, out: &mut Messages) {
    let base = out.bytes.len();
    let moved = |range: &Range<usize>| range.start + base..range.end + base;
    out.bytes.extend_from_slice(&messages.bytes);
    out.spans.extend(messages.spans.iter().map(|span| MessageSpan {
        rows: span.rows.clone(),
        key: span.key.as_ref().map(moved),
        value: span.value.as_ref().map(moved),
        headers: span.headers.iter().map(|(name, value)| (*name, moved(value))).collect(),
    }));
}
