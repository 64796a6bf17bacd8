//! What a flow would trip over, found on real servers without changing them.

use ductstream_core::{Finding, Severity};
use ductstream_postgres::catalog::preflight;
use ductstream_postgres::settings::SourceSettings;
use ductstream_testkit::postgres::{Cluster, Postgres, TestDatabase, supported_versions};

async fn databases() -> Vec<TestDatabase> {
    let mut databases = Vec::new();
    for version in supported_versions() {
        databases.push(Postgres::version(version).await.database().await);
    }
    databases
}

/// Settings of a flow on `url`, with further fields as JSON.
fn settings(url: &str, more: &str) -> SourceSettings {
    serde_json::from_str(&format!(r#"{{"url": "{url}", {more}}}"#)).unwrap()
}

/// Findings of a flow that is named after the database, so that slots of parallel tests differ.
async fn check(database: &TestDatabase, more: &str) -> Vec<Finding> {
    check_as(database, &database.url(), more).await
}

async fn check_as(database: &TestDatabase, url: &str, more: &str) -> Vec<Finding> {
    let footprint = "select (select count(*) from pg_publication) || ' ' || \
        (select count(*) from pg_replication_slots where database = current_database()) || ' ' || \
        (select count(*) from pg_publication_rel)";
    let before = database.query_value(footprint).await;
    let findings = preflight::check(&settings(url, more), database.name()).await;
    assert_eq!(database.query_value(footprint).await, before, "a check must change nothing");
    findings
}

fn find<'a>(findings: &'a [Finding], severity: Severity, subject: &str, word: &str) -> &'a Finding {
    let fits = |finding: &&Finding| {
        finding.severity == severity && finding.subject.contains(subject) && finding.message.contains(word)
    };
    findings.iter().find(fits).unwrap_or_else(|| panic!("no {severity:?} about {subject} with {word:?}: {findings:#?}"))
}

fn problems(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity != Severity::Ok).collect()
}

#[tokio::test]
async fn a_flow_that_can_start_has_no_problems() {
    for database in databases().await {
        database
            .execute(
                "create table orders (id int primary key);
                 create table events (id int, day date, primary key (id, day)) partition by range (day);
                 create table events_0 partition of events default",
            )
            .await;
        let findings = check(&database, r#""tables": ["public.*"]"#).await;
        assert!(problems(&findings).is_empty(), "{findings:#?}");
        find(&findings, Severity::Ok, "publication ductstream_test", "2 tables");
        find(&findings, Severity::Ok, "slot ductstream_test", "does not exist; the first start creates it");
        find(&findings, Severity::Ok, "public.orders", "key (id)");
        find(&findings, Severity::Ok, "public.events", "1 partitions");
    }
}

#[tokio::test]
async fn tables_are_judged_by_their_replica_identity() {
    for database in databases().await {
        database
            .execute(
                "create table plain (id int);
                 create table whole (id int primary key); alter table whole replica identity full;
                 create table none (id int primary key); alter table none replica identity nothing;
                 create table parted (id int) partition by list (id);
                 create table parted_1 partition of parted for values in (1);
                 create table computed (id int primary key, twice int generated always as (id * 2) stored);
                 create publication inserts for table plain with (publish = 'insert');
                 create publication theirs for table plain",
            )
            .await;
        let findings = check(&database, r#""tables": ["public.*"]"#).await;
        let plain = find(&findings, Severity::Error, "public.plain", "no primary key");
        assert!(plain.remedy.as_ref().unwrap().contains("ALTER TABLE \"public\".\"plain\" REPLICA IDENTITY FULL"));
        let none = find(&findings, Severity::Error, "public.none", "REPLICA IDENTITY NOTHING");
        assert!(none.remedy.as_ref().unwrap().contains("REPLICA IDENTITY DEFAULT"));
        find(&findings, Severity::Error, "public.parted", "public.parted_1");
        find(&findings, Severity::Warning, "public.whole", "whole old row");
        find(&findings, Severity::Warning, "public.computed", "twice");

        let findings = check(&database, r#""publication": "inserts""#).await;
        find(&findings, Severity::Ok, "public.plain", "only inserts");
        find(&findings, Severity::Warning, "publication inserts", "update, delete, truncate");
        let findings = check(&database, r#""publication": ["theirs"]"#).await;
        find(&findings, Severity::Warning, "public.plain", "refuses updates and deletes");
    }
}

#[tokio::test]
async fn what_is_named_and_missing_is_an_error() {
    for database in databases().await {
        database.execute("create table orders (id int primary key)").await;
        let findings = check(&database, r#""tables": ["public.ordres"]"#).await;
        assert!(
            find(&findings, Severity::Error, "tables", "public.ordres")
                .remedy
                .as_ref()
                .unwrap()
                .contains("public.orders")
        );
        let findings = check(&database, r#""publication": "nowhere""#).await;
        find(&findings, Severity::Error, "publication nowhere", "does not exist");
        let findings = check(&database, r#""tables": ["orders"], "slot": "Bad-Name""#).await;
        find(&findings, Severity::Error, "slot Bad-Name", "a-z");

        let url = database.url().replace(database.name(), "nowhere");
        let findings = check_as(&database, &url, r#""tables": ["orders"]"#).await;
        find(&findings, Severity::Error, "connection", "nowhere");
        let findings =
            check_as(&database, "postgresql://127.0.0.1:1/x?sslmod=disable", r#""tables": ["orders"]"#).await;
        find(&findings, Severity::Error, "connection", "sslmod");
    }
}

#[tokio::test]
async fn a_publication_that_exists_is_compared_with_what_is_wanted() {
    for database in databases().await {
        let name = database.name();
        database
            .execute(&format!(
                "create table a (id int primary key); create table b (id int primary key); create table c (id int primary key);
                 create table p (id int primary key) partition by list (id);
                 create publication ductstream_{name} for table a, b, p with (publish = 'insert, update')"
            ))
            .await;
        let findings = check(&database, r#""tables": ["b", "c", "p"]"#).await;
        find(&findings, Severity::Ok, "publication ductstream_", "adds public.c and drops public.a");
        find(&findings, Severity::Warning, "publication ductstream_", "does not publish delete, truncate");
        find(&findings, Severity::Warning, "publication ductstream_", "under the partitions' own names");
        database
            .execute(&format!(
                "drop publication ductstream_{name}; create publication ductstream_{name} for all tables"
            ))
            .await;
        find(&check(&database, r#""tables": ["b"]"#).await, Severity::Error, "publication ductstream_", "all tables");
    }
}

#[tokio::test]
async fn a_slot_that_cannot_serve_the_flow_is_an_error() {
    for database in databases().await {
        let name = database.name();
        let slots = ["physical", "prepared", "good", "used"].map(|kind| format!("{name}_{kind}"));
        database.execute("create table t (id int primary key)").await;
        database
            .execute(&format!(
                "select pg_create_physical_replication_slot('{}');
                 select pg_create_logical_replication_slot('{}', 'pgoutput', false, true);
                 select pg_create_logical_replication_slot('{}', 'pgoutput')",
                slots[0], slots[1], slots[2]
            ))
            .await;
        // A temporary slot is in use for as long as its session lives.
        let session = database.connect().await;
        let create = format!("select pg_create_logical_replication_slot('{}', 'pgoutput', true)", slots[3]);
        session.batch_execute(&create).await.unwrap();
        let table = [
            (&slots[0], Severity::Error, "physical"),
            (&slots[1], Severity::Error, "two_phase"),
            (&slots[2], Severity::Ok, "exists"),
            (&slots[3], Severity::Error, "in use by process"),
        ];
        for (slot, severity, word) in table {
            let findings = check(&database, &format!(r#""tables": ["t"], "slot": "{slot}""#)).await;
            find(&findings, severity, &format!("slot {slot}"), word);
        }
        let other = database.cluster().database().await;
        other.execute("create table t (id int primary key)").await;
        let findings = check(&other, &format!(r#""tables": ["t"], "slot": "{}""#, slots[2])).await;
        find(&findings, Severity::Error, "slot", &format!("belongs to the database {name}"));
        database.execute(&format!("select pg_drop_replication_slot('{}')", slots[0])).await;
    }
}

#[tokio::test]
async fn a_role_without_privileges_is_told_which_to_get() {
    for database in databases().await {
        let role = format!("{}_role", database.name());
        database
            .execute(&format!(
                "create table t (id int primary key); create role {role} login;
                 create publication ductstream_{} for table t",
                database.name()
            ))
            .await;
        let url = database.url().replace("postgres@", &format!("{role}@"));
        let findings = check_as(&database, &url, r#""tables": ["t"]"#).await;
        let replication = find(&findings, Severity::Error, "replication", "REPLICATION");
        assert!(replication.remedy.as_ref().unwrap().contains(&format!("ALTER ROLE \"{role}\" REPLICATION")));
        // Nothing about the publication has to change.
        assert_eq!(problems(&findings).len(), 1, "{findings:#?}");

        database.execute("create table u (id int primary key)").await;
        let findings = check_as(&database, &url, r#""tables": ["t", "u"]"#).await;
        find(&findings, Severity::Error, "publication", "does not belong to role");
        find(&findings, Severity::Error, "table public.u", "belongs to another role");
        database.execute(&format!("drop publication ductstream_{}", database.name())).await;
        let findings = check_as(&database, &url, r#""tables": ["t"]"#).await;
        find(&findings, Severity::Error, "publication", "may not create publications");
        find(&findings, Severity::Error, "table public.t", "belongs to another role");

        database
            .execute(&format!(
                "alter role {role} replication; grant create on database {} to {role}; alter table t owner to {role}",
                database.name()
            ))
            .await;
        assert!(problems(&check_as(&database, &url, r#""tables": ["t"]"#).await).is_empty());
        database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_replicate_is_told_how_to() {
    for version in supported_versions() {
        let cluster = Cluster::builder(version)
            .setting("wal_level", "replica")
            .setting("max_replication_slots", "1")
            .setting("max_wal_senders", "0")
            .setting("max_slot_wal_keep_size", "256MB")
            .start()
            .await;
        let admin = cluster.connect("postgres").await;
        admin
            .batch_execute("create table t (id int primary key); select pg_create_physical_replication_slot('taken')")
            .await
            .unwrap();
        let findings = preflight::check(&settings(&cluster.url("postgres"), r#""tables": ["t"]"#), "flow").await;
        assert!(
            find(&findings, Severity::Error, "wal_level", "replica").remedy.as_ref().unwrap().contains("ALTER SYSTEM")
        );
        find(&findings, Severity::Error, "max_replication_slots", "in use");
        find(&findings, Severity::Error, "max_wal_senders", "in use");
        find(&findings, Severity::Warning, "max_slot_wal_keep_size", "256MiB");
        find(&findings, Severity::Error, "replication", "");
    }
}

#[tokio::test]
async fn what_a_version_does_not_have_is_found_and_so_is_what_makes_a_failover_lose_changes() {
    for database in databases().await {
        database.execute("create table t (id int primary key)").await;
        let version: u32 = database.query_value("show server_version_num").await.parse().unwrap();
        let findings = check(&database, r#""tables": ["t"], "origin": "none""#).await;
        match version {
            160_000.. => assert!(problems(&findings).is_empty(), "{findings:#?}"),
            _ => drop(find(&findings, Severity::Error, "origin", "PostgreSQL 16 or later")),
        }
        let findings = check(&database, r#""tables": ["t"], "failover": true"#).await;
        if version < 170_000 {
            find(&findings, Severity::Error, "failover", "from PostgreSQL 17 on");
            continue;
        }
        find(&findings, Severity::Ok, "failover", "the next start has standbys keep the slot");
        find(&findings, Severity::Warning, "synchronized_standby_slots", "is empty");
        let slot = format!("ductstream_{}", database.name());
        database
            .execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput', false, false, true)"))
            .await;
        let findings = check(&database, r#""tables": ["t"], "failover": true"#).await;
        find(&findings, Severity::Ok, "failover", "standbys keep the slot");
    }
}

#[tokio::test]
async fn generated_columns_that_a_publication_lists_are_not_missed() {
    for database in databases().await {
        if database.query_value("show server_version_num").await.parse::<u32>().unwrap() < 180_000 {
            continue;
        }
        database
            .execute(
                "create table g (id int primary key, a int, twice int generated always as (a * 2) stored,
                                 thrice int generated always as (a * 3) virtual);
                 create publication listed for table g (id, twice); create publication plain for table g",
            )
            .await;
        let findings = check(&database, r#""publication": "listed""#).await;
        assert!(!find(&findings, Severity::Warning, "public.g", "thrice").message.contains("twice"));
        let findings = check(&database, r#""publication": "plain""#).await;
        find(&findings, Severity::Warning, "public.g", "thrice, twice");
    }
}
