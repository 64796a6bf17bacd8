//! The contract that every destination keeps.

use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{Destination, Envelope, Position, WireFormat};
use ductstream_kafka::{KafkaDestination, KafkaSettings};
use ductstream_testkit::conformance::destination::{self, Place};
use ductstream_testkit::kafka::Kafka;
use ductstream_wire::{MessageMode, MessageShape, WireSettings, message_codec};
use serde_json::{Value, json};

struct Topics {
    kafka: Arc<Kafka>,
    prefix: String,
    more: Value,
}

impl Topics {
    fn new(more: Value) -> Self {
        let kafka = Kafka::shared();
        let prefix = kafka.prefix();
        Self { kafka, prefix, more }
    }

    fn settings(&self) -> KafkaSettings {
        let mut settings = self.more.clone();
        settings["brokers"] = json!(self.kafka.address());
        settings["prefix"] = json!(self.prefix);
        settings["create_topics"] = json!({"partitions": 2});
        serde_json::from_value(settings).unwrap()
    }
}

#[async_trait]
impl Place for Topics {
    fn destination(&self) -> Box<dyn Destination> {
        let (format, envelope) = (WireFormat::Json, Envelope::Flat);
        let shape = MessageShape { format, envelope, mode: MessageMode::Record, tombstones: false };
        let codec = message_codec(shape, &WireSettings::default(), None).unwrap();
        Box::new(KafkaDestination::new(self.prefix.trim_end_matches('.'), self.settings(), codec).unwrap())
    }

    async fn read(&self) -> Vec<Position> {
        let topics = ["public.a", "public.b"].map(|table| format!("{}{table}", self.prefix));
        let kafka = self.kafka.clone();
        let read = move || kafka.read(&topics.each_ref().map(String::as_str));
        let messages = tokio::task::spawn_blocking(read).await.unwrap();
        messages.iter().map(|message| message.position()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_keep_the_destination_contract() {
    destination::run(|| Topics::new(json!({}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_transactions_keep_the_destination_contract() {
    destination::run(|| Topics::new(json!({"exactly_once": {}}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_aligned_transactions_keep_the_destination_contract() {
    destination::run(|| Topics::new(json!({"exactly_once": {"transaction_aligned": true, "transaction_age": "1ms"}})))
        .await;
}
