//! Transactions: interleaved, nested, prepared, with messages, truncates and schema changes in them; in every size.

use serde_json::{Value, json};

use crate::sizes::{in_every_size, picked};

#[tokio::test(flavor = "multi_thread")]
async fn interleaved_transactions_arrive_in_the_order_of_their_commits() {
    let outcomes = in_every_size(async |scene| {
        scene
            .database
            .execute("create table t (id int primary key, who int); create table u (id int primary key, who int)")
            .await;
        let flow = scene.flow(None).await;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(scene.database.connect().await);
        }
        for session in &sessions {
            session.batch_execute("begin").await.unwrap();
        }
        for step in 0..4 {
            for (who, session) in sessions.iter().enumerate() {
                let id = who * 10 + step;
                let table = ["t", "u"][step % 2];
                let sql = format!(
                    "insert into {table} values ({id}, {who}); FILL; update {table} set who = -who where id = {id}"
                );
                session.batch_execute(&scene.sql(&sql)).await.unwrap();
            }
        }
        for (who, end) in [(3, "commit"), (0, "commit"), (4, "rollback"), (2, "commit"), (1, "commit")] {
            sessions[who].batch_execute(end).await.unwrap();
        }
        scene.outcome(&flow, &["public.t", "public.u"]).await
    })
    .await;
    let expected = |steps: [u64; 2]| -> Vec<Value> {
        let changes = [3, 0, 2, 1].into_iter().enumerate().flat_map(|(transaction, who)| {
            // Each step is an insert, ten rows of filling, and an update.
            steps.into_iter().flat_map(move |step| {
                let (id, seq) = (who * 10 + step as i64, step * 12);
                [json!([transaction, seq, "insert", id, who]), json!([transaction, seq + 11, "update", id, -who])]
            })
        });
        changes.collect()
    };
    for outcome in outcomes {
        for (table, steps) in [("public.t", [0, 2]), ("public.u", [1, 3])] {
            assert_eq!(
                picked(&outcome, table, &["transaction", "_seq", "_op", "id", "who"]),
                expected(steps),
                "{table}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nested_savepoints_only_what_was_not_rolled_back_arrives() {
    let outcomes = in_every_size(async |scene| {
        scene.database.execute("create table t (id int primary key, v int)").await;
        let flow = scene.flow(None).await;
        scene
            .execute(
                "begin; insert into t values (1, 0); FILL;
                 savepoint a; insert into t values (2, 0); FILL;
                   savepoint b; insert into t values (3, 0); FILL;
                     savepoint c; insert into t values (4, 0); FILL; rollback to c; insert into t values (5, 0); release c;
                   rollback to b; insert into t values (6, 0); FILL;
                   savepoint d; update t set v = 1 where id = 2; FILL; savepoint e; update t set v = 2 where id = 2; release d;
                 release a; insert into t values (7, 0);
                 savepoint f; delete from t; FILL; truncate t; rollback to f; FILL; release f; update t set v = 3 where id = 1; commit",
            )
            .await;
        scene.execute("begin; insert into t values (8, 0); FILL; savepoint a; insert into t values (9, 0); FILL; release a; FILL; rollback").await;
        // Each round is a subtransaction; every third one fails.
        scene
            .execute(
                "do $$ begin for n in 101..160 loop begin
                   insert into t values (n, 0); if n % 10 = 0 then FILL; end if; if n % 3 = 0 then raise 'undone'; end if;
                 exception when raise_exception then null; end; end loop; end $$",
            )
            .await;
        scene.outcome(&flow, &["public.t"]).await
    })
    .await;
    for outcome in outcomes {
        let found = picked(&outcome, "public.t", &["_op", "id", "v", "_seq"]);
        let first = [
            json!(["insert", 1, 0, 0]),
            json!(["insert", 2, 0, 11]),
            json!(["insert", 6, 0, 22]),
            json!(["update", 2, 1, 33]),
            json!(["update", 2, 2, 44]),
            json!(["insert", 7, 0, 45]),
            json!(["update", 1, 3, 56]),
        ];
        assert_eq!(found[..7], first);
        let rounds: Vec<Value> = (101..=160).filter(|n| n % 3 != 0).map(|n| json!(n)).collect();
        assert_eq!(found[7..].iter().map(|row| row[1].clone()).collect::<Vec<_>>(), rounds);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_arrive_when_and_where_they_are_committed() {
    let outcomes = in_every_size(async |scene| {
        let name = scene.database.name();
        scene.database.execute("create table t (id int primary key, v int)").await;
        let flow = scene.flow(None).await;
        for (id, gid) in [(10, "kept"), (20, "undone"), (30, "late")] {
            let sql = format!(
                "begin; insert into t values ({id}, 0); FILL; savepoint s; insert into t values ({}, 0); FILL; rollback to s;
                 insert into t values ({}, 0); prepare transaction '{name}_{gid}'",
                id + 1,
                id + 2
            );
            scene.execute(&sql).await;
        }
        scene.execute("begin; insert into t values (1, 0); FILL; commit").await;
        // What is prepared is not owed, and survives that the flow ends in between.
        let before = scene.drained(&flow, &["public.t"]).await["public.t"].len();
        assert_eq!(before, 1);
        scene.execute(&format!("commit prepared '{name}_kept'")).await;
        scene.execute("begin; insert into t values (2, 0); FILL; commit").await;
        scene.execute(&format!("rollback prepared '{name}_undone'")).await;
        scene.drained(&flow, &["public.t"]).await;
        scene.execute("insert into t values (3, 0)").await;
        scene.execute(&format!("commit prepared '{name}_late'")).await;
        scene.outcome(&flow, &["public.t"]).await
    })
    .await;
    for outcome in outcomes {
        let expected = [[0, 0, 1], [1, 0, 10], [1, 11, 12], [2, 0, 2], [3, 0, 3], [4, 0, 30], [4, 11, 32]];
        assert_eq!(picked(&outcome, "public.t", &["transaction", "_seq", "id"]), expected.map(|row| json!(row)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logical_messages_between_rows_change_neither_rows_nor_positions() {
    let outcomes = in_every_size(async |scene| {
        scene.database.execute("create table t (id int primary key, v int)").await;
        let flow = scene.flow(None).await;
        let messages = "select pg_logical_emit_message(true, 'mine', repeat('m', 9000)); select pg_logical_emit_message(false, 'mine', 'at once');
                        select pg_logical_emit_message(true, '', ''); select pg_logical_emit_message(false, 'ductstream', '\\x00ff'::bytea)";
        for (index, between) in ["select 1", messages].into_iter().enumerate() {
            let id = index * 10;
            let sql = format!(
                "{between}; begin; {between}; insert into t values ({id}, 0); {between}; FILL; savepoint s; {between}; insert into t values ({}, 0);
                 rollback to s; {between}; update t set v = 1 where id = {id}; {between}; commit; {between}",
                id + 1
            );
            scene.execute(&sql).await;
        }
        // A transaction of messages alone.
        scene.execute(&format!("begin; {messages}; commit")).await;
        scene.execute("insert into t values (99, 0)").await;
        scene.outcome(&flow, &["public.t"]).await
    })
    .await;
    for outcome in outcomes {
        let found = picked(&outcome, "public.t", &["transaction", "_seq", "_op", "id"]);
        let expected = [
            json!([0, 0, "insert", 0]),
            json!([0, 11, "update", 0]),
            json!([1, 0, "insert", 10]),
            json!([1, 11, "update", 10]),
            json!([2, 0, "insert", 99]),
        ];
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncates_of_several_tables_stand_in_their_places_inside_a_transaction() {
    let outcomes = in_every_size(async |scene| {
        scene
            .database
            .execute(
                "create table a (id serial primary key); create table b (id serial primary key, a int references a);
                 create table c (id serial primary key); create table d (id int primary key)",
            )
            .await;
        let flow = scene.flow(None).await;
        scene
            .execute(
                "begin; insert into a default values; insert into b (a) values (1); insert into c default values; insert into d values (1); FILL;
                 truncate a, c restart identity cascade; insert into a default values; FILL; insert into c default values;
                 savepoint s; truncate d; FILL; rollback to s; truncate only c; insert into c default values; commit",
            )
            .await;
        scene.execute("begin; truncate a, b, c, d; FILL; truncate d; commit").await;
        scene.outcome(&flow, &["public.a", "public.b", "public.c", "public.d"]).await
    })
    .await;
    for outcome in outcomes {
        let ops = |table: &str| picked(&outcome, table, &["transaction", "_op", "id"]);
        let (insert, truncate) =
            (|id: u64| json!([0, "insert", id]), |transaction: u64| json!([transaction, "truncate", null]));
        assert_eq!(ops("public.a"), [insert(1), truncate(0), insert(1), truncate(1)]);
        assert_eq!(ops("public.b"), [insert(1), truncate(0), truncate(1)]);
        assert_eq!(ops("public.c"), [insert(1), truncate(0), insert(1), truncate(0), insert(2), truncate(1)]);
        assert_eq!(ops("public.d"), [insert(1), truncate(1), truncate(1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_has_the_shape_and_the_key_that_its_table_had_at_its_place_in_the_transaction() {
    let outcomes = in_every_size(async |scene| {
        scene.database.execute("create table t (id int primary key, v int)").await;
        let flow = scene.flow(None).await;
        scene
            .execute(
                "begin; insert into t values (1, 10); FILL;
                 alter table t add a text default 'd'; insert into t values (2, 20, 'x'); FILL; update t set v = 11 where id = 1;
                 alter table t rename a to b; insert into t values (3, 30, 'y'); FILL;
                 savepoint s; alter table t add never int; insert into t values (4, 40, 'z', 1); FILL; rollback to s;
                 alter table t alter v type text using 'v' || v; insert into t values (5, 'v50', 'w'); FILL;
                 alter table t drop b; insert into t values (6, 'v60');
                 update t set id = 7 where id = 6;
                 alter table t drop constraint t_pkey; alter table t add primary key (v); update t set v = 'key' where id = 7; FILL;
                 alter table t replica identity full; update t set id = 70 where id = 7; update t set v = 'full' where id = 70; FILL;
                 alter table t replica identity default; delete from t where v = 'v50'; commit",
            )
            .await;
        scene.execute("insert into t values (8, 'after')").await;
        scene.outcome(&flow, &["public.t"]).await
    })
    .await;
    for outcome in outcomes {
        let found = picked(&outcome, "public.t", &["_op", "id", "v", "a", "b", "_old_key", "_schema_version"]);
        let absent = "absent";
        let expected = [
            json!(["insert", 1, 10, absent, absent, null, 1]),
            json!(["insert", 2, 20, "x", absent, null, 2]),
            json!(["update", 1, 11, "d", absent, null, 2]),
            json!(["insert", 3, 30, absent, "y", null, 3]),
            json!(["insert", 5, "v50", absent, "w", null, 4]),
            json!(["insert", 6, "v60", absent, absent, null, 5]),
            json!(["update", 7, "v60", absent, absent, {"id": 6}, 5]),
            json!(["update", 7, "key", absent, absent, {"v": "v60"}, 6]),
            json!(["update", 70, "key", absent, absent, null, 6]),
            json!(["update", 70, "full", absent, absent, {"v": "key"}, 6]),
            json!(["delete", null, "v50", absent, absent, null, 6]),
            json!(["insert", 8, "after", absent, absent, null, 6]),
        ];
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_dropped_and_made_again_under_the_same_name_go_on_under_it() {
    let outcomes = in_every_size(async |scene| {
        scene.database.execute("create table t (id int primary key, v int); create publication everything for all tables").await;
        let flow = scene.flow(Some("everything")).await;
        let same = "drop table t; create table t (id int primary key, v int)";
        let other = "drop table t; create table t (v text, id bigint primary key, more int[])";
        scene.execute("insert into t values (1, 1)").await;
        scene.execute(same).await;
        scene.execute("begin; insert into t values (2, 2); FILL; commit").await;
        scene.execute(&format!("begin; insert into t values (3, 3); FILL; {same}; insert into t values (3, 30); FILL; update t set v = 31; commit")).await;
        scene.execute(&format!("begin; insert into t values (4, 4); FILL; {other}; insert into t values ('four', 4, '{{4}}'); FILL; commit")).await;
        // One that is gone before it commits, one that never was, and the first shape again.
        scene.execute("begin; create table gone (id int primary key); insert into gone values (1); FILL; drop table gone; commit").await;
        scene.execute(&format!("begin; savepoint s; {same}; insert into t values (5, 5); FILL; rollback to s; insert into t values ('five', 5); commit")).await;
        scene.execute(&format!("begin; {same}; insert into t values (6, 6); FILL; commit")).await;
        scene.outcome(&flow, &["public.t", "public.gone"]).await
    })
    .await;
    for outcome in outcomes {
        let found = picked(&outcome, "public.t", &["_op", "id", "v", "more", "_schema_version"]);
        let expected = [
            json!(["insert", 1, 1, "absent", 1]),
            json!(["insert", 2, 2, "absent", 1]),
            json!(["insert", 3, 3, "absent", 1]),
            json!(["insert", 3, 30, "absent", 1]),
            json!(["update", 3, 31, "absent", 1]),
            json!(["insert", 4, 4, "absent", 1]),
            json!(["insert", 4, "four", [4], 2]),
            json!(["insert", 5, "five", null, 2]),
            json!(["insert", 6, 6, "absent", 3]),
        ];
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_renamed_and_swapped_inside_a_transaction_arrive_under_the_name_that_each_had() {
    let outcomes = in_every_size(async |scene| {
        scene.database.execute("create table a (id int primary key, x int); create table b (id int primary key, y text)").await;
        let flow = scene.flow(None).await;
        scene
            .execute(
                "begin; insert into a values (1, 1); insert into b values (1, 'one'); FILL;
                 alter table a rename to c; insert into c values (2, 2); alter table b rename to a; alter table c rename to b;
                 insert into a values (3, 'three'); insert into b values (3, 3); FILL; update a set y = 'same' where id = 1; delete from b where id = 2; commit",
            )
            .await;
        scene.execute("insert into a values (4, 'four'); insert into b values (4, 4)").await;
        scene.outcome(&flow, &["public.a", "public.b", "public.c"]).await
    })
    .await;
    for outcome in outcomes {
        let rows = |table: &str| picked(&outcome, table, &["_op", "id", "x", "y", "_schema_version"]);
        let absent = "absent";
        assert_eq!(
            rows("public.a"),
            [
                json!(["insert", 1, 1, absent, 1]),
                json!(["insert", 3, absent, "three", 2]),
                json!(["update", 1, absent, "same", 2]),
                json!(["insert", 4, absent, "four", 2])
            ]
        );
        assert_eq!(
            rows("public.b"),
            [
                json!(["insert", 1, absent, "one", 1]),
                json!(["insert", 3, 3, absent, 2]),
                json!(["delete", 2, null, absent, 2]),
                json!(["insert", 4, 4, absent, 2])
            ]
        );
        assert_eq!(rows("public.c"), [json!(["insert", 2, 2, absent, 1])]);
    }
}
