//! What is read from and created in the catalog of real servers.

use ductstream_core::{ErrorKind, Lsn, ReplicaIdentity, TableName};
use ductstream_postgres::catalog::slot::SlotOptions;
use ductstream_postgres::catalog::table::{self, Kind};
use ductstream_postgres::catalog::{inspect, pattern, publication, server, slot};
use ductstream_postgres::connect::{Connection, ConnectionSettings, Environment, Mode};
use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};

async fn databases() -> Vec<TestDatabase> {
    let mut databases = Vec::new();
    for version in supported_versions() {
        databases.push(Postgres::version(version).await.database().await);
    }
    databases
}

fn settings(database: &TestDatabase) -> ConnectionSettings {
    ConnectionSettings::resolve_in(&database.url(), &Environment::default()).unwrap()
}

async fn connect(database: &TestDatabase, mode: Mode) -> Connection {
    Connection::connect(&settings(database), mode).await.unwrap()
}

fn name(text: &str) -> TableName {
    let (namespace, name) = text.split_once('.').unwrap();
    TableName::new(namespace, name)
}

#[tokio::test]
async fn a_server_is_known_by_what_identify_system_says() {
    for database in databases().await {
        let mut sql = connect(&database, Mode::Sql).await;
        let mut replication = connect(&database, Mode::Replication).await;
        let found = server::load(&mut sql).await.unwrap();
        let identified = replication.simple_query("IDENTIFY_SYSTEM").await.unwrap().remove(0);
        assert_eq!(Some(found.system_identifier.as_str()), identified.get(0));
        assert_eq!(Some(found.timeline.to_string().as_str()), identified.get(1));
        assert_eq!(found.database, database.name());
        assert_eq!((found.wal_level.as_str(), found.in_recovery), ("logical", false));
        assert_eq!(found.version / 10_000, u32::from(database.cluster().major()));
        let before: Lsn = identified.require(2).unwrap();
        assert!(server::wal_end(&mut sql).await.unwrap() >= before);
    }
}

#[tokio::test]
async fn a_slot_is_created_listed_and_dropped() {
    for database in databases().await {
        let (mut sql, mut replication) =
            (connect(&database, Mode::Sql).await, connect(&database, Mode::Replication).await);
        let kept = format!("{}_kept", database.name());
        let temporary = format!("{}_temporary", database.name());
        let point = slot::create(&mut replication, &kept, SlotOptions::default()).await.unwrap();
        slot::create(&mut replication, &temporary, SlotOptions { temporary: true, ..Default::default() })
            .await
            .unwrap();

        let found = slot::load(&mut sql, &kept).await.unwrap().unwrap();
        assert_eq!(found.confirmed_flush, Some(point));
        assert_eq!((found.plugin.as_deref(), found.database.as_deref()), (Some("pgoutput"), Some(database.name())));
        assert_eq!((found.active, found.temporary, found.two_phase, found.failover), (false, false, false, false));
        assert_eq!((found.wal_status.as_deref(), found.invalidation_reason), (Some("reserved"), None));
        assert!(found.retained_bytes.is_some());

        let listed = slot::list(&mut sql).await.unwrap();
        let other = listed.iter().find(|slot| slot.name == temporary).unwrap();
        assert!(other.temporary && other.active && other.active_pid.is_some());
        assert!(listed.iter().any(|slot| slot.name == kept));

        let error = slot::create(&mut replication, &kept, SlotOptions::default()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.message().contains(&kept), "{error:?}");
        slot::drop(&mut sql, &kept).await.unwrap();
        assert_eq!(slot::load(&mut sql, &kept).await.unwrap(), None);
        assert!(slot::drop(&mut sql, &kept).await.is_err());
    }
}

const SHOP: &str = "\
    create schema archive;
    create table orders (id int primary key, note text);
    create table \"Odd Name\" (\"K 1\" int, \"k\"\"2\" text, v int, primary key (\"k\"\"2\", \"K 1\"));
    create table log (line text);
    alter table log replica identity full;
    create table coded (code text not null, n int, twice int generated always as (n * 2) stored);
    create unique index coded_key on coded (code);
    alter table coded replica identity using index coded_key;
    create unlogged table cache (id int primary key);
    create view orders_view as select * from orders;
    create table events (id int, day date, primary key (id, day)) partition by range (day);
    create table archive.events_old partition of events for values from (minvalue) to ('2026-01-01');
    create table events_new partition of events for values from ('2026-01-01') to (maxvalue);
    create table archive.orders (id int)";

#[tokio::test]
async fn tables_are_found_with_their_keys_and_identities() {
    for database in databases().await {
        database.execute(SHOP).await;
        let mut sql = connect(&database, Mode::Sql).await;
        let tables = table::load_all(&mut sql).await.unwrap();
        let find =
            |text: &str| tables.iter().find(|table| table.name == name(text)).unwrap_or_else(|| panic!("{text}"));

        assert_eq!(find("public.Odd Name").primary_key, ["k\"2", "K 1"]);
        assert_eq!((find("public.log").identity, find("public.log").identifies_rows()), (ReplicaIdentity::Full, true));
        let coded = find("public.coded");
        assert_eq!((coded.identity, &coded.identity_index), (ReplicaIdentity::Index, &vec!["code".to_owned()]));
        assert_eq!(coded.generated, [vec!["twice".to_owned()], vec![]]);
        assert_eq!((find("public.cache").kind, find("public.orders_view").kind), (Kind::Unlogged, Kind::Other));
        assert!(!find("archive.orders").identifies_rows());
        let events = find("public.events");
        assert_eq!((events.kind, &find("archive.events_old").ancestors), (Kind::Partitioned, &vec![events.oid]));
        assert_eq!(table::storage(&tables, events).len(), 2);
        assert!(tables.iter().all(|table| table.owned));
    }
}

#[tokio::test]
async fn a_publication_holds_exactly_the_wanted_tables_and_keeps_what_was_said_about_them() {
    for database in databases().await {
        database.execute(SHOP).await;
        let mut sql = connect(&database, Mode::Sql).await;
        let flow = "ductstream_It's \"odd\"";
        let patterns = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();

        let tables = pattern::resolve(&mut sql, &patterns(&["orders", "*.events*", "Odd*"])).await.unwrap();
        assert_eq!(tables, [name("public.Odd Name"), name("public.events"), name("public.orders")]);
        assert!(publication::ensure(&mut sql, flow, &tables).await.unwrap());
        let names = [flow.to_owned()];
        assert_eq!(publication::published(&mut sql, &names).await.unwrap(), tables);
        let found = publication::load(&mut sql, &names).await.unwrap().remove(0);
        assert_eq!((found.operations, found.via_root, found.all_tables, found.owned), ([true; 4], true, false, true));

        // Row filters came with version 15.
        let filter = if sql.server_version_num() >= 150_000 { "where (id > 5)" } else { "" };
        let quoted = flow.replace('"', "\"\"");
        database.execute(&format!("alter publication \"{quoted}\" set table orders {filter}, log")).await;
        let tables = pattern::resolve(&mut sql, &patterns(&["orders", "coded"])).await.unwrap();
        assert!(!publication::ensure(&mut sql, flow, &tables).await.unwrap());
        assert_eq!(
            publication::published(&mut sql, &names).await.unwrap(),
            [name("public.coded"), name("public.orders")]
        );
        if !filter.is_empty() {
            let kept = "select rowfilter from pg_publication_tables where tablename = 'orders'";
            assert_eq!(database.query_value(kept).await, "(id > 5)");
        }

        publication::drop(&mut sql, flow).await.unwrap();
        assert_eq!(publication::find(&mut sql, flow).await.unwrap(), None);
        let error = publication::load(&mut sql, &names).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.message().contains(flow), "{error:?}");
    }
}

#[tokio::test]
async fn an_inspection_sums_up_partitions() {
    for database in databases().await {
        database.execute(SHOP).await;
        database
            .execute(
                "insert into events select n, date '2025-12-01' + n from generate_series(1, 60) n;
                 insert into archive.orders values (1); analyze",
            )
            .await;
        let found = inspect::inspect(&settings(&database)).await.unwrap();
        assert!(found.address.ends_with(&format!("/{} as postgres", database.name())), "{}", found.address);
        let names: Vec<_> = found.tables.iter().map(|found| found.table.name.to_string()).collect();
        let expected =
            ["archive.orders", "public.Odd Name", "public.coded", "public.events", "public.log", "public.orders"];
        assert_eq!(names, expected);
        let events = &found.tables[3];
        assert_eq!((events.partitions, events.estimated_rows, events.identifies_rows), (2, Some(60), true));
        assert!(events.bytes >= 16384, "{}", events.bytes);
        let orders = &found.tables[0];
        assert_eq!((orders.partitions, orders.estimated_rows, orders.identifies_rows), (0, Some(1), false));
    }
}
