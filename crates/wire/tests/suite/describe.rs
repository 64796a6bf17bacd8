use ductstream_core::Envelope;
use ductstream_testkit::batch::table;
use ductstream_wire::{WireSettings, describe};

#[test]
fn a_table_is_described_in_every_format() {
    let shapes = describe(&table("public.orders", 2), Envelope::Flat, &WireSettings::default()).unwrap();
    assert_eq!(shapes.arrow.fields().len(), 13);
    for line in ["OPTIONAL INT64 amount (DECIMAL(12,2))", "REQUIRED INT64 _commit_lsn (INTEGER(64,false))"] {
        assert!(shapes.parquet.contains(line), "{}", shapes.parquet);
    }
    assert_eq!((&shapes.avro["namespace"], &shapes.avro["name"]), (&"public.orders".into(), &"Value".into()));
    let amount = serde_json::json!(["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}]);
    assert_eq!(shapes.avro["fields"][2]["type"], amount);
    assert_eq!(shapes.json["title"], "public.orders version 2");
    assert_eq!(shapes.json["properties"]["id"]["type"], serde_json::json!(["integer", "null"]));
    assert_eq!(shapes.json["properties"]["_old_key"]["required"], serde_json::json!(["id"]));
}

#[test]
fn the_native_document_requires_all_its_members() {
    let shapes = describe(&table("public.orders", 2), Envelope::Native, &WireSettings::default()).unwrap();
    assert_eq!(shapes.json["required"].as_array().unwrap().len(), 10);
    assert_eq!(shapes.json["properties"]["after"]["type"], serde_json::json!(["object", "null"]));
}
