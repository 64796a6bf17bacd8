use std::path::Path;

#[test]
fn the_published_schema_is_the_one_of_this_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/flow.schema.json");
    let published = std::fs::read_to_string(&path).unwrap();
    let current = format!("{}\n", serde_json::to_string_pretty(&ductstream::flow::json_schema()).unwrap());
    assert!(published == current, "run `cargo run --bin ductstream -- flow-schema > schemas/flow.schema.json`");
}

#[test]
fn the_schema_tells_destinations_apart_by_type() {
    let schema = ductstream::flow::json_schema();
    let destination = &schema["$defs"]["DestinationSettings"];
    let types: Vec<_> = destination["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variant| variant["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["s3", "gcs", "azure", "file", "kafka", "stdout", "null"]);
    assert_eq!(destination["unevaluatedProperties"], false, "unknown fields are refused");
}
