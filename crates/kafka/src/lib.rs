//! The Kafka destination: topics of one or more tables, on librdkafka.
//!
//! Records are produced in commit order by one idempotent producer, so that the order of each key holds through retries. A record is
//! durable once the brokers have confirmed it with `acks=all`; delivery reports are counted per batch, and what is reported durable is the
//! longest run of batches that were confirmed whole.
//!
//! With `exactly_once`, records are written in Kafka transactions, and each transaction carries the position behind its records in a topic of
//! its own. Opening fences whoever wrote for the same flow and destination before, and goes on from the last position that was committed.
//!
//! What is here: settings ([`KafkaSettings`]), the destination built from them ([`KafkaDestination`]) the preflight
//! [`check`], and [`TopicLog`] for what a flow keeps in a topic of its own.
//! What is not here: encoding. A [`MessageCodec`](ductstream_core::MessageCodec) is given by the flow.

mod check;
mod connection;
mod deliveries;
mod destination;
mod encode;
mod failure;
mod limits;
mod names;
mod position;
mod properties;
mod send;
mod settings;
mod token;
mod topic_log;
mod topics;
mod transactions;
mod writer;

pub use check::check;
pub use destination::{CAPABILITIES, KafkaDestination};
pub use settings::{
    Brokers, Certificates, CreateTopics, ExactlyOnce, ExactlyOnceSettings, KafkaSettings, MessageMode, NewTopics,
    Partitioner, Property, Sasl, SaslMechanism, Tls,
};
pub use topic_log::TopicLog;
