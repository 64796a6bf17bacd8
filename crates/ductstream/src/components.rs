//! Builds a flow's parts from its settings.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{Codec, Destination, Error, Result, Source};
use ductstream_object_store::ObjectStoreDestination;
use ductstream_postgres::Spill;
use ductstream_postgres::source::PostgresSource;
use ductstream_runner::{Components, FlowSettings};
use ductstream_wire::{JsonLines, WireSettings};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::destination::{NullDestination, SharedOutput, StdoutDestination};
use crate::flow::{DestinationKind, Flow, SourceKind};

/// A flow's source, codec and destinations.
pub struct FlowComponents {
    flow: Flow,
    codec: Arc<dyn Codec>,
    stdout: SharedOutput,
    closed: CancellationToken,
    /// Shared by all attempts: what one has found out about the disk holds for the next.
    spill: Option<Arc<Spill>>,
}

impl FlowComponents {
    /// The parts of `flow`. `closed` is cancelled when the reader of standard output has gone.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a destination cannot do what the flow asks.
    pub fn new(flow: Flow, closed: CancellationToken) -> Result<Self> {
        let codec = codec(&flow)?;
        let components = Self { flow, codec, stdout: Arc::new(Mutex::new(std::io::stdout())), closed, spill: None };
        for (name, destination) in components.build()? {
            admit(&components.flow, &name, &*destination)?;
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

    /// How the runner runs the flow.
    pub fn runner_settings(&self) -> FlowSettings {
        let flow = &self.flow;
        FlowSettings { name: flow.name.to_string(), memory_limit: flow.memory_limit, retry: flow.retry }
    }

    fn build(&self) -> Result<Vec<(String, Box<dyn Destination>)>> {
        let destinations = self.flow.destinations.iter();
        destinations.map(|settings| Ok((settings.name.to_string(), self.destination(&settings.kind)?))).collect()
    }

    fn destination(&self, kind: &DestinationKind) -> Result<Box<dyn Destination>> {
        let codec = self.codec.clone();
        Ok(match kind.clone() {
            DestinationKind::S3(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Gcs(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Azure(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::File(settings) => Box::new(ObjectStoreDestination::new(settings, codec)?),
            DestinationKind::Stdout(_) => {
                let lines = JsonLines::new(self.flow.envelope, self.flow.json.clone())?;
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
        Ok(Box::new(match &self.spill {
            Some(spill) => source.spilling_to(spill.clone()),
            None => source,
        }))
    }

    async fn destinations(&self) -> Result<Vec<(String, Box<dyn Destination>)>> {
        self.build()
    }
}

/// The codec of the flow's format and envelope.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when there is none in this version.
pub fn codec(flow: &Flow) -> Result<Arc<dyn Codec>> {
    ductstream_wire::build(flow.format, flow.envelope, &wire_settings(flow))
}

/// How the flow's formats are written.
pub fn wire_settings(flow: &Flow) -> WireSettings {
    WireSettings { parquet: flow.parquet.clone(), json: flow.json.clone() }
}

/// Refuses a destination that cannot deliver what the flow carries.
fn admit(flow: &Flow, name: &str, destination: &dyn Destination) -> Result<()> {
    let can = destination.capabilities();
    if can.formats.contains(&flow.format) && can.envelopes.contains(&flow.envelope) {
        return Ok(());
    }
    let message = format!("destination {name} does not take {} in the envelope {}", flow.format, flow.envelope);
    let names = |list: Vec<String>| list.join(", ");
    Err(Error::configuration(message).with_remedy(format!(
        "set `format` to one of: {}; and `envelope` to one of: {}",
        names(can.formats.iter().map(ToString::to_string).collect()),
        names(can.envelopes.iter().map(ToString::to_string).collect())
    )))
}
