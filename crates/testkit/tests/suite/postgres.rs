//! Clusters and databases.

use std::sync::Arc;

use ductstream_testkit::postgres::{Certificates, Cluster, Postgres, supported_versions};
use ductstream_testkit::process::eventually;

#[tokio::test]
async fn every_supported_version_decodes_with_pgoutput_in_databases_of_their_own() {
    for version in supported_versions() {
        let cluster = Postgres::version(version).await;
        let (one, two) = (cluster.database().await, cluster.database().await);
        assert_ne!(one.name(), two.name());
        let reported: u32 = one.query_value("show server_version_num").await.parse().unwrap();
        assert_eq!(reported / 10_000, u32::from(version));
        let slot = one.name();
        one.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
        let own =
            one.query_value("select count(*) from pg_replication_slots where database = current_database()").await;
        assert_eq!(own, "1");
    }
}

#[tokio::test]
async fn a_killed_cluster_starts_again_on_the_same_port_with_its_data() {
    let cluster = Arc::new(Cluster::builder(14).setting("fsync", "on").start().await);
    let database = cluster.database().await;
    database.execute("create table notes (id int); insert into notes values (1)").await;
    cluster.stop_immediate().await;
    assert!(tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.is_err());
    cluster.start().await;
    assert_eq!(database.query_value("select id from notes").await, "1");
    cluster.stop().await;
    cluster.set("wal_level", "replica").await;
    cluster.start().await;
    assert_eq!(database.query_value("show wal_level").await, "replica");
}

#[tokio::test]
async fn access_rules_and_certificates_take_effect() {
    let cluster = Cluster::builder(18)
        .tls(Certificates::generate())
        .hba("hostssl all app 127.0.0.1/32 scram-sha-256")
        .hba("host all app 127.0.0.1/32 reject")
        .start()
        .await;
    let cluster = Arc::new(cluster);
    let database = cluster.database().await;
    database.execute("create role app login password 'sesame'").await;
    assert_eq!(database.query_value("show ssl").await, "on");
    let refused = tokio_postgres::connect(&database.url_as("app", "sesame"), tokio_postgres::NoTls).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("db error")));
}

#[tokio::test]
async fn a_dropped_database_goes_with_its_slots() {
    let cluster = Arc::new(Cluster::builder(14).start().await);
    let (kept, dropped) = (cluster.database().await, cluster.database().await);
    dropped.execute("select pg_create_logical_replication_slot('theirs', 'pgoutput')").await;
    let session = dropped.connect().await;
    let name = dropped.name().to_owned();
    drop(dropped);
    let exists = format!("select count(*) from pg_database where datname = '{name}'");
    eventually("the database is gone", || async { kept.query_value(&exists).await == "0" }).await;
    assert_eq!(kept.query_value("select count(*) from pg_replication_slots").await, "0");
    drop(session);
}

#[tokio::test]
async fn a_standby_follows_its_primary_and_takes_writes_when_it_is_promoted() {
    for version in supported_versions() {
        let primary = Arc::new(Cluster::builder(version).start().await);
        let database = primary.database().await;
        let standby = Arc::new(primary.standby(&[]).await);
        let there = database.on(&standby);
        database.execute("create table notes (id int); insert into notes values (1)").await;
        let arrived = "select to_regclass('notes') is not null";
        eventually("the table to arrive", || async { there.query_value(arrived).await == "t" }).await;
        assert_eq!(there.query_value("select pg_is_in_recovery()").await, "t");
        primary.stop_immediate().await;
        standby.promote().await;
        there.execute("insert into notes values (2)").await;
        assert_eq!(there.query_value("select string_agg(id::text, ',') from notes").await, "1,2");
    }
}
