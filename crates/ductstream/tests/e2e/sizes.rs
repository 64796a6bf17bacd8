//! The same scenario in several sizes: transactions that the server decodes in memory, transactions that outgrow its memory, so that
//! it sends them while they run, and the same kept on its disk instead. What arrives has to be the same.

use std::collections::BTreeMap;
use std::time::Duration;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually_within;
use serde_json::{Value, json};

use crate::harness::{Flow, Shape};

const PATIENCE: Duration = Duration::from_secs(60);

/// The database of a scenario.
pub(crate) struct Scene {
    pub(crate) database: TestDatabase,
    size: Size,
}

/// How large the transactions of a scenario are, compared with the 64 kB that the test servers decode in, and what is done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Streamed,
    Spilled,
}

/// Plays `scenario` in every size, on every version, and returns what it made of the small one.
pub(crate) async fn in_every_size(scenario: impl AsyncFn(&Scene) -> Value) -> Vec<Value> {
    let mut outcomes = Vec::new();
    for version in supported_versions() {
        let mut found = Vec::new();
        for size in [Size::Small, Size::Streamed, Size::Spilled] {
            let scene = Scene { database: Postgres::version(version).await.database().await, size };
            // Plain storage keeps a value in its row, where decoding counts it whole.
            scene
                .database
                .execute("create table fill (id bigserial primary key, pad text); alter table fill alter pad set storage plain")
                .await;
            let outcome = scenario(&scene).await;
            let small: &Value = found.first().unwrap_or(&outcome);
            assert!(*small == outcome, "PostgreSQL {version}: small:\n{small:#}\n{size:?}:\n{outcome:#}");
            found.push(outcome);
        }
        outcomes.push(found.remove(0));
    }
    outcomes
}

impl Scene {
    /// SQL with each `FILL` replaced by changes: as many in every size, and in the large ones more than the server's memory.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let bytes = if self.size == Size::Small { 1 } else { 7000 };
        sql.replace("FILL", &format!("insert into fill (pad) select repeat('f', {bytes}) from generate_series(1, 10)"))
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.database.execute(&self.sql(sql)).await;
    }

    /// A flow from all tables, or from a publication of the scenario's, created.
    pub(crate) async fn flow(&self, publication: Option<&str>) -> Flow {
        let source = format!("  batch_size: 64KiB\n  streaming: {}", self.size != Size::Spilled);
        let mut flow = Flow::new(&self.database, &Shape { source: &source, ..Shape::default() });
        if let Some(name) = publication {
            flow.edit("tables: [\"public.*\"]", &format!("publication: {name}"));
        }
        flow.create().await;
        flow
    }

    /// Drains the flow, makes sure that the server had to do what the size is for, and returns the records of `tables` without
    /// what differs from run to run. Positions of all tables have to be unique, and those of each to ascend.
    pub(crate) async fn drained(&self, flow: &Flow, tables: &[&str]) -> BTreeMap<String, Vec<Value>> {
        flow.drain().await;
        self.did_what_the_size_is_for(flow).await;
        let mut positions: Vec<(u64, u64)> = Vec::new();
        let mut commits: Vec<u64> = Vec::new();
        let mut found = BTreeMap::new();
        for table in tables.iter().chain(&["public.fill"]) {
            let records = flow.records(table);
            let own: Vec<(u64, u64)> = records.iter().map(position).collect();
            assert!(own.is_sorted(), "{table}: the positions do not ascend: {own:?}");
            positions.extend(&own);
            commits.extend(own.iter().map(|(commit, _)| commit));
            found.insert((*table).to_owned(), records);
        }
        let count = positions.len();
        positions.sort_unstable();
        positions.dedup();
        assert_eq!(positions.len(), count, "a position came twice");
        commits.sort_unstable();
        commits.dedup();
        for record in found.values_mut().flatten() {
            // Which transaction it was, by the order of their commits.
            let commit = commits.binary_search(&position(record).0).unwrap();
            let record = record.as_object_mut().unwrap();
            record.retain(|name, _| !["_xid", "_commit_time", "_commit_lsn", "pad"].contains(&name.as_str()));
            record.insert("transaction".to_owned(), json!(commit));
        }
        found
    }

    async fn did_what_the_size_is_for(&self, flow: &Flow) {
        let counted = |what: &str| {
            let slot = &flow.name;
            format!("select count(*) from pg_stat_replication_slots where slot_name = 'ductstream_{slot}' and {what}")
        };
        let wanted = match self.size {
            // Nothing to make sure of: what other databases of the server change in their catalogs counts for every decoder's memory.
            Size::Small => return,
            // What cannot be sent yet, for want of the rest of a large value, is spilled still.
            Size::Streamed => counted("stream_txns > 0"),
            Size::Spilled => counted("stream_txns = 0 and spill_txns > 0"),
        };
        let what = format!("a decoder whose transactions are {:?}", self.size);
        eventually_within(PATIENCE, &what, || async { self.database.query_value(&wanted).await == "1" }).await;
    }

    /// As [`drained`](Self::drained), as JSON.
    pub(crate) async fn outcome(&self, flow: &Flow, tables: &[&str]) -> Value {
        json!(self.drained(flow, tables).await)
    }
}

/// The record's position: commit and index.
fn position(record: &Value) -> (u64, u64) {
    let (high, low) = record["_commit_lsn"].as_str().unwrap().split_once('/').unwrap();
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    (hex(high) << 32 | hex(low), record["_seq"].as_u64().unwrap())
}

/// `names` of each of the records of a table of an outcome.
pub(crate) fn picked(outcome: &Value, table: &str, names: &[&str]) -> Vec<Value> {
    let records = outcome[table].as_array().unwrap().iter();
    let pick =
        |record: &Value| names.iter().map(|name| record.get(*name).cloned().unwrap_or(json!("absent"))).collect();
    records.map(pick).map(Value::Array).collect()
}
