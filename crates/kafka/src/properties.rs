//! From settings to librdkafka's properties.

use ductstream_core::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::limits;
use crate::settings::{KafkaSettings, Tls};

/// Properties that are not the user's to set, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("acks", "remove it: only what all replicas have is durable"),
    ("request.required.acks", "remove it: only what all replicas have is durable"),
    ("enable.idempotence", "remove it: without it the order of a key would not hold through retries"),
    ("max.in.flight", "remove it: the order of a key would not hold"),
    ("max.in.flight.requests.per.connection", "remove it: the order of a key would not hold"),
    ("retries", "remove it, and set `delivery_timeout`"),
    ("message.send.max.retries", "remove it, and set `delivery_timeout`"),
    ("message.timeout.ms", "remove it, and set `delivery_timeout`"),
    ("delivery.timeout.ms", "remove it, and set `delivery_timeout`"),
    ("message.max.bytes", "remove it, and set `max_message_size`"),
    ("queue.buffering.max.kbytes", "remove it, and set `memory_limit`"),
    ("partitioner", "remove it, and set `partitioner` of the destination"),
    ("bootstrap.servers", "remove it, and set `brokers`"),
    ("metadata.broker.list", "remove it, and set `brokers`"),
    ("transactional.id", "remove it, and set `exactly_once`"),
    ("transaction.timeout.ms", "remove it, and set `delivery_timeout`"),
    ("enable.gapless.guarantee", "remove it"),
    ("delivery.report.only.error", "remove it: confirmations are what durability is counted by"),
    ("dr_cb", "remove it"),
    ("dr_msg_cb", "remove it"),
    ("produce.offset.report", "remove it"),
    ("queuing.strategy", "remove it: the order of a key would not hold"),
];

/// A producer's properties: the settings', then the user's own.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration), naming the property.
pub(crate) fn client(settings: &KafkaSettings) -> Result<ClientConfig> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", settings.brokers.to_string());
    client.set("client.id", "ductstream");
    client.set("enable.idempotence", "true");
    client.set("acks", "all");
    client.set("partitioner", settings.partitioner.as_str());
    client.set("linger.ms", limits::LINGER_MS.to_string());
    client.set("message.timeout.ms", settings.delivery_timeout.0.as_millis().to_string());
    client.set("message.max.bytes", settings.max_message_size.0.to_string());
    client.set("queue.buffering.max.messages", limits::MESSAGES_IN_HAND.to_string());
    client.set("batch.num.messages", limits::BATCH_MESSAGES.to_string());
    client.set("queue.buffering.max.kbytes", (settings.memory_limit.0 / 1024).max(1).to_string());
    // Topics that were created or moved are found soon.
    client.set("topic.metadata.refresh.interval.ms", "60000");
    security(settings, &mut client);
    for (name, value) in &settings.properties {
        if let Some((_, remedy)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            let message = format!("property `{name}` of the destination would break what the flow promises");
            return Err(Error::configuration(message).with_remedy(*remedy));
        }
        client.set(name, value.reveal());
    }
    match client.create_native_config() {
        Ok(_) => Ok(client),
        Err(error) => Err(refused(&error)),
    }
}

/// The same for a producer that writes transactions.
pub(crate) fn transactional(mut client: ClientConfig, settings: &KafkaSettings, id: Option<&str>) -> ClientConfig {
    if let Some(id) = id {
        let timeout = settings.delivery_timeout.0 + limits::TRANSACTION_GRACE;
        client.set("transactional.id", id).set("transaction.timeout.ms", timeout.as_millis().to_string());
    }
    client
}

fn security(settings: &KafkaSettings, client: &mut ClientConfig) {
    let protocol = match (&settings.tls, &settings.sasl) {
        (Tls::No, None) => "plaintext",
        (Tls::No, Some(_)) => "sasl_plaintext",
        (Tls::Yes(_), None) => "ssl",
        (Tls::Yes(_), Some(_)) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Tls::Yes(files) = &settings.tls {
        let mut file = |property: &str, path: &Option<std::path::PathBuf>| {
            if let Some(path) = path {
                client.set(property, path.display().to_string());
            }
        };
        file("ssl.ca.location", &files.ca);
        file("ssl.certificate.location", &files.certificate);
        file("ssl.key.location", &files.key);
    }
    if let Some(sasl) = &settings.sasl {
        client.set("sasl.mechanism", sasl.mechanism.as_str());
        if let (Some(username), Some(password)) = (&sasl.username, &sasl.password) {
            client.set("sasl.username", username).set("sasl.password", password.reveal());
        }
    }
}

/// The error of a property that librdkafka does not take. Its value may be a secret, and librdkafka's text may hold it.
fn refused(error: &KafkaError) -> Error {
    let name = match error {
        KafkaError::ClientConfig(_, _, name, _) => name.as_str(),
        _ => "",
    };
    Error::configuration(format!("librdkafka does not take property `{name}` with the value that it has"))
        .with_remedy("look it up in librdkafka's list of properties, or remove it")
}
