//! From the tree to [`Flow`].

use ductstream_core::{Envelope, WireFormat};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::settings::{DestinationKind, DestinationSettings, Flow, SourceKind, default_envelope, default_memory_limit};
use super::tree::{Kind, Node};
use super::{ack, de, debezium};
use crate::connectors::DESTINATIONS;

/// The fields of a flow file. A test holds them against the JSON Schema.
pub(crate) const FIELDS: [&str; 18] = [
    "name",
    "source",
    "format",
    "envelope",
    "enforce_format",
    "destinations",
    "ack",
    "checkpoint",
    "memory_limit",
    "retry",
    "parquet",
    "json",
    "debezium",
    "avro",
    "schema_registry",
    "arrow",
    "on_error",
    "dead_letters",
];

/// Reads a whole flow file. What no single field can know is left to [`validate`](super::validate).
pub(crate) fn flow(root: &Node) -> Result<Flow, Problem> {
    let section = Section::new(root)?;
    de::refuse_unknown(root, section.0.entries(), &FIELDS)?;
    section.0.get("debezium").map_or(Ok(()), debezium::refuse_elsewhere)?;
    Ok(Flow {
        name: section.required("name")?,
        source: source(section.field("source")?)?,
        format: format(section.field("format")?)?,
        envelope: section.0.get("envelope").map_or(Ok(default_envelope()), envelope)?,
        enforce_format: section.optional("enforce_format")?.unwrap_or_default(),
        destinations: destinations(section.field("destinations")?)?,
        ack: section.0.get("ack").map(ack::read).transpose()?.unwrap_or_default(),
        checkpoint: section.optional("checkpoint")?.unwrap_or_default(),
        memory_limit: section.optional("memory_limit")?.unwrap_or_else(default_memory_limit),
        retry: section.optional("retry")?.unwrap_or_default(),
        parquet: section.optional("parquet")?.unwrap_or_default(),
        json: section.optional("json")?.unwrap_or_default(),
        debezium: section.optional("debezium")?.unwrap_or_default(),
        avro: section.optional("avro")?.unwrap_or_default(),
        schema_registry: section.optional("schema_registry")?,
        arrow: section.optional("arrow")?.unwrap_or_default(),
        on_error: section.optional("on_error")?.unwrap_or_default(),
        dead_letters: section.optional("dead_letters")?.unwrap_or_default(),
    })
}

fn source(node: &Node) -> Result<SourceKind, Problem> {
    let section = Section::new(node)?;
    let kind = section.type_name()?;
    match kind {
        "postgres" => Ok(SourceKind::Postgres(section.settings(&["type"])?)),
        _ => Err(unknown_type(node, kind, &["postgres"])),
    }
}

fn destinations(node: &Node) -> Result<Vec<DestinationSettings>, Problem> {
    let Kind::List(items) = &node.kind else {
        return Err(
            Problem::on(node, "expected a list of destinations").remedy("begin each destination with `- name: ...`")
        );
    };
    items.iter().map(destination).collect()
}

fn destination(node: &Node) -> Result<DestinationSettings, Problem> {
    const TAKEN: [&str; 4] = ["name", "type", "format", "envelope"];
    let section = Section::new(node)?;
    let kind = section.type_name()?;
    let kind = match kind {
        "s3" => DestinationKind::S3(section.settings(&TAKEN)?),
        "gcs" => DestinationKind::Gcs(section.settings(&TAKEN)?),
        "azure" => DestinationKind::Azure(section.settings(&TAKEN)?),
        "file" => DestinationKind::File(section.settings(&TAKEN)?),
        "kafka" => DestinationKind::Kafka(section.settings(&TAKEN)?),
        "stdout" => DestinationKind::Stdout(section.settings(&TAKEN)?),
        "null" => DestinationKind::Null(section.settings(&TAKEN)?),
        _ => return Err(unknown_type(node, kind, &DESTINATIONS.map(|known| known.name))),
    };
    Ok(DestinationSettings {
        name: section.required("name")?,
        format: section.0.get("format").map(format).transpose()?,
        envelope: section.0.get("envelope").map(envelope).transpose()?,
        kind,
    })
}

/// `later` are types that the flow file knows and this version does not build.
fn unknown_type(section: &Node, given: &str, known: &[&str]) -> Problem {
    let node = section.get("type").unwrap_or(section);
    Problem::on(node, format!("`{given}` is not a type that DuctStream knows")).suggest(given, known)
}

fn format(node: &Node) -> Result<WireFormat, Problem> {
    de::read(node)
}

fn envelope(node: &Node) -> Result<Envelope, Problem> {
    de::read(node)
}

struct Section<'n>(&'n Node);

impl<'n> Section<'n> {
    fn new(node: &'n Node) -> Result<Self, Problem> {
        match &node.kind {
            Kind::Map(_) => Ok(Self(node)),
            Kind::List(_) | Kind::Scalar(_) => Err(Problem::on(node, "expected a section with fields")),
        }
    }

    fn field(&self, key: &str) -> Result<&'n Node, Problem> {
        self.0.get(key).ok_or_else(|| Problem::on(self.0, format!("the field `{key}` is missing")))
    }

    /// The section's `type`. Taken as it is written: `null` is the name of one, whatever YAML makes of it.
    fn type_name(&self) -> Result<&'n str, Problem> {
        let node = self.field("type")?;
        match &node.kind {
            Kind::Scalar(scalar) if !scalar.text.is_empty() => Ok(&scalar.text),
            _ => Err(Problem::on(node, "expected the name of a type")),
        }
    }

    fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T, Problem> {
        self.field(key).and_then(de::read)
    }

    fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Problem> {
        self.0.get(key).map(de::read).transpose()
    }

    /// Reads the section's fields but for those in `taken` as one struct.
    fn settings<T: DeserializeOwned>(&self, taken: &[&str]) -> Result<T, Problem> {
        let entries = self.0.entries().iter().filter(|entry| !taken.contains(&entry.key.as_str()));
        de::read(&Node { kind: Kind::Map(entries.cloned().collect()), ..self.0.clone() })
    }
}
