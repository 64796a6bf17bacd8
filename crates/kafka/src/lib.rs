//! The Kafka destination: topics of one or more tables, on librdkafka.
//!
//! Records are produced in commit order by one idempotent producer, so that the order of each key holds through retries. A record is
//! durable once the brokers have confirmed it with `acks=all`; delivery reports are counted per batch, and what is reported durable is the
//! longest run of batches that were confirmed whole.
//!
//! What is here: settings ([`KafkaSettings`]), the destination built from them ([`KafkaDestination`]) and the preflight [`check`].
//! What is not here: encoding. A [`MessageCodec`](ductstream_core::MessageCodec) is given by the flow.

mod check;
mod connection;
mod deliveries;
mod destination;
mod failure;
mod limits;
mod names;
mod properties;
mod settings;
mod topics;
mod writer;

pub use check::check;
pub use destination::{CAPABILITIES, KafkaDestination};
pub use settings::{Brokers, CreateTopics, KafkaSettings, MessageMode, Partitioner, Sasl, SaslMechanism, Tls};
