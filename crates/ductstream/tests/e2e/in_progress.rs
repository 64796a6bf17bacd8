//! Transactions that arrive while they run, and are held until they commit.

use std::process::Stdio;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::harness::{Flow, Shape, Through, files, signal, source_rows};

const COLUMNS: &[&str] = &["id", "note"];

/// Every transaction is large for the server of these tests, whose `logical_decoding_work_mem` is as small as can be.
async fn notes(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute("create table notes (id int primary key, note text)").await;
    database
}

fn insert(from: u32, to: u32) -> String {
    format!("insert into notes select id, repeat('n', 200) from generate_series({from}, {to}) id")
}

/// A run whose status events can be waited for.
struct Watched {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    fn start(flow: &Flow) -> Self {
        let mut child =
            flow.command("run", &["--json"]).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, events }
    }

    /// Waits for a status event with this many bytes held.
    async fn holds(&mut self, wanted: impl Fn(u64) -> bool) {
        loop {
            let line = self.events.next_line().await.unwrap().expect("the run goes on");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["spilled_bytes"].as_u64().is_some_and(&wanted) {
                return;
            }
        }
    }

    async fn stop(mut self) {
        signal(&self.child, "TERM");
        while self.events.next_line().await.unwrap().is_some() {}
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

async fn agrees(flow: &Flow, database: &TestDatabase) {
    let expected = source_rows(database, "notes", COLUMNS).await;
    for through in [Through::Manifests, Through::Glob] {
        assert!(flow.folded("public.notes", COLUMNS, through) == expected, "{through:?}\n{}", flow.log());
    }
}

/// How many transactions of the flow's slot were streamed, and how many the server wrote to its own disk.
async fn streamed_and_spilled(database: &TestDatabase, flow: &Flow) -> [bool; 2] {
    let slot = format!("ductstream_{}", flow.name);
    let sql = format!(
        "select coalesce(sum(stream_txns), 0) > 0, coalesce(sum(spill_txns), 0) > 0
         from pg_stat_replication_slots where slot_name = '{slot}'"
    );
    let row = database.query_one(&sql).await;
    [0, 1].map(|column| row[column].as_deref() == Some("t"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_arrives_while_it_runs_and_becomes_visible_when_it_commits() {
    for version in supported_versions() {
        let database = notes(version).await;
        let flow = Flow::new(&database, &Shape { format: "parquet", ..Shape::default() });
        flow.create().await;
        let mut run = Watched::start(&flow);
        let writer = database.connect().await;
        let write = async |sql: &str| writer.batch_execute(sql).await.unwrap();

        write(&format!("begin; {}; savepoint a; {}; savepoint b", insert(1, 20_000), insert(20_001, 30_000))).await;
        run.holds(|bytes| bytes > 4 << 20).await;
        assert_eq!(files(&flow.out(), "parquet").len(), 0, "nothing shows before the commit");
        assert_eq!(
            std::fs::read_dir(flow.state().join("in-progress")).unwrap().count(),
            0,
            "no crash could leave a file"
        );
        // Others commit meanwhile, and are delivered.
        database.execute(&insert(90_001, 90_010)).await;
        eventually("the small transaction", || async { !files(&flow.out(), "parquet").is_empty() }).await;

        write("update notes set note = 'rolled back'; rollback to b; delete from notes where id % 3 = 0; release b")
            .await;
        write("rollback to a; update notes set note = null where id % 5 = 0; commit").await;
        run.holds(|bytes| bytes == 0).await;
        // Before any restart: what is decoded again and was delivered before cannot be streamed.
        eventually("the slot's counters", || async { streamed_and_spilled(&database, &flow).await == [true, false] })
            .await;
        write(&format!("begin; {}", insert(40_001, 60_000))).await;
        run.holds(|bytes| bytes > 1 << 20).await;
        write("rollback").await;
        run.holds(|bytes| bytes == 0).await;
        run.stop().await;
        flow.drain().await;
        agrees(&flow, &database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_budget_is_used_up_the_server_holds_them_and_nothing_is_lost() {
    for version in supported_versions() {
        let database = notes(version).await;
        let flow = Flow::new(
            &database,
            &Shape {
                format: "parquet",
                source: "  spill_limit: 1MiB",
                destination: "roll: {age: 200ms}",
                ..Shape::default()
            },
        );
        flow.create().await;
        let mut run = flow.start();
        let writer = database.connect().await;
        writer.batch_execute(&format!("begin; {}", insert(1, 20_000))).await.unwrap();
        eventually("the limit to be told", || async { flow.log().contains("spill_limit of 1MiB") }).await;
        writer.batch_execute("commit").await.unwrap();
        let expected = source_rows(&database, "notes", COLUMNS).await;
        eventually("the rows", || async { flow.folded("public.notes", COLUMNS, Through::Manifests) == expected }).await;
        signal(&run, "TERM");
        assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
        agrees(&flow, &database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_resumed_inside_does_not_depend_on_how_it_travelled() {
    for version in supported_versions() {
        for before in ["true", "false"] {
            let database = notes(version).await;
            let source = format!("  batch_size: 64KiB\n  streaming: {before}");
            let shape =
                Shape { format: "parquet", source: &source, destination: "roll: {rows: 3000}", ..Shape::default() };
            let mut flow = Flow::new(&database, &shape);
            flow.create().await;
            let mut run = flow.start();
            let slot = format!("select active from pg_replication_slots where slot_name = 'ductstream_{}'", flow.name);
            eventually("an active slot", || async { database.query_value(&slot).await == "t" }).await;
            database
                .execute(&format!(
                    "begin; {}; savepoint a; {}; rollback to a; {}; commit",
                    insert(1, 30_000),
                    insert(30_001, 40_000),
                    insert(35_001, 60_000)
                ))
                .await;
            eventually("some cuts", || async { flow.cuts().len() >= 3 }).await;
            run.kill().await.unwrap();
            let inside = flow.cuts().last().unwrap()["position"]["seq"].as_u64().unwrap();
            assert!(inside > 0, "the last cut lies inside the transaction");
            let after = if before == "true" { "false" } else { "true" };
            flow.edit(&format!("streaming: {before}"), &format!("streaming: {after}"));
            flow.drain().await;
            agrees(&flow, &database).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_list_that_changes_while_a_transaction_is_held_applies_to_each_change_as_it_did_when_it_was_sent() {
    // Column lists came with version 15.
    let database = Postgres::version(18).await.database().await;
    database
        .execute(
            "create table t (id int primary key, a text, b text); create table filler (id int primary key, x text);
             create publication p for table t (id, a), filler",
        )
        .await;
    let mut flow = Flow::new(&database, &Shape::default());
    flow.edit("tables: [\"public.*\"]", "publication: p");
    flow.create().await;
    let mut run = Watched::start(&flow);
    let writer = database.connect().await;
    writer
        .batch_execute(
            "begin; insert into t values (1, 'a1', 'b1');
             insert into filler select id, repeat('x', 200) from generate_series(1, 20000) id",
        )
        .await
        .unwrap();
    run.holds(|bytes| bytes > 1 << 20).await;
    database.execute("alter publication p set table t (id, b), filler").await;
    database.execute("insert into t values (2, 'a2', 'b2')").await;
    writer.batch_execute("commit").await.unwrap();
    database.execute("insert into t values (3, 'a3', 'b3')").await;
    // All in one connection: a server that decodes the transaction anew goes by the new list throughout.
    eventually("the last row", || async { flow.records("public.t").len() == 3 }).await;
    run.stop().await;
    let rows: Vec<Value> = flow.records("public.t").iter().map(|row| json!([row["id"], row["a"], row["b"]])).collect();
    assert_eq!(rows, [json!([2, null, "b2"]), json!([1, "a1", null]), json!([3, null, "b3"])]);
}
