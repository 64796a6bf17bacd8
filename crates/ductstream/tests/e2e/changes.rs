//! What changes become: TOAST, keys, truncate, schema changes, partitions, big transactions.

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use serde_json::{Value, json};

use crate::harness::{Flow, Shape, fields};

async fn databases() -> Vec<TestDatabase> {
    let mut databases = Vec::new();
    for version in supported_versions() {
        databases.push(Postgres::version(version).await.database().await);
    }
    databases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toasted_value_that_did_not_change_is_marked_unchanged_and_never_null() {
    for database in databases().await {
        database
            .execute(
                "create table notes (id int primary key, n int, big text); alter table notes alter big set storage external;
                 create table full_notes (id int primary key, n int, big text);
                 alter table full_notes alter big set storage external; alter table full_notes replica identity full",
            )
            .await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        for table in ["notes", "full_notes"] {
            database.execute(&format!("insert into {table} values (1, 1, repeat('x', 20000)), (2, 1, null)")).await;
            database.execute(&format!("update {table} set n = 2")).await;
        }
        flow.drain().await;
        let updates = |table: &str| -> Vec<Value> {
            flow.records(table).into_iter().filter(|record| record["_op"] == "update").collect()
        };
        assert_eq!(
            fields(&updates("public.notes"), &["id", "n", "big", "_unchanged"]),
            [json!([1, 2, "absent", ["big"]]), json!([2, 2, null, null])]
        );
        let filled = fields(&updates("public.full_notes"), &["id", "n", "big", "_unchanged"]);
        assert_eq!(filled, [json!([1, 2, "x".repeat(20000), null]), json!([2, 2, null, null])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_the_key_carries_the_old_key_and_a_delete_carries_the_key_of_its_insert() {
    for database in databases().await {
        database
            .execute(
                "create table d (id int primary key, v text);
                 create table f (id int primary key, v text); alter table f replica identity full;
                 create table x (a int not null, b int not null, v text); create unique index x_ab on x (a, b);
                 alter table x replica identity using index x_ab",
            )
            .await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        database
            .execute("insert into d values (1, 'a'); update d set id = 2; update d set v = 'b'; delete from d")
            .await;
        database
            .execute("insert into f values (1, 'a'); update f set id = 2; update f set v = 'b'; delete from f")
            .await;
        database.execute("insert into x values (1, 1, 'a'); update x set b = 2; delete from x").await;
        flow.drain().await;
        let expected = [
            json!(["insert", 1, "a", null]),
            json!(["update", 2, "a", {"id": 1}]),
            json!(["update", 2, "b", null]),
            json!(["delete", 2, null, null]),
        ];
        for table in ["public.d", "public.f"] {
            assert_eq!(fields(&flow.records(table), &["_op", "id", "v", "_old_key"]), expected, "{table}");
        }
        assert_eq!(
            fields(&flow.records("public.x"), &["_op", "a", "b", "v", "_old_key"]),
            [
                json!(["insert", 1, 1, "a", null]),
                json!(["update", 1, 2, "a", {"a": 1, "b": 1}]),
                json!(["delete", 1, 2, null, null])
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_out_of_line_key_that_did_not_change_is_never_null() {
    for database in databases().await {
        // PostgreSQL allows index rows of up to a third of a page: 2,600 bytes are stored out of line and still fit.
        database
            .execute("create table long_keys (id text primary key, n int); alter table long_keys alter id set storage external")
            .await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        database.execute("insert into long_keys values (repeat('k', 2600), 1); update long_keys set n = 2").await;
        flow.drain().await;
        let key = "k".repeat(2600);
        assert_eq!(
            fields(&flow.records("public.long_keys"), &["_op", "id", "n", "_unchanged"]),
            [json!(["insert", key, 1, null]), json!(["update", key, 2, null])]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_of_several_tables_stands_in_its_place_in_each() {
    for database in databases().await {
        database.execute("create table a (id int primary key); create table b (id int primary key references a)").await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        database.execute("insert into a values (1); insert into b values (1)").await;
        database.execute("truncate a cascade").await;
        database.execute("insert into a values (2)").await;
        flow.drain().await;
        let ops = |table: &str| fields(&flow.records(table), &["_op", "id"]);
        assert_eq!(ops("public.a"), [json!(["insert", 1]), json!(["truncate", null]), json!(["insert", 2])]);
        assert_eq!(ops("public.b"), [json!(["insert", 1]), json!(["truncate", null])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_added_dropped_renamed_and_retyped_in_one_transaction_make_versions_that_survive_restarts() {
    for database in databases().await {
        database.execute("create table t (id int primary key, v int)").await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        database
            .execute(
                "begin; insert into t values (1, 10); alter table t add added text default 'd'; insert into t values (2, 20, 'x');
                 alter table t rename added to renamed; insert into t values (3, 30, 'y'); commit",
            )
            .await;
        flow.drain().await;
        database.execute("alter table t drop renamed; insert into t values (4, 40)").await;
        database.execute("alter table t alter v type text using v::text; insert into t values (5, 'fifty')").await;
        flow.drain().await;
        database.execute("insert into t values (6, 'sixty')").await;
        flow.drain().await;
        assert_eq!(
            fields(&flow.records("public.t"), &["id", "v", "added", "renamed", "_schema_version"]),
            [
                json!([1, 10, "absent", "absent", 1]),
                json!([2, 20, "x", "absent", 2]),
                json!([3, 30, "absent", "y", 3]),
                json!([4, 40, "absent", "absent", 4]),
                json!([5, "fifty", "absent", "absent", 5]),
                json!([6, "sixty", "absent", "absent", 5]),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_partitions_arrive_under_the_partitioned_table() {
    for database in databases().await {
        database
            .execute(
                "create table p (id int, day date, primary key (id, day)) partition by range (day);
                 create table p1 partition of p for values from ('2026-01-01') to ('2026-02-01');
                 create table p2 partition of p for values from ('2026-02-01') to ('2026-03-01')",
            )
            .await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        database.execute("insert into p values (1, '2026-01-05'), (2, '2026-02-05')").await;
        // Moves a row from one partition to another: the server sends a delete and an insert.
        database.execute("update p set day = '2026-02-07' where id = 1").await;
        flow.drain().await;
        let records = fields(&flow.records("public.p"), &["_op", "id", "day"]);
        assert_eq!(records[..2], [json!(["insert", 1, "2026-01-05"]), json!(["insert", 2, "2026-02-05"])]);
        assert_eq!(records[2..].last(), Some(&json!(["insert", 1, "2026-02-07"])));
        assert!(flow.records("public.p1").is_empty() && flow.records("public.p2").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_unique_and_ascend_across_tables_rolled_back_savepoints_and_transactions() {
    for database in databases().await {
        database.execute("create table a (id int primary key); create table b (id int primary key)").await;
        let flow = Flow::new(&database, &Shape { destination: "roll: {rows: 7}", ..Shape::default() });
        flow.create().await;
        for n in 0..5 {
            let (x, y) = (n * 10, n * 10 + 1);
            database
                .execute(&format!(
                    "begin; insert into a values ({x}); insert into b values ({x}); savepoint s; insert into a values (999);
                     rollback to s; insert into b values ({y}); insert into a values ({y}); commit"
                ))
                .await;
        }
        flow.drain().await;
        let seqs = |table: &str| fields(&flow.records(table), &["_seq", "id"]);
        let a: Vec<Value> = (0..5).flat_map(|n| [json!([0, n * 10]), json!([3, n * 10 + 1])]).collect();
        let b: Vec<Value> = (0..5).flat_map(|n| [json!([1, n * 10]), json!([2, n * 10 + 1])]).collect();
        assert_eq!(seqs("public.a"), a);
        assert_eq!(seqs("public.b"), b);
    }
}
