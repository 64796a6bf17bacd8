use std::path::PathBuf;

use ductstream::flow::{Ack, DestinationKind, Flow, Lookup, SourceKind};
use ductstream_core::{ByteSize, Envelope, ErrorKind, WireFormat};

const SECRET: &str = "hunter2";

fn parse(text: &str) -> Result<Flow, String> {
    let variable = |name: &str| match name {
        "SECRET" => Some(SECRET.to_owned()),
        "ROWS" => Some("5000".to_owned()),
        "YAML" => Some("x, type: null, bucket: [".to_owned()),
        _ => None,
    };
    let lookup = Lookup { variable: &variable, directory: PathBuf::from("/nowhere") };
    Flow::parse(text, "orders.yaml", &lookup).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!error.report().contains(SECRET), "{}", error.report());
        error.report()
    })
}

/// A flow file that is in order but for what `replace` puts in place of its `find`.
fn changed(find: &str, replace: &str) -> Result<Flow, String> {
    let text = "\
name: orders
source:
  type: postgres
  url: postgresql://app@db:5432/shop
  tables: [public.orders]
format: parquet
destinations:
  - name: lake
    type: s3
    bucket: events
    roll: {bytes: 128MiB, age: 60s}
";
    assert!(text.contains(find), "{find:?} is part of the file");
    parse(&text.replacen(find, replace, 1))
}

#[test]
fn a_flow_file_reads_as_it_is_written() {
    let flow = parse(
        "\
name: orders
source:
  type: postgres
  url: postgresql://app@db:5432/shop
  tables: [public.orders, \"public.order_*\"]
  slot: ductstream_orders
format: parquet
envelope: flat
destinations:
  - name: lake
    type: s3
    bucket: events
    prefix: shop
    secret_access_key: ${env:SECRET}
    roll: {bytes: 128MiB, age: 60s, rows: '${env:ROWS}'}
  - {name: local, type: file, path: ./out}
checkpoint: {url: 'postgresql://app:${env:SECRET}@db/state'}
memory_limit: 64MiB
retry: {max: 5s}
",
    )
    .unwrap();
    assert_eq!(flow.name.as_str(), "orders");
    assert_eq!((flow.format, flow.envelope), (WireFormat::Parquet, Envelope::Flat));
    assert_eq!(flow.memory_limit, ByteSize(64 << 20));
    let SourceKind::Postgres(source) = &flow.source;
    assert_eq!(source.tables, ["public.orders", "public.order_*"]);
    assert_eq!(flow.checkpoint.url.as_deref(), Some("postgresql://app:hunter2@db/state"));
    let DestinationKind::S3(s3) = &flow.destinations[0].kind else { panic!("s3") };
    assert_eq!((s3.bucket.as_str(), s3.roll.rows), ("events", Some(5000)));
    let DestinationKind::File(file) = &flow.destinations[1].kind else { panic!("file") };
    assert_eq!(file.path, PathBuf::from("./out"));
}

#[test]
fn json_reads_as_yaml_does() {
    let flow = parse(
        r#"{"name": "orders", "source": {"type": "postgres", "publication": ["a", "b"]}, "format": "json",
            "destinations": [{"name": "out", "type": "stdout"}]}"#,
    )
    .unwrap();
    let SourceKind::Postgres(source) = &flow.source;
    assert_eq!(source.publication.as_ref().unwrap().names(), ["a", "b"]);
}

#[test]
fn a_text_stays_what_was_written_whatever_yaml_makes_of_it() {
    for text in ["NO", "1e3", "0123", "true", "~x", "2026-11-23", "12:30:45"] {
        let flow = changed("bucket: events", &format!("bucket: {text}")).unwrap();
        let DestinationKind::S3(s3) = &flow.destinations[0].kind else { panic!("s3") };
        assert_eq!(s3.bucket, text);
    }
}

#[test]
fn what_a_reference_gives_is_text_and_never_structure() {
    let flow = changed("bucket: events", "bucket: ${env:YAML}").unwrap();
    let DestinationKind::S3(s3) = &flow.destinations[0].kind else { panic!("s3") };
    assert_eq!(s3.bucket, "x, type: null, bucket: [");
}

#[test]
fn anchors_repeat_a_section() {
    let flow = parse(
        "\
name: orders
source: {type: postgres, tables: [public.orders]}
format: parquet
destinations:
  - {name: a, type: file, path: a, roll: &roll {age: 5s}}
  - {name: b, type: file, path: b, roll: *roll}
",
    )
    .unwrap();
    let DestinationKind::File(file) = &flow.destinations[1].kind else { panic!("file") };
    assert_eq!(file.roll.age.to_string(), "5s");
}

#[test]
fn an_error_names_file_line_column_and_field_and_what_to_write() {
    let mut wrong = Vec::new();
    let second = "\n  - {name: lake, type: file, path: out}";
    for (find, replace, place, message) in [
        (
            "format: parquet",
            "fromat: parquet",
            "6:1: field fromat:",
            "unknown field `fromat`. To go on: write `format`, if that was meant",
        ),
        (
            "bucket: events",
            "buckett: events",
            "10:5: field destinations[0].buckett:",
            "write `bucket`, if that was meant",
        ),
        (
            "bytes: 128MiB",
            "byte: 128MiB",
            "11:12: field destinations[0].roll.byte:",
            "write `bytes`, if that was meant",
        ),
        ("age: 60s", "age: 60", "11:32: field destinations[0].roll.age:", "expected a time such as 60s, found 60"),
        ("128MiB", "many", "11:19: field destinations[0].roll.bytes:", "\"many\" is not a size such as 128MiB"),
        (
            "128MiB",
            "'${env:SECRET}'",
            "11:19: field destinations[0].roll.bytes:",
            "the value of ${env:SECRET} does not fit",
        ),
        (
            "bucket: events",
            "bucket: [events]",
            "10:13: field destinations[0].bucket:",
            "expected a string, found a list",
        ),
        ("    bucket: events\n", "", "8:5: field destinations[0]:", "the field `bucket` is missing"),
        ("bucket: events", "bucket:", "10:11: field destinations[0].bucket:", "expected a string, found nothing"),
        ("format: parquet\n", "", "1:1: ", "the field `format` is missing"),
        ("type: s3", "type: s4", "9:11: field destinations[0].type:", "write `s3`, if that was meant"),
        (
            "type: s3\n    bucket: events\n    roll: {bytes: 128MiB, age: 60s}",
            "type: kafka\n    brokers: k:9092\n    properties: {acks: 1}",
            "8:5: field destinations[0]:",
            "remove it: only what all replicas have is durable",
        ),
        (
            "type: s3\n    bucket: events\n    roll: {bytes: 128MiB, age: 60s}",
            "type: kafka\n    brokers: k:9092\n    mode: batch\n    tombstones: true",
            "12:17: field destinations[0].tombstones:",
            "remove `tombstones`, or set `mode: record`",
        ),
        ("type: s3", "type: kafka", "10:5: field destinations[0].bucket:", "unknown field `bucket`"),
        ("type: postgres", "type: mysql", "3:9: field source.type:", "use one of: postgres"),
        ("format: parquet", "format: parket", "6:9: field format:", "write `parquet`, if that was meant"),
        (
            "format: parquet",
            "format: parquet\nenvelope: debezium",
            "9:5: field destinations[0]:",
            "the envelope debezium is not available in the format parquet",
        ),
        (
            "format: parquet",
            "format: json\nenvelope: debezium\ndebezium:\n  topic.prefix: shop\n  slot.name: dbz",
            "10:3: field debezium.slot.name:",
            "Debezium's option `slot.name` is not set in debezium. To go on: set `source.slot`",
        ),
        (
            "format: parquet",
            "format: json\nenvelope: debezium\ndebezium: {decimal.handling.modes: string}",
            "8:12: field debezium.decimal.handling.modes:",
            "write `decimal.handling.mode`, if that was meant",
        ),
        ("format: parquet", "format: parquet\nname: again", "7:1: ", "the field `name` is given twice"),
        ("name: orders", "name: Orders", "1:7: field name:", "lower-case letters"),
        ("[public.orders]", "[public.]", "5:12: field source.tables[0]:", "write it as public.orders"),
        ("[public.orders]", "public.orders", "5:11: field source.tables:", "write a list as [first, second]"),
        ("  tables: [public.orders]\n", "", "3:3: field source:", "it does not say what to stream"),
        (
            "tables: [public.orders]",
            "tables: [public.orders]\n  publication: p",
            "6:16: field source.publication:",
            "given both",
        ),
        (
            "tables: [public.orders]",
            "tables: [public.orders]\n  slot: My-slot",
            "6:9: field source.slot:",
            "a slot's name",
        ),
        (
            "tables: [public.orders]",
            "tables: [public.orders]\n  binary: yes",
            "6:11: field source.binary:",
            "expected true or false",
        ),
        (
            "tables: [public.orders]",
            "tables: [public.orders]\n  publication: {a: b}",
            "6:16: field source.publication:",
            "none of the forms",
        ),
        (
            "tables: [public.orders]",
            "tables: [public.orders]\n  batch_size: 1GiB",
            "6:15: field source.batch_size:",
            "does not fit",
        ),
        (
            "age: 60s}",
            &format!("age: 60s}}{second}"),
            "12:12: field destinations[1].name:",
            "destinations[0] has the name `lake` too",
        ),
        ("age: 60s}", "age: 0s}", "8:5: field destinations[0]:", "`roll`"),
        (
            "format: parquet",
            "format: parquet\njson: {}",
            "7:7: field json:",
            "remove the section, or set `format: json`",
        ),
        ("format: parquet", "format: parquet\nmemory_limit: 1MiB", "7:15: field memory_limit:", "8MiB or more"),
        ("format: parquet", "format: parquet\nretry: {initial: 5m}", "7:8: field retry:", "do not grow"),
        (
            "bucket: events",
            "bucket: ${env:MISSING}",
            "10:13: field destinations[0].bucket:",
            "the environment variable MISSING is not set",
        ),
        (
            "bucket: events",
            "bucket: ${file:key}",
            "10:13: field destinations[0].bucket:",
            "cannot read the file /nowhere/key",
        ),
        ("bucket: events", "bucket: !secret events", "10:", "the tag !secret has no meaning here"),
        ("bucket: events", "bucket: [events", "11:9: ", "not valid YAML"),
        ("name: orders", "--- {}\n---\nname: orders", "3:1: ", "more than one document"),
    ] {
        let report = changed(find, replace).err().unwrap_or_else(|| panic!("{replace:?} is refused"));
        let place = format!("orders.yaml:{place}");
        if !report.starts_with(&place) || !report.contains(message) {
            wrong.push(format!("{replace:?}\n  expected {place} ... {message}\n  got      {report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn destinations_must_not_share_a_place_and_stdout_takes_json_only() {
    let flow = |format: &str, destinations: &str| {
        parse(&format!(
            "name: n\nsource: {{type: postgres, tables: [a.b]}}\nformat: {format}\ndestinations: [{destinations}]\n"
        ))
        .map(drop)
    };
    let twice = flow("json", "{name: a, type: file, path: out}, {name: b, type: file, path: out}").unwrap_err();
    assert!(twice.contains("destinations[0] writes to the same place"), "{twice}");
    flow("json", "{name: a, type: file, path: out}, {name: b, type: file, path: out, prefix: b}").unwrap();
    flow("json", "{name: a, type: null}, {name: b, type: null}").unwrap();
    let stdout = flow("parquet", "{name: a, type: stdout}").unwrap_err();
    assert!(stdout.starts_with("orders.yaml:4:16: field destinations[0]: "), "{stdout}");
    assert!(stdout.contains("a destination of type stdout does not take the format parquet"), "{stdout}");
    assert!(stdout.contains("set this destination's, or the flow's, `format: json`"), "{stdout}");
    let none = flow("json", "").unwrap_err();
    assert!(none.contains("at least one destination"), "{none}");
}

#[test]
fn a_destination_has_its_own_format_and_envelope_unless_the_flows_format_is_enforced() {
    let flow = |top: &str, destination: &str| {
        parse(&format!(
            "name: n\nsource: {{type: postgres, tables: [a.b]}}\n{top}\ndestinations: [{{name: d, {destination}}}]\n"
        ))
    };
    let wire = |flow: &Flow| flow.wire(&flow.destinations[0]);
    let own = flow("format: parquet\njson: {numeric: number}", "type: stdout, format: json, envelope: native").unwrap();
    assert_eq!(wire(&own), (WireFormat::Json, Envelope::Native));
    let inherited = flow("format: parquet\nenvelope: native\nenforce_format: true", "type: file, path: out").unwrap();
    assert_eq!(wire(&inherited), (WireFormat::Parquet, Envelope::Native));
    // The same format said twice, and an envelope of its own, break no rule.
    let same = "type: file, path: out, format: parquet, envelope: flat";
    let same = flow("format: parquet\nenvelope: native\nenforce_format: true", same).unwrap();
    assert_eq!(wire(&same), (WireFormat::Parquet, Envelope::Flat));

    for (top, destination, place, message) in [
        (
            "format: parquet\nenforce_format: true",
            "type: file, path: out, format: json",
            "orders.yaml:5:57: field destinations[0].format: ",
            "the flow's format is parquet, which `enforce_format: true` makes binding. To go on: remove this `format`, or set \
             the flow's `format: json`, or `enforce_format: false`",
        ),
        (
            "format: parquet\nenforce_format: true",
            "type: stdout",
            "orders.yaml:5:16: field destinations[0]: ",
            "set the flow's `format: json`",
        ),
        (
            "format: json",
            "type: stdout, format: parquet",
            "orders.yaml:4:48: field destinations[0].format: ",
            "a destination of type stdout does not take the format parquet. To go on: set this `format: json`",
        ),
        (
            "format: json",
            "type: stdout, format: proto",
            "orders.yaml:4:48: field destinations[0].format: ",
            "a destination of type stdout does not take the format proto. To go on: set this `format: json`",
        ),
        ("format: json", "type: stdout, envelope: x", "orders.yaml:4:50: field destinations[0].envelope: ", "`x`"),
        (
            "format: json\nenforce_format: 1",
            "type: stdout",
            "orders.yaml:4:17: field enforce_format: ",
            "true or false",
        ),
        ("format: parquet\njson: {}", "type: file, path: out", "orders.yaml:4:7: field json: ", "no destination has"),
    ] {
        let report = flow(top, destination).err().unwrap_or_else(|| panic!("{top} {destination} is refused"));
        assert!(report.starts_with(place) && report.contains(message), "{place} {message}\n{report}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_setting() {
    let error = Flow::load(std::path::Path::new("/nowhere/flow.yaml")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.report().contains("/nowhere/flow.yaml"), "{}", error.report());
}

#[test]
fn the_ack_policy_is_all_or_names_a_destination_of_the_flow() {
    let two = "format: parquet\ndestinations:\n  - {name: copy, type: file, path: ./copy}\n";
    let with = |ack: &str| changed("format: parquet\ndestinations:\n", &format!("{ack}\n{two}"));
    assert_eq!(with("ack: all").unwrap().ack, Ack::All);
    assert_eq!(with("").unwrap().ack, Ack::All);
    let flow = with("ack: {primary: lake, outbox: {budget: 2GiB, path: /var/outbox}}").unwrap();
    let Ack::Primary(settings) = &flow.ack else { panic!("primary") };
    assert_eq!((settings.primary.as_str(), settings.outbox.budget), ("lake", ByteSize(2 << 30)));
    assert_eq!(settings.outbox.path.as_deref(), Some(std::path::Path::new("/var/outbox")));
    let follow: Vec<bool> = flow.destinations.iter().map(|it| flow.ack.follows(&it.name)).collect();
    assert_eq!(follow, [true, false]);
    for (ack, message) in [
        ("ack: {primary: lakes}", "field ack.primary: the flow has no destination `lakes`. To go on: write `lake`"),
        ("ack: {primary: lake, outbox: {budget: 1kB}}", "field ack.outbox.budget: the budget is too small"),
        ("ack: {primary: lake, outbox: {size: 1GiB}}", "ack.outbox.size"),
        ("ack: {outbox: {}}", "the field `primary` is missing"),
        ("ack: some", "field ack: this is not a policy that the flow knows"),
        ("ack: [all]", "field ack: this is not a policy that the flow knows"),
    ] {
        let error = with(ack).err().unwrap_or_else(|| panic!("{ack} is taken"));
        assert!(error.contains(message), "{ack}: {error}");
    }
    let alone = changed("format: parquet\n", "format: parquet\nack: {primary: lake}\n").err().unwrap();
    assert!(alone.contains("the only destination") && alone.contains("remove `ack`"), "{alone}");
}

#[test]
fn dead_letters_go_where_they_can_be_kept() {
    let flow = |section: &str| {
        parse(&format!(
            "name: n\nsource: {{type: postgres, tables: [a.b]}}\nformat: json\n{section}\ndestinations:\n  - {{name: lake, type: file, path: out}}\n  \
             - {{name: bus, type: kafka, brokers: \"k:9092\"}}\n  - {{name: print, type: stdout}}\n"
        ))
    };
    for section in [
        "",
        "on_error: skip",
        "on_error: dead_letter",
        "on_error: dead_letter\ndead_letters: {path: refused}",
        "on_error: dead_letter\ndead_letters: {destination: lake}",
        "on_error: dead_letter\ndead_letters: {destination: bus, topic: refused}",
    ] {
        flow(section).unwrap();
    }
    for (section, message) in [
        ("on_error: dead_letters", "dead_letter"),
        ("dead_letters: {path: refused}", "set `on_error: dead_letter`"),
        ("on_error: skip\ndead_letters: {path: refused}", "set `on_error: dead_letter`"),
        ("on_error: dead_letter\ndead_letters: {path: a, destination: lake}", "keep one of them"),
        ("on_error: dead_letter\ndead_letters: {topic: t}", "name the destination under `dead_letters.destination`"),
        ("on_error: dead_letter\ndead_letters: {destination: nowhere}", "the flow has no destination nowhere"),
        ("on_error: dead_letter\ndead_letters: {destination: bus}", "give a `topic`"),
        ("on_error: dead_letter\ndead_letters: {destination: bus, topic: \"a b\"}", "cannot name a topic"),
        ("on_error: dead_letter\ndead_letters: {destination: lake, topic: t}", "remove `topic`"),
        ("on_error: dead_letter\ndead_letters: {destination: print}", "keeps nothing"),
    ] {
        let problem = flow(section).err().unwrap();
        assert!(problem.contains(message), "{section}: {problem}");
    }
}
