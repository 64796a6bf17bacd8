//! The section `ack`: whose confirmation moves a flow on.

use std::borrow::Cow;
use std::path::PathBuf;

use ductstream_core::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::FlowName;
use super::problem::Problem;
use super::settings::Flow;
use super::tree::{Kind, Node};

/// Disk that an outbox may take.
const BUDGET: ByteSize = ByteSize(16 << 30);

/// Smallest budget that leaves room for more than one batch.
const MIN_BUDGET: u64 = 1 << 20;

/// Whose confirmation moves the flow on, and with it the slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ack {
    /// That of every destination.
    #[default]
    All,
    /// That of one destination.
    Primary(PrimarySettings),
}

/// `ack: {primary: NAME}`: one destination decides. The others get every change too, from an outbox on disk each, and hold up nobody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrimarySettings {
    /// The name of the destination that decides.
    pub primary: FlowName,
    /// The outboxes of the other destinations.
    #[serde(default)]
    pub outbox: OutboxSettings,
}

/// Where outboxes lie and how large they may become.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxSettings {
    /// Disk that the outbox of one destination may take. When it is used up, the flow waits for that destination: nothing is dropped.
    pub budget: ByteSize,
    /// The directory of the outboxes; each lies in `FLOW/DESTINATION` below it. By default `outbox` in the state directory. Give each machine its
    /// own, on a disk that survives a restart: what an outbox holds, the server may not have any more.
    pub path: Option<PathBuf>,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self { budget: BUDGET, path: None }
    }
}

impl Ack {
    /// The settings of the outboxes, those by default where there are none.
    pub fn outbox(&self) -> OutboxSettings {
        match self {
            Self::All => OutboxSettings::default(),
            Self::Primary(settings) => settings.outbox.clone(),
        }
    }

    /// Whether the destination follows from an outbox.
    pub fn follows(&self, destination: &FlowName) -> bool {
        matches!(self, Self::Primary(settings) if settings.primary != *destination)
    }
}

impl JsonSchema for Ack {
    fn schema_name() -> Cow<'static, str> {
        "Ack".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [{"type": "string", "enum": ["all"]}, generator.subschema_for::<PrimarySettings>()]})
    }
}

/// Reads `all` or the section.
pub(super) fn read(node: &Node) -> Result<Ack, Problem> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text == "all" => Ok(Ack::All),
        Kind::Map(_) => super::de::read(node).map(Ack::Primary),
        Kind::Scalar(_) | Kind::List(_) => Err(Problem::on(node, "this is not a policy that the flow knows")
            .remedy("write `all`, or `{primary: NAME}` with the name of the destination that decides")),
    }
}

/// What the section itself cannot know.
pub(super) fn validate(flow: &Flow, root: &Node) -> Result<(), Problem> {
    let Ack::Primary(settings) = &flow.ack else { return Ok(()) };
    let primary = root.find("ack.primary");
    let names: Vec<&str> = flow.destinations.iter().map(|destination| destination.name.as_str()).collect();
    if !names.contains(&settings.primary.as_str()) {
        let message = format!("the flow has no destination `{}`", settings.primary);
        return Err(Problem::on(primary, message).suggest(settings.primary.as_str(), &names));
    }
    if names.len() == 1 {
        return Err(Problem::on(primary, "it is the only destination, and there is none that could follow")
            .remedy("remove `ack`, or add a destination"));
    }
    if settings.outbox.budget.0 < MIN_BUDGET {
        return Err(
            Problem::on(root.find("ack.outbox.budget"), "the budget is too small").remedy("set it to 1MiB or more")
        );
    }
    Ok(())
}
