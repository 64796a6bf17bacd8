//! Schema registries that are away or refuse a schema, while changes of keys that have to stay in order wait for them.

use std::collections::{BTreeMap, BTreeSet};

use ductstream_testkit::process::eventually;
use ductstream_testkit::proxy::TcpProxy;
use ductstream_testkit::python;
use serde_json::{Value, json};

use crate::harness::signal;
use crate::registry::{read, registered};

const PUT: &str = "import sys; from urllib.request import Request, urlopen; \
                   urlopen(Request(sys.argv[1], sys.argv[2].encode(), {'Content-Type': 'application/json'}, method='PUT'))";

/// Sets what versions of a topic's values have to be to each other.
async fn set_compatibility(registry: &str, topic: &str, level: &str) {
    let (url, body) = (format!("{registry}/config/{topic}-value"), json!({"compatibility": level}).to_string());
    tokio::task::spawn_blocking(move || python::run(PUT, &[&url, &body])).await.unwrap();
}

/// What `n` was, key by key, in the order in which a consumer sees it that drops what repeats.
fn history(messages: &[Value]) -> BTreeMap<i64, Vec<Value>> {
    let mut seen = BTreeSet::new();
    let mut history: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for message in messages {
        let (key, value) = (message["key"]["id"].as_i64().unwrap(), &message["value"]);
        if seen.insert((value["_commit_lsn"].as_u64().unwrap(), value["_seq"].as_u64().unwrap())) {
            history.entry(key).or_default().push(value["n"].clone());
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_the_registry_refuses_stops_the_flow_and_every_change_arrives_once_it_is_taken() {
    let (kafka, registry, flow, topic, database) = registered("avro").await;
    database.execute("insert into shop values (1, 10, 'a')").await;
    flow.drain().await;
    set_compatibility(&registry, &topic, "BACKWARD").await;
    database.execute("update shop set n = 11").await;
    database.execute("alter table shop alter column n type text").await;
    database.execute("insert into shop values (2, 'many', 'b')").await;
    database.execute("update shop set n = 'few' where id = 1").await;
    for _ in 0..2 {
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 2, "{message}");
        for part in
            ["BACKWARD", "does not fit version 1", "the flow's schema", "the registered schema", "undo the change"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    set_compatibility(&registry, &topic, "NONE").await;
    flow.drain().await;
    let (messages, versions) = read(&kafka, &registry, "avro", &topic).await;
    assert_eq!(
        history(&messages),
        BTreeMap::from([(1, vec![json!(10), json!(11), json!("few")]), (2, vec![json!("many")])])
    );
    assert_eq!(versions.as_array().map(Vec::len), Some(2), "{versions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_while_a_table_changes_holds_the_flow_up_and_the_order_of_each_key_stays() {
    let (kafka, registry, mut flow, topic, database) = registered("avro").await;
    let port: u16 = registry.split(['/', ':']).find_map(|part| part.parse().ok()).expect("a port");
    let proxy = TcpProxy::start(([127, 0, 0, 1], port).into()).await;
    flow.edit(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    database.execute("insert into shop select id, 0, 'a' from generate_series(1, 50) id").await;
    flow.drain().await;
    let mut run = flow.start();
    for round in 1..=12 {
        // What is known is not asked for again; what comes with the new column has to wait.
        if round == 5 {
            proxy.refuse();
            database.execute("alter table shop add column weight int").await;
        }
        database.execute(&format!("update shop set n = {round}")).await;
    }
    eventually("the flow to say what it waits for", || async { flow.log().contains("schema registry") }).await;
    database.execute("update shop set n = 13").await;
    proxy.resume();
    let expected: BTreeMap<i64, Vec<Value>> = (1..=50).map(|id| (id, (0..=13).map(Value::from).collect())).collect();
    eventually("every change", || async { history(&read(&kafka, &registry, "avro", &topic).await.0) == expected })
        .await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
}
