use ductstream_core::{ChangeBatch, Envelope, ReplicaIdentity, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table, table_with_identity};
use ductstream_testkit::conformance::codec::encode;
use ductstream_testkit::python;
use ductstream_wire::{JsonCompression, JsonLines, JsonSettings, NumericJson, WireSettings, build};

use super::types;

const COMMIT_TIME: i64 = 1_795_433_079_049_237;

fn lines(envelope: Envelope, settings: JsonSettings, batch: &ChangeBatch) -> String {
    let mut out = Vec::new();
    JsonLines::new(envelope, settings).unwrap().append(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn changes() -> ChangeBatch {
    let (orders, items) = (table("public.orders", 1), table("shop.items", 4));
    let batch =
        BatchBuilder::new().begin(0x16B_3748, 751, COMMIT_TIME).insert(&orders, 1, "a\nb").insert(&items, 7, "x");
    let batch = batch.update_unchanged(&orders, 1, "note").update_key(&orders, (1, 2), "c").commit(0x16B_3800);
    batch.begin(0x1_0000_0010, 752, COMMIT_TIME + 1).delete(&orders, 2).truncate(&items).commit(0x1_0000_0100).build()
}

#[test]
fn flat_lines_are_the_row_and_then_the_change() {
    let expected = r#"{"id":1,"note":"a\nb","amount":"1.25","at":"2026-11-23T11:24:39.049237Z","tags":["a\nb"],"_op":"insert","_commit_lsn":"0/16B3748","_seq":0,"_xid":751,"_commit_time":"2026-11-23T11:24:39.049237Z","_unchanged":null,"_old_key":null,"_schema_version":1}
{"id":7,"note":"x","amount":"7.25","at":"2026-11-23T11:24:39.049237Z","tags":["x"],"_op":"insert","_commit_lsn":"0/16B3748","_seq":1,"_xid":751,"_commit_time":"2026-11-23T11:24:39.049237Z","_unchanged":null,"_old_key":null,"_schema_version":4}
{"id":1,"amount":"1.25","at":"2026-11-23T11:24:39.049237Z","tags":["unseen"],"_op":"update","_commit_lsn":"0/16B3748","_seq":2,"_xid":751,"_commit_time":"2026-11-23T11:24:39.049237Z","_unchanged":["note"],"_old_key":null,"_schema_version":1}
{"id":2,"note":"c","amount":"2.25","at":"2026-11-23T11:24:39.049237Z","tags":["c"],"_op":"update","_commit_lsn":"0/16B3748","_seq":3,"_xid":751,"_commit_time":"2026-11-23T11:24:39.049237Z","_unchanged":null,"_old_key":{"id":1},"_schema_version":1}
{"id":2,"note":null,"amount":null,"at":null,"tags":null,"_op":"delete","_commit_lsn":"1/10","_seq":0,"_xid":752,"_commit_time":"2026-11-23T11:24:39.049238Z","_unchanged":null,"_old_key":null,"_schema_version":1}
{"id":null,"note":null,"amount":null,"at":null,"tags":null,"_op":"truncate","_commit_lsn":"1/10","_seq":1,"_xid":752,"_commit_time":"2026-11-23T11:24:39.049238Z","_unchanged":null,"_old_key":null,"_schema_version":4}
"#;
    assert_eq!(lines(Envelope::Flat, JsonSettings::default(), &changes()), expected);
}

#[test]
fn native_lines_have_key_before_and_after() {
    let expected = r#"{"op":"insert","table":"public.orders","key":{"id":1},"before":null,"after":{"id":1,"note":"a\nb","amount":"1.25","at":"2026-11-23T11:24:39.049237Z","tags":["a\nb"]},"unchanged":null,"position":{"commit_lsn":"0/16B3748","seq":0},"xid":751,"commit_time":"2026-11-23T11:24:39.049237Z","schema_version":1}
{"op":"insert","table":"shop.items","key":{"id":7},"before":null,"after":{"id":7,"note":"x","amount":"7.25","at":"2026-11-23T11:24:39.049237Z","tags":["x"]},"unchanged":null,"position":{"commit_lsn":"0/16B3748","seq":1},"xid":751,"commit_time":"2026-11-23T11:24:39.049237Z","schema_version":4}
{"op":"update","table":"public.orders","key":{"id":1},"before":null,"after":{"id":1,"amount":"1.25","at":"2026-11-23T11:24:39.049237Z","tags":["unseen"]},"unchanged":["note"],"position":{"commit_lsn":"0/16B3748","seq":2},"xid":751,"commit_time":"2026-11-23T11:24:39.049237Z","schema_version":1}
{"op":"update","table":"public.orders","key":{"id":2},"before":{"id":1},"after":{"id":2,"note":"c","amount":"2.25","at":"2026-11-23T11:24:39.049237Z","tags":["c"]},"unchanged":null,"position":{"commit_lsn":"0/16B3748","seq":3},"xid":751,"commit_time":"2026-11-23T11:24:39.049237Z","schema_version":1}
{"op":"delete","table":"public.orders","key":{"id":2},"before":{"id":2},"after":null,"unchanged":null,"position":{"commit_lsn":"1/10","seq":0},"xid":752,"commit_time":"2026-11-23T11:24:39.049238Z","schema_version":1}
{"op":"truncate","table":"shop.items","key":null,"before":null,"after":null,"unchanged":null,"position":{"commit_lsn":"1/10","seq":1},"xid":752,"commit_time":"2026-11-23T11:24:39.049238Z","schema_version":4}
"#;
    assert_eq!(lines(Envelope::Native, JsonSettings::default(), &changes()), expected);
}

#[test]
fn a_whole_old_image_is_shown_before_and_is_not_a_key_change() {
    let orders = table_with_identity("public.orders", 1, ReplicaIdentity::Full);
    let batch = BatchBuilder::new().begin(8, 1, 0).update_full(&orders, (1, "a"), (1, "b"));
    let batch = batch.update_full(&orders, (1, "b"), (2, "b")).delete_full(&orders, 2, "b").build();
    let documents = |envelope| -> Vec<serde_json::Value> {
        let lines = lines(envelope, JsonSettings::default(), &batch);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (native, flat) = (documents(Envelope::Native), documents(Envelope::Flat));
    assert_eq!((&native[0]["before"]["note"], &native[0]["after"]["note"]), (&"a".into(), &"b".into()));
    assert_eq!((&flat[0]["_old_key"], &flat[1]["_old_key"]["id"]), (&serde_json::Value::Null, &1.into()));
    // Of a delete, flat shows the key however much is known.
    assert_eq!((&flat[2]["id"], &flat[2]["note"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!((&native[2]["key"]["id"], &native[2]["before"]["note"]), (&2.into(), &"b".into()));
}

#[test]
fn every_type_is_written_as_documented() {
    let chunk = types::chunk();
    let codec = build(WireFormat::Json, Envelope::Flat, &WireSettings::default()).unwrap();
    let text = String::from_utf8(encode(&*codec, &chunk, &[3])).unwrap();
    let rows: Vec<&str> = text.lines().map(|line| line.split_once(",\"_op\"").unwrap().0).collect();
    assert_eq!(
        rows[0],
        concat!(
            r#"{"b":true,"i2":7,"i4":7,"i8":7,"o":7,"f4":0.1,"f8":1e100,"n":"12.50","nn":"0.0000000001","nt":"0.10","#,
            r#""t":"żółw \"q\" \\","j":{"a": [1, 2.50],  "a": null},"by":"AP8Q","u":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","#,
            r#""d":"2026-11-23","ti":"11:24:39.049237","ts":"2026-11-23T11:24:39.049237","tz":"2026-11-23T11:24:39.049237Z","#,
            r#""iv":"P1Y2M3DT-4H-5M-6.789S","li":[1,null],"co":{"x":1,"la bel":"p"},"h":{"k":"v","n":null},"#,
            r#""r":"[1,5)","rt":"[\"2026-11-23 11:24:39.5+00\",)","mr":["[1,3)","[8,)"],"v":[1.5,-2.0],"hv":[1.5,-2.0]"#,
        )
    );
    assert_eq!(
        rows[1],
        concat!(
            r#"{"b":false,"i2":-32768,"i4":-2147483648,"i8":-9223372036854775808,"o":4294967295,"f4":"NaN","f8":"-Infinity","#,
            r#""n":"-0.05","nn":"-123456789012345678901234567890.1234567890","nt":"NaN","t":"\u0001\n","j":"\n","by":"","#,
            r#""u":"00000000-0000-0000-0000-000000000000","d":"0000-12-31","ti":"00:00:00.000000","#,
            r#""ts":"0000-12-31T23:59:59.999999","tz":"0000-12-31T23:59:59.999999Z","iv":"PT0S","#,
            r#""li":[],"co":{"x":null,"la bel":null},"h":{},"r":"empty","rt":"(,\"0001-12-31 23:59:59.999999+00 BC\"]","#,
            r#""mr":[],"v":[0.0,10000000000.0],"hv":[0.099975586,0.0]"#,
        )
    );
    let nulls: serde_json::Value = serde_json::from_str(&format!("{}}}", rows[2])).unwrap();
    let nulls = nulls.as_object().unwrap();
    assert!(nulls.len() == 27 && nulls.iter().all(|(name, value)| value.is_null() == (name != "i4")), "{nulls:?}");
}

#[test]
fn numeric_values_are_numbers_when_asked_for() {
    let settings = JsonSettings { numeric: NumericJson::Number, ..JsonSettings::default() };
    let settings = WireSettings { json: settings, ..WireSettings::default() };
    let codec = build(WireFormat::Json, Envelope::Flat, &settings).unwrap();
    let text = String::from_utf8(encode(&*codec, &types::chunk(), &[3])).unwrap();
    assert!(text.contains(r#""n":12.50,"nn":0.0000000001,"nt":0.10,"#), "{text}");
    assert!(text.contains(r#""n":-0.05,"nn":-123456789012345678901234567890.1234567890,"nt":"NaN","#), "{text}");
}

#[test]
fn compressed_lines_are_read_by_duckdb() {
    let directory = tempfile::tempdir().unwrap();
    let orders = table("public.orders", 1);
    let chunk = BatchBuilder::new().begin(8, 1, COMMIT_TIME).insert_many(&orders, 1, 3000).build().chunks.remove(0);
    for compression in [JsonCompression::None, JsonCompression::Gzip, JsonCompression::Zstd] {
        let settings = JsonSettings { compression, ..JsonSettings::default() };
        let codec =
            build(WireFormat::Json, Envelope::Flat, &WireSettings { json: settings, ..Default::default() }).unwrap();
        let path = directory.path().join(format!("orders.{}", codec.extension()));
        std::fs::write(&path, encode(&*codec, &chunk, &[1000])).unwrap();
        let script = "import duckdb, sys; print(*duckdb.sql(f\"select count(*), sum(id), max(note) \
                      from read_json('{sys.argv[1]}', format='newline_delimited')\").fetchone())";
        assert_eq!(python::run(script, &[path.to_str().unwrap()]).trim(), "3000 4501500 row 999");
    }
}
