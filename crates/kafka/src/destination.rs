//! The destination itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Capabilities, ChangeBatch, Destination, DestinationStart, DestinationStatus, Durable, Envelope, Error,
    MessageCodec, Op, Position, Result, WireFormat,
};
use parking_lot::Mutex;

use crate::connection::Connection;
use crate::names::Names;
use crate::settings::KafkaSettings;
use crate::topics::Topics;
use crate::writer::Writer;

/// What a Kafka destination can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load],
    formats: &[WireFormat::Arrow, WireFormat::Parquet, WireFormat::Avro, WireFormat::Proto, WireFormat::Json],
    envelopes: &[Envelope::Native, Envelope::Flat, Envelope::Debezium],
    schema_changes: true,
    exactly_once: false,
    cross_table_order: false,
};

/// Produces messages, and calls durable what the brokers have confirmed.
///
/// Records of a batch are encoded and sent on a thread of their own; [`write`](Destination::write) returns when the last is in
/// librdkafka's queue, and waits while that is full.
pub struct KafkaDestination {
    settings: KafkaSettings,
    codec: Arc<dyn MessageCodec>,
    names: Names,
    run: Option<Run>,
}

/// A destination that was opened.
struct Run {
    connection: Arc<Connection>,
    topics: Topics,
    writer: Arc<Mutex<Writer>>,
    is_closed: Arc<AtomicBool>,
    accepted: Position,
    reported: Position,
}

impl KafkaDestination {
    /// A destination that sends what `codec` encodes. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting cannot work.
    pub fn new(settings: KafkaSettings, codec: Arc<dyn MessageCodec>) -> Result<Self> {
        settings.validate()?;
        let names = Names::new(&settings)?;
        Ok(Self { settings, codec, names, run: None })
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
            let topic = names.topic(&schema.table)?;
            run.topics.ensure(&topic, &schema.table).await?;
            let encoder = codec.encoder(schema, &topic).await?;
            run.writer.lock().learn(schema, topic, encoder);
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for KafkaDestination {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn verify(&self, _flow: &str) -> Result<()> {
        let settings = self.settings.clone();
        blocking(move || Connection::open(&settings).map(|_| ())).await
    }

    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>> {
        let settings = self.settings.clone();
        let (connection, cluster) = blocking(move || Connection::open(&settings)).await?;
        let connection = Arc::new(connection);
        connection.deliveries.begin(start.position);
        let headers = self.settings.headers.then(|| self.codec.content_type());
        let writer = Writer::new(connection.clone(), self.settings.max_message_size, headers);
        self.run = Some(Run {
            topics: Topics::new(connection.clone(), self.settings.create_topics.clone(), &cluster),
            is_closed: writer.is_closed.clone(),
            writer: Arc::new(Mutex::new(writer)),
            connection,
            accepted: start.position,
            reported: start.position,
        });
        Ok(None)
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        self.prepare(&batch).await?;
        let run = self.opened()?;
        run.connection.deliveries.confirmed()?;
        let (writer, end) = (run.writer.clone(), batch.end);
        blocking(move || writer.lock().write(&batch)).await?;
        run.accepted = run.accepted.max(end);
        Ok(Accepted::up_to(end))
    }

    async fn progress(&mut self) -> Result<Durable> {
        let run = self.opened()?;
        run.reported = run.connection.deliveries.beyond(run.reported).await?;
        Ok(Durable::up_to(run.reported))
    }

    async fn flush(&mut self) -> Result<Durable> {
        let run = self.opened()?;
        while run.reported < run.accepted {
            run.reported = run.connection.deliveries.beyond(run.reported).await?;
        }
        Ok(Durable::up_to(run.reported))
    }

    fn status(&self) -> DestinationStatus {
        self.run.as_ref().map(|run| run.connection.deliveries.status()).unwrap_or_default()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A write that was dropped goes on until it sees this. It must not send anything once the next destination opens: the order of a
        // key would be lost. So does what is in the queue, which the producer throws away when it is dropped.
        self.is_closed.store(true, Ordering::Relaxed);
        drop(self.writer.lock());
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(
        |error| Err(Error::bug("a thread of the Kafka destination ended abnormally").with_source(error)),
    )
}
