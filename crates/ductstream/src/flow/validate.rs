//! What no single field can know.

use std::collections::HashMap;

use ductstream_core::{Envelope, Error, WireFormat};
use ductstream_kafka::{KafkaSettings, MessageMode};
use ductstream_object_store::Settings;
use ductstream_postgres::settings::SourceSettings;
use ductstream_wire::JsonCompression;

use super::problem::Problem;
use super::settings::{DestinationKind, DestinationSettings, Flow, OnError, SourceKind};
use super::tree::Node;
use crate::connectors::{DestinationType, admit};

/// Longest name of a replication slot and of a publication (`NAMEDATALEN` - 1).
const MAX_NAME: usize = 63;

/// Smallest memory limit that leaves room for one batch in each stage.
const MIN_MEMORY_LIMIT: u64 = 8 << 20;

pub(crate) fn flow(flow: &Flow, root: &Node) -> Result<(), Problem> {
    let SourceKind::Postgres(postgres) = &flow.source;
    source(postgres, root)?;
    checkpoint(flow, root)?;
    destinations(flow, root)?;
    super::ack::validate(flow, root)?;
    format_sections(flow, root)?;
    dead_letters(flow, root)?;
    limits(flow, postgres, root)
}

/// A keyword string would otherwise be taken for the path of a SQLite file, password and all.
fn checkpoint(flow: &Flow, root: &Node) -> Result<(), Problem> {
    let known = |url: &str| ["postgresql://", "postgres://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme));
    match &flow.checkpoint.url {
        Some(url) if !known(url) => {
            Err(Problem::on(root.find("checkpoint.url"), "this is not the URL of a checkpoint store")
                .remedy("write it as postgresql://USER@HOST/DATABASE or sqlite:PATH"))
        }
        _ => Ok(()),
    }
}

fn source(source: &SourceSettings, root: &Node) -> Result<(), Problem> {
    let section = root.find("source");
    match (source.tables.is_empty(), &source.publication) {
        (true, None) => {
            return Err(Problem::on(section, "it does not say what to stream").remedy(
                "give `tables`, such as [public.orders, \"public.order_*\"], or `publication`, an existing one",
            ));
        }
        (false, Some(_)) => {
            return Err(Problem::on(root.find("source.publication"), "`tables` and `publication` are given both")
                .remedy(
                    "keep `tables` to let the flow make its own publication, or `publication` to use an existing one",
                ));
        }
        _ => {}
    }
    for (index, table) in source.tables.iter().enumerate() {
        if table.split('.').any(str::is_empty) {
            let node = root.find(&format!("source.tables[{index}]"));
            return Err(Problem::on(node, "a part of the table's name is empty").remedy("write it as public.orders"));
        }
    }
    if source.publication.as_ref().is_some_and(|publication| publication.names().is_empty()) {
        return Err(Problem::on(root.find("source.publication"), "the list of publications is empty"));
    }
    match &source.slot {
        Some(slot) if !is_slot_name(slot) => {
            let message = format!("a slot's name is 1 to {MAX_NAME} lower-case letters, digits or `_`");
            Err(Problem::on(root.find("source.slot"), message))
        }
        _ => Ok(()),
    }
}

/// As the server has it (`ReplicationSlotValidateName`).
fn is_slot_name(text: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

fn destinations(flow: &Flow, root: &Node) -> Result<(), Problem> {
    if flow.destinations.is_empty() {
        return Err(Problem::on(root.find("destinations"), "a flow has at least one destination"));
    }
    let (mut names, mut places) = (HashMap::new(), HashMap::new());
    for (index, destination) in flow.destinations.iter().enumerate() {
        let node = root.find(&format!("destinations[{index}]"));
        if let Some(first) = names.insert(&destination.name, index) {
            let message = format!("destinations[{first}] has the name `{}` too", destination.name);
            return Err(Problem::on(node.get("name").unwrap_or(node), message)
                .remedy("give each destination a name of its own"));
        }
        if let Some(first) = place(&destination.kind).and_then(|place| places.insert(place, index)) {
            let message = format!("destinations[{first}] writes to the same place");
            return Err(
                Problem::on(node, message).remedy("give each destination a `prefix`, `path` or `topic` of its own")
            );
        }
        one_destination(flow, index, node)?;
    }
    schema_registry(flow, root)
}

fn schema_registry(flow: &Flow, root: &Node) -> Result<(), Problem> {
    let Some(registry) = &flow.schema_registry else { return Ok(()) };
    let node = root.find("schema_registry");
    registry.validate().map_err(|error| refused(node, &error))?;
    let records =
        |kind: &DestinationKind| matches!(kind, DestinationKind::Kafka(kafka) if kafka.mode == MessageMode::Record);
    if !flow.destinations.iter().any(|destination| records(&destination.kind)) {
        return Err(Problem::on(node, "no destination of the flow sends messages with schemas")
            .remedy("remove `schema_registry`, or add a destination of type kafka with `mode: record`"));
    }
    Ok(())
}

fn one_destination(flow: &Flow, index: usize, node: &Node) -> Result<(), Problem> {
    let kind = &flow.destinations[index].kind;
    admit(flow, index, &DestinationType::of(kind).capabilities)
        .map_err(|misfit| Problem::on(node.get(misfit.field).unwrap_or(node), misfit.message).remedy(misfit.remedy))?;
    if let Some(settings) = object_store(kind) {
        return settings.validate().map_err(|error| refused(node, &error));
    }
    if let DestinationKind::Kafka(settings) = kind {
        settings.validate().map_err(|error| refused(node, &error))?;
        return kafka(settings, flow, index, node);
    }
    let (_, envelope) = flow.wire(&flow.destinations[index]);
    let DestinationKind::Stdout(stdout) = kind else { return Ok(()) };
    if stdout.messages && envelope != Envelope::Debezium {
        let message = format!("there are no messages in the envelope {envelope}");
        return Err(Problem::on(node.get("messages").unwrap_or(node), message)
            .remedy("remove `messages`, or set `envelope: debezium`"));
    }
    if flow.json.compression != JsonCompression::None {
        return Err(Problem::on(node, "standard output is not compressed, and the flow's JSON is")
            .remedy("remove `json.compression`, and pipe the output into a program that compresses"));
    }
    Ok(())
}

fn kafka(settings: &KafkaSettings, flow: &Flow, index: usize, node: &Node) -> Result<(), Problem> {
    let at = |field: &str| node.get(field).unwrap_or(node);
    let is_record = settings.mode == MessageMode::Record;
    let (format, envelope) = flow.wire(&flow.destinations[index]);
    if settings.tombstones && !is_record {
        return Err(Problem::on(at("tombstones"), "messages that are batches have no key, and so no tombstones")
            .remedy("remove `tombstones`, or set `mode: record`"));
    }
    if settings.tombstones && envelope == Envelope::Debezium {
        return Err(Problem::on(at("tombstones"), "the envelope debezium has an option of its own for tombstones")
            .remedy("remove `tombstones`, and set `tombstones.on.delete` under `debezium`"));
    }
    let is_file = |it: &DestinationSettings| object_store(&it.kind).is_some() && flow.wire(it).0 == WireFormat::Json;
    let compressed = format == WireFormat::Json && flow.json.compression != JsonCompression::None;
    if is_record && compressed && !flow.destinations.iter().any(is_file) {
        return Err(Problem::on(node, "messages are compressed by the client, and `json.compression` is for files")
            .remedy("remove it, and set `compression.type` under `properties` of the destination"));
    }
    Ok(())
}

/// Gives what a connector says about its settings the place of the section that holds them.
fn refused(node: &Node, error: &Error) -> Problem {
    let problem = Problem::on(node, error.message());
    match error.remedy() {
        Some(remedy) => problem.remedy(remedy),
        None => problem,
    }
}

/// The settings of an object store; `None` of other destinations.
pub(crate) fn object_store(kind: &DestinationKind) -> Option<Settings> {
    match kind {
        DestinationKind::S3(settings) => Some(settings.clone().into()),
        DestinationKind::Gcs(settings) => Some(settings.clone().into()),
        DestinationKind::Azure(settings) => Some(settings.clone().into()),
        DestinationKind::File(settings) => Some(settings.clone().into()),
        DestinationKind::Kafka(_) | DestinationKind::Stdout(_) | DestinationKind::Null(_) => None,
    }
}

/// What two destinations must not share; `None` where nothing is kept.
fn place(kind: &DestinationKind) -> Option<String> {
    let endpoint = match kind {
        DestinationKind::S3(settings) => settings.endpoint.clone(),
        DestinationKind::Gcs(settings) => settings.endpoint.clone(),
        DestinationKind::Azure(settings) => settings.account.clone().or(settings.endpoint.clone()),
        DestinationKind::File(_) => None,
        DestinationKind::Kafka(settings) => {
            return Some(format!("{} {}{} {:?}", settings.place(), settings.prefix, settings.topic, settings.topics));
        }
        DestinationKind::Stdout(_) => return Some("stdout".to_owned()),
        DestinationKind::Null(_) => return None,
    };
    if let DestinationKind::File(settings) = kind {
        // However it is written: `./out` and `out`, or a prefix that is part of the path elsewhere.
        let path = std::path::absolute(settings.path.join(settings.prefix.trim_matches('/'))).ok()?;
        return Some(path.components().collect::<std::path::PathBuf>().display().to_string());
    }
    let url = object_store(kind)?.url();
    Some(format!("{} {url}", endpoint.unwrap_or_default()))
}

/// Where records are kept that cannot be delivered.
fn dead_letters(flow: &Flow, root: &Node) -> Result<(), Problem> {
    let settings = &flow.dead_letters;
    let Some(node) = root.get("dead_letters") else { return Ok(()) };
    let at = |field: &str| node.get(field).unwrap_or(node);
    if flow.on_error != OnError::DeadLetter {
        return Err(Problem::on(node, "the section has no effect, for no record is kept apart")
            .remedy("remove the section, or set `on_error: dead_letter`"));
    }
    let Some(name) = &settings.destination else {
        return match &settings.topic {
            Some(_) => Err(Problem::on(at("topic"), "a topic belongs to a destination of type kafka")
                .remedy("name the destination under `dead_letters.destination`")),
            None => Ok(()),
        };
    };
    if settings.path.is_some() {
        return Err(Problem::on(at("path"), "`path` and `destination` are given both").remedy("keep one of them"));
    }
    let named = flow.destinations.iter().find(|destination| destination.name == *name);
    match (named.map(|destination| &destination.kind), &settings.topic) {
        (None, _) => Err(Problem::on(at("destination"), format!("the flow has no destination {name}"))
            .remedy("name one of the flow's destinations, or give a `path`")),
        (Some(DestinationKind::Kafka(kafka)), Some(topic)) => {
            kafka.validate_topic(topic).map_err(|error| refused(at("topic"), &error))
        }
        (Some(DestinationKind::Kafka(_)), None) => {
            Err(Problem::on(node, "the destination is of type kafka, and no topic is named").remedy("give a `topic`"))
        }
        (Some(kind), Some(_)) => {
            let message = format!("a destination of type {} has no topics", DestinationType::of(kind).name);
            Err(Problem::on(at("topic"), message).remedy("remove `topic`"))
        }
        (Some(kind), None) if object_store(kind).is_none() => {
            let message = format!("a destination of type {} keeps nothing", DestinationType::of(kind).name);
            Err(Problem::on(at("destination"), message).remedy("name an object store or Kafka, or give a `path`"))
        }
        (Some(_), None) => Ok(()),
    }
}

/// The sections of the formats. One that has no effect is a misunderstanding.
fn format_sections(flow: &Flow, root: &Node) -> Result<(), Problem> {
    for (section, format) in [
        ("parquet", WireFormat::Parquet),
        ("json", WireFormat::Json),
        ("avro", WireFormat::Avro),
        ("arrow", WireFormat::Arrow),
    ] {
        let used = flow.destinations.iter().any(|destination| flow.wire(destination).0 == format);
        if let (Some(node), false) = (root.get(section), used) {
            let message = format!("the section has no effect, for no destination has the format {format}");
            return Err(Problem::on(node, message).remedy(format!("remove the section, or set `format: {format}`")));
        }
    }
    let debezium = |destination: &DestinationSettings| flow.wire(destination).1 == Envelope::Debezium;
    if let (Some(node), false) = (root.get("debezium"), flow.destinations.iter().any(debezium)) {
        let message = "the section has no effect, for no destination has the envelope debezium";
        return Err(Problem::on(node, message).remedy("remove the section, or set `envelope: debezium`"));
    }
    flow.debezium.validate().map_err(|error| refused(root.find("debezium"), &error))?;
    flow.parquet.validate().map_err(|error| refused(root.find("parquet"), &error))?;
    flow.avro.validate().map_err(|error| refused(root.find("avro"), &error))?;
    flow.arrow.validate().map_err(|error| refused(root.find("arrow"), &error))?;
    flow.json.validate().map_err(|error| refused(root.find("json"), &error))
}

fn limits(flow: &Flow, source: &SourceSettings, root: &Node) -> Result<(), Problem> {
    if flow.memory_limit.0 < MIN_MEMORY_LIMIT {
        return Err(Problem::on(root.find("memory_limit"), "the limit is too small").remedy("set it to 8MiB or more"));
    }
    if source.batch_size.0 == 0 || source.batch_size.0 > flow.memory_limit.0 / 2 {
        return Err(Problem::on(
            root.find("source.batch_size"),
            format!("a batch of {} does not fit", source.batch_size),
        )
        .remedy("set it above zero and to at most half of `memory_limit`"));
    }
    if flow.retry.initial.0.is_zero() || flow.retry.initial > flow.retry.max {
        return Err(Problem::on(root.find("retry"), "the pauses do not grow from `initial` to `max`")
            .remedy("set `initial` above zero and `max` to at least `initial`"));
    }
    Ok(())
}
