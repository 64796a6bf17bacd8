//! Every type, from a real server through the binary into files, against what the server prints.

#[path = "types/columns.rs"]
mod columns;
#[path = "types/decoded.rs"]
mod decoded;
#[path = "types/encodings.rs"]
mod encodings;
#[path = "types/found.rs"]
mod found;
#[path = "types/grammar.rs"]
mod grammar;
#[path = "types/identities.rs"]
mod identities;
#[path = "types/literal.rs"]
mod literal;
#[path = "types/random.rs"]
mod random;
#[path = "types/special.rs"]
mod special;
#[path = "types/table.rs"]
mod table;

use std::collections::BTreeMap;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually;
use ductstream_testkit::python;
use serde_json::{Value, json};

use crate::harness::{Flow, Shape, files};
use columns::{COLUMNS, Column, Kind, OPAQUE, SETUP};
use found::{Found, found_in_parquet};
use special::{nulled, special_columns};
use table::{Layout, Row, Table};

async fn with_types(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute(SETUP).await;
    database
}

const BINARY: [&str; 2] = ["  binary: true", "  binary: false"];
const SHAPES: [(&str, &str); 4] = [("json", "flat"), ("json", "native"), ("parquet", "flat"), ("parquet", "native")];

/// A flow per protocol and shape from all tables of the database, created.
async fn flow_of_every_shape<'a>(database: &TestDatabase, sources: &'a [String; 2]) -> Vec<(Flow, Shape<'a>)> {
    let mut flows = Vec::new();
    for source in sources {
        for (format, envelope) in SHAPES {
            let shape = Shape { format, envelope, source, ..Shape::default() };
            let flow = Flow::at(&database.url(), &format!("{}_{}", database.name(), flows.len()), &shape);
            flow.create().await;
            flows.push((flow, shape));
        }
    }
    flows
}

/// Whether the server sent values to the flow's last run in binary.
fn was_binary(database: &TestDatabase, flow: &Flow) -> bool {
    let log = database.cluster().log();
    let started = format!("START_REPLICATION SLOT \"ductstream_{}\"", flow.name);
    let last = log.lines().rfind(|line| line.contains(&started)).expect("the server logs replication commands");
    last.contains("binary 'true'")
}

/// Changes a table with a flow per shape, and compares what each delivers.
async fn every_shape_agrees(version: u16, columns: &'static [Column], policy: &str, binary: bool) {
    let database = with_types(version).await;
    let mut table = Table::create(&database, Layout::full("types", columns)).await;
    let sources = BINARY.map(|binary| format!("{binary}\n  special_values: \"{policy}\""));
    let flows = flow_of_every_shape(&database, &sources).await;
    table.change().await;
    if policy == "null" {
        for (column, row, instead) in nulled(version) {
            table.expect_instead(column, row, instead).await;
        }
        table.read_log().await;
    }
    for (flow, shape) in &flows {
        flow.drain().await;
        assert_eq!(was_binary(&database, flow), binary && shape.source.contains("binary: true"), "{}", shape.source);
        table.agrees(flow, shape, "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_arrives_as_the_server_prints_it() {
    for version in supported_versions() {
        every_shape_agrees(version, COLUMNS, "error", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_types_whose_binary_form_is_not_read_arrive_as_the_server_prints_them() {
    for version in supported_versions() {
        every_shape_agrees(version, OPAQUE, "error", false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_text_policy_values_beyond_the_arrow_type_arrive_as_the_server_prints_them() {
    for version in supported_versions() {
        every_shape_agrees(version, special_columns(true), "text", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_null_policy_only_values_beyond_the_arrow_type_are_null() {
    for version in supported_versions() {
        every_shape_agrees(version, special_columns(false), "null", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_eight_megabytes_arrives_whole() {
    const DIGESTS: &str = "
import base64, glob, hashlib, json, sys, pyarrow.parquet as pq
for path in sorted(glob.glob(sys.argv[1] + '/public.big/*')):
    if path.endswith('parquet'):
        values = [(v['b'], v['t']) for v in pq.read_table(path).select(['b', 't']).to_pylist()]
    else:
        values = [(base64.b64decode(v['b'], validate=True), v['t']) for v in map(json.loads, open(path))]
    for b, t in values:
        print(len(b), hashlib.md5(b).hexdigest(), len(t), hashlib.md5(t.encode()).hexdigest())";
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        database
            .execute("create table big (id int primary key, b bytea, t text); alter table big replica identity full")
            .await;
        let mut flows = Vec::new();
        for (format, binary) in
            [("json", BINARY[0]), ("json", BINARY[1]), ("parquet", BINARY[0]), ("parquet", BINARY[1])]
        {
            let shape = Shape { format, source: binary, ..Shape::default() };
            let flow = Flow::at(&database.url(), &format!("{}_{}", database.name(), flows.len()), &shape);
            flow.create().await;
            flows.push(flow);
        }
        database
            .execute(
                "insert into big select 1, string_agg(decode(md5(n::text), 'hex'), ''), string_agg(md5(n::text) || '\"🐢\\', '') filter (where n < 50000)
                 from generate_series(1, 524288) n; update big set id = 2",
            )
            .await;
        let row = database.query_one("select octet_length(b), md5(b), length(t), md5(t) from big").await;
        let row: Vec<String> = row.into_iter().flatten().collect();
        assert_eq!(row[0], (8 << 20).to_string());
        for flow in flows {
            flow.drain().await;
            let found = python::run(DIGESTS, &[flow.out().to_str().unwrap()]);
            assert_eq!(found.lines().collect::<Vec<_>>(), [row.join(" "), row.join(" ")], "insert and update");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_error_policy_the_flow_stops_naming_the_value_and_goes_on_where_it_stood_under_another() {
    let specials = [
        ("numeric(12,2)", "NaN", None),
        ("date", "infinity", None),
        ("timestamptz", "294276-12-31 23:59:59.999999+00", None),
        ("int[]", "{{1,2}}", None),
        ("time", "24:00:00", None),
        ("tsrange", "[-infinity,\"2024-01-02 00:00:00\")", Some("-infinity")),
        ("deep", "(,,,[0:0]={1},,,,5)", Some("[0:0]={1}")),
        ("labels[]", "{NULL,\"{{a},{b}}\"}", Some("{{a},{b}}")),
    ];
    for version in supported_versions() {
        for (index, (sql_type, value, inner)) in specials.into_iter().enumerate() {
            for format in [["json", "parquet"][index / 2 % 2]] {
                let database = with_types(version).await;
                database
                    .execute(&format!(
                        "create table t (id int, part text, \"the value\" {sql_type}, primary key (part, id))"
                    ))
                    .await;
                let binary = BINARY[index % 2];
                let source = format!("{binary}\n  special_values: error");
                let mut flow = Flow::new(&database, &Shape { format, source: &source, ..Shape::default() });
                flow.create().await;
                database
                    .execute(
                        "insert into t values (1, 'before', null); begin; insert into t values (2, 'within', null)",
                    )
                    .await;
                database
                    .execute(&format!(
                        "insert into t values (3, 'key', '{value}'); insert into t values (4, 'after', null); commit"
                    ))
                    .await;
                database.execute("insert into t values (5, 'later', null)").await;

                for _ in 0..2 {
                    let (code, message) = flow.fails("run", &["--until-idle"]).await;
                    assert_eq!(code, 1, "{message}");
                    // Of a value inside another one, the inner one is named.
                    let special = inner.unwrap_or(value);
                    for named in ["public.t", "the value", "key", "3", "special_values", special] {
                        assert!(message.contains(named), "{named} is not in: {message}");
                    }
                }

                flow.edit("special_values: error", "special_values: text");
                flow.drain().await;
                if format == "json" {
                    let rows: Vec<Value> =
                        flow.records("public.t").iter().map(|row| json!([row["id"], row["the value"]])).collect();
                    assert_eq!(
                        rows,
                        [json!([1, null]), json!([2, null]), json!([3, value]), json!([4, null]), json!([5, null])]
                    );
                } else {
                    let rows = found_in_parquet(&[flow.out().join("public.t")], "flat").remove(0);
                    let ids: Vec<_> = rows.iter().map(|row| row.values()["id"].as_deref().unwrap()).collect();
                    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
                    assert_eq!(rows[2].values()["the value"].as_deref(), Some(value));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_added_to_an_enum_and_a_type_made_while_the_flow_is_away_arrive() {
    for version in supported_versions() {
        let database = with_types(version).await;
        database.execute("create table t (id int primary key, m mood, ms mood[])").await;
        let flow = Flow::new(&database, &Shape { source: BINARY[usize::from(version > 15)], ..Shape::default() });
        flow.create().await;
        database.execute("insert into t values (1, 'sad', '{ok}')").await;
        database.execute("alter type mood add value 'new, \"one\"' before 'sad'").await;
        database.execute("insert into t values (2, 'new, \"one\"', array['new, \"one\"', 'sad']::mood[])").await;
        database.execute("create type late as (a int, m mood); alter table t add l late").await;
        database.execute("insert into t values (3, 'ok', '{}', row(7, 'ok'))").await;
        database.execute("alter type late add attribute b date; insert into t values (4, null, null, row(8, 'sad', '2024-01-01'))").await;
        flow.drain().await;
        let rows: Vec<Value> =
            flow.records("public.t").iter().map(|row| json!([row["id"], row["m"], row["ms"], row["l"]])).collect();
        assert_eq!(
            rows[..2],
            [json!([1, "sad", ["ok"], null]), json!([2, "new, \"one\"", ["new, \"one\"", "sad"], null])]
        );
        assert_eq!(rows[2], json!([3, "ok", [], {"a": 7, "m": "ok", "b": null}]));
        assert_eq!(rows[3], json!([4, null, null, {"a": 8, "m": "sad", "b": "2024-01-01"}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_readers_stumble_over_and_tables_without_key_arrive_as_they_are() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let names = [
            "a.b",
            "Quoted \\ 'x'",
            "select",
            "é 🐢",
            "A",
            "a",
            "key",
            "op",
            "id",
            "item",
            "list.element",
            "x y",
            "%{}",
        ];
        let columns: Vec<String> = names.iter().map(|name| format!("\"{name}\" int")).collect();
        let table = "\"we ird/é\".\"a.b c%?*\"";
        database
            .execute(&format!(
                "create schema \"we ird/é\"; create table {table} ({}, \"\"\"\" text)",
                columns.join(", ")
            ))
            .await;
        // A table without key can only be published without updates and deletes.
        database
            .execute(&format!("create publication \"Odd one\" for table {table} with (publish = 'insert, truncate')"))
            .await;
        let mut flows = Vec::new();
        for (format, envelope) in SHAPES {
            let shape = Shape { format, envelope, tables: &["we ird/*.*"], ..Shape::default() };
            let mut flow = Flow::at(&database.url(), &format!("{}_{}", database.name(), flows.len()), &shape);
            flow.edit("tables: [\"we ird/*.*\"]", "publication: \"Odd one\"");
            flow.create().await;
            flows.push((flow, shape));
        }
        let values: Vec<String> = (1..=names.len()).map(|value| value.to_string()).collect();
        database.execute(&format!("insert into {table} values ({}, 'q')", values.join(", "))).await;
        database.execute(&format!("truncate {table}")).await;
        for (flow, shape) in flows {
            flow.drain().await;
            let mut expected: BTreeMap<String, Option<String>> =
                names.iter().zip(&values).map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect();
            expected.insert("\"".to_owned(), Some("q".to_owned()));
            let at = format!("PostgreSQL {version}, {} {}", shape.format, shape.envelope);
            let found = match shape.format {
                "parquet" => found_in_parquet(&[flow.out()], shape.envelope).remove(0).iter().map(plain).collect(),
                _ => plain_records(&flow, shape.envelope),
            };
            let [(first, row), (second, _)] = &found[..] else { panic!("{at}: {found:?}") };
            assert_eq!((first.as_str(), second.as_str(), row), ("insert", "truncate", &expected), "{at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composite_that_lost_an_attribute_behind_the_flow_is_an_error_that_names_the_row_and_the_way_on() {
    for version in supported_versions() {
        for binary in BINARY {
            let database = with_types(version).await;
            database
                .execute("create type trio as (a int, b text, c int); create table t (id int primary key, v trio)")
                .await;
            let flow = Flow::new(&database, &Shape { source: binary, ..Shape::default() });
            flow.create().await;
            database.execute("insert into t values (7, row(1, 'x', 2))").await;
            database.execute("alter type trio drop attribute c; insert into t values (8, row(1, 'x'))").await;
            let (code, message) = flow.fails("run", &["--until-idle"]).await;
            assert_eq!(code, 1, "{message}");
            for named in ["column v of public.t", "id=7", "its type was changed", "To go on"] {
                assert!(message.contains(named), "{named} is not in: {message}");
            }
            // Once the type has as many attributes again, the flow goes on, and nothing is lost.
            database.execute("alter type trio add attribute c int").await;
            flow.drain().await;
            let rows: Vec<Value> = flow.records("public.t").iter().map(|row| json!([row["id"], row["v"]])).collect();
            assert_eq!(rows, [json!([7, {"a": 1, "b": "x", "c": 2}]), json!([8, {"a": 1, "b": "x", "c": null}])]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_a_type_gets_while_the_flow_runs_is_known_after_its_next_start() {
    for version in supported_versions() {
        for binary in BINARY {
            let database = with_types(version).await;
            database.execute("create table t (id int primary key, v pair)").await;
            let flow =
                Flow::new(&database, &Shape { source: binary, destination: "roll: {age: 100ms}", ..Shape::default() });
            flow.create().await;
            let mut run = flow.start();
            database.execute("insert into t values (1, row(1, 'x'))").await;
            // What no manifest has committed is written anew, with what is known then.
            eventually("the first row", || async { !flow.cuts().is_empty() }).await;
            database.execute("alter type pair add attribute c int; insert into t values (2, row(2, 'y', 3))").await;
            assert_eq!(run.wait().await.unwrap().code(), Some(1), "{}", flow.log());
            for named in ["column v of public.t", "id=2", "start the flow again"] {
                assert!(flow.log().contains(named), "{named} is not in: {}", flow.log());
            }
            flow.drain().await;
            let rows: Vec<Value> = flow.records("public.t").iter().map(|row| row["v"].clone()).collect();
            assert_eq!(rows, [json!({"a": 1, "b": "x"}), json!({"a": 2, "b": "y", "c": 3})]);
        }
    }
}

/// Operation and values of a record.
fn plain(found: &Found) -> (String, Row) {
    (found.op.clone(), found.images.values().next().cloned().unwrap_or_default())
}

/// Operations and values of a table of numbers and texts.
fn plain_records(flow: &Flow, envelope: &str) -> Vec<(String, Row)> {
    let file = files(&flow.out(), "jsonl").remove(0);
    let text = std::fs::read_to_string(file).unwrap();
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    };
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let flat = envelope == "flat";
            let row = if flat { &record } else { &record["after"] };
            let own = row.as_object().into_iter().flatten().filter(|(name, _)| !flat || !name.starts_with('_'));
            let op = if flat { &record["_op"] } else { &record["op"] };
            (op.as_str().unwrap().to_owned(), own.map(|(name, value)| (name.clone(), shown(value))).collect())
        })
        .collect()
}
