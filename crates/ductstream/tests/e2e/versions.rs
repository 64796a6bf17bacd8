//! What PostgreSQL's versions differ in, on each version that has it.

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually;
use serde_json::{Value, json};

use crate::harness::{Flow, Shape, fields, signal};

/// A database on each version from `first` on.
async fn databases(first: u16) -> Vec<(u16, TestDatabase)> {
    let mut databases = Vec::new();
    for version in supported_versions().into_iter().filter(|version| *version >= first) {
        databases.push((version, Postgres::version(version).await.database().await));
    }
    databases
}

/// A flow of existing publications, with its own name in the database.
fn published(database: &TestDatabase, name: &str, publications: &str) -> Flow {
    let name = format!("{}_{name}", database.name());
    let mut flow = Flow::at(&database.url(), &name, &Shape::default());
    flow.edit("tables: [\"public.*\"]", &format!("publication: {publications}"));
    flow
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_is_asked_for_the_newest_protocol_that_it_has() {
    for (version, database) in databases(14).await {
        database.execute("create table t (id int primary key)").await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        let mut run = flow.start();
        let asked = "select query from pg_stat_activity where datname = current_database()
                     and backend_type = 'walsender' and query like 'START_REPLICATION%'";
        eventually("the stream to begin", || async { !database.query(asked).await.is_empty() }).await;
        let protocol = match version {
            16.. => 4,
            15 => 3,
            _ => 2,
        };
        let asked = database.query_value(asked).await;
        assert!(asked.contains(&format!("proto_version '{protocol}'")), "PostgreSQL {version}: {asked}");
        run.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_with_an_origin_are_delivered_unless_the_flow_asks_for_those_without() {
    for (version, database) in databases(14).await {
        database.execute("create table t (id int primary key)").await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        let local = Shape { source: "  origin: none", ..Shape::default() };
        let local = Flow::at(&database.url(), &format!("{}_local", database.name()), &local);
        if version < 16 {
            let (code, message) = local.fails("run", &["--until-idle"]).await;
            assert_eq!(code, 2, "{message}");
            assert!(message.contains("PostgreSQL 16 or later") && message.contains("source.origin"), "{message}");
            assert_eq!(local.command("check", &[]).output().await.unwrap().status.code(), Some(3));
        } else {
            local.create().await;
        }

        let (upstream, name) = (database.connect().await, database.name());
        for sql in [
            format!("select pg_replication_origin_create('{name}'), pg_replication_origin_session_setup('{name}')"),
            "begin; select pg_replication_origin_xact_setup('0/1234', now()); insert into t values (1), (2); commit"
                .into(),
        ] {
            upstream.batch_execute(&sql).await.unwrap();
        }
        database.execute("insert into t values (3)").await;
        flow.drain().await;
        assert_eq!(fields(&flow.records("public.t"), &["id"]), [json!([1]), json!([2]), json!([3])]);
        if version >= 16 {
            local.drain().await;
            assert_eq!(fields(&local.records("public.t"), &["id"]), [json!([3])]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_into_a_row_filter_are_inserts_and_those_that_move_out_are_deletes() {
    for (_, database) in databases(15).await {
        database
            .execute(
                "create table f (id int primary key, region text, n int); alter table f replica identity full;
                 create publication eu for table f where (region = 'eu');
                 create publication us for table f where (region = 'us')",
            )
            .await;
        let (one, both) = (published(&database, "one", "eu"), published(&database, "both", "[eu, us]"));
        one.create().await;
        both.create().await;
        for sql in [
            "insert into f values (1, 'eu', 1), (2, 'us', 1), (3, 'asia', 1)",
            "update f set region = 'eu' where id = 2",
            "update f set region = 'us' where id = 1",
            "update f set n = 2",
            "delete from f",
        ] {
            database.execute(sql).await;
        }
        one.drain().await;
        both.drain().await;
        let record = |op: &str, id: i32, region: Value, n: Value| json!([op, id, region, n]);
        let gone = |id| record("delete", id, Value::Null, Value::Null);
        let columns = ["_op", "id", "region", "n"];
        assert_eq!(
            fields(&one.records("public.f"), &columns),
            [
                record("insert", 1, "eu".into(), 1.into()),
                record("insert", 2, "eu".into(), 1.into()),
                gone(1),
                record("update", 2, "eu".into(), 2.into()),
                gone(2),
            ]
        );
        let mut found = fields(&both.records("public.f"), &columns);
        // The order of rows within one statement is that of their places in the table.
        found[4..].sort_by_key(|record| (record[0].to_string(), record[1].to_string()));
        assert_eq!(
            found,
            [
                record("insert", 1, "eu".into(), 1.into()),
                record("insert", 2, "us".into(), 1.into()),
                record("update", 2, "eu".into(), 1.into()),
                record("update", 1, "us".into(), 1.into()),
                gone(1),
                gone(2),
                record("update", 1, "us".into(), 2.into()),
                record("update", 2, "eu".into(), 2.into()),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_a_publication_leaves_out_are_not_there_and_two_lists_for_one_table_are_refused() {
    for (_, database) in databases(15).await {
        database
            .execute(
                "create table c (id int primary key, v text, secret text);
                 create publication these for table c (id, v); create publication same for table c (v, id);
                 create publication other for table c (id, secret)",
            )
            .await;
        let flow = published(&database, "listed", "[these, same]");
        flow.create().await;
        database
            .execute(
                "insert into c values (1, 'a', 'x'); update c set secret = 'y'; update c set v = 'b'; delete from c",
            )
            .await;
        flow.drain().await;
        assert_eq!(
            fields(&flow.records("public.c"), &["_op", "id", "v", "secret"]),
            [
                json!(["insert", 1, "a", "absent"]),
                json!(["update", 1, "a", "absent"]),
                json!(["update", 1, "b", "absent"]),
                json!(["delete", 1, null, "absent"]),
            ]
        );
        let refused = published(&database, "two", "[these, other]");
        let (code, message) = refused.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("public.c") && message.contains("different columns"), "{message}");
        let check = refused.command("check", &[]).output().await.unwrap();
        assert_eq!(check.status.code(), Some(3), "{check:?}");
        let slots = database.query("select slot_name from pg_replication_slots where slot_name like '%_two'").await;
        assert!(slots.is_empty(), "nothing was created: {slots:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_are_delivered_where_the_publication_has_them() {
    for (_, database) in databases(18).await {
        database
            .execute(
                "create table g (id int primary key, a int, twice int generated always as (a * 2) stored,
                                 thrice int generated always as (a * 3) virtual);
                 create publication stored for table g with (publish_generated_columns = stored);
                 create publication listed for table g (id, twice);
                 create publication plain for table g",
            )
            .await;
        let names = ["stored", "listed", "plain"];
        let flows = names.map(|name| published(&database, name, name));
        for flow in &flows {
            flow.create().await;
        }
        database.execute("insert into g values (1, 10), (2, null); update g set a = 20 where id = 1").await;
        let expected = [
            [json!([1, 10, 20]), json!([2, null, null]), json!([1, 20, 40])],
            [json!([1, "absent", 20]), json!([2, "absent", null]), json!([1, "absent", 40])],
            [json!([1, 10, "absent"]), json!([2, null, "absent"]), json!([1, 20, "absent"])],
        ];
        for (flow, expected) in flows.iter().zip(expected) {
            flow.drain().await;
            let records = flow.records("public.g");
            assert_eq!(fields(&records, &["id", "a", "twice"]), expected, "{}", flow.name);
            assert!(records.iter().all(|record| record.get("thrice").is_none()));
            // What `schema` foretells is what arrives.
            let schema = flow.command("schema", &["--json"]).output().await.unwrap();
            let foretold = String::from_utf8(schema.stdout).unwrap().contains("\"twice\"");
            assert_eq!(foretold, records[0].get("twice").is_some(), "{}", flow.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_arrive_under_their_root_or_their_own_names_also_those_attached_while_the_flow_runs() {
    for (version, database) in databases(14).await {
        database
            .execute(
                "create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
                 create table p_eu partition of p for values in ('eu');
                 create table p_us (v text, gone int, region text not null, id int not null, primary key (id, region));
                 alter table p_us drop gone; alter table p attach partition p_us for values in ('us');
                 create publication rooted for table p with (publish_via_partition_root = true);
                 create publication leaves for table p",
            )
            .await;
        let (rooted, leaves) = (published(&database, "rooted", "rooted"), published(&database, "leaves", "leaves"));
        let mut runs = Vec::new();
        for flow in [&rooted, &leaves] {
            flow.create().await;
            runs.push(flow.start());
        }
        database.execute("insert into p values (1, 'eu', 'a'), (2, 'us', 'b')").await;
        let arrived = |flow: &Flow, table: &str, count: usize| flow.records(table).len() == count;
        eventually("the first rows", || async {
            arrived(&rooted, "public.p", 2) && arrived(&leaves, "public.p_us", 1)
        })
        .await;
        for sql in [
            "create table p_asia (region text not null, v text, id int not null, primary key (id, region))",
            "alter table p attach partition p_asia for values in ('asia')",
            "insert into p values (3, 'asia', 'c')",
            "update p set region = 'eu' where id = 3",
            "alter table p detach partition p_us",
            "insert into p_us values ('not any more', 'us', 4)",
            "truncate p",
            "insert into p values (5, 'asia', 'd')",
        ] {
            database.execute(sql).await;
        }
        // Version 14 takes a detached partition for a part of its root until the stream begins anew.
        let late = usize::from(version == 14);
        eventually("the last row", || async {
            arrived(&rooted, "public.p", 7 + late) && arrived(&leaves, "public.p_asia", 4)
        })
        .await;
        for run in &mut runs {
            signal(run, "TERM");
            assert_eq!(run.wait().await.unwrap().code(), Some(0));
        }
        let columns = ["_op", "id", "region", "v"];
        let records = |flow: &Flow, table: &str| fields(&flow.records(table), &columns);
        let truncate = json!(["truncate", null, null, null]);
        let detached = std::iter::repeat_n(json!(["insert", 4, "us", "not any more"]), late);
        let mut expected = vec![
            json!(["insert", 1, "eu", "a"]),
            json!(["insert", 2, "us", "b"]),
            json!(["insert", 3, "asia", "c"]),
            json!(["delete", 3, "asia", null]),
            json!(["insert", 3, "eu", "c"]),
        ];
        expected.extend(detached.clone());
        expected.extend([truncate.clone(), json!(["insert", 5, "asia", "d"])]);
        assert_eq!(records(&rooted, "public.p"), expected, "PostgreSQL {version}");
        let eu = [json!(["insert", 1, "eu", "a"]), json!(["insert", 3, "eu", "c"]), truncate.clone()];
        assert_eq!(records(&leaves, "public.p_eu"), eu);
        let us: Vec<_> = std::iter::once(json!(["insert", 2, "us", "b"])).chain(detached).collect();
        assert_eq!(records(&leaves, "public.p_us"), us, "PostgreSQL {version}");
        let asia = [json!(["insert", 3, "asia", "c"]), json!(["delete", 3, "asia", null]), truncate];
        assert_eq!(records(&leaves, "public.p_asia")[..3], asia);
        assert!(leaves.records("public.p").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_arrives_once_it_is_committed_and_never_when_it_is_rolled_back() {
    for (_, database) in databases(14).await {
        database.execute("create table t (id int primary key)").await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        let name = database.name();
        for (id, fate) in [(1, "kept"), (2, "dropped")] {
            database.execute(&format!("begin; insert into t values ({id}); prepare transaction '{name}-{fate}'")).await;
        }
        database.execute("insert into t values (3)").await;
        flow.drain().await;
        assert_eq!(fields(&flow.records("public.t"), &["id"]), [json!([3])]);
        database.execute(&format!("rollback prepared '{name}-dropped'")).await;
        database.execute(&format!("commit prepared '{name}-kept'")).await;
        database.execute("insert into t values (4)").await;
        flow.drain().await;
        assert_eq!(fields(&flow.records("public.t"), &["id"]), [json!([3]), json!([1]), json!([4])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_sends_prepared_transactions_is_refused_with_the_remedy() {
    for (_, database) in databases(14).await {
        database.execute("create table t (id int primary key)").await;
        let flow = Flow::new(&database, &Shape::default());
        let slot = format!("ductstream_{}", flow.name);
        database
            .execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)"))
            .await;
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("two_phase") && message.contains("source.slot"), "{message}");
        let publications = database.query("select pubname from pg_publication").await;
        assert!(publications.is_empty(), "{publications:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_slot_is_made_or_made_of_an_existing_one_and_refused_where_there_are_none() {
    for (version, database) in databases(14).await {
        database.execute("create table t (id int primary key)").await;
        let mut flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        let failover = Shape { source: "  failover: true", ..Shape::default() };
        let new = Flow::at(&database.url(), &format!("{}_new", database.name()), &failover);
        if version < 17 {
            let (code, message) = new.fails("run", &["--until-idle"]).await;
            assert_eq!(code, 2, "{message}");
            assert!(message.contains("PostgreSQL 17 or later"), "{message}");
            continue;
        }
        new.create().await;
        flow.edit("  type: postgres\n", "  type: postgres\n  failover: true\n");
        let kept = format!(
            "select string_agg(failover::text, ',' order by slot_name) from pg_replication_slots
             where slot_name like 'ductstream_{}%'",
            database.name()
        );
        assert_eq!(database.query_value(&kept).await, "false,true");
        flow.drain().await;
        assert_eq!(database.query_value(&kept).await, "true,true");
    }
}
