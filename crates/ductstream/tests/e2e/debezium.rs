//! The envelope `debezium` against the events that a real Debezium emitted for the same SQL (`tests/golden/debezium`).

use std::collections::BTreeMap;

use ductstream_testkit::postgres::{Postgres, TestDatabase};
use serde_json::{Value, json};

use crate::harness::{Flow, Shape};

const SCHEMA: &str = include_str!("../golden/debezium/schema.sql");
const CHANGES: &str = include_str!("../golden/debezium/types.sql");
const EVENTS: &str = include_str!("../golden/debezium/events.jsonl");

/// Members of the envelope and of `source` that differ by nature: clocks, versions, names of the set-up, and positions.
const IGNORED: [&str; 4] = ["/ts_ms", "/ts_us", "/ts_ns", "/source"];

/// Members of `source` that do not.
const SOURCE: [&str; 7] = ["connector", "name", "snapshot", "schema", "table", "xmin", "origin"];

/// Columns that Debezium leaves out or gets wrong, and what they are here, in the first row of `types`.
pub(crate) fn rescued() -> Value {
    json!({
        "c_box": "(1,1),(0,0)", "c_line": "{1,2,3}", "c_lseg": "[(0,0),(1,1)]", "c_path": "((0,0),(1,1))",
        "c_polygon": "((0,0),(1,1),(2,0))", "c_circle": "<(0,0),5>", "c_comp": "(1,x)", "c_tsq": "'fat' & 'cat'",
        "c_i4mr": "{[1,2),[5,7)}", "c_lsn": "0/16B3748", "c_name": "nm",
    })
}

pub(crate) async fn database() -> TestDatabase {
    let database = Postgres::version(18).await.database().await;
    // As the recorded server had them.
    let schema = SCHEMA.replace("numeric(8,2)", "numeric(8,3)");
    let schema = schema.replace("create table t_full (id bigint", "create table t_full (id integer");
    let schema = schema.replace("create table t_toast (id bigint", "create table t_toast (id integer");
    database.execute(&schema).await;
    database
}

/// The golden changes, each as its session sent it: a logical message outside of transactions would come before the transaction around it.
pub(crate) fn changes() -> Vec<&'static str> {
    let of = |line: &'static str| if line.starts_with("begin") { vec![line] } else { line.split("; ").collect() };
    CHANGES.lines().flat_map(of).collect()
}

/// Runs the golden SQL through a flow to standard output, as messages.
async fn messages(database: &TestDatabase, section: &str, special_values: &str) -> Vec<Value> {
    messages_of(database, &changes(), section, special_values).await
}

/// Runs `changes` through a flow of the publication `types_pub` to standard output, as messages.
pub(crate) async fn messages_of(
    database: &TestDatabase,
    changes: &[&str],
    section: &str,
    special_values: &str,
) -> Vec<Value> {
    let source = format!("  special_values: \"{special_values}\"");
    let shape = Shape { envelope: "debezium", source: &source, ..Shape::default() };
    let mut flow = Flow::new(database, &shape);
    let out = flow.out();
    let file = format!("type: file\n    path: {}\n    roll: {{age: 1s}}", out.display());
    flow.edit(&file, &format!("type: stdout\n    messages: true\ndebezium:\n{section}"));
    flow.edit("  tables: [\"public.*\"]", "  publication: types_pub");
    flow.create().await;
    for change in changes {
        database.execute(change).await;
    }
    let output = flow.drain().await.stdout;
    output
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The golden events.
pub(crate) fn golden() -> Vec<Value> {
    EVENTS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The Connect schema of a value, without the columns that Debezium does not have.
fn schema(value: &Value) -> Value {
    let mut schema = value["schema"].clone();
    for image in schema["fields"].as_array_mut().into_iter().flatten().take(2) {
        let rescued = rescued();
        // A logical message has no images.
        let Some(columns) = image["fields"].as_array_mut() else { continue };
        columns.retain(|column| rescued.get(column["field"].as_str().unwrap()).is_none());
        for array in columns.iter_mut().filter(|column| column["field"] == "a_enum") {
            // Debezium declares the elements as never null, which they may be.
            array["items"]["optional"] = json!(true);
        }
    }
    schema
}

/// The members by path, without what is ignored.
fn members(payload: &Value) -> BTreeMap<String, Value> {
    let mut members = BTreeMap::new();
    for (name, value) in payload.as_object().into_iter().flatten() {
        let path = format!("/{name}");
        match value.as_object() {
            Some(row) if matches!(name.as_str(), "before" | "after") => {
                members.extend(row.iter().map(|(column, value)| (format!("{path}/{column}"), value.clone())));
            }
            Some(source) if name == "source" => {
                let kept = source.iter().filter(|(member, _)| SOURCE.contains(&member.as_str()));
                members.extend(kept.map(|(member, value)| (format!("{path}/{member}"), value.clone())));
            }
            _ if IGNORED.contains(&path.as_str()) => {}
            _ => drop(members.insert(path, value.clone())),
        }
    }
    members
}

#[tokio::test]
async fn events_are_those_of_debezium_field_by_field() {
    // Given: the tables of the golden set-up. When: the golden changes run through a flow.
    let database = database().await;
    let options = "  topic.prefix: dbz\n  skipped.operations: none\n";
    let ours = messages(&database, options, "null").await;
    let theirs = golden();
    assert_eq!(ours.len(), theirs.len(), "{ours:#?}");

    // Then: each is the same but for what Debezium loses.
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours["topic"], theirs["topic"], "topic of event {index}");
        assert_eq!(ours["key"], theirs["key"], "key of event {index}");
        assert_eq!(schema(&ours["value"]), schema(&theirs["value"]), "schema of event {index}");
        assert_payload(&ours["value"]["payload"], theirs, index);
        assert_headers(ours, theirs, index);
    }
}

/// A message has the headers of its golden one that tell of a change of the key.
pub(crate) fn assert_headers(ours: &Value, theirs: &Value, index: usize) {
    let headers = theirs["headers"].as_str().unwrap();
    for name in ["__debezium.newkey", "__debezium.oldkey"] {
        assert_eq!(ours["headers"].get(name).is_some(), headers.contains(name), "{name} of event {index}");
    }
}

/// The value `ours` is that of the golden message `theirs`, the event `index` of its topic; but for what Debezium loses, which is all in the
/// first two events of `types`.
pub(crate) fn assert_payload(ours: &Value, theirs: &Value, index: usize) {
    let (mut mine, golden) = (members(ours), members(&theirs["value"]["payload"]));
    let is_types = theirs["topic"] == "dbz.public.types";
    for (name, value) in rescued().as_object().unwrap() {
        let found = mine.remove(&format!("/after/{name}"));
        if is_types && index == 0 {
            assert_eq!(found.as_ref(), Some(value), "{name}");
        }
    }
    for (path, value) in &golden {
        let lost = ["/after/c_name"].contains(&path.as_str());
        // Infinity, which the policy makes null.
        let infinity =
            is_types && index == 1 && ["/after/c_date", "/after/c_ts", "/after/c_tstz"].contains(&path.as_str());
        // An array of two dimensions: its elements are null in Debezium, and the policy makes it null.
        let flattened = is_types && index == 0 && path == "/after/a_2d";
        if !lost && !infinity && !flattened {
            let topic = &theirs["topic"];
            assert_eq!(mine.remove(path).as_ref(), Some(value), "{path} of event {index} of {topic}");
        }
    }
    mine.retain(|path, _| {
        !is_types || !path.ends_with("/a_2d") && !path.ends_with("/c_date") && !path.contains("/c_ts")
    });
    assert_eq!(mine, BTreeMap::new(), "event {index} has more");
}

#[tokio::test]
async fn what_debezium_has_no_type_for_is_text() {
    // Given: a flow that keeps values that their columns cannot hold.
    let database = database().await;
    let ours = messages(&database, "  topic.prefix: dbz\n  schemas.enable: false\n", "text").await;

    // Then: arrays of two dimensions, infinities and the finite values beside them are there, without schemas; and truncates are skipped.
    let after = |index: usize, column: &str| ours[index]["value"]["after"][column].clone();
    assert_eq!(after(0, "a_2d"), "{{1,2},{3,4}}");
    assert_eq!((after(0, "c_date"), after(1, "c_date")), (json!("2024-02-29"), json!("infinity")));
    assert_eq!((after(0, "c_ts"), after(1, "c_ts")), (json!("2024-02-29T13:14:15.123456"), json!("infinity")));
    assert_eq!((after(0, "c_tstz"), after(1, "c_tstz")), (json!("2024-02-29T11:14:15.123456Z"), json!("infinity")));
    assert_eq!(ours.len(), golden().len() - 2);
    assert!(ours.iter().all(|message| message["value"]["op"] != "t"));
}

#[tokio::test]
async fn logical_messages_are_told_in_order_unless_their_prefix_is_excluded() {
    // Given: a flow that leaves out some messages. When: others stand between rows, and outside of transactions.
    let database = database().await;
    let changes = "begin; insert into t_full values (1, 'a', 1); select pg_logical_emit_message(true, 'outbox.order', '\\x00ff'::bytea); \
        insert into t_full values (2, 'b', 2); select pg_logical_emit_message(true, 'Audit', 'left out'); commit; \
        select pg_logical_emit_message(false, 'outbox', '')";
    let section = "  topic.prefix: dbz\n  schemas.enable: false\n  message.prefix.exclude.list: \"audit,ductstream.*\"\n  binary.handling.mode: hex\n";
    // A message outside of transactions waits in the server's memory for the next commit or the WAL writer.
    let commit = "create table later (id int)";
    let ours = messages_of(&database, &[changes, commit], section, "error").await;

    // Then: they are in their places.
    let told: Vec<Value> = ours
        .iter()
        .map(|it| json!([it["topic"], it["key"], it["value"]["op"], it["value"]["message"]["content"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["dbz.public.t_full", {"id": 1}, "c", null]),
            json!(["dbz.message", {"prefix": "outbox.order"}, "m", "00ff"]),
            json!(["dbz.public.t_full", {"id": 2}, "c", null]),
            json!(["dbz.message", {"prefix": "outbox"}, "m", ""]),
        ]
    );
    let (first, message, last) =
        (&ours[0]["value"]["source"], &ours[1]["value"]["source"], &ours[3]["value"]["source"]);
    assert_eq!((&message["txId"], &message["ts_us"]), (&first["txId"], &first["ts_us"]));
    assert_eq!((&message["lsn"], &message["table"]), (&first["lsn"], &json!("")));
    assert_eq!(last["txId"], Value::Null);
    assert!(last["lsn"].as_i64() > first["lsn"].as_i64() && last["ts_us"].as_i64() > Some(0));
}
