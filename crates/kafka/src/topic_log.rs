//! A topic that a flow keeps things in, and reads back whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ductstream_core::{ByteSize, Error, Position, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::OnceCell;

use crate::connection::Connection;
use crate::deliveries::Sent;
use crate::destination::blocking;
use crate::failure::explain_error;
use crate::limits;
use crate::send::Sender;
use crate::settings::{ExactlyOnce, KafkaSettings};
use crate::token::ReaderCallbacks;
use crate::topics::Topics;

/// Key and value of a message.
type KeyValue = (String, Vec<u8>);

/// Messages with keys, appended one by one, each durable before the next.
///
/// A key may come twice, after a crash: of its messages the last counts.
pub struct TopicLog {
    settings: KafkaSettings,
    topic: String,
    sender: OnceCell<Arc<Sender>>,
}

impl TopicLog {
    /// The topic of this name in the cluster of these settings. Nothing is connected to yet.
    pub fn new(settings: KafkaSettings, topic: &str) -> Self {
        // What is kept here may be what was too large elsewhere.
        let max_message_size = ByteSize(limits::LOG_MESSAGE_BYTES.max(settings.max_message_size.0));
        let memory_limit = ByteSize(settings.memory_limit.0.max(4 * max_message_size.0));
        let settings = KafkaSettings { max_message_size, memory_limit, exactly_once: ExactlyOnce::No, ..settings };
        Self { settings, topic: topic.to_owned(), sender: OnceCell::new() }
    }

    /// Appends a message. When this returns, all in-sync replicas have it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the topic does not exist and is not to be created,
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when it does not take a message as large as this,
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when no broker confirms in time.
    pub async fn append(&self, key: String, value: Vec<u8>) -> Result<()> {
        let sender = self.sender.get_or_try_init(|| self.connect()).await?.clone();
        let topic = self.topic.clone();
        blocking(move || {
            let deliveries = &sender.connection.deliveries;
            let number = deliveries.add(Sent { unconfirmed: 1, end: Position::default(), ..Sent::default() });
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&topic, number);
            (record.key, record.payload) = (Some(key.as_bytes()), Some(value.as_slice()));
            sender.put(record)?;
            while !deliveries.wait_until_confirmed(limits::ROOM_PAUSE) {
                sender.may_go_on()?;
            }
            sender.may_go_on()
        })
        .await
    }

    async fn connect(&self) -> Result<Arc<Sender>> {
        let settings = self.settings.clone();
        let (connection, cluster) = blocking(move || Connection::open(&settings, None)).await?;
        let connection = Arc::new(connection);
        Topics::new(connection.clone(), self.settings.create_topics.clone(), &cluster).ensure_log(&self.topic).await?;
        Ok(Arc::new(Sender { connection, is_closed: Arc::default(), headers: None }))
    }

    /// Every message, partition by partition in their order; none when there is no such topic.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the topic cannot be read to its end in time.
    pub async fn read(&self) -> Result<Vec<KeyValue>> {
        let (settings, topic) = (self.settings.clone(), self.topic.clone());
        blocking(move || {
            let (connection, cluster) = Connection::open(&settings, None)?;
            let found = cluster.topics().iter().find(|it| it.name() == topic && !it.partitions().is_empty());
            let partitions: Vec<i32> = found.iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
            read_to_the_end(&connection, &topic, &partitions)
        })
        .await
    }
}

fn read_to_the_end(connection: &Connection, topic: &str, partitions: &[i32]) -> Result<Vec<KeyValue>> {
    let explain = |error: KafkaError| explain_error(&error, &format!("read topic {topic} of"), &connection.place);
    let mut client = connection.client.clone();
    client.set("group.id", "ductstream").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    client.set("fetch.max.bytes", limits::LOG_MESSAGE_BYTES.to_string());
    client.set("receive.message.max.bytes", (2 * limits::LOG_MESSAGE_BYTES).to_string());
    let callbacks = ReaderCallbacks(connection.tokens.clone());
    let consumer: BaseConsumer<ReaderCallbacks> = client.create_with_context(callbacks).map_err(explain)?;
    // Serves the callback by which a token is asked for.
    consumer.poll(Duration::ZERO);
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).map_err(explain)?;
    }
    consumer.assign(&assignment).map_err(explain)?;
    let mut open: HashSet<i32> = partitions.iter().copied().collect();
    let (mut messages, mut deadline) = (Vec::new(), Instant::now() + limits::READ_TIMEOUT);
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(limits::LOOK_TIMEOUT) {
            Some(Ok(message)) => {
                let key = message.key().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
                messages.push((key, message.payload().unwrap_or_default().to_vec()));
                deadline = Instant::now() + limits::READ_TIMEOUT;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // librdkafka goes on by itself until the deadline.
            Some(Err(error)) => tracing::debug!(topic, %error, "reading a topic"),
            None => {}
        }
    }
    if open.is_empty() {
        return Ok(messages);
    }
    Err(Error::retry(format!("topic {topic} of {} could not be read to its end in time", connection.place))
        .with_remedy("check that the topic's leaders can be reached"))
}
