//! Many partitions, many columns, many tables.

use std::time::Duration;

use ductstream_testkit::postgres::{Postgres, TestDatabase};
use ductstream_testkit::process::{Finished, Process};
use ductstream_testkit::python;
use serde_json::{Value, json};

use crate::harness::{DUCTSTREAM, Flow, Shape, Through, peak_memory_bytes, source_rows};

/// A run that reads and writes thousands of partitions or columns stays below this.
const PEAK_BYTES: u64 = 400 << 20;
/// What each of many tables that change at once may take beside the rest, in a debug build.
const TABLE_BYTES: u64 = 60 << 10;

/// Peak memory of a run and how it ended.
async fn drained(flow: &Flow) -> u64 {
    let state = flow.state().display().to_string();
    let arguments = ["--state", &state, "run", &flow.file().display().to_string(), "--until-idle"].map(str::to_owned);
    let run = Process::start(DUCTSTREAM, arguments, &[]);
    let pid = run.pid();
    let mut ended = std::pin::pin!(run.wait());
    let mut peak = 0;
    loop {
        let tick = tokio::time::timeout(Duration::from_millis(20), &mut ended).await;
        peak = peak_memory_bytes(pid).unwrap_or(peak);
        if let Ok(finished) = tick {
            let _: Finished = finished.expect_code(0);
            return peak;
        }
    }
}

/// Runs a statement for each of `count` numbers, some hundreds in a transaction: more take more locks than a server has.
async fn for_each(database: &TestDatabase, count: usize, statement: &str) {
    for first in (0..count).step_by(500) {
        let last = (first + 500).min(count) - 1;
        database
            .execute(&format!(
                "do $$ begin for n in {first}..{last} loop execute format('{statement}', n); end loop; end $$"
            ))
            .await;
    }
}

/// The operations of each table, in the order in which the manifests name its objects.
fn arrived(flow: &Flow) -> Value {
    const READ: &str = "
import glob, json, sys, pyarrow.parquet as pq
found = {}
for cut in sorted(glob.glob(sys.argv[1] + '/_cuts/*.json')):
    for entry in json.load(open(cut))['objects']:
        path = sys.argv[1] + '/' + entry['path']
        if path.endswith('.parquet'):
            operations = pq.ParquetFile(path).read(['_op']).column('_op').to_pylist()
        else:
            operations = [json.loads(line)['_op'] for line in open(path)]
        assert len(operations) == entry['rows'], path
        found.setdefault(entry['table']['name'], []).extend(operations)
print(json.dumps(found))";
    serde_json::from_str(&python::run(READ, &[flow.out().to_str().unwrap()])).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_two_thousand_partitions_arrive_under_the_root_or_under_their_own_names() {
    const PARTITIONS: usize = 2000;
    let database = Postgres::version(18).await.database().await;
    database.execute("create table p (id int, part int, primary key (id, part)) partition by list (part)").await;
    for_each(&database, PARTITIONS, "create table p_%1$s partition of p for values in (%1$s)").await;
    database.execute("create publication leaves for table p with (publish_via_partition_root = false)").await;
    let root = Flow::new(&database, &Shape { tables: &["public.p"], ..Shape::default() });
    let mut leaves = Flow::at(&database.url(), &format!("{}_leaves", database.name()), &Shape::default());
    leaves.edit("tables: [\"public.*\"]", "publication: leaves");
    root.create().await;
    leaves.create().await;
    database
        .execute(&format!(
            "insert into p select n, n from generate_series(0, {PARTITIONS} - 1) n; update p set id = -1 where part = 7;
             update p set part = 8 where part = 9; delete from p where part = 10"
        ))
        .await;
    for flow in [&root, &leaves] {
        let peak = drained(flow).await;
        assert!(peak < PEAK_BYTES, "{} MB", peak >> 20);
    }
    let records = root.records("public.p");
    let rows: Vec<Value> = records.iter().map(|record| json!([record["_op"], record["id"], record["part"]])).collect();
    let inserts: Vec<Value> = (0..PARTITIONS).map(|n| json!(["insert", n, n])).collect();
    assert_eq!(rows[..PARTITIONS], inserts);
    // A row that moves to another partition is a delete and an insert.
    let moved = [json!(["delete", 9, 9]), json!(["insert", 9, 8]), json!(["delete", 10, 10])];
    assert_eq!(rows[PARTITIONS..], [&[json!(["update", -1, 7])][..], &moved].concat());

    let found = arrived(&leaves);
    assert_eq!(found.as_object().unwrap().len(), PARTITIONS);
    for part in 0..PARTITIONS {
        let expected = match part {
            7 => json!(["insert", "update"]),
            8 => json!(["insert", "insert"]),
            9 | 10 => json!(["insert", "delete"]),
            _ => json!(["insert"]),
        };
        assert_eq!(found[format!("p_{part}")], expected, "partition {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_thousand_columns_arrives_in_little_memory() {
    let database = Postgres::version(18).await.database().await;
    let column = |n: usize| if n % 3 == 1 { format!("c{n} text") } else { format!("c{n} int") };
    let columns: Vec<String> = (1..1000).map(column).collect();
    database.execute(&format!("create table wide (id int primary key, {})", columns.join(", "))).await;
    let flow = Flow::new(&database, &Shape { format: "parquet", ..Shape::default() });
    flow.create().await;
    let value = |n: usize| match n % 3 {
        1 => format!("'t' || id + {n}"),
        2 => format!("id * {n}"),
        _ => "null".to_owned(),
    };
    let values: Vec<String> = (1..1000).map(value).collect();
    database
        .execute(&format!("insert into wide select id, {} from generate_series(1, 200) id", values.join(", ")))
        .await;
    database
        .execute("update wide set c3 = id, c999 = -id, c1 = null where id % 2 = 0; delete from wide where id > 190")
        .await;
    let peak = drained(&flow).await;
    assert!(peak < PEAK_BYTES, "{} MB", peak >> 20);
    let names: Vec<String> = std::iter::once("id".to_owned()).chain((1..1000).map(|n| format!("c{n}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = flow.folded("public.wide", &names, Through::Manifests);
    assert!(found == source_rows(&database, "wide", &names).await, "the rows differ, such as {:.300}", found[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_of_one_publication_arrive_in_little_memory() {
    const TABLES: usize = 10_000;
    let database = Postgres::version(18).await.database().await;
    for_each(&database, TABLES, "create table t_%s (id int primary key, v int)").await;
    let flow =
        Flow::new(&database, &Shape { format: "parquet", destination: "roll: {age: 500ms}", ..Shape::default() });
    let peak = drained(&flow).await;
    assert!(peak < PEAK_BYTES, "to start takes {} MB", peak >> 20);
    let published = database.query_value("select count(*) from pg_publication_tables").await;
    assert_eq!(published, TABLES.to_string());
    // Every table is in the WAL, and many in one batch.
    for_each(&database, TABLES, "insert into t_%1$s values (%1$s, 0)").await;
    for_each(&database, TABLES / 10, "update t_%1$s set v = 1").await;
    let peak = drained(&flow).await;
    assert!(peak < TABLES as u64 * TABLE_BYTES, "{} MB", peak >> 20);
    let found = arrived(&flow);
    assert_eq!(found.as_object().unwrap().len(), TABLES);
    for n in 0..TABLES {
        let expected = if n < TABLES / 10 { json!(["insert", "update"]) } else { json!(["insert"]) };
        assert_eq!(found[format!("t_{n}")], expected, "table {n}");
    }
}
