use ductstream_core::ErrorKind;
use ductstream_registry::{SchemaDocument, SchemaReference, SubjectNameStrategy};
use ductstream_testkit::python;
use ductstream_testkit::registry::Registry;
use ductstream_wire::{SchemaDefinition, SchemaKind, SchemaRegistrar, SchemaSubject};

use super::support::{Gate, ID, avro, client, set_compatibility};

/// Prints each subject's versions, with Confluent's own client.
const VERSIONS: &str = r#"
import json, sys
from confluent_kafka.schema_registry import SchemaRegistryClient
client = SchemaRegistryClient({"url": sys.argv[1]})
for subject in sys.argv[2:]:
    for number in client.get_versions(subject):
        version = client.get_version(subject, number)
        schema = client.get_schema(version.schema_id)
        references = [[it.name, it.subject, it.version] for it in schema.references or []]
        print(json.dumps([subject, number, version.schema_id, schema.schema_type, schema.schema_str, references]))
"#;

async fn versions(subjects: &[&str]) -> Vec<serde_json::Value> {
    let url = Registry::url().await;
    let arguments: Vec<&str> = std::iter::once(url.as_str()).chain(subjects.iter().copied()).collect();
    python::run(VERSIONS, &arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_client_reads_what_was_registered_in_each_language() {
    let client = client(|_| {}).await;
    let schemas = [
        ("languages avro/value", avro(ID)),
        (
            "languages-proto",
            SchemaDocument::new(SchemaKind::Protobuf, "syntax = \"proto3\";\nmessage Value {\n  int32 id = 1;\n}\n"),
        ),
        (
            "languages-json",
            SchemaDocument::new(SchemaKind::Json, r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#),
        ),
    ];
    for (subject, schema) in &schemas {
        let id = client.register(subject, schema).await.unwrap();
        let found = versions(&[subject]).await;
        assert_eq!(found, [serde_json::json!([subject, 1, id, schema.kind.name(), schema.text, []])]);
        assert_eq!(client.look_up(subject, schema).await.unwrap().map(|it| (it.id, it.version)), Some((id, 1)));
        assert_eq!(client.schema(id).await.unwrap().text, schema.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_name_topic_and_record_and_the_strategy_makes_the_subject() {
    let subject = SchemaSubject { topic: "named", record_name: "shop.orders.Value", is_key: false };
    let schema = SchemaDefinition { kind: SchemaKind::Avro, text: avro(ID).text };
    for (strategy, name) in [
        (SubjectNameStrategy::TopicName, "named-value"),
        (SubjectNameStrategy::RecordName, "shop.orders.Value"),
        (SubjectNameStrategy::TopicRecordName, "named-shop.orders.Value"),
    ] {
        let client = client(|it| it.subject_name_strategy = strategy).await;
        let registrar: &dyn SchemaRegistrar = &client;
        let id = registrar.register(&subject, &schema).await.unwrap();
        assert_eq!(versions(&[name]).await, [serde_json::json!([name, 1, id, "AVRO", schema.text, []])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_registered_once_however_many_ask_for_it() {
    let gate = Gate::open().await;
    let client = client(|it| it.url = gate.url()).await;
    let (schema, other) = (avro(ID), avro(""));
    let ids = futures_of(20, || client.register("once-value", &schema)).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(client.register("once-value", &schema).await.unwrap(), ids[0]);
    assert_eq!(gate.requests(), ["POST /subjects/once-value/versions"]);
    // Another schema, and another subject, are questions of their own.
    assert_ne!(client.register("once-value", &other).await.unwrap(), ids[0]);
    client.register("once-key", &schema).await.unwrap();
    assert_eq!(gate.requests().len(), 3);
    assert_eq!(client.schema(ids[0]).await.unwrap(), schema);
    client.schema(ids[0]).await.unwrap();
    assert_eq!(gate.requests().len(), 4);
}

async fn futures_of<F: Future<Output = ductstream_core::Result<u32>>>(count: usize, ask: impl Fn() -> F) -> Vec<u32> {
    let asked: Vec<_> = (0..count).map(|_| ask()).collect();
    futures::future::try_join_all(asked).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_grows_a_nullable_column_gets_its_next_version() {
    let client = client(|_| {}).await;
    client.register("grows-value", &avro(ID)).await.unwrap();
    set_compatibility("grows-value", "BACKWARD").await;
    let grown = avro(&format!(r#"{ID},{{"name":"note","type":["null","string"],"default":null}}"#));
    let id = client.register("grows-value", &grown).await.unwrap();
    let found = versions(&["grows-value"]).await;
    assert_eq!((found.len(), &found[1][1], &found[1][2]), (2, &2.into(), &id.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incompatible_schema_is_refused_with_both_schemas_the_reason_and_the_remedy() {
    let client = client(|_| {}).await;
    client.register("refused-value", &avro(ID)).await.unwrap();
    set_compatibility("refused-value", "BACKWARD").await;
    let error = client.register("refused-value", &avro(r#"{"name":"id","type":"string"}"#)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let report = error.report();
    for part in [
        "the subject refused-value",
        "compatibility rule (BACKWARD)",
        "it does not fit version 1",
        "reader type: STRING not compatible with writer type: INT at /fields/0/type",
        r#"the flow's schema: {"type":"record","name":"Value","namespace":"shop.orders","fields":[{"name":"id","type":"string"}]}"#,
        r#"the registered schema: {"type":"record","name":"Value","namespace":"shop.orders","fields":[{"name":"id","type":"int"}]}"#,
        "To go on: undo the change of the table, or let the subject take it (PUT ",
        "/config/refused-value with {\"compatibility\": \"NONE\"})",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    // Once the subject takes it, so does the same client: a refusal is not remembered.
    set_compatibility("refused-value", "NONE").await;
    client.register("refused-value", &avro(r#"{"name":"id","type":"string"}"#)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_refers_to_a_version_of_another_one() {
    let client = client(|_| {}).await;
    client.register("refers-row", &avro(ID)).await.unwrap();
    let row = client.look_up("refers-row", &avro(ID)).await.unwrap().unwrap();
    let fields = r#"{"name":"after","type":"shop.orders.Value"}"#;
    let envelope = SchemaDocument {
        kind: SchemaKind::Avro,
        text: format!(r#"{{"type":"record","name":"Envelope","namespace":"shop.orders","fields":[{fields}]}}"#),
        references: vec![SchemaReference {
            name: "shop.orders.Value".into(),
            subject: "refers-row".into(),
            version: row.version,
        }],
    };
    let id = client.register("refers-value", &envelope).await.unwrap();
    assert_eq!(client.schema(id).await.unwrap(), envelope);
    let found = versions(&["refers-value"]).await;
    assert_eq!(found[0][5], serde_json::json!([["shop.orders.Value", "refers-row", 1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_register_a_missing_schema_stops_the_flow_and_nothing_is_registered() {
    let only_looks = client(|it| it.auto_register = false).await;
    for other_is_there in [false, true] {
        let error = only_looks.register("looked-up-value", &avro(ID)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
        let report = error.report();
        assert!(report.contains("set `schema_registry.auto_register: true`"), "{report}");
        assert!(report.contains(&avro(ID).text) && report.contains("looked-up-value"), "{report}");
        if !other_is_there {
            client(|_| {}).await.register("looked-up-value", &avro("")).await.unwrap();
        }
    }
    assert_eq!(versions(&["looked-up-value"]).await.len(), 1);
    let id = client(|_| {}).await.register("looked-up-value", &avro(ID)).await.unwrap();
    assert_eq!(only_looks.register("looked-up-value", &avro(ID)).await.unwrap(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn normalize_is_asked_of_the_registry() {
    let gate = Gate::open().await;
    let client = client(|it| (it.url, it.normalize) = (gate.url(), true)).await;
    client.register("normal-value", &avro(ID)).await.unwrap();
    client.look_up("normal-value", &avro(ID)).await.unwrap().unwrap();
    let expected =
        ["POST /subjects/normal-value/versions?normalize=true", "POST /subjects/normal-value?normalize=true"];
    assert_eq!(gate.requests(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_none_is_refused_with_what_the_registry_says() {
    let nonsense = SchemaDocument::new(SchemaKind::Avro, "{nonsense");
    let error = client(|_| {}).await.register("none-value", &nonsense).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.report().contains("registering a schema of the subject none-value"), "{}", error.report());
    assert!(error.report().contains("42201"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_registry_does_not_know_is_a_fault_of_the_data() {
    let error = client(|_| {}).await.schema(2_000_000_000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{}", error.report());
}
