//! A backlog into topics of a real broker on the same machine, and from a commit to a consumer that is not ours.

use std::cell::Cell;
use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use ductstream_cluster::{Broker, BrokerOptions};

use super::client::{Client, Reader, Transport};
use super::drain::Series;
use super::plan::Plan;
use super::source::Source;
use super::workload::TO_TOPICS;
use crate::servers::{fetch_kafka, python};
use crate::workspace::{capture, say};

use crate::report::Figure;

/// What messages are, each with the name that figures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    Avro,
    Proto,
    DebeziumJson,
    /// Without headers; for information.
    BareJson,
}

const SHAPES: [Shape; 5] = [Shape::Json, Shape::Avro, Shape::Proto, Shape::DebeziumJson, Shape::BareJson];

/// Partitions of each topic.
const PARTITIONS: u32 = 3;

/// A broker that was just started compiles its code, which takes time from whoever comes first.
const WARM_UP_ROUNDS: u32 = 2;

/// A throwaway broker, and the topic of the run that is on.
#[derive(Debug)]
pub(super) struct Kafka {
    broker: Broker,
    run: Cell<u32>,
}

/// One message per row, and the topic is read afterwards.
pub(super) fn backlog(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    let all = SHAPES.map(|shape| Series::new(TO_TOPICS.name, Client::Kafka(shape), Transport::Tcp));
    let mut series: Vec<Series> = all.into_iter().filter(|series| plan.wants(&series.name)).collect();
    if series.is_empty() {
        return Ok(());
    }
    let kafka = Kafka::start()?;
    let (source, mark) = Source::with_backlog(&plan.ductstream, &TO_TOPICS, plan.sizes.rows)?;
    let reader = |client| Reader { kafka: Some(&kafka), ..Reader::new(&source, client, Transport::Tcp) };
    say(format!("{}: warming up", TO_TOPICS.name));
    for _ in 0..WARM_UP_ROUNDS {
        reader(series[0].client).drain(&mark)?;
    }
    for round in 1..=plan.sizes.rounds {
        say(format!("{}: round {round} of {}", TO_TOPICS.name, plan.sizes.rounds));
        let peer = reader(Client::PgRecvlogical).drain(&mark)?;
        for series in &mut series {
            series.push(reader(series.client).drain(&mark)?, peer);
        }
    }
    figures.extend(series.iter().flat_map(|series| series.figures(TO_TOPICS.name, mark.rows)));
    Ok(())
}

impl Kafka {
    /// Fetches and starts a broker.
    pub(super) fn start() -> Result<Self> {
        fetch_kafka().context("fetching Kafka")?;
        let broker = Broker::create(&BrokerOptions { is_long_lived: true, ..BrokerOptions::default() })?;
        Ok(Self { broker, run: Cell::new(0) })
    }

    /// Gives the next run topics of its own.
    pub(super) fn next_run(&self) {
        self.run.set(self.run.get() + 1);
    }

    /// The destination in a flow file.
    pub(super) fn destination(&self, shape: Shape) -> String {
        let headers = if shape == Shape::BareJson { ", headers: false" } else { "" };
        let (address, prefix) = (self.broker.address(), self.prefix());
        let topics = format!("prefix: \"{prefix}\", create_topics: {{partitions: {PARTITIONS}}}");
        format!("{{name: out, type: kafka, brokers: \"{address}\", {topics}{headers}}}")
    }

    /// How many messages the run's topic of `orders` has, and how many distinct keys, as Confluent's client reads it: `N M`. The topic is
    /// deleted.
    pub(super) fn count(&self) -> Result<String> {
        let topic = format!("{}public.orders", self.prefix());
        let script = include_str!("kafka/count.py");
        let counted = capture(Command::new(python()).args(["-c", script, &self.broker.address(), &topic]))?;
        Ok(counted.trim().to_owned())
    }

    /// A command that creates the run's topic of `ticks`, says `ready` and then prints each message that arrives.
    pub(super) fn consumer(&self) -> Command {
        let topic = format!("{}public.ticks", self.prefix());
        let mut consumer = Command::new(python());
        consumer.args(["-c", include_str!("kafka/follow.py"), &self.broker.address(), &topic]);
        consumer.arg(PARTITIONS.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        consumer
    }

    fn prefix(&self) -> String {
        format!("run{}.", self.run.get())
    }
}

impl Shape {
    /// The flow file's format and envelope.
    pub(super) fn format(self) -> (&'static str, &'static str) {
        match self {
            Self::Json | Self::BareJson => ("json", "flat"),
            Self::Avro => ("avro", "flat"),
            Self::Proto => ("proto", "flat"),
            Self::DebeziumJson => ("json", "debezium"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Proto => "proto",
            Self::DebeziumJson => "json-debezium",
            Self::BareJson => "json-without-headers",
        })
    }
}
