//! The store for flows that move between machines: tables in PostgreSQL.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use ductstream_core::{Checkpoint, CheckpointStore, Error, Finding, Result, SchemaRecord};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{PgPool, Postgres, Row, Transaction};

use crate::SUBJECT;
use crate::database::Doing;
use crate::document::{self, SchemaRow};

/// How long a call waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one process. Calls are short; a few serve many flows.
const MAX_CONNECTIONS: u32 = 4;

/// Names DuctStream's advisory locks in the database, as their first key: "duct" in ASCII.
const LOCK_SPACE: i32 = 0x6475_6374;

/// The lock that migrations hold: the second key. Flows use the hashes of their names.
const MIGRATION_LOCK: i32 = 0;

/// Each entry brings the tables from the version of its index to the next.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE ductstream.checkpoint (
        flow text PRIMARY KEY,
        document jsonb NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE ductstream.schema_version (
        flow text NOT NULL,
        namespace text NOT NULL,
        name text NOT NULL,
        version bigint NOT NULL,
        from_lsn pg_lsn NOT NULL,
        from_seq bigint NOT NULL,
        shape text NOT NULL,
        PRIMARY KEY (flow, namespace, name, version)
    );
    INSERT INTO ductstream.migration (version) VALUES (1);
"];

/// Keeps checkpoints in the schema `ductstream` of a PostgreSQL database, which it creates when missing.
///
/// Durable as far as the server is: each transaction asks for `synchronous_commit = on`, whatever the server's default.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    place: String,
}

impl PostgresStore {
    /// Connects to the database at `url` (`postgresql://user:password@host:5432/database?sslmode=verify-full`).
    pub async fn open(url: &str) -> Result<Self> {
        let store = Self::connect(url).await?;
        store.migrate().await?;
        Ok(store)
    }

    async fn connect(url: &str) -> Result<Self> {
        let malformed = |error| Doing { action: "open", place: "in PostgreSQL" }.error(error);
        let options = PgConnectOptions::from_str(url).map_err(malformed)?.application_name("ductstream");
        let place = place(&options);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|error| Doing { action: "open", place: &place }.error(error))?;
        Ok(Self { pool, place })
    }

    async fn migrate(&self) -> Result<()> {
        let failed = |error| self.doing("prepare").error(error);
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // Two workers that start together would both create the tables.
        lock(&mut transaction, MIGRATION_LOCK).await.map_err(failed)?;
        let applied = applied_migrations(&mut transaction).await.map_err(failed)?;
        if applied > MIGRATIONS.len() {
            let message =
                format!("cannot open the checkpoint store {}: a newer version of DuctStream wrote it", self.place);
            return Err(Error::configuration(message).with_remedy("use that version, or another database"));
        }
        for migration in &MIGRATIONS[applied..] {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn begin(&self, action: &str) -> Result<Transaction<'static, Postgres>> {
        let failed = |error| self.doing(action).error(error);
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // A database or role may have it off, and then a commit that returned may still be lost.
        let query = sqlx::query(
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        );
        query.execute(&mut *transaction).await.map_err(failed)?;
        Ok(transaction)
    }

    fn doing<'a>(&'a self, action: &'a str) -> Doing<'a> {
        Doing { action, place: &self.place }
    }
}

#[async_trait]
impl CheckpointStore for PostgresStore {
    async fn load(&self, flow: &str) -> Result<Option<Checkpoint>> {
        let query = sqlx::query_scalar("SELECT document::text FROM ductstream.checkpoint WHERE flow = $1").bind(flow);
        let found: Option<String> =
            query.fetch_optional(&self.pool).await.map_err(|error| self.doing("read").error(error))?;
        found.map(|found| document::read(flow, &found)).transpose()
    }

    async fn store(&self, flow: &str, checkpoint: &Checkpoint) -> Result<()> {
        let failed = |error| self.doing("write to").error(error);
        let mut transaction = self.begin("write to").await?;
        // A row lock would not do: a flow's first checkpoint has no row yet.
        lock_flow(&mut transaction, flow).await.map_err(failed)?;
        let query = sqlx::query_scalar("SELECT document::text FROM ductstream.checkpoint WHERE flow = $1").bind(flow);
        let stored: Option<String> = query.fetch_optional(&mut *transaction).await.map_err(failed)?;
        document::fence(flow, stored.as_deref(), checkpoint)?;
        let query = sqlx::query(
            "INSERT INTO ductstream.checkpoint (flow, document) VALUES ($1, $2::jsonb) ON CONFLICT (flow) DO UPDATE
             SET document = excluded.document, stored_at = now()",
        );
        let query = query.bind(flow).bind(document::write(checkpoint)?);
        query.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn schemas(&self, flow: &str) -> Result<Vec<SchemaRecord>> {
        let query = sqlx::query(
            r#"SELECT namespace, name, version, from_lsn::text AS from_lsn, from_seq, shape FROM ductstream.schema_version
               WHERE flow = $1 ORDER BY namespace COLLATE "C", name COLLATE "C", version"#,
        );
        let failed = |error| self.doing("read").error(error);
        let rows = query.bind(flow).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(|row| schema_row(row).map_err(failed)?.into_record()).collect()
    }

    async fn add_schemas(&self, flow: &str, schemas: &[SchemaRecord]) -> Result<()> {
        let failed = |error| self.doing("write to").error(error);
        let mut transaction = self.begin("write to").await?;
        lock_flow(&mut transaction, flow).await.map_err(failed)?;
        for record in schemas {
            let row = SchemaRow::new(record)?;
            let query = sqlx::query(
                "INSERT INTO ductstream.schema_version (flow, namespace, name, version, from_lsn, from_seq, shape)
                 VALUES ($1, $2, $3, $4, $5::text::pg_lsn, $6, $7) ON CONFLICT DO NOTHING",
            );
            let query = query.bind(flow).bind(row.namespace).bind(row.name).bind(row.version);
            let query = query.bind(row.from_lsn).bind(row.from_seq).bind(row.shape);
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn forget(&self, flow: &str) -> Result<()> {
        let failed = |error| self.doing("write to").error(error);
        let mut transaction = self.begin("write to").await?;
        lock_flow(&mut transaction, flow).await.map_err(failed)?;
        for statement in [
            "DELETE FROM ductstream.checkpoint WHERE flow = $1",
            "DELETE FROM ductstream.schema_version WHERE flow = $1",
        ] {
            sqlx::query(statement).bind(flow).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn flows(&self) -> Result<Vec<String>> {
        let query = sqlx::query_scalar(
            r#"SELECT flow COLLATE "C" AS flow FROM ductstream.checkpoint
               UNION SELECT flow COLLATE "C" FROM ductstream.schema_version ORDER BY flow"#,
        );
        query.fetch_all(&self.pool).await.map_err(|error| self.doing("read").error(error))
    }
}

/// Looks at what is there and at the role's privileges.
pub(crate) async fn check(url: &str) -> Result<Finding> {
    let store = PostgresStore::connect(url).await?;
    let query = sqlx::query(
        "SELECT to_regnamespace('ductstream') IS NOT NULL AS exists, pg_is_in_recovery() AS standby,
         CASE WHEN to_regnamespace('ductstream') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
         ELSE has_schema_privilege('ductstream', 'USAGE') END AS allowed",
    );
    let failed = |error| store.doing("look at").error(error);
    let row = query.fetch_one(&store.pool).await.map_err(failed)?;
    let get = |column: &str| row.try_get::<bool, _>(column).map_err(failed);
    let place = &store.place;
    Ok(match (get("standby")?, get("allowed")?, get("exists")?) {
        (true, ..) => Finding::error(SUBJECT, format!("{place} is a standby"), "give the URL of the primary server"),
        (_, false, _) => Finding::error(
            SUBJECT,
            format!("the role may not use the schema ductstream {place}"),
            "grant the role CREATE on the database, or the privileges on the schema ductstream",
        ),
        (_, _, true) => Finding::ok(SUBJECT, format!("the schema ductstream {place}")),
        (_, _, false) => Finding::ok(SUBJECT, format!("the schema ductstream will be created {place}")),
    })
}

/// Whether the store's schema is there.
pub(crate) async fn exists(url: &str) -> Result<bool> {
    let store = PostgresStore::connect(url).await?;
    let query = sqlx::query("SELECT to_regnamespace('ductstream') IS NOT NULL AS exists");
    let row = query.fetch_one(&store.pool).await.map_err(|error| store.doing("look at").error(error))?;
    row.try_get("exists").map_err(|error| store.doing("look at").error(error))
}

async fn lock(transaction: &mut Transaction<'static, Postgres>, key: i32) -> sqlx::Result<()> {
    let query = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LOCK_SPACE).bind(key);
    query.execute(&mut **transaction).await.map(drop)
}

async fn lock_flow(transaction: &mut Transaction<'static, Postgres>, flow: &str) -> sqlx::Result<()> {
    let query = sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))").bind(LOCK_SPACE).bind(flow);
    query.execute(&mut **transaction).await.map(drop)
}

/// How many migrations the database has. Asks before it creates: a role may use what exists without being allowed to create it.
async fn applied_migrations(transaction: &mut Transaction<'static, Postgres>) -> sqlx::Result<usize> {
    for (missing, create) in [
        ("SELECT to_regnamespace('ductstream') IS NULL", "CREATE SCHEMA ductstream"),
        (
            "SELECT to_regclass('ductstream.migration') IS NULL",
            "CREATE TABLE ductstream.migration (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        ),
    ] {
        if sqlx::query_scalar(missing).fetch_one(&mut **transaction).await? {
            sqlx::query(create).execute(&mut **transaction).await?;
        }
    }
    let query = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM ductstream.migration");
    let version: i64 = query.fetch_one(&mut **transaction).await?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Where the store is, for messages: without user and password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("in PostgreSQL database {database} at {}", socket.display()),
        None => format!("in PostgreSQL database {database} at {}:{}", options.get_host(), options.get_port()),
    }
}

fn schema_row(row: &PgRow) -> sqlx::Result<SchemaRow> {
    Ok(SchemaRow {
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        from_lsn: row.try_get("from_lsn")?,
        from_seq: row.try_get("from_seq")?,
        shape: row.try_get("shape")?,
    })
}
