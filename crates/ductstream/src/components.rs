//! Builds a flow's parts from its settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{Codec, Destination, Envelope, Error, MessageCodec, Refusals, Result, Source};
use ductstream_kafka::{ExactlyOnce, KafkaDestination, KafkaSettings};
use ductstream_object_store::ObjectStoreDestination;
use ductstream_postgres::Spill;
use ductstream_postgres::connect::ConnectionSettings;
use ductstream_postgres::source::PostgresSource;
use ductstream_registry::RegistryClient;
use ductstream_runner::{Ack, Components, FlowSettings, OutboxesSettings};
use ductstream_wire::envelope::debezium::Debezium;
use ductstream_wire::{JsonLines, MessageMode, MessageShape, SchemaRegistrar, SharedMessages, WireSettings};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::connectors::admit;
use crate::dead_letter::{Keeper, Skipper};
use crate::destination::{NullDestination, SharedOutput, StdoutDestination};
use crate::flow::{self, DestinationKind, DestinationSettings, Flow, OnError, SourceKind};

/// A flow's source, codec and destinations.
pub struct FlowComponents {
    flow: Flow,
    /// One for each destination, in their order.
    codecs: Vec<Arc<dyn Codec>>,
    /// Shared by all destinations and attempts, with the ids that it has learnt.
    registry: Option<Arc<dyn SchemaRegistrar>>,
    stdout: SharedOutput,
    closed: CancellationToken,
    /// Shared by all attempts: what one has found out about the disk holds for the next.
    spill: Option<Arc<Spill>>,
    /// Where dead letters are kept when the flow does not say.
    dead_letters: PathBuf,
}

impl FlowComponents {
    /// The parts of `flow`. `closed` is cancelled when the reader of standard output has gone.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a destination cannot do what the flow asks.
    pub fn new(flow: Flow, closed: CancellationToken) -> Result<Self> {
        let codecs = flow.destinations.iter().map(|destination| codec(&flow, destination)).collect::<Result<_>>()?;
        let registry = registry(&flow)?.map(|client| Arc::new(client) as _);
        let stdout: SharedOutput = Arc::new(Mutex::new(std::io::stdout()));
        let components =
            Self { flow, codecs, registry, stdout, closed, spill: None, dead_letters: "dead-letters".into() };
        for (index, (name, destination)) in components.build()?.into_iter().enumerate() {
            // What a type can do, the flow file was checked for; what this one can do with its settings, it says itself.
            admit(&components.flow, index, &destination.capabilities()).map_err(|misfit| {
                Error::configuration(format!("destination {name}: {}", misfit.message)).with_remedy(misfit.remedy)
            })?;
        }
        Ok(components)
    }

    /// Lets the source hold transactions in progress in `directory`. Without it, they come when they have committed.
    #[must_use]
    pub fn spilling_in(mut self, directory: PathBuf) -> Self {
        let SourceKind::Postgres(settings) = &self.flow.source;
        self.spill = Some(Spill::new(directory, settings.spill_limit));
        self
    }

    /// Keeps dead letters in `directory`, unless the flow says where.
    #[must_use]
    pub fn keeping_dead_letters_in(self, directory: PathBuf) -> Self {
        Self { dead_letters: directory, ..self }
    }

    /// The destination `name` for what it refused before: what it refuses again goes to `refusals`. It stores no position, and so does not end the
    /// run that does.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the flow has no such destination, or it refuses no record.
    pub fn replaying_to(&self, name: &str, refusals: Arc<dyn Refusals>) -> Result<Box<dyn Destination>> {
        let found = self.flow.destinations.iter().zip(&self.codecs).find(|(it, _)| it.name.as_str() == name);
        match found.map(|(settings, codec)| (settings, &settings.kind, codec)) {
            Some((settings, DestinationKind::Kafka(kafka), codec)) => {
                let messages = messages_of(&self.message_codecs(std::slice::from_ref(settings))?, kafka, &**codec)?;
                let kafka = KafkaSettings { exactly_once: ExactlyOnce::No, ..kafka.clone() };
                Ok(Box::new(KafkaDestination::new(name, kafka, messages)?.refusing_to(refusals)))
            }
            Some(_) => Err(Error::configuration(format!("destination {name} is of a type that refuses no record"))
                .with_remedy("give the destination the type that it had when it refused the record")),
            None => Err(Error::configuration(format!("the flow has no destination {name} any more"))
                .with_remedy("put the destination back into the flow file")),
        }
    }

    /// Who takes what a destination refuses.
    fn refusals(&self, destination: &str) -> Option<Arc<dyn Refusals>> {
        match self.flow.on_error {
            OnError::Stop => None,
            OnError::DeadLetter => {
                Some(Arc::new(Keeper::new(self.flow.clone(), destination, self.dead_letters.clone())))
            }
            OnError::Skip => {
                let (flow, destination) = (self.flow.name.to_string(), destination.to_owned());
                Some(Arc::new(Skipper { flow, destination }))
            }
        }
    }

    /// How the runner runs the flow, whose outboxes lie in `outboxes`.
    pub fn runner_settings(&self, outboxes: PathBuf) -> FlowSettings {
        let flow = &self.flow;
        FlowSettings {
            name: flow.name.to_string(),
            memory_limit: flow.memory_limit,
            retry: flow.retry,
            ack: match &flow.ack {
                flow::Ack::All => Ack::All,
                flow::Ack::Primary(settings) => Ack::Primary(settings.primary.to_string()),
            },
            outboxes: OutboxesSettings { directory: outboxes, budget: flow.ack.outbox().budget },
        }
    }

    fn build(&self) -> Result<Vec<(String, Box<dyn Destination>)>> {
        let messages = self.message_codecs(&self.flow.destinations)?;
        let destinations = self.flow.destinations.iter().zip(&self.codecs);
        destinations
            .map(|(settings, codec)| Ok((settings.name.to_string(), self.destination(settings, codec, &messages)?)))
            .collect()
    }

    /// What makes the messages of those of `destinations` that are of Kafka. Those whose messages are alike share what makes them, but for those
    /// that follow a primary: they come for each message at a time of their own.
    fn message_codecs(
        &self,
        destinations: &[DestinationSettings],
    ) -> Result<HashMap<MessageShape, Arc<dyn MessageCodec>>> {
        let mut users = HashMap::<MessageShape, usize>::new();
        for destination in destinations {
            if let DestinationKind::Kafka(settings) = &destination.kind {
                let shape = message_shape(settings, &*codec(&self.flow, destination)?);
                *users.entry(shape).or_default() += usize::from(!self.flow.ack.follows(&destination.name));
            }
        }
        let wire = wire_settings(&self.flow);
        let codec = |(shape, users): (MessageShape, usize)| {
            let registry = self.registry.clone().filter(|_| shape.mode == MessageMode::Record);
            let codec = ductstream_wire::message_codec(shape, &wire, registry)?;
            let codec = if users > 1 { Arc::new(SharedMessages::new(codec, users)) } else { codec };
            Ok((shape, codec))
        };
        users.into_iter().map(codec).collect()
    }

    fn destination(
        &self,
        settings: &DestinationSettings,
        codec: &Arc<dyn Codec>,
        messages: &HashMap<MessageShape, Arc<dyn MessageCodec>>,
    ) -> Result<Box<dyn Destination>> {
        let codec = codec.clone();
        let name = settings.name.as_str();
        Ok(match settings.kind.clone() {
            DestinationKind::S3(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Gcs(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Azure(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::File(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Kafka(settings) => {
                let messages = messages_of(messages, &settings, &*codec)?;
                let kafka = KafkaDestination::new(name, settings, messages)?;
                match self.refusals(name) {
                    Some(refusals) => Box::new(kafka.refusing_to(refusals)),
                    None => Box::new(kafka),
                }
            }
            DestinationKind::Stdout(settings) => {
                let lines = match codec.envelope() {
                    Envelope::Debezium => JsonLines::debezium(wire_settings(&self.flow).debezium, settings.messages)?,
                    envelope => JsonLines::new(envelope, self.flow.json.clone())?,
                };
                Box::new(StdoutDestination::new(self.stdout.clone(), lines, self.closed.clone()))
            }
            DestinationKind::Null(_) => Box::new(NullDestination::default()),
        })
    }
}

#[async_trait]
impl Components for FlowComponents {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let SourceKind::Postgres(settings) = &self.flow.source;
        let source = PostgresSource::new(settings.clone(), self.flow.name.as_str());
        let source = if tells_messages(&self.flow) { source.with_messages() } else { source };
        Ok(Box::new(match &self.spill {
            Some(spill) => source.spilling_to(spill.clone()),
            None => source,
        }))
    }

    async fn destinations(&self) -> Result<Vec<(String, Box<dyn Destination>)>> {
        self.build()
    }

    async fn destination(&self, name: &str) -> Result<Box<dyn Destination>> {
        let mut destinations = self.flow.destinations.iter().zip(&self.codecs);
        let named = destinations.find(|(settings, _)| settings.name.as_str() == name);
        let (settings, codec) = named.ok_or_else(|| Error::bug(format!("the flow has no destination {name}")))?;
        FlowComponents::destination(self, settings, codec, &self.message_codecs(std::slice::from_ref(settings))?)
    }
}

/// The codec of the format and envelope of one of the flow's destinations.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when there is none in this version.
pub fn codec(flow: &Flow, destination: &DestinationSettings) -> Result<Arc<dyn Codec>> {
    let (format, envelope) = flow.wire(destination);
    ductstream_wire::build(format, envelope, &wire_settings(flow))
}

/// The client of the flow's schema registry, if it has one.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting cannot work.
pub fn registry(flow: &Flow) -> Result<Option<RegistryClient>> {
    flow.schema_registry.clone().map(RegistryClient::new).transpose()
}

/// What makes the messages of one of the flow's Kafka destinations.
fn messages_of(
    codecs: &HashMap<MessageShape, Arc<dyn MessageCodec>>,
    settings: &KafkaSettings,
    codec: &dyn Codec,
) -> Result<Arc<dyn MessageCodec>> {
    let found = codecs.get(&message_shape(settings, codec)).cloned();
    found.ok_or_else(|| Error::bug("a Kafka destination whose messages nothing makes"))
}

/// Whether one of the flow's destinations tells logical messages: in the envelope `debezium`, where they have a topic.
fn tells_messages(flow: &Flow) -> bool {
    flow.destinations.iter().filter(|it| flow.wire(it).1 == Envelope::Debezium).any(|destination| {
        match &destination.kind {
            DestinationKind::Kafka(settings) => settings.mode == ductstream_kafka::MessageMode::Record,
            DestinationKind::Stdout(_) => true,
            _ => false,
        }
    })
}

/// What the messages of a Kafka destination are made of.
fn message_shape(settings: &KafkaSettings, codec: &dyn Codec) -> MessageShape {
    let mode = match settings.mode {
        ductstream_kafka::MessageMode::Record => MessageMode::Record,
        ductstream_kafka::MessageMode::Batch => MessageMode::Batch,
    };
    MessageShape { format: codec.format(), envelope: codec.envelope(), mode, tombstones: settings.tombstones }
}

/// How the flow's formats are written.
pub fn wire_settings(flow: &Flow) -> WireSettings {
    let SourceKind::Postgres(source) = &flow.source;
    let debezium = Debezium {
        settings: flow.debezium.clone(),
        flow: flow.name.to_string(),
        database: ConnectionSettings::resolve(&source.url).map(|connection| connection.database).unwrap_or_default(),
    };
    WireSettings {
        parquet: flow.parquet.clone(),
        json: flow.json.clone(),
        avro: flow.avro.clone(),
        arrow: flow.arrow.clone(),
        debezium,
    }
}
