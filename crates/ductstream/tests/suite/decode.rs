use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ductstream_core::{Envelope, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_wire::{WireSettings, build};
use serde_json::{Value, json};

fn chunk(rows: i64) -> TableChunk {
    BatchBuilder::new().begin(0x100, 7, 1).insert_many(&table("public.orders", 3), 1, rows).build().chunks.remove(0)
}

fn file(directory: &Path, format: WireFormat, rows: i64) -> PathBuf {
    let codec = build(format, Envelope::Flat, &WireSettings::default()).unwrap();
    let path = directory.join(format!("{rows}.{}", codec.extension()));
    std::fs::write(&path, encode(&*codec, &chunk(rows), &[1000])).unwrap();
    path
}

fn decode(arguments: &[&str], files: &[&PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ductstream"));
    command.arg("decode").args(arguments).args(files).env_remove("DUCTSTREAM_REGISTRY_PASSWORD");
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn files_of_any_format_are_printed_one_behind_the_other_and_no_more_than_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let formats = [WireFormat::Json, WireFormat::Parquet, WireFormat::Arrow, WireFormat::Avro, WireFormat::Proto];
    let files = formats.map(|format| file(directory.path(), format, 10));
    let printed = decode(&[], &files.each_ref());
    assert_eq!((printed.status.code(), text(&printed.stderr)), (Some(0), ""));
    let one = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(text(&printed.stdout), one.repeat(5));
    for (limit, lines) in [("0", 0), ("1", 1), ("10", 10), ("13", 13), ("99", 50)] {
        let printed = decode(&["--limit", limit], &files.each_ref());
        assert_eq!((printed.status.code(), text(&printed.stdout).lines().count()), (Some(0), lines), "{limit}");
        assert!(one.repeat(5).starts_with(text(&printed.stdout)));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_ductstream"))
        .args(["decode", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&files[3]).unwrap()).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), one, "from standard input");
}

#[test]
fn a_file_says_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for (format, layout) in [
        (WireFormat::Parquet, "file"),
        (WireFormat::Arrow, "IPC file"),
        (WireFormat::Avro, "object container file"),
        (WireFormat::Proto, "length-delimited messages"),
    ] {
        let described = decode(&["--describe"], &[&file(directory.path(), format, 1)]);
        let document: Value = serde_json::from_slice(&described.stdout).unwrap();
        assert_eq!((&document["format"], &document["layout"]), (&json!(format.to_string()), &json!(layout)));
        assert_eq!(document["table"], "public.orders");
        let amount = document["columns"].as_array().unwrap().iter().find(|column| column["name"] == "amount").unwrap();
        assert_eq!(amount["pg_type"], "numeric(12,2)", "{format}");
        assert_eq!(document["schema"].is_null(), format == WireFormat::Arrow);
    }
}

#[test]
fn damage_is_told_with_its_place_behind_what_could_be_read_and_the_other_files_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (damaged, whole) =
        (file(directory.path(), WireFormat::Avro, 20_000), file(directory.path(), WireFormat::Json, 3));
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let printed = decode(&[], &[&damaged, &whole]);
    assert_eq!(printed.status.code(), Some(1));
    let said = text(&printed.stderr);
    assert!(said.contains("20000.avro: damaged at byte ") && said.contains("cut off"), "{said}");
    let whole = std::fs::read_to_string(&whole).unwrap();
    assert!(text(&printed.stdout).ends_with(&whole));
    assert!(text(&printed.stdout).lines().count() > 5000, "what lies before the damage");
}

#[test]
fn what_is_not_ours_and_wrong_usage_exit_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let [picture, message] = ["picture", "message"].map(|name| directory.path().join(name));
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\n").unwrap();
    std::fs::write(&message, [0, 0, 0, 0, 7, 2, 2]).unwrap();
    for (arguments, file, told) in [
        (&[][..], &picture, "nothing that DuctStream writes"),
        (&[], &message, "--registry URL"),
        (&["--format", "avro"], &picture, "--schema"),
        (&["--format", "parquett"], &picture, "parquet"),
        (&["--registry", "http://127.0.0.1:1", "--registry-user", "app"], &message, "DUCTSTREAM_REGISTRY_PASSWORD"),
        (&["--registry", "http://app:hush@127.0.0.1:1"], &message, "`url`"),
    ] {
        let output = decode(arguments, &[file]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}: {said}");
        assert!(said.contains(told) && !said.contains("hush"), "{arguments:?}: {said}");
    }
}
