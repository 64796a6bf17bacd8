//! Messages with registered schemas, read by Confluent's deserializers from a registry and a broker that are not ours.

use std::sync::Arc;

use ductstream_testkit::kafka::Kafka;
use ductstream_testkit::process::eventually;
use ductstream_testkit::python;
use ductstream_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::harness::{DUCTSTREAM, Flow};
use crate::kafka::{broker, flow, shop};

/// What a consumer with Confluent's deserializers makes of a topic: the messages, and the ids of the schemas of its values.
pub(crate) async fn read(kafka: &Arc<Kafka>, registry: &str, format: &str, topic: &str) -> (Vec<Value>, Value) {
    let arguments = [kafka.address(), registry, format, topic].map(str::to_owned);
    let printed = tokio::task::spawn_blocking(move || {
        python::run(include_str!("registry.py"), &arguments.each_ref().map(String::as_str))
    });
    let mut lines: Vec<Value> =
        printed.await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let versions = lines.pop().unwrap()["versions"].clone();
    (lines, versions)
}

pub(crate) async fn registered(
    format: &str,
) -> (Arc<Kafka>, String, Flow, String, ductstream_testkit::postgres::TestDatabase) {
    let kafka = broker(Kafka::shared).await;
    let registry = Registry::url().await;
    let database = shop(18).await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: true");
    flow.edit("format: json", &format!("format: {format}\nschema_registry: {{url: \"{registry}\"}}"));
    flow.create().await;
    (kafka, registry, flow, format!("{prefix}public.shop"), database)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_registers_its_next_version_before_the_first_record_that_needs_it() {
    for format in ["avro", "json", "proto"] {
        let (kafka, registry, flow, topic, database) = registered(format).await;
        database.execute("insert into shop values (1, 10, 'grün'), (2, 20, null)").await;
        database.execute("alter table shop add column weight int").await;
        database.execute("insert into shop values (3, 30, 'c', 7)").await;
        database.execute("delete from shop where id = 1").await;
        flow.drain().await;

        let (mut messages, versions) = read(&kafka, &registry, format, &topic).await;
        messages.sort_by_key(|message| (message["key"]["id"].as_i64(), message["value"]["_seq"].as_i64()));
        let of = |op: &str, id: i64| {
            let found: Vec<&Value> =
                messages.iter().filter(|message| message["value"]["_op"] == op && message["key"]["id"] == id).collect();
            assert_eq!(found.len(), 1, "{format}: {op} of {id}: {messages:#?}");
            found[0].clone()
        };
        let first = of("insert", 1);
        assert_eq!(first["value"]["note"], "grün", "{format}");
        assert!(first["value"].get("weight").is_none(), "{format}: the column did not exist yet");
        assert_eq!(of("insert", 2)["value"]["note"], Value::Null, "{format}");
        let third = of("insert", 3);
        assert_eq!((&third["value"]["n"], &third["value"]["weight"]), (&json!(30), &json!(7)), "{format}");
        assert_eq!(of("delete", 1)["value"]["n"], Value::Null, "{format}");
        assert_eq!(versions, json!([first["schema"], third["schema"]]), "{format}: a version each, in this order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_registry_the_flow_waits_and_check_says_so() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: true");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    flow.edit("format: json", &format!("format: avro\nschema_registry: {{url: \"{nobody}\"}}"));
    let checked = flow.command("check", &[]).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(3));
    let report = String::from_utf8(checked.stdout).unwrap();
    let told = report.lines().any(|line| line.contains("error") && line.contains("schema registry"));
    assert!(told, "{report}");

    let registry = Registry::url().await;
    flow.edit(&nobody, &registry);
    flow.create().await;
    database.execute("insert into shop values (1, 10, 'a')").await;
    flow.edit(&registry, &nobody);
    let mut waiting = flow.start();
    eventually("the flow to say what it waits for", || async { flow.log().contains("schema registry") }).await;
    waiting.kill().await.unwrap();
    flow.edit(&nobody, &registry);
    flow.drain().await;
    let (messages, _) = read(&kafka, &registry, "avro", &format!("{prefix}public.shop")).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
}

/// What `ductstream decode` prints of the values in a directory.
async fn decoded(directory: &std::path::Path, arguments: &[&str]) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let decode = tokio::process::Command::new(DUCTSTREAM).arg("decode").args(arguments).args(files).output();
    let output = decode.await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_from_a_topic_are_decoded_by_the_schemas_that_a_registry_has() {
    for format in ["avro", "json", "proto"] {
        let (kafka, registry, flow, topic, database) = registered(format).await;
        database.execute("insert into shop values (1, 10, 'grün'), (2, 20, null)").await;
        database.execute("alter table shop add column day date").await;
        database.execute("insert into shop values (3, 30, 'c', '2026-11-23')").await;
        flow.drain().await;
        let values = tempfile::tempdir().unwrap();
        let arguments = [kafka.address().to_owned(), topic.clone(), values.path().display().to_string()];
        let dump = move || python::run(include_str!("values.py"), &arguments.each_ref().map(String::as_str));
        tokio::task::spawn_blocking(dump).await.unwrap();
        let of_flow = flow.file().display().to_string();
        for arguments in [["--registry", registry.as_str()], ["--flow", of_flow.as_str()]] {
            let mut found = decoded(values.path(), &arguments).await;
            found.sort_by_key(|row| row["id"].as_i64());
            assert_eq!(found.len(), 3, "{format}");
            assert_eq!((&found[0]["note"], &found[1]["note"]), (&json!("grün"), &Value::Null), "{format}");
            assert_eq!(found[0].get("day"), None, "{format}: the column did not exist yet");
            assert_eq!((&found[2]["day"], &found[2]["_op"]), (&json!("2026-11-23"), &json!("insert")), "{format}");
            assert!(found[2]["_commit_lsn"].as_str().unwrap().contains('/'), "{format}");
        }
    }
}
