//! Every type, from a real server through the binary into files, against what the server prints.

#[path = "types/columns.rs"]
mod columns;
#[path = "types/literal.rs"]
mod literal;
#[path = "types/table.rs"]
mod table;

use std::collections::BTreeMap;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use serde_json::{Value, json};

use crate::harness::{Flow, Shape, files};
use columns::{COLUMNS, Column, SETUP, SPECIAL};
use table::{Found, Table, found_in_parquet, images_in_parquet};

async fn with_types(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute(SETUP).await;
    database
}

const BINARY: [&str; 2] = ["  binary: true", "  binary: false"];
const SHAPES: [(&str, &str); 4] = [("json", "flat"), ("json", "native"), ("parquet", "flat"), ("parquet", "native")];

/// Creates a flow per shape, changes the table, and compares what each delivers.
async fn every_shape_agrees(version: u16, columns: &'static [Column], policy: &str) {
    let database = with_types(version).await;
    let mut table = Table::create(&database, "types", columns).await;
    let sources = BINARY.map(|binary| format!("{binary}\n  special_values: {policy}"));
    let mut flows = Vec::new();
    for source in &sources {
        for (format, envelope) in SHAPES {
            let shape = Shape { format, envelope, source, tables: &["public.types"], ..Shape::default() };
            let flow = Flow::at(&database.url(), &format!("{}_{}", database.name(), flows.len()), &shape);
            flow.create().await;
            flows.push((flow, shape));
        }
    }
    table.change().await;
    for (flow, shape) in &flows {
        flow.drain().await;
        table.agrees(flow, shape).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_arrives_as_the_server_prints_it() {
    for version in supported_versions() {
        every_shape_agrees(version, COLUMNS, "error").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_text_policy_values_beyond_the_arrow_type_arrive_as_the_server_prints_them() {
    for version in supported_versions() {
        every_shape_agrees(version, SPECIAL, "text").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_null_policy_only_values_beyond_the_arrow_type_are_null() {
    for version in supported_versions() {
        let database = with_types(version).await;
        database
            .execute("create table t (id int primary key, n numeric(12,2), d date, l int[], dr daterange, x numeric)")
            .await;
        for (format, binary) in [("json", BINARY[0]), ("json", BINARY[1]), ("parquet", BINARY[0])] {
            let source = format!("{binary}\n  special_values: \"null\"");
            let shape = Shape { format, source: &source, ..Shape::default() };
            let flow = Flow::at(&database.url(), &format!("{}_{format}_{}", database.name(), binary.len()), &shape);
            flow.create().await;
            database
                .execute(
                    "insert into t values (1, 'NaN', 'infinity', '{{1}}', '[2024-01-01,infinity)', 'NaN'),
                                          (2, 1, '2024-01-01', '{1,NULL}', '[2024-01-01,2024-01-02)', 1); delete from t",
                )
                .await;
            flow.drain().await;
            if format == "json" {
                let rows: Vec<Value> = flow
                    .records("public.t")
                    .iter()
                    .filter(|row| row["_op"] == "insert")
                    .map(|row| json!([row["id"], row["n"], row["d"], row["l"], row["dr"], row["x"]]))
                    .collect();
                assert_eq!(
                    rows,
                    [
                        json!([1, null, null, null, null, "NaN"]),
                        json!([2, "1.00", "2024-01-01", [1, null], "[2024-01-01,2024-01-02)", "1"]),
                    ]
                );
                continue;
            }
            let rows = found_in_parquet(&flow, "t", "flat");
            let nulls = |row: &Found| row.values.values().map(Option::is_none).collect::<Vec<_>>();
            assert_eq!(nulls(&rows[0]), [true, true, false, true, true, false], "d, dr, id, l, n, x");
            assert_eq!(nulls(&rows[1]), [false; 6]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_error_policy_the_flow_stops_naming_the_value_and_goes_on_where_it_stood_under_another() {
    let specials = [("numeric(12,2)", "NaN"), ("date", "infinity"), ("timestamptz", "-infinity"), ("int[]", "{{1,2}}")];
    for version in supported_versions() {
        for (index, (sql_type, value)) in specials.into_iter().enumerate() {
            for format in ["json", "parquet"] {
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
                    for named in ["public.t", "the value", "key", "3", "special_values", value] {
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
                    let rows = found_in_parquet(&flow, "t", "flat");
                    let ids: Vec<_> = rows.iter().map(|row| row.values["id"].as_deref().unwrap()).collect();
                    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
                    assert_eq!(rows[2].values["the value"].as_deref(), Some(value));
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
                "parquet" => images_in_parquet(&flow.out(), shape.envelope),
                _ => plain_images(&flow, shape.envelope),
            };
            assert_eq!(found[0].values, expected, "{at}");
            if shape.envelope == "flat" {
                assert_eq!(found[1].op, "truncate", "{at}");
            }
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

/// The images of a table of numbers and texts.
fn plain_images(flow: &Flow, envelope: &str) -> Vec<Found> {
    let file = files(&flow.out(), "jsonl").remove(0);
    let text = std::fs::read_to_string(file).unwrap();
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    };
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|record| {
            let row = if envelope == "flat" { &record } else { &record["after"] };
            let values = row.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
            let op = record[if envelope == "flat" { "_op" } else { "op" }].as_str().unwrap().to_owned();
            Found { op, image: None, values: values.map(|(name, value)| (name.clone(), shown(value))).collect() }
        })
        .collect()
}
