//! Destinations of one flow that differ in format and envelope.

use ductstream_testkit::postgres::{Postgres, supported_versions};
use ductstream_testkit::python;
use serde_json::json;

use crate::harness::{Flow, Shape, fields, files};

/// Prints operation, key and both images of every record, with pyarrow.
const PARQUET: &str = "
import json, sys
import pyarrow.parquet
for path in sys.argv[1:]:
    for row in pyarrow.parquet.read_table(path).to_pylist():
        print(json.dumps([row['op'], row['key'], row['before'], row['after']]))
";

#[tokio::test(flavor = "multi_thread")]
async fn two_destinations_of_a_flow_get_the_same_changes_each_in_its_own_format_and_envelope() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        database.execute("create table notes (id int primary key, note text)").await;
        let mut flow = Flow::new(&database, &Shape::default());
        let archive = flow.directory.path().join("archive");
        flow.edit(
            "destinations:\n",
            &format!(
                "destinations:\n  - {{name: archive, type: file, path: {}, format: parquet, envelope: native}}\n",
                archive.display()
            ),
        );
        flow.create().await;
        database
            .execute("insert into notes values (1, 'a'), (2, null); update notes set note = 'b' where id = 1")
            .await;
        database.execute("delete from notes where id = 2").await;
        flow.drain().await;

        let flat = fields(&flow.records("public.notes"), &["_op", "id", "note"]);
        let expected = [["insert".into(), 1.into(), "a".into()], ["insert".into(), 2.into(), json!(null)]];
        assert_eq!(flat[..2], expected.map(|it: [serde_json::Value; 3]| json!(it)));
        assert_eq!(flat[2..], [json!(["update", 1, "b"]), json!(["delete", 2, null])]);
        let native: Vec<serde_json::Value> = files(&archive, "parquet")
            .iter()
            .flat_map(|file| {
                let printed = python::run(PARQUET, &[file.to_str().unwrap()]);
                printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(
            native,
            [
                json!(["insert", {"id": 1}, null, {"id": 1, "note": "a"}]),
                json!(["insert", {"id": 2}, null, {"id": 2, "note": null}]),
                json!(["update", {"id": 1}, null, {"id": 1, "note": "b"}]),
                json!(["delete", {"id": 2}, {"id": 2, "note": null}, null]),
            ]
        );
        assert!(files(&archive, "jsonl").is_empty() && files(&flow.out(), "parquet").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_run_refuse_a_destination_that_does_not_fit_and_create_nothing() {
    let database = Postgres::version(18).await.database().await;
    database.execute("create table notes (id int primary key)").await;
    let mut flow = Flow::new(&database, &Shape::default());
    flow.edit("format: json\n", "format: json\nenforce_format: true\n");
    flow.edit("    type: file\n", "    type: file\n    format: parquet\n");
    for command in ["check", "run"] {
        let (code, said) = flow.fails(command, &[]).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("field destinations[0].format: the flow's format is json"), "{said}");
    }
    assert_eq!(
        database.query_value("select count(*) from pg_replication_slots where database = current_database()").await,
        "0"
    );
    assert!(!flow.out().exists());
}
