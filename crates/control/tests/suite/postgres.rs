use std::sync::Arc;

use ductstream_control::PostgresStore;
use ductstream_core::{CheckpointStore, ErrorKind, Severity};
use ductstream_testkit::conformance::checkpoint_store;
use ductstream_testkit::postgres::{Postgres, supported_versions};

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract_of_checkpoint_stores() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        checkpoint_store::check_all(|| {
            let url = database.url();
            async move { Arc::new(PostgresStore::open(&url).await.unwrap()) as Arc<dyn CheckpointStore> }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_the_disk_although_the_database_says_otherwise() {
    let database = Postgres::version(18).await.database().await;
    let name = database.name();
    database.execute(&format!("ALTER DATABASE \"{name}\" SET synchronous_commit = off")).await;
    let store = PostgresStore::open(&database.url()).await.unwrap();
    // A trigger sees the setting that the store's own transaction runs with.
    database
        .execute(
            "CREATE TABLE seen (setting text);
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
             CREATE TRIGGER look BEFORE INSERT ON ductstream.schema_version FOR EACH ROW EXECUTE FUNCTION look()",
        )
        .await;
    let record = ductstream_core::SchemaRecord {
        table: ductstream_core::TableName::new("public", "t"),
        version: 1,
        from: ductstream_core::Position::default(),
        shape: "shape".into(),
    };
    store.add_schemas("f", &[record]).await.unwrap();
    assert_eq!(database.query_value("SELECT setting FROM seen").await, "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_create_is_told_what_to_grant_and_nothing_is_created() {
    let database = Postgres::version(18).await.database().await;
    let role = format!("{}_reader", database.name());
    database.execute(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'hunter2'")).await;
    let url = database.url_as(&role, "hunter2");
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.report().contains("GRANT"), "{}", error.report());
    assert!(!error.report().contains("hunter2"), "{}", error.report());
    let finding = ductstream_control::check(&url).await;
    assert_eq!(finding.severity, Severity::Error, "{finding:?}");
    assert_eq!(database.query_value("SELECT count(*) FROM pg_namespace WHERE nspname = 'ductstream'").await, "0");
    // The administrator may create the schema instead.
    database.execute(&format!("CREATE SCHEMA ductstream AUTHORIZATION \"{role}\"")).await;
    assert_eq!(ductstream_control::check(&url).await.severity, Severity::Ok);
    PostgresStore::open(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_a_wrong_setting_and_a_server_that_is_not_there_is_not() {
    let database = Postgres::version(18).await.database().await;
    let url = database.url().replace(database.name(), "nowhere_at_all");
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    // Port 1 is reserved, and nothing listens there.
    let error = PostgresStore::open("postgresql://app:hunter2@127.0.0.1:1/shop").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{}", error.report());
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
    assert!(!error.report().contains("hunter2"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_creates_nothing() {
    let database = Postgres::version(18).await.database().await;
    let finding = ductstream_control::check(&database.url()).await;
    assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    assert_eq!(database.query_value("SELECT count(*) FROM pg_namespace WHERE nspname = 'ductstream'").await, "0");
}
