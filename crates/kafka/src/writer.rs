//! From batches to messages in librdkafka's queue.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ductstream_core::{
    ByteSize, ChangeBatch, Error, MessageEncoder, MessageSpan, Messages, Op, Result, TableChunk, TableName, TableSchema,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::connection::Connection;
use crate::deliveries::Sent;
use crate::failure::explain_error;
use crate::limits;

/// Encodes batches and sends them. Used by one thread at a time.
pub(crate) struct Writer {
    connection: Arc<Connection>,
    /// Set when the destination was dropped: whatever is being sent stops.
    pub(crate) is_closed: Arc<AtomicBool>,
    max_message_bytes: usize,
    /// The content type, when messages have headers.
    headers: Option<&'static str>,
    tables: HashMap<(TableName, u32), Table>,
    /// One per chunk of a batch, used again.
    messages: Vec<Messages>,
}

/// One table at one schema version.
struct Table {
    schema: Arc<TableSchema>,
    topic: String,
    /// The table's name and the version, as headers have them.
    name: String,
    version: String,
    encoder: Box<dyn MessageEncoder>,
}

/// A message, and what it was made of.
struct Outgoing<'a> {
    table: &'a Table,
    chunk: &'a TableChunk,
    messages: &'a Messages,
    message: &'a MessageSpan,
}

impl Writer {
    pub(crate) fn new(connection: Arc<Connection>, max_message_size: ByteSize, headers: Option<&'static str>) -> Self {
        Self {
            connection,
            is_closed: Arc::default(),
            max_message_bytes: usize::try_from(max_message_size.0).unwrap_or(usize::MAX),
            headers,
            tables: HashMap::new(),
            messages: Vec::new(),
        }
    }

    /// Whether the encoder of a schema is there.
    pub(crate) fn knows(&self, schema: &Arc<TableSchema>) -> bool {
        let known = self.tables.get(&key(schema));
        known.is_some_and(|table| Arc::ptr_eq(&table.schema, schema) || table.schema == *schema)
    }

    /// Takes the encoder of a schema. Encoders of older versions are dropped but for the one before.
    pub(crate) fn learn(&mut self, schema: &Arc<TableSchema>, topic: String, encoder: Box<dyn MessageEncoder>) {
        let (name, version) = key(schema);
        self.tables.retain(|(table, known), _| *table != name || known + 1 >= version);
        let table =
            Table { schema: schema.clone(), topic, name: name.to_string(), version: version.to_string(), encoder };
        self.tables.insert((name, version), table);
    }

    /// Sends a batch: everything is encoded first, so that what cannot be sent stops the batch before its first message. Blocks while the
    /// queue is full.
    pub(crate) fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.encode(batch)?;
        let mut sent = Sent { end: batch.end, ..Sent::default() };
        let mut partitions = HashMap::new();
        for (chunk, messages) in batch.chunks.iter().zip(&self.messages) {
            let table = self.table(chunk)?;
            let of_table = sent.tables.entry(chunk.schema.table.clone()).or_default();
            *of_table = (of_table.0 + chunk.len() as u64, of_table.1 + messages.bytes.len() as u64);
            for span in &messages.spans {
                let copies = match is_truncate(chunk, span) {
                    true => self.partitions(&table.topic, &mut partitions)?,
                    false => 1,
                };
                sent.unconfirmed += u64::from(copies.unsigned_abs());
            }
        }
        let number = self.connection.deliveries.add(sent);
        let mut next = vec![(0, 0); batch.chunks.len()];
        for run in &batch.runs {
            let chunk = &batch.chunks[run.chunk as usize];
            let (row, span) = &mut next[run.chunk as usize];
            *row += run.rows as usize;
            let messages = &self.messages[run.chunk as usize];
            let table = self.table(chunk)?;
            // A message of several rows goes where its first row stands.
            while let Some(message) = messages.spans.get(*span).filter(|message| message.rows.start < *row) {
                let outgoing = Outgoing { table, chunk, messages, message };
                let copies = if is_truncate(chunk, message) { partitions.get(&table.topic).copied() } else { None };
                match copies {
                    None => self.send(&outgoing, None, number)?,
                    Some(count) => {
                        (0..count).try_for_each(|partition| self.send(&outgoing, Some(partition), number))?
                    }
                }
                *span += 1;
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.messages.resize_with(self.messages.len().max(batch.chunks.len()), Messages::default);
        for (chunk, messages) in batch.chunks.iter().zip(&mut self.messages) {
            let table = self.tables.get_mut(&key(&chunk.schema)).ok_or_else(unknown)?;
            messages.clear();
            encode(&mut *table.encoder, chunk, 0..chunk.len(), self.max_message_bytes, messages)?;
        }
        Ok(())
    }

    fn table(&self, chunk: &TableChunk) -> Result<&Table> {
        self.tables.get(&key(&chunk.schema)).ok_or_else(unknown)
    }

    /// A message that everything after it follows belongs to every partition, for each has an order of its own.
    fn partitions(&self, topic: &str, known: &mut HashMap<String, i32>) -> Result<i32> {
        if let Some(count) = known.get(topic) {
            return Ok(*count);
        }
        let explain = |error| {
            explain_error(&error, &format!("look up the partitions of topic {topic} of"), &self.connection.place)
        };
        let found =
            self.connection.producer.client().fetch_metadata(Some(topic), limits::CONNECT_TIMEOUT).map_err(explain)?;
        let count = found.topics().first().map_or(0, |topic| topic.partitions().len());
        let count = i32::try_from(count).unwrap_or(i32::MAX).max(1);
        known.insert(topic.to_owned(), count);
        Ok(count)
    }

    fn send(&self, outgoing: &Outgoing<'_>, partition: Option<i32>, number: usize) -> Result<()> {
        let Outgoing { table, messages, message, .. } = outgoing;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&table.topic, number);
        record.partition = partition;
        record.key = message.key.as_ref().map(|range| messages.get(range));
        record.payload = message.value.as_ref().map(|range| messages.get(range));
        record.headers = self.headers(outgoing);
        loop {
            record = match self.connection.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => {
                    let doing = format!("send a message to topic {} of", table.topic);
                    return Err(explain_error(&error, &doing, &self.connection.place));
                }
            };
            self.connection.deliveries.confirmed()?;
            if self.is_closed.load(Ordering::Relaxed) {
                return Err(Error::retry("the destination was dropped while it wrote"));
            }
            self.connection.deliveries.wait_for_room(limits::ROOM_PAUSE);
        }
    }

    fn headers(&self, outgoing: &Outgoing<'_>) -> Option<OwnedHeaders> {
        let Outgoing { table, chunk, messages, message } = outgoing;
        if self.headers.is_none() && message.headers.is_empty() {
            return None;
        }
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len() + 5);
        let mut add = |key: &str, value: &[u8]| {
            let full = std::mem::replace(&mut headers, OwnedHeaders::new_with_capacity(0));
            headers = full.insert(Header { key, value: Some(value) });
        };
        if let Some(content_type) = self.headers {
            let row = message.rows.start;
            add("ductstream.op", chunk.ops[row].as_str().as_bytes());
            add("ductstream.position", chunk.positions[row].to_string().as_bytes());
            add("ductstream.table", table.name.as_bytes());
            add("ductstream.schema_version", table.version.as_bytes());
            if message.value.is_some() {
                add("content-type", content_type.as_bytes());
            }
        }
        for (key, value) in &message.headers {
            add(key, messages.get(value));
        }
        Some(headers)
    }
}

/// Encodes rows; a message of several rows that is too large is made anew of fewer.
fn encode(
    encoder: &mut dyn MessageEncoder,
    chunk: &TableChunk,
    rows: Range<usize>,
    max_bytes: usize,
    out: &mut Messages,
) -> Result<()> {
    let (bytes, spans) = (out.bytes.len(), out.spans.len());
    encoder.encode(chunk, rows.clone(), out)?;
    let Some(large) = out.spans[spans..].iter().find(|span| size(span) > max_bytes) else { return Ok(()) };
    if large.rows.len() < 2 {
        return Err(too_large(chunk, large, max_bytes));
    }
    out.bytes.truncate(bytes);
    out.spans.truncate(spans);
    let middle = rows.start + rows.len() / 2;
    encode(encoder, chunk, rows.start..middle, max_bytes, out)?;
    encode(encoder, chunk, middle..rows.end, max_bytes, out)
}

fn size(span: &MessageSpan) -> usize {
    let headers = span.headers.iter().map(|(name, value)| name.len() + value.len());
    let len = |range: &Option<Range<usize>>| range.as_ref().map_or(0, ExactSizeIterator::len);
    len(&span.key) + len(&span.value) + headers.sum::<usize>() + limits::OVERHEAD_BYTES
}

fn too_large(chunk: &TableChunk, span: &MessageSpan, max_bytes: usize) -> Error {
    let len = |range: &Option<Range<usize>>| range.as_ref().map_or(0, ExactSizeIterator::len);
    Error::data(format!(
        "a change of table {} at {} makes a message with a key of {} and a value of {} bytes, above the {max_bytes} of `max_message_size`",
        chunk.schema.table,
        chunk.positions[span.rows.start],
        len(&span.key),
        len(&span.value),
    ))
    .with_remedy("raise `max_message_size` of the destination, and `max.message.bytes` of the topic to the same")
}

fn is_truncate(chunk: &TableChunk, span: &MessageSpan) -> bool {
    span.key.is_none() && chunk.ops[span.rows.start] == Op::Truncate
}

fn key(schema: &TableSchema) -> (TableName, u32) {
    (schema.table.clone(), schema.version)
}

fn unknown() -> Error {
    Error::bug("a batch came to Kafka before the encoder of one of its tables")
}
