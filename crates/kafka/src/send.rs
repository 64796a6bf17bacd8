//! From messages to librdkafka's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ductstream_core::{Error, MessageSpan, Messages, Op, Result, TableChunk};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::connection::Connection;
use crate::failure::explain_error;
use crate::limits;
use crate::writer::Table;

/// Puts messages into the queue, and waits while that is full.
pub(crate) struct Sender {
    pub(crate) connection: Arc<Connection>,
    /// Set when the destination was dropped: whatever is being sent stops.
    pub(crate) is_closed: Arc<AtomicBool>,
    /// The content type, when messages have headers.
    pub(crate) headers: Option<&'static str>,
}

/// A message, and what it was made of.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) table: &'a Table,
    pub(crate) chunk: &'a TableChunk,
    pub(crate) messages: &'a Messages,
    pub(crate) message: &'a MessageSpan,
    /// How many partitions it belongs into; `None`: into one, which its key decides.
    pub(crate) copies: Option<i32>,
}

impl Outgoing<'_> {
    /// Whether everything after the message follows it: it then belongs into every partition, for each has an order of its own.
    pub(crate) fn is_truncate(chunk: &TableChunk, message: &MessageSpan) -> bool {
        message.key.is_none() && chunk.ops[message.rows.start] == Op::Truncate
    }
}

impl Sender {
    /// How many partitions a topic has now. Blocks.
    pub(crate) fn partitions(&self, topic: &str) -> Result<i32> {
        let explain = |error| {
            explain_error(&error, &format!("look up the partitions of topic {topic} of"), &self.connection.place)
        };
        let client = self.connection.producer.client();
        let found = client.fetch_metadata(Some(topic), limits::CONNECT_TIMEOUT).map_err(explain)?;
        let count = found.topics().first().map_or(0, |topic| topic.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX).max(1))
    }

    /// Sends a message of the batch with this number.
    pub(crate) fn send(&self, outgoing: &Outgoing<'_>, number: usize) -> Result<()> {
        match outgoing.copies {
            None => self.send_one(outgoing, None, number),
            Some(count) => (0..count).try_for_each(|partition| self.send_one(outgoing, Some(partition), number)),
        }
    }

    fn send_one(&self, outgoing: &Outgoing<'_>, partition: Option<i32>, number: usize) -> Result<()> {
        let Outgoing { table, messages, message, .. } = outgoing;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&table.topic, number);
        record.partition = partition;
        record.key = message.key.as_ref().map(|range| messages.get(range));
        record.payload = message.value.as_ref().map(|range| messages.get(range));
        record.headers = self.headers(outgoing);
        self.put(record)
    }

    /// Puts a record into the queue.
    pub(crate) fn put(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<()> {
        loop {
            record = match self.connection.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, record)) => {
                    let doing = format!("send a message to topic {} of", record.topic);
                    return Err(explain_error(&error, &doing, &self.connection.place));
                }
            };
            self.may_go_on()?;
            self.connection.deliveries.wait_for_room(limits::ROOM_PAUSE);
        }
    }

    /// Fails when a delivery has failed, or the destination was dropped.
    pub(crate) fn may_go_on(&self) -> Result<()> {
        self.connection.deliveries.durable()?;
        match self.is_closed.load(Ordering::Relaxed) {
            true => Err(Error::retry("the destination was dropped while it wrote")),
            false => Ok(()),
        }
    }

    fn headers(&self, outgoing: &Outgoing<'_>) -> Option<OwnedHeaders> {
        let Outgoing { table, chunk, messages, message, .. } = outgoing;
        if self.headers.is_none() && message.headers.is_empty() {
            return None;
        }
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len() + 5);
        if let Some(content_type) = self.headers {
            let row = message.rows.start;
            headers = headers
                .insert(header("ductstream.op", chunk.ops[row].as_str().as_bytes()))
                .insert(header("ductstream.position", chunk.positions[row].to_string().as_bytes()))
                .insert(header("ductstream.table", table.name.as_bytes()))
                .insert(header("ductstream.schema_version", table.version.as_bytes()));
            if message.value.is_some() {
                headers = headers.insert(header("content-type", content_type.as_bytes()));
            }
        }
        Some(message.headers.iter().fold(headers, |all, (name, value)| all.insert(header(name, messages.get(value)))))
    }
}

fn header<'a>(key: &'a str, value: &'a [u8]) -> Header<'a, &'a [u8]> {
    Header { key, value: Some(value) }
}
