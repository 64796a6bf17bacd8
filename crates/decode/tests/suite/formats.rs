use ductstream_core::{Envelope, TableChunk, WireFormat};
use ductstream_decode::{Options, open};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_wire::WireSettings;
use serde_json::Value;

use super::support::{changes, every_setting, file, lines, printed};
use super::types;

#[test]
fn every_type_in_every_format_prints_what_the_format_json_has() {
    for envelope in [Envelope::Flat, Envelope::Native] {
        let expected = lines(envelope, &types::chunk());
        assert!(expected.contains("\"[1,5)\"") && expected.contains("\"-1234567890"), "{expected}");
        for (format, settings) in every_setting() {
            let bytes = file(format, envelope, &settings, &types::chunk());
            assert_eq!(printed(bytes, &Options::default()), expected, "{format} {envelope} {settings:?}");
        }
    }
}

#[test]
fn every_operation_in_every_format_prints_what_the_format_json_has() {
    let batch = changes();
    for (format, settings) in every_setting() {
        let flat = printed(file(format, Envelope::Flat, &settings, &batch.chunks[0]), &Options::default());
        assert_eq!(flat, lines(Envelope::Flat, &batch.chunks[0]), "{format} {settings:?}");
        let native = printed(file(format, Envelope::Native, &settings, &batch.chunks[0]), &Options::default());
        assert_eq!(documents(&native), documents(&lines(Envelope::Native, &batch.chunks[0])), "{format} {settings:?}");
    }
}

/// Columns do not tell an old key from an old row whose other columns are null: JSON leaves them out.
fn documents(lines: &str) -> Vec<Value> {
    let parse = |line: &str| {
        let mut document: Value = serde_json::from_str(line).unwrap();
        if let Some(before) = document["before"].as_object_mut() {
            before.retain(|_, value| !value.is_null());
        }
        document
    };
    lines.lines().map(parse).collect()
}

fn many() -> TableChunk {
    let batch = BatchBuilder::new().begin(0x100, 751, 1).insert_many(&table("public.orders", 3), 1, 20_000).build();
    batch.chunks.into_iter().next().unwrap()
}

#[test]
fn files_of_many_blocks_and_row_groups_are_read_to_their_end() {
    let chunk = many();
    let expected = lines(Envelope::Flat, &chunk);
    for (format, settings) in every_setting() {
        let bytes = file(format, Envelope::Flat, &settings, &chunk);
        assert!(printed(bytes, &Options::default()) == expected, "{format} {settings:?}");
    }
}

#[test]
fn files_without_records_are_whole() {
    let chunk = BatchBuilder::new().begin(8, 1, 1).insert(&table("public.orders", 1), 1, "a").build().chunks.remove(0);
    for (format, settings) in every_setting().into_iter().filter(|(format, _)| *format != WireFormat::Json) {
        let codec = super::support::codec(format, Envelope::Flat, &settings);
        let bytes = codec.encoder(&chunk.schema).unwrap().finish().unwrap();
        assert_eq!(printed(bytes, &Options::default()), "", "{format}");
    }
}

#[test]
fn a_document_says_what_it_is() {
    for (format, settings) in every_setting().into_iter().filter(|(format, _)| *format != WireFormat::Json) {
        let bytes = file(format, Envelope::Native, &settings, &changes().chunks[0]);
        let document = open(bytes.into(), &Options::default()).unwrap();
        assert_eq!(document.format, format);
        let table = document.properties.iter().find(|(name, _)| name == "ductstream.table");
        assert_eq!(table.map(|(_, value)| value.as_str()), Some("public.orders"), "{format}");
        let columns: Vec<_> = document.columns.iter().flat_map(|it| it.fields()).map(|it| it.name().clone()).collect();
        assert!(columns.contains(&"after".to_owned()), "{format}: {columns:?}");
        let definition = document.definition.unwrap_or_default();
        assert_eq!(definition.contains("after"), format != WireFormat::Arrow, "{format}: {definition}");
    }
}

#[test]
fn a_format_that_is_named_is_held_against_the_content() {
    let bytes = file(WireFormat::Avro, Envelope::Flat, &WireSettings::default(), &changes().chunks[0]);
    for (named, agrees) in [(WireFormat::Avro, true), (WireFormat::Parquet, false), (WireFormat::Json, false)] {
        let (_, error) = super::support::read(bytes.clone(), &Options { format: Some(named), ..Options::default() });
        assert_eq!(error.is_none(), agrees, "{named}: {error:?}");
    }
}
