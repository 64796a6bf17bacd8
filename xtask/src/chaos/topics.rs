//! Topics of a broker of their own, which is done harm to.

use std::path::PathBuf;

use anyhow::Result;
use ductstream_cluster::{Broker, BrokerOptions};

use super::ledger::files;
use super::plan::{TopicsShape, Transactions};

/// What the names of all topics begin with, but for those of positions.
const PREFIX: &str = "chaos.";
const POSITIONS: &str = "positions";

/// A broker and how it is written to.
#[derive(Debug)]
pub(super) struct Topics {
    broker: Broker,
    shape: TopicsShape,
}

impl Topics {
    pub(super) fn start(shape: &TopicsShape) -> Result<Self> {
        Ok(Self { broker: Broker::create(&BrokerOptions::default())?, shape: shape.clone() })
    }

    /// The destination's lines of the flow file.
    pub(super) fn settings(&self) -> String {
        let TopicsShape { exactly_once, partitions, tombstones, delivery_timeout } = &self.shape;
        let exactly_once = exactly_once.map(|Transactions { age, aligned }| {
            let age = age.as_millis();
            format!(
                "    exactly_once: {{position_topic: {POSITIONS}, transaction_age: {age}ms, transaction_aligned: {aligned}}}\n"
            )
        });
        format!(
            "    type: kafka\n    brokers: {}\n    prefix: {PREFIX}\n    create_topics: {{partitions: {partitions}}}\n    \
             tombstones: {tombstones}\n    delivery_timeout: {}s\n{}",
            self.broker.address(),
            delivery_timeout.as_secs(),
            exactly_once.unwrap_or_default()
        )
    }

    /// What tells the comparison how to read them, and what to expect.
    pub(super) fn arguments(&self) -> Vec<String> {
        let delivery = if self.shape.exactly_once.is_some() { "exactly_once" } else { "at_least_once" };
        let tombstones = if self.shape.tombstones { "tombstones" } else { "no_tombstones" };
        [&self.broker.address(), PREFIX, delivery, tombstones].map(str::to_owned).into()
    }

    /// By how much all of them have grown, in KiB.
    pub(super) fn kibibytes(&self) -> u64 {
        self.bytes(PREFIX) >> 10
    }

    /// What grows only as long as the flow delivers: with transactions the topic of positions, whose records are the
    /// last of each.
    pub(super) fn progress(&self) -> u64 {
        self.bytes(if self.shape.exactly_once.is_some() { POSITIONS } else { PREFIX })
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        Ok(self.broker.kill()?)
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        Ok(self.broker.start()?)
    }

    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        Ok(self.broker.signal(signal)?)
    }

    pub(super) fn log(&self) -> String {
        self.broker.log()
    }

    /// The length of the logs of all topics whose name begins like this.
    fn bytes(&self, topics: &str) -> u64 {
        let is_of = |path: &PathBuf| {
            let partition = path.parent().and_then(|it| it.file_name()).unwrap_or_default();
            partition.to_string_lossy().starts_with(topics) && path.extension().is_some_and(|it| it == "log")
        };
        let logs = files(&self.broker.data_directory()).into_iter().filter(is_of);
        logs.filter_map(|log| Some(log.metadata().ok()?.len())).sum()
    }
}
