//! What a flow file says: filled by `read`, and described to editors by [`json_schema`](super::json_schema).

use std::path::PathBuf;

use ductstream_core::{ByteSize, Envelope, WireFormat};
use ductstream_kafka::KafkaSettings;
use ductstream_object_store::{AzureSettings, FileSettings, GcsSettings, S3Settings};
use ductstream_postgres::settings::SourceSettings;
use ductstream_registry::RegistrySettings;
use ductstream_runner::RetrySettings;
use ductstream_wire::envelope::debezium::DebeziumSettings;
use ductstream_wire::{ArrowSettings, AvroSettings, JsonSettings, ParquetSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Ack, FlowName};

/// Wire formats that this version can write.
pub(crate) const FORMATS: [WireFormat; 5] =
    [WireFormat::Parquet, WireFormat::Arrow, WireFormat::Avro, WireFormat::Proto, WireFormat::Json];

/// Envelopes that this version can write.
pub(crate) const ENVELOPES: [Envelope; 3] = [Envelope::Flat, Envelope::Native, Envelope::Debezium];

/// Memory for batches between source and destinations.
pub(crate) const MEMORY_LIMIT: ByteSize = ByteSize(128 << 20);

/// A flow: one source, one or more destinations, a wire format and delivery settings.
///
/// Any text value may hold `${env:NAME}` (an environment variable) and `${file:PATH}` (a file's content).
#[derive(Clone, JsonSchema)]
#[schemars(title = "DuctStream flow", deny_unknown_fields)]
pub struct Flow {
    /// The flow's name: names its checkpoint and, by default, its slot.
    pub name: FlowName,
    /// Where changes come from.
    pub source: SourceKind,
    /// The wire format of every destination that does not set its own.
    #[schemars(schema_with = "format_schema")]
    pub format: WireFormat,
    /// The shape of an encoded change at every destination that does not set its own: `flat` (the row's own columns, then `_op` and other `_`
    /// columns), `native` (operation, key, before, after, position) or `debezium` (the events of Debezium's PostgreSQL connector; with `format:
    /// json`).
    #[schemars(default = "default_envelope", schema_with = "envelope_schema")]
    pub envelope: Envelope,
    /// Make `format` binding: a destination with another one is refused.
    #[schemars(default)]
    pub enforce_format: bool,
    /// Where changes go. Every destination gets every change.
    #[schemars(length(min = 1))]
    pub destinations: Vec<DestinationSettings>,
    /// Whose confirmation moves the flow on: `all` (that of every destination), or a section that names the one that decides. The others then
    /// follow from outboxes on disk, and a slow one holds up nobody.
    #[schemars(default)]
    pub ack: Ack,
    /// Where the flow's progress is kept.
    #[schemars(default)]
    pub checkpoint: CheckpointSettings,
    /// Memory for batches between source and destinations, whatever the size of a transaction. At least 8MiB. A destination's own buffers
    /// are apart from it.
    #[schemars(default = "default_memory_limit")]
    pub memory_limit: ByteSize,
    /// Pauses between attempts after a failure that may pass. A flow tries for ever.
    #[schemars(default)]
    pub retry: RetrySettings,
    /// How Parquet is written; only when the flow or a destination has `format: parquet`.
    #[schemars(default)]
    pub parquet: ParquetSettings,
    /// How JSON is written; only when the flow or a destination has `format: json`.
    #[schemars(default)]
    pub json: JsonSettings,
    /// How events are made, under Debezium's option names; only with `envelope: debezium`.
    #[schemars(default)]
    pub debezium: DebeziumSettings,
    /// How Avro is written; only when the flow or a destination has `format: avro`.
    #[schemars(default)]
    pub avro: AvroSettings,
    /// Where the schemas of messages are registered: keys and values then carry the id of their schema in front, as Confluent's serializers
    /// have it. Only with a destination of type `kafka` and `mode: record`.
    #[schemars(default)]
    pub schema_registry: Option<RegistrySettings>,
    /// How Arrow is written; only when the flow or a destination has `format: arrow`.
    #[schemars(default)]
    pub arrow: ArrowSettings,
    /// What becomes of a record that a destination cannot deliver however often it tries, such as one that is larger than `max_message_size`.
    #[schemars(default)]
    pub on_error: OnError,
    /// Where such records are kept; only with `on_error: dead_letter`.
    #[schemars(default)]
    pub dead_letters: DeadLetterSettings,
}

/// What becomes of a record that cannot be delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The flow stops at it. Nothing is lost, and nothing behind it is delivered.
    #[default]
    Stop,
    /// It is kept apart with its error, and the flow goes on. `ductstream dead-letter` shows it and delivers it later.
    DeadLetter,
    /// It is dropped, counted and logged, and the flow goes on.
    Skip,
}

/// The `dead_letters` section: where records are kept that could not be delivered. By default in `dead-letters` in the state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterSettings {
    /// A directory, created when missing; relative to the working directory.
    pub path: Option<PathBuf>,
    /// A destination of the flow instead: an object store, where they are below its prefix in `_dead_letters`, or Kafka with `topic`.
    pub destination: Option<FlowName>,
    /// The topic, of a destination of type `kafka`. Created when missing where the destination creates topics.
    pub topic: Option<String>,
}

/// A source, by `type`.
#[derive(Clone, JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
pub enum SourceKind {
    /// A PostgreSQL database, by logical replication.
    Postgres(SourceSettings),
}

/// A destination: its name, its `type`, and the settings of that type.
#[derive(Clone, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct DestinationSettings {
    /// The destination's name, unique in the flow. Its progress is kept under this name.
    pub name: FlowName,
    /// The wire format of this destination, when it is not the flow's.
    #[schemars(default, schema_with = "format_schema")]
    pub format: Option<WireFormat>,
    /// The shape of an encoded change at this destination, when it is not the flow's.
    #[schemars(default, schema_with = "envelope_schema")]
    pub envelope: Option<Envelope>,
    /// What it is.
    #[schemars(flatten)]
    pub kind: DestinationKind,
}

/// A destination's settings, by `type`.
#[derive(Clone, JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
pub enum DestinationKind {
    /// Amazon S3, or any server that speaks its protocol.
    S3(S3Settings),
    /// Google Cloud Storage.
    Gcs(GcsSettings),
    /// Azure Blob Storage.
    Azure(AzureSettings),
    /// A directory of this machine.
    File(FileSettings),
    /// Kafka, or any broker that speaks its protocol.
    Kafka(KafkaSettings),
    /// Standard output.
    Stdout(StdoutSettings),
    /// Nowhere.
    Null(NullSettings),
}

/// `type: stdout`: prints every change as one line of JSON, in commit order across tables. For trying out and for pipes; with `format: json`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutSettings {
    /// Print each message with its topic, key and headers beside its value, tombstones included, as a broker would get them. With `envelope:
    /// debezium`.
    #[serde(default)]
    pub messages: bool,
}

/// `type: null`: takes every change and keeps nothing. For measuring.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NullSettings {}

/// The `checkpoint` section.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSettings {
    /// `postgresql://...` or `sqlite:PATH`. By default the file `checkpoints.db` in the state directory.
    #[serde(default)]
    pub url: Option<String>,
}

impl Flow {
    /// How changes are written to one of the flow's destinations: as it says, else as the flow does.
    pub fn wire(&self, destination: &DestinationSettings) -> (WireFormat, Envelope) {
        (destination.format.unwrap_or(self.format), destination.envelope.unwrap_or(self.envelope))
    }
}

fn format_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": FORMATS.map(|format| format.to_string())})
}

fn envelope_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ENVELOPES.map(|envelope| envelope.to_string())})
}

pub(crate) fn default_envelope() -> Envelope {
    Envelope::Flat
}

pub(crate) fn default_memory_limit() -> ByteSize {
    MEMORY_LIMIT
}
