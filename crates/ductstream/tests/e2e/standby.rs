//! Flows that read from a hot standby.

use std::sync::Arc;

use ductstream_testkit::postgres::{Cluster, TestDatabase, supported_versions};
use ductstream_testkit::process::{Process, eventually};

use crate::harness::{DUCTSTREAM, Flow, Shape, Through, replayed, signal, source_rows};

const COLUMNS: &[&str] = &["id", "n"];

/// A primary with a table and a publication, and the same database on its standby.
async fn pair(version: u16, settings: &[(&str, &str)]) -> (TestDatabase, TestDatabase) {
    let primary = Arc::new(Cluster::builder(version).start().await);
    let database = primary.database().await;
    database.execute("create table shop (id int primary key, n int); create publication shop for table shop").await;
    let there = database.on(&Arc::new(primary.standby(settings).await));
    (database, there)
}

fn reading(database: &TestDatabase) -> Flow {
    let mut flow = Flow::new(database, &Shape { destination: "roll: {age: 100ms}", ..Shape::default() });
    flow.edit("tables: [\"public.*\"]", "publication: shop");
    flow
}

/// The first start on a standby, whose primary is idle until the flow says what it waits for.
async fn create(flow: &Flow, primary: &TestDatabase, standby: &TestDatabase) {
    let (state, file) = (flow.state(), flow.file());
    let arguments = ["--state", state.to_str().unwrap(), "run", file.to_str().unwrap(), "--until-idle"];
    let run = Process::start(DUCTSTREAM, arguments, &[]);
    run.wait_for_stderr(|line| line.contains("pg_log_standby_snapshot() on the primary")).await;
    let waiting = "select count(*) from pg_stat_activity where query like 'CREATE_REPLICATION_SLOT%'";
    eventually("the slot's creation", || async { standby.query_value(waiting).await != "0" }).await;
    primary.execute("select pg_log_standby_snapshot()").await;
    let _ended = run.wait().await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_reads_from_a_standby_and_goes_on_when_that_is_promoted() {
    for version in supported_versions() {
        let (primary, standby) = pair(version, &[]).await;
        let flow = reading(&standby);
        if version < 16 {
            let (code, message) = flow.fails("run", &["--until-idle"]).await;
            assert_eq!(code, 2, "{message}");
            assert!(message.contains("from PostgreSQL 16 on") && message.contains("primary"), "{message}");
            assert_eq!(flow.command("check", &[]).output().await.unwrap().status.code(), Some(3));
            continue;
        }
        // Given a flow that has caught up on the standby
        create(&flow, &primary, &standby).await;
        primary.execute("insert into shop select n, n from generate_series(1, 1000) n").await;
        primary.execute("update shop set n = -n where id % 3 = 0; delete from shop where id % 7 = 0").await;
        replayed(&primary, &standby).await;
        flow.drain().await;
        let expected = source_rows(&primary, "shop", COLUMNS).await;
        assert_eq!(flow.folded("public.shop", COLUMNS, Through::Manifests), expected);
        // When the standby is promoted under it
        let mut run = flow.start();
        let active = "select count(*) from pg_replication_slots where active";
        eventually("the flow to read", || async { standby.query_value(active).await == "1" }).await;
        primary.cluster().stop_immediate().await;
        standby.cluster().promote().await;
        standby.execute("insert into shop select n, n from generate_series(2001, 3000) n").await;
        // Then it goes on, and knows which timeline it is on
        let expected = source_rows(&standby, "shop", COLUMNS).await;
        flow.delivers("public.shop", COLUMNS, &expected).await;
        signal(&run, "TERM");
        assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
        assert_eq!(flow.cuts().last().unwrap()["source"]["timeline"], 2, "{}", flow.log());
        flow.drain().await;
        assert_eq!(flow.folded("public.shop", COLUMNS, Through::Glob), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_lacks_is_found_and_a_slot_that_it_invalidated_is_refused() {
    for version in supported_versions().into_iter().filter(|version| *version >= 16) {
        let (primary, standby) = pair(version, &[("hot_standby_feedback", "off")]).await;
        let own = Flow::new(&standby, &Shape::default());
        let check = own.command("check", &[]).output().await.unwrap();
        let found = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(3), "{found}");
        for word in ["cannot be created on a standby", "hot_standby_feedback: is off", "pg_log_standby_snapshot()"] {
            assert!(found.contains(word), "{word:?} is missing in:\n{found}");
        }
        let (code, message) = own.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("make the publication on the primary"), "{message}");

        let flow = reading(&standby);
        create(&flow, &primary, &standby).await;
        let check = flow.command("check", &[]).output().await.unwrap();
        assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
        // The primary removes rows of its catalog that the slot on the standby needs.
        for sql in ["create table passing (id int)", "drop table passing", "vacuum pg_class"] {
            primary.execute(sql).await;
        }
        primary.execute("insert into shop values (1, 1)").await;
        let lost = "select conflicting from pg_replication_slots where slot_name like 'ductstream%'";
        eventually("the slot to be invalidated", || async { standby.query_value(lost).await == "t" }).await;
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("has invalidated slot") && message.contains("are gone"), "{message}");
        assert_eq!(flow.command("check", &[]).output().await.unwrap().status.code(), Some(3));
    }
}
