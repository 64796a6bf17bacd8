//! Preflight: would this destination work?

use ductstream_core::Finding;

use crate::connection::Connection;
use crate::destination::blocking;
use crate::settings::KafkaSettings;

/// Looks whether brokers answer, and take the flow for who it says it is. Leaves nothing behind.
pub async fn check(settings: &KafkaSettings) -> Vec<Finding> {
    let subject = format!("destination {}", settings.place());
    let settings = settings.clone();
    let found = blocking(move || {
        settings.validate()?;
        Connection::open(&settings, None).map(|(_, cluster)| cluster.brokers().len())
    });
    match found.await {
        Ok(brokers) => vec![Finding::ok(&subject, format!("{brokers} brokers, which let the flow in"))],
        Err(error) => vec![Finding::failed(&subject, &error)],
    }
}
