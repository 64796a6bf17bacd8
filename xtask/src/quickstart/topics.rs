//! Topics of a throwaway Kafka broker, and what consumers that are not ours find in them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use ductstream_cluster::{Broker, BrokerOptions};
use serde::Deserialize;
use serde_json::json;

use super::agreement::{Arrived, Contents, Table};
use crate::servers::python;

/// Folds topics with Confluent's client.
const CONSUME: &str = include_str!("consume.py");

/// A broker for one flow.
#[derive(Debug)]
pub(super) struct Topics {
    broker: Broker,
}

/// What the consumer found of one table.
#[derive(Debug, Deserialize)]
struct Found {
    arrived: Arrived,
    contents: Contents,
}

impl Topics {
    pub(super) fn open() -> Result<Self> {
        Ok(Self { broker: Broker::create(&BrokerOptions::default())? })
    }

    pub(super) fn address(&self) -> String {
        self.broker.address()
    }

    /// The flow file from `format` on.
    pub(super) fn document(&self) -> String {
        format!(
            "\
format: json
envelope: flat
destinations:
  - name: bus
    type: kafka
    brokers: {}
    create_topics: {{partitions: 3}}
    exactly_once: true
",
            self.address()
        )
    }

    /// What runs Kafka's console consumer on a topic, from its beginning; it prints headers, key and value.
    pub(super) fn console_consumer(&self, topic: &str) -> Command {
        let mut consumer = self.broker.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
        consumer.args(["--bootstrap-server", &self.address(), "--topic", topic, "--from-beginning"]);
        consumer.args(["--isolation-level", "read_committed"]);
        for property in ["print.headers=true", "print.key=true"] {
            consumer.args(["--formatter-property", property]);
        }
        consumer
    }

    /// What arrived of each table, in their order.
    pub(super) fn arrived(&self, tables: &[Table], out: &Path) -> Result<Vec<(Arrived, Contents)>> {
        let tables: Vec<_> =
            tables.iter().map(|table| json!({"topic": table.topic(), "columns": table.columns})).collect();
        let request = out.join("topics.json");
        std::fs::write(&request, serde_json::to_vec(&json!({"brokers": self.address(), "tables": tables}))?)?;
        let mut consumer = Command::new(python());
        consumer.args(["-c", CONSUME]).arg(&request).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = consumer.output().context("starting Python")?;
        if !output.status.success() {
            bail!("Confluent's client could not read the topics");
        }
        let found: Vec<Found> = serde_json::from_slice(&output.stdout)?;
        Ok(found.into_iter().map(|Found { arrived, contents }| (arrived, contents)).collect())
    }
}
