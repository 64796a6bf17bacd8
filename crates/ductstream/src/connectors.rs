//! The connectors of this version and what each can do. What admits a flow is also what `ductstream connectors` lists.

use ductstream_core::{Capabilities, Envelope, Op, WireFormat};
use serde_json::{Value, json};

use crate::destination::{null, stdout};
use crate::flow::{DestinationKind, ENVELOPES, FORMATS, Flow};

/// What every flow carries. A destination that does not deliver all of it would lose changes.
pub const CARRIED: [Op; 4] = [Op::Insert, Op::Update, Op::Delete, Op::Truncate];

/// A kind of source, by its `type`.
#[derive(Debug, Clone)]
pub struct SourceType {
    /// As the flow file has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// The operations that it reads.
    pub operations: &'static [Op],
}

/// A kind of destination, by its `type`.
#[derive(Debug, Clone)]
pub struct DestinationType {
    /// As the flow file has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What destinations of this type can do.
    pub capabilities: Capabilities,
}

/// The formats that the envelope `debezium` is written in: those that Connect's converters have.
const DEBEZIUM_FORMATS: [WireFormat; 3] = [WireFormat::Json, WireFormat::Avro, WireFormat::Proto];

/// Every source.
pub const SOURCES: [SourceType; 1] =
    [SourceType { name: "postgres", title: "PostgreSQL, by logical replication", operations: &CARRIED }];

/// Every destination, in the order of the flow file's documentation.
pub const DESTINATIONS: [DestinationType; 7] = {
    const OBJECTS: Capabilities = ductstream_object_store::CAPABILITIES;
    [
        DestinationType { name: "s3", title: "Amazon S3 and servers of its protocol", capabilities: OBJECTS },
        DestinationType { name: "gcs", title: "Google Cloud Storage", capabilities: OBJECTS },
        DestinationType { name: "azure", title: "Azure Blob Storage", capabilities: OBJECTS },
        DestinationType { name: "file", title: "a directory of this machine", capabilities: OBJECTS },
        DestinationType {
            name: "kafka",
            title: "Kafka and brokers of its protocol",
            capabilities: ductstream_kafka::CAPABILITIES,
        },
        DestinationType { name: "stdout", title: "standard output", capabilities: stdout::CAPABILITIES },
        DestinationType { name: "null", title: "nowhere, for measuring", capabilities: null::CAPABILITIES },
    ]
};

impl DestinationType {
    /// The type of a flow's destination.
    pub fn of(kind: &DestinationKind) -> &'static Self {
        const TYPES: &[DestinationType; DESTINATIONS.len()] = &DESTINATIONS;
        match kind {
            DestinationKind::S3(_) => &TYPES[0],
            DestinationKind::Gcs(_) => &TYPES[1],
            DestinationKind::Azure(_) => &TYPES[2],
            DestinationKind::File(_) => &TYPES[3],
            DestinationKind::Kafka(_) => &TYPES[4],
            DestinationKind::Stdout(_) => &TYPES[5],
            DestinationKind::Null(_) => &TYPES[6],
        }
    }

    /// The formats that it takes and this version writes.
    pub fn formats(&self) -> Vec<WireFormat> {
        offered(self.capabilities.formats, &FORMATS)
    }

    /// The envelopes that it takes and this version writes.
    pub fn envelopes(&self) -> Vec<Envelope> {
        offered(self.capabilities.envelopes, &ENVELOPES)
    }
}

fn offered<T: Copy + PartialEq>(takes: &[T], written: &[T]) -> Vec<T> {
    written.iter().copied().filter(|it| takes.contains(it)).collect()
}

/// A destination that does not fit its flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The destination's field that is wrong, or would be if it were given: `format`, `envelope` or `type`.
    pub field: &'static str,
    /// What does not fit.
    pub message: String,
    /// What would.
    pub remedy: String,
}

/// Whether the flow's destination with this index can deliver what the flow carries, as it is asked to, given what it can do.
///
/// # Errors
/// The first thing that does not fit.
pub fn admit(flow: &Flow, index: usize, can: &Capabilities) -> Result<(), Misfit> {
    let destination = &flow.destinations[index];
    let (format, envelope) = flow.wire(destination);
    let kind = DestinationType::of(&destination.kind);
    if flow.enforce_format && format != flow.format {
        let message = format!("the flow's format is {}, which `enforce_format: true` makes binding", flow.format);
        let remedy = format!("remove this `format`, or set the flow's `format: {format}`, or `enforce_format: false`");
        return Err(Misfit { field: "format", message, remedy });
    }
    if !can.formats.contains(&format) {
        let message = format!("a destination of type {} does not take the format {format}", kind.name);
        let remedy = remedy("format", &kind.formats(), destination.format.is_none(), flow.enforce_format);
        return Err(Misfit { field: "format", message, remedy });
    }
    if !can.envelopes.contains(&envelope) {
        let message = format!("a destination of type {} does not take the envelope {envelope}", kind.name);
        let remedy = remedy("envelope", &kind.envelopes(), destination.envelope.is_none(), false);
        return Err(Misfit { field: "envelope", message, remedy });
    }
    if envelope == Envelope::Debezium && !DEBEZIUM_FORMATS.contains(&format) {
        let message = format!("the envelope debezium is not available in the format {format}");
        let fits: Vec<WireFormat> = kind.formats().into_iter().filter(|it| DEBEZIUM_FORMATS.contains(it)).collect();
        let remedy = remedy("format", &fits, destination.format.is_none(), flow.enforce_format);
        return Err(Misfit { field: "envelope", message, remedy });
    }
    let lost: Vec<Op> = CARRIED.into_iter().filter(|op| !can.operations.contains(op)).collect();
    if !lost.is_empty() {
        let message = format!("a destination of type {} does not deliver: {}", kind.name, operations(&lost));
        let whole = DESTINATIONS.iter().filter(|it| CARRIED.iter().all(|op| it.capabilities.operations.contains(op)));
        let names: Vec<&str> = whole.map(|it| it.name).collect();
        return Err(Misfit { field: "type", message, remedy: format!("use one of: {}", names.join(", ")) });
    }
    Ok(())
}

/// `inherited`: the value is the flow's, for the destination has none of its own.
fn remedy<T: ToString>(field: &str, fits: &[T], inherited: bool, binding: bool) -> String {
    let whose = match (inherited, binding) {
        (true, true) => "the flow's",
        (true, false) => "this destination's, or the flow's,",
        (false, _) => "this",
    };
    match fits {
        [one] => format!("set {whose} `{field}: {}`", one.to_string()),
        _ => format!("set {whose} `{field}` to one of: {}", list(fits)),
    }
}

/// Names, separated by commas.
pub(crate) fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// The names of operations, separated by commas.
pub(crate) fn operations(operations: &[Op]) -> String {
    operations.iter().map(|op| op.as_str()).collect::<Vec<_>>().join(", ")
}

/// The connectors as a document.
pub fn document() -> Value {
    let sources = SOURCES
        .iter()
        .map(|source| json!({"type": source.name, "title": source.title, "operations": source.operations}));
    let destinations = DESTINATIONS.iter().map(|destination| {
        let can = &destination.capabilities;
        json!({
            "type": destination.name,
            "title": destination.title,
            "formats": destination.formats(),
            "envelopes": destination.envelopes(),
            "operations": can.operations,
            "schema_changes": can.schema_changes,
            "exactly_once": can.exactly_once,
            "cross_table_order": can.cross_table_order,
        })
    });
    json!({"sources": sources.collect::<Vec<_>>(), "destinations": destinations.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::flow::Lookup;

    fn flow(top: &str, destination: &str) -> Flow {
        let text = format!(
            "name: n\nsource: {{type: postgres, tables: [a.b]}}\n{top}\ndestinations: [{{name: d, {destination}}}]\n"
        );
        let lookup = Lookup { variable: &|_| None, directory: PathBuf::new() };
        Flow::parse(&text, "flow", &lookup).map_err(|error| error.report()).unwrap()
    }

    #[test]
    fn every_type_of_the_flow_file_is_in_the_table_under_its_own_name() {
        for (destination, name) in [
            ("type: s3, bucket: b", "s3"),
            ("type: gcs, bucket: b", "gcs"),
            ("type: azure, container: c, account: a", "azure"),
            ("type: file, path: p", "file"),
            ("type: kafka, brokers: \"k:9092\"", "kafka"),
            ("type: stdout", "stdout"),
            ("type: \"null\"", "null"),
        ] {
            let flow = flow("format: json", destination);
            let kind = DestinationType::of(&flow.destinations[0].kind);
            assert_eq!(kind.name, name);
            assert_eq!(admit(&flow, 0, &kind.capabilities), Ok(()));
        }
    }

    #[test]
    fn a_destination_that_would_lose_changes_is_refused_with_those_that_would_not() {
        let flow = flow("format: json", "type: file, path: p");
        let can = Capabilities { operations: &[Op::Insert, Op::Update], ..DESTINATIONS[3].capabilities.clone() };
        let misfit = admit(&flow, 0, &can).unwrap_err();
        assert_eq!(misfit.field, "type");
        assert_eq!(misfit.message, "a destination of type file does not deliver: delete, truncate");
        assert_eq!(misfit.remedy, "use one of: s3, gcs, azure, file, kafka, stdout, null");
    }

    #[test]
    fn an_envelope_that_a_destination_does_not_take_is_refused_where_it_is_said() {
        let can = Capabilities { envelopes: &[Envelope::Native], ..DESTINATIONS[3].capabilities.clone() };
        let inherited = admit(&flow("format: json", "type: file, path: p"), 0, &can).unwrap_err();
        assert_eq!(inherited.field, "envelope");
        assert!(inherited.remedy.starts_with("set this destination's, or the flow's, `envelope`"), "{inherited:?}");
        let own = admit(&flow("format: json", "type: file, path: p, envelope: flat"), 0, &can).unwrap_err();
        assert!(own.remedy.starts_with("set this `envelope`"), "{own:?}");
        assert_eq!(admit(&flow("format: json", "type: file, path: p, envelope: native"), 0, &can), Ok(()));
    }
}
