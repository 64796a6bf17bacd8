//! Databases whose encoding is not UTF-8.

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use serde_json::{Value, json};

use super::{BINARY, Flow, Shape};

/// A database beside the test's own, in another encoding; its name.
async fn encoded(database: &TestDatabase, encoding: &str) -> String {
    let name = format!("{}_{}", database.name(), encoding.to_lowercase());
    database.execute(&format!("create database {name} encoding '{encoding}' template template0")).await;
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_database_in_another_encoding_arrives_in_utf_8() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let name = encoded(&database, "LATIN1").await;
        let client = database.cluster().connect(&name).await;
        client
            .batch_execute(
                "create extension hstore; create type \"Größe\" as enum ('klein', 'groß'); create type paar as (\"ä\" text, \"ö\" \"Größe\");
                 create table \"Maße\" (id int primary key, \"Wörter\" text, g \"Größe\", p paar, h hstore, j jsonb, l text[], x xml)",
            )
            .await
            .unwrap();
        for binary in BINARY {
            let shape = Shape { source: binary, ..Shape::default() };
            let flow = Flow::at(&database.cluster().url(&name), &format!("{name}_{}", binary.len()), &shape);
            flow.create().await;
            client
                .batch_execute(
                    "delete from \"Maße\"; insert into \"Maße\" select 1, (select string_agg(chr(n), '') from generate_series(160, 255) n),
                     'groß', '(ä,groß)', 'ä=>ö', '{\"ä\": \"ö\"}', '{ä,ö}', '<ä>ö</ä>'",
                )
                .await
                .unwrap();
            flow.drain().await;
            let record = flow.records("public.Maße").pop().unwrap();
            let letters: String = (160..=255).map(|letter| char::from(letter as u8)).collect();
            let expected = [
                ("Wörter", json!(letters)),
                ("g", json!("groß")),
                ("p", json!({"ä": "ä", "ö": "groß"})),
                ("h", json!({"ä": "ö"})),
                ("j", json!({"ä": "ö"})),
                ("l", json!(["ä", "ö"])),
                ("x", json!("<ä>ö</ä>")),
            ];
            for (column, value) in expected {
                assert_eq!(record[column], value, "PostgreSQL {version}, {binary}, column {column}");
            }
            let (code, message) = flow.fails("cleanup", &["--yes"]).await;
            assert_eq!(code, 0, "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_stop_the_flow_and_are_not_replaced() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let name = encoded(&database, "SQL_ASCII").await;
        let client = database.cluster().connect(&name).await;
        client.batch_execute("create table t (id int primary key, v text)").await.unwrap();
        for binary in BINARY {
            let shape = Shape { source: binary, ..Shape::default() };
            let flow = Flow::at(&database.cluster().url(&name), &format!("{name}_{}", binary.len()), &shape);
            flow.create().await;
            client
                .batch_execute("delete from t; insert into t values (1, 'é 🐢'); insert into t values (7, E'caf\\xe9')")
                .await
                .unwrap();
            let (code, message) = flow.fails("run", &["--until-idle"]).await;
            assert_eq!(code, 1, "{message}");
            for named in ["invalid byte sequence", "To go on", "ductstream cleanup"] {
                assert!(message.contains(named), "{named:?} is not in: {message}");
            }
            let texts: Vec<Value> = flow
                .records("public.t")
                .iter()
                .filter(|row| row["_op"] == "insert")
                .map(|row| row["v"].clone())
                .collect();
            assert!(texts.iter().all(|text| text == "é 🐢"), "{texts:?}");
            let (code, message) = flow.fails("cleanup", &["--yes"]).await;
            assert_eq!(code, 0, "{message}");
        }
    }
}
