//! librdkafka's producer, and a thread for its callbacks.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use ductstream_core::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::deliveries::Callbacks;
use crate::limits;

/// The one producer of a destination.
///
/// rdkafka's own one with a thread ends a tenth of a second after it is dropped, and cannot be told to send at once.
pub(crate) struct Producer {
    base: Arc<BaseProducer<Callbacks>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    /// A producer whose callbacks run from now on. Nothing is connected to yet.
    ///
    /// # Errors
    /// When librdkafka does not take the properties, or there is no thread.
    pub(crate) fn new(properties: &ClientConfig, callbacks: Callbacks, place: &str) -> Result<Self> {
        let base: BaseProducer<Callbacks> = properties.create_with_context(callbacks).map_err(|error| {
            // Such as a certificate that cannot be read: librdkafka names the file.
            Error::configuration(format!("cannot make a client for {place}: {error}"))
                .with_remedy("correct the settings of the destination")
        })?;
        let (base, is_over) = (Arc::new(base), Arc::<AtomicBool>::default());
        let (polled, until) = (base.clone(), is_over.clone());
        let poll = move || {
            while !until.load(Ordering::Relaxed) {
                polled.poll(limits::POLL_TIMEOUT);
            }
        };
        let thread = std::thread::Builder::new().name("kafka callbacks".to_owned()).spawn(poll);
        let thread = thread.map_err(|error| Error::retry(format!("there is no thread for {place}")).with_source(error));
        Ok(Self { base, is_over, thread: Some(thread?) })
    }

    /// Sends what is in the queue without waiting for more to fill a request. Returns when it is confirmed, or a moment later.
    #[expect(
        unsafe_code,
        reason = "rdkafka's flush asks without a time to wait: what it asks for is taken back before it is seen"
    )]
    pub(crate) fn hurry(&self) {
        // SAFETY: the client lives as long as `base`, and may be used by any number of threads.
        unsafe { rdkafka::bindings::rd_kafka_flush(self.base.client().native_ptr(), limits::HURRY_MS) };
    }
}

impl Deref for Producer {
    type Target = BaseProducer<Callbacks>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics where a callback has; what is not confirmed stays so.
            drop(thread.join());
        }
    }
}
