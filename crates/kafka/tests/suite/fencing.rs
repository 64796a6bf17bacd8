//! Two destinations that are one and the same to Kafka.

use std::sync::Arc;

use ductstream_core::{
    Ancestors, Destination, DestinationStart, Envelope, ErrorKind, Lsn, Position, SourceIdentity, WireFormat,
};
use ductstream_kafka::{KafkaDestination, KafkaSettings};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::kafka::Kafka;
use ductstream_wire::{MessageMode, MessageShape, WireSettings, message_codec};
use serde_json::json;

fn destination(kafka: &Kafka, prefix: &str) -> KafkaDestination {
    let settings = json!({
        "brokers": kafka.address(), "prefix": prefix, "create_topics": true, "exactly_once": {"transaction_age": "10s"}
    });
    let settings: KafkaSettings = serde_json::from_value(settings).unwrap();
    let (format, envelope) = (WireFormat::Json, Envelope::Flat);
    let shape = MessageShape { format, envelope, mode: MessageMode::Record, tombstones: false };
    let codec = message_codec(shape, &WireSettings::default(), None).unwrap();
    KafkaDestination::new(prefix.trim_end_matches('.'), settings, codec).unwrap()
}

fn start() -> DestinationStart {
    let source = SourceIdentity { system_identifier: "7".into(), timeline: 1, database: "d".into(), slot: "s".into() };
    let (ancestors, position) = (Ancestors::default(), Position::start_of(Lsn(1)));
    DestinationStart { flow: "fencing".into(), source, ancestors, position, stored: None }
}

async fn write(destination: &mut KafkaDestination, lsn: u64) -> ductstream_core::Result<()> {
    let batch = BatchBuilder::new().begin(lsn, 1, 0).insert(&table("t", 1), 1, "x").commit(lsn + 5).build();
    destination.write(Arc::new(batch)).await?;
    destination.flush().await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_opened_last_writes_and_the_other_is_told_to_stop() {
    let kafka = Kafka::shared();
    let prefix = kafka.prefix();
    let [mut first, mut second] = [destination(&kafka, &prefix), destination(&kafka, &prefix)];
    first.open(&start()).await.unwrap();
    write(&mut first, 100).await.unwrap();
    let batch = BatchBuilder::new().begin(200, 1, 0).insert(&table("t", 1), 2, "never").commit(205).build();
    first.write(Arc::new(batch)).await.unwrap();

    assert_eq!(second.open(&start()).await.unwrap(), Some(Position::start_of(Lsn(105))));
    let error = first.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{}", error.report());
    write(&mut second, 300).await.unwrap();
    assert!(write(&mut first, 400).await.is_err());

    let positions: Vec<u64> =
        kafka.read(&[&format!("{prefix}public.t")]).iter().map(|message| message.position().commit_lsn.0).collect();
    assert_eq!(positions, [100, 300]);
}
