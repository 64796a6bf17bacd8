//! A producer that is connected.

use std::sync::Arc;
use std::time::Instant;

use ductstream_core::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use crate::deliveries::{Callbacks, Deliveries};
use crate::failure::{explain, explain_error, is_final};
use crate::limits;
use crate::properties;
use crate::settings::KafkaSettings;
use crate::token::Tokens;

/// The producer, with a thread of its own for its callbacks.
pub(crate) type Producer = ThreadedProducer<Callbacks>;

/// A cluster that answers.
pub(crate) struct Connection {
    pub(crate) place: String,
    pub(crate) client: ClientConfig,
    pub(crate) producer: Producer,
    pub(crate) deliveries: Arc<Deliveries>,
    /// Where other clients of the cluster get their tokens, too.
    pub(crate) tokens: Option<Tokens>,
}

impl Connection {
    /// Connects, and returns when a broker has told the cluster's topics. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when brokers refuse the flow,
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when none answers in time.
    ///
    /// A producer with a transactional id is the only one with it when this returns: what another one left open is taken back.
    pub(crate) fn open(settings: &KafkaSettings, transactional_id: Option<&str>) -> Result<(Self, Metadata)> {
        let place = settings.place();
        let client = properties::client(settings)?;
        let deliveries = Arc::new(Deliveries::new(place.clone(), transactional_id.is_some()));
        let tokens = Tokens::new(settings.sasl.as_ref());
        let callbacks = Callbacks { deliveries: deliveries.clone(), tokens: tokens.clone() };
        let properties = properties::transactional(client.clone(), settings, transactional_id);
        let producer = properties.create_with_context(callbacks).map_err(|error| {
            // Such as a certificate that cannot be read: librdkafka names the file.
            Error::configuration(format!("cannot make a client for {place}: {error}"))
                .with_remedy("correct the settings of the destination")
        })?;
        let connection = Self { place, client, producer, deliveries, tokens };
        let cluster = connection.cluster()?;
        if transactional_id.is_some() {
            connection.take_over()?;
        }
        Ok((connection, cluster))
    }

    fn take_over(&self) -> Result<()> {
        let deadline = Instant::now() + limits::INIT_TIMEOUT;
        while let Err(error) = self.producer.init_transactions(limits::COMMIT_TIMEOUT) {
            let may_repeat = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !may_repeat || Instant::now() > deadline {
                return Err(self.cause(explain_error(&error, "begin to write transactions to", &self.place)));
            }
        }
        Ok(())
    }

    /// What really ended the producer, if it has ended: errors of single messages only follow from it.
    pub(crate) fn cause(&self, error: Error) -> Error {
        match self.producer.client().fatal_error() {
            Some((code, said)) => explain(code, &said, "go on writing to", &self.place),
            None => error,
        }
    }

    /// All topics of the cluster. Asking for one by name would create it where brokers create topics by themselves. Blocks.
    pub(crate) fn cluster(&self) -> Result<Metadata> {
        let deadline = Instant::now() + limits::CONNECT_TIMEOUT;
        let mut last = None;
        loop {
            let error = match self.producer.client().fetch_metadata(None, limits::LOOK_TIMEOUT) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => error,
            };
            last = self.deliveries.take_trouble().or(last);
            match &last {
                Some((code, reason)) if is_final(*code, reason) => return Err(self.unreachable(*code, reason)),
                Some((code, reason)) if Instant::now() > deadline => return Err(self.unreachable(*code, reason)),
                None if Instant::now() > deadline => return Err(explain_error(&error, "reach", &self.place)),
                _ => {}
            }
        }
    }

    fn unreachable(&self, code: RDKafkaErrorCode, reason: &str) -> Error {
        explain(code, reason, "reach", &self.place)
    }
}
