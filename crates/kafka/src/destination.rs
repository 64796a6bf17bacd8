//! The destination itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Capabilities, ChangeBatch, Destination, DestinationStart, DestinationStatus, Durable, Envelope, Error,
    MessageCodec, Op, Position, Refusals, Result, WireFormat,
};
use parking_lot::Mutex;
use tokio::task::{JoinError, JoinHandle};

use crate::connection::Connection;
use crate::names::Names;
use crate::position::Keeper;
use crate::send::Sender;
use crate::settings::{ExactlyOnce, ExactlyOnceSettings, KafkaSettings};
use crate::topics::Topics;
use crate::transactions::Transactions;
use crate::writer::Writer;

/// What a Kafka destination can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load],
    formats: &[WireFormat::Arrow, WireFormat::Parquet, WireFormat::Avro, WireFormat::Proto, WireFormat::Json],
    envelopes: &[Envelope::Native, Envelope::Flat, Envelope::Debezium],
    schema_changes: true,
    exactly_once: true,
    cross_table_order: false,
};

/// Produces messages, and calls durable what the brokers have confirmed, or with `exactly_once` what was committed.
///
/// Records of a batch are encoded and sent on a thread of their own; [`write`](Destination::write) returns when the last is in
/// librdkafka's queue, and waits while that is full.
pub struct KafkaDestination {
    name: String,
    settings: KafkaSettings,
    codec: Arc<dyn MessageCodec>,
    names: Names,
    refusals: Option<Arc<dyn Refusals>>,
    run: Option<Run>,
}

/// A destination that was opened.
struct Run {
    connection: Arc<Connection>,
    topics: Topics,
    writer: Arc<Mutex<Writer>>,
    is_closed: Arc<AtomicBool>,
    /// A commit whose time had come.
    committing: Option<JoinHandle<Result<()>>>,
    is_transactional: bool,
    accepted: Position,
    reported: Position,
}

impl KafkaDestination {
    /// A destination, by its name in the flow, that sends what `codec` encodes. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting cannot work.
    pub fn new(name: impl Into<String>, settings: KafkaSettings, codec: Arc<dyn MessageCodec>) -> Result<Self> {
        settings.validate()?;
        let names = Names::new(&settings)?;
        Ok(Self { name: name.into(), settings, codec, names, refusals: None, run: None })
    }

    /// The same with `refusals` to take the records that cannot be sent. Without, such a record ends the flow.
    #[must_use]
    pub fn refusing_to(self, refusals: Arc<dyn Refusals>) -> Self {
        Self { refusals: Some(refusals), ..self }
    }

    fn opened(&mut self) -> Result<&mut Run> {
        self.run.as_mut().ok_or_else(|| Error::bug("a Kafka destination was used before it was opened"))
    }

    /// Makes ready what the records of a batch need: topics first, then encoders, whose schemas may be registered under the topics' names.
    async fn prepare(&mut self, batch: &ChangeBatch) -> Result<()> {
        let (names, codec) = (self.names.clone(), self.codec.clone());
        let run = self.opened()?;
        for chunk in &batch.chunks {
            let schema = &chunk.schema;
            if run.writer.lock().knows(schema) {
                continue;
            }
            let topic = names.topic(&schema.table, codec.topic(schema))?;
            run.topics.ensure(&topic, &schema.table).await?;
            let encoder = codec.encoder(schema, &topic).await?;
            run.writer.lock().learn(schema, topic, encoder);
        }
        Ok(())
    }

    async fn connect(&self, transactional_id: Option<String>) -> Result<(Arc<Connection>, Topics)> {
        let settings = self.settings.clone();
        let open = move || Connection::open(&settings, transactional_id.as_deref());
        let (connection, cluster) = blocking(open).await?;
        let connection = Arc::new(connection);
        let topics = Topics::new(connection.clone(), self.settings.create_topics.clone(), &cluster);
        Ok((connection, topics))
    }

    /// Takes over the flow's transactions and reads the position of the last one.
    async fn recover(
        &self,
        settings: &ExactlyOnceSettings,
        start: &DestinationStart,
    ) -> Result<(Arc<Connection>, Topics, Keeper, Option<Position>)> {
        let id = format!("ductstream.{}.{}", start.flow, self.name);
        let (connection, mut topics) = self.connect(Some(id)).await?;
        let topic = settings.position_topic.clone();
        let topic = topic.unwrap_or_else(|| format!("_ductstream.{}.{}", start.flow, self.name));
        topics.ensure_position(&topic).await?;
        let keeper = Keeper::new(topic, &self.name, start);
        let (reader, cluster) = (keeper.clone(), connection.clone());
        let stored = blocking(move || reader.last(&cluster)).await?;
        keeper.check(stored.as_ref(), start, &connection.place)?;
        Ok((connection, topics, keeper, stored.map(|stored| stored.position)))
    }
}

#[async_trait]
impl Destination for KafkaDestination {
    fn capabilities(&self) -> Capabilities {
        let exactly_once = self.settings.exactly_once != ExactlyOnce::No;
        Capabilities { exactly_once, ..CAPABILITIES }
    }

    async fn verify(&self, _flow: &str) -> Result<()> {
        self.connect(None).await.map(|_| ())
    }

    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>> {
        let (connection, topics, transactions, stored) = match &self.settings.exactly_once {
            ExactlyOnce::No => {
                let (connection, topics) = self.connect(None).await?;
                (connection, topics, None, None)
            }
            ExactlyOnce::Yes(settings) => {
                let (connection, topics, keeper, stored) = self.recover(settings, start).await?;
                let transactions = Transactions::new(settings.clone(), keeper, self.settings.delivery_timeout.0);
                (connection, topics, Some(transactions), stored)
            }
        };
        let bound = start.position.max(stored.unwrap_or_default());
        connection.deliveries.begin(bound, stored);
        let headers = self.settings.headers.then(|| self.codec.content_type());
        let is_closed = Arc::<AtomicBool>::default();
        let sender = Sender { connection: connection.clone(), is_closed: is_closed.clone(), headers };
        let is_transactional = transactions.is_some();
        let writer =
            Writer::new(sender, self.settings.max_message_size, transactions).refusing_to(self.refusals.clone());
        self.run = Some(Run {
            connection,
            topics,
            writer: Arc::new(Mutex::new(writer)),
            is_closed,
            committing: None,
            is_transactional,
            accepted: bound,
            reported: bound,
        });
        Ok(stored)
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        let batch = self.codec.announce(batch);
        self.prepare(&batch).await?;
        let run = self.opened()?;
        run.connection.deliveries.durable().map_err(|error| run.connection.cause(error))?;
        let end = batch.end;
        run.with_writer(move |writer| writer.write(&batch)).await?;
        run.accepted = run.accepted.max(end);
        Ok(Accepted::up_to(end))
    }

    async fn progress(&mut self) -> Result<Durable> {
        let run = self.opened()?;
        run.progress().await.map_err(|error| run.connection.cause(error))
    }

    async fn flush(&mut self) -> Result<Durable> {
        let run = self.opened()?;
        run.flush().await.map_err(|error| run.connection.cause(error))
    }

    fn status(&self) -> DestinationStatus {
        self.run.as_ref().map(|run| run.connection.deliveries.status()).unwrap_or_default()
    }
}

impl Run {
    async fn with_writer(&self, work: impl FnOnce(&mut Writer) -> Result<()> + Send + 'static) -> Result<()> {
        let writer = self.writer.clone();
        blocking(move || work(&mut writer.lock())).await.map_err(|error| self.connection.cause(error))
    }

    async fn progress(&mut self) -> Result<Durable> {
        loop {
            let deliveries = &self.connection.deliveries;
            // A commit that has begun goes on when this future is dropped, and is met again by the next.
            let due = deliveries.due().filter(|_| self.committing.is_none());
            tokio::select! {
                durable = deliveries.beyond(self.reported) => {
                    let durable = durable?;
                    self.reported = durable.position();
                    return Ok(durable);
                }
                done = ended(&mut self.committing) => {
                    self.committing = None;
                    done?;
                }
                () = sleep_until(due) => {
                    let writer = self.writer.clone();
                    self.committing = Some(tokio::task::spawn_blocking(move || writer.lock().commit_if_due()));
                }
            }
        }
    }

    async fn flush(&mut self) -> Result<Durable> {
        if self.is_transactional {
            // Less than was accepted, where a transaction of the source is not to be split and has not ended.
            self.with_writer(Writer::commit_now).await?;
            let durable = self.connection.deliveries.durable()?;
            self.reported = durable.position();
            return Ok(durable);
        }
        let mut durable = self.connection.deliveries.durable()?;
        while durable.position() < self.accepted {
            durable = self.connection.deliveries.beyond(durable.position()).await?;
        }
        self.reported = durable.position();
        Ok(durable)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A write that was dropped goes on until it sees this. It must not send anything once the next destination opens: the order of a
        // key would be lost. So does what is in the queue, which the producer throws away when it is dropped.
        self.is_closed.store(true, Ordering::Relaxed);
        self.writer.lock().abort();
    }
}

async fn ended(task: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match task {
        Some(task) => task.await.unwrap_or_else(|error| Err(died(error))),
        None => std::future::pending().await,
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(died(error)))
}

fn died(error: JoinError) -> Error {
    Error::bug("a thread of the Kafka destination ended abnormally").with_source(error)
}
