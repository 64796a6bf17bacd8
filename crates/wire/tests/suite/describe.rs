use ductstream_core::Envelope;
use ductstream_testkit::batch::table;
use ductstream_wire::{WireSettings, describe};

#[test]
fn a_table_is_described_in_every_format() {
    let shapes = describe(&table("public.orders", 2), Envelope::Flat, &WireSettings::default()).unwrap();
    assert_eq!(shapes.arrow.fields().len(), 13);
    for line in ["OPTIONAL INT64 amount (DECIMAL(12,2))", "REQUIRED INT64 _commit_lsn (INTEGER(64,false))"] {
        assert!(shapes.parquet.as_ref().unwrap().contains(line), "{:?}", shapes.parquet);
    }
    let avro = shapes.avro.unwrap();
    assert_eq!((&avro["namespace"], &avro["name"]), (&"public.orders".into(), &"Value".into()));
    let amount = serde_json::json!(["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}]);
    assert_eq!(avro["fields"][2]["type"], amount);
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

#[test]
fn an_event_of_debezium_has_connect_schemas_and_those_made_of_them_and_no_parquet() {
    let mut settings = WireSettings::default();
    settings.debezium.flow = "shop".to_owned();
    let shapes = describe(&table("public.orders", 2), Envelope::Debezium, &settings).unwrap();
    assert_eq!(shapes.parquet, None);
    assert_eq!(shapes.avro.unwrap()["name"], "Envelope");
    let proto = shapes.proto.unwrap();
    assert!(proto.contains("message Envelope {\n  optional .shop.public.orders.Value before = 1;"), "{proto}");
    let connect = shapes.connect.unwrap();
    assert_eq!(connect.key.unwrap()["fields"][0]["field"], "id");
    assert_eq!(connect.value["fields"][0]["field"], "before");
    assert_eq!(shapes.arrow.field(1).name(), "after");
    assert_eq!(shapes.json["required"], serde_json::json!(["schema", "payload"]));
    let after = &shapes.json["properties"]["payload"]["properties"]["after"];
    assert_eq!(after["properties"]["id"]["type"], serde_json::json!(["integer", "null"]));
}
