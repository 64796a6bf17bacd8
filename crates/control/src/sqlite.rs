//! The embedded store: one SQLite file.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use ductstream_core::{Checkpoint, CheckpointStore, Error, Finding, Result, SchemaRecord};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, Row, Sqlite, SqlitePool, Transaction};

use crate::SUBJECT;
use crate::database::Doing;
use crate::document::{self, SchemaRow};

/// How long a call waits for another process that is writing to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Each entry brings the tables from the version of its index to the next; `user_version` counts them.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE checkpoint (
        flow TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        stored_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT;
    CREATE TABLE schema_version (
        flow TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        from_lsn TEXT NOT NULL,
        from_seq INTEGER NOT NULL,
        shape TEXT NOT NULL,
        PRIMARY KEY (flow, namespace, name, version)
    ) STRICT;
    PRAGMA user_version = 1;
"];

/// Keeps checkpoints in a SQLite file. Several processes may use one file; each call is a transaction that waits for others.
///
/// Every commit is synced to disk before the call returns (write-ahead log with `synchronous = FULL`).
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    place: String,
}

impl SqliteStore {
    /// The store's file in a state directory.
    pub const FILE_NAME: &'static str = "checkpoints.db";

    /// Opens the file at `path`, and makes it and its directory when missing, the directory for its owner alone.
    pub async fn open(path: &Path) -> Result<Self> {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        create_directory(directory.unwrap_or(Path::new(".")))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        // One connection: SQLite has one writer anyway, and a single one never waits for itself.
        let pool = SqlitePoolOptions::new().max_connections(1).after_release(|connection, _| {
            Box::pin(async move {
                // On a full disk SQLite ends the transaction itself, and sqlx goes on counting it: the connection is good for nothing more.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
        let pool = pool.connect_lazy_with(options);
        let store = Self { pool, place: path.display().to_string() };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<()> {
        let failed = |error| self.doing("open").error(error);
        let mut transaction = self.begin("open").await?;
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(failed)?;
        let applied = usize::try_from(version).unwrap_or(usize::MAX);
        if applied > MIGRATIONS.len() {
            let message =
                format!("cannot open the checkpoint store {}: a newer version of DuctStream wrote it", self.place);
            return Err(Error::configuration(message).with_remedy("use that version, or another state directory"));
        }
        for migration in &MIGRATIONS[applied..] {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Takes the file's write lock at once, so that what is read inside the transaction cannot change before it writes.
    async fn begin(&self, action: &str) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.doing(action).error(error))
    }

    fn doing<'a>(&'a self, action: &'a str) -> Doing<'a> {
        Doing { action, place: &self.place }
    }
}

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn load(&self, flow: &str) -> Result<Option<Checkpoint>> {
        let query = sqlx::query_scalar("SELECT document FROM checkpoint WHERE flow = ?").bind(flow);
        let found: Option<String> =
            query.fetch_optional(&self.pool).await.map_err(|error| self.doing("read").error(error))?;
        found.map(|found| document::read(flow, &found)).transpose()
    }

    async fn store(&self, flow: &str, checkpoint: &Checkpoint) -> Result<()> {
        let failed = |error| self.doing("write to").error(error);
        let mut transaction = self.begin("write to").await?;
        let query = sqlx::query_scalar("SELECT document FROM checkpoint WHERE flow = ?").bind(flow);
        let stored: Option<String> = query.fetch_optional(&mut *transaction).await.map_err(failed)?;
        document::fence(flow, stored.as_deref(), checkpoint)?;
        let query = sqlx::query(
            "INSERT INTO checkpoint (flow, document) VALUES (?, ?) ON CONFLICT (flow) DO UPDATE
             SET document = excluded.document, stored_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        );
        let query = query.bind(flow).bind(document::write(checkpoint)?);
        query.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn schemas(&self, flow: &str) -> Result<Vec<SchemaRecord>> {
        let query = sqlx::query(
            "SELECT namespace, name, version, from_lsn, from_seq, shape FROM schema_version
             WHERE flow = ? ORDER BY namespace, name, version",
        );
        let failed = |error| self.doing("read").error(error);
        let rows = query.bind(flow).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(|row| schema_row(row).map_err(failed)?.into_record()).collect()
    }

    async fn add_schemas(&self, flow: &str, schemas: &[SchemaRecord]) -> Result<()> {
        let failed = |error| self.doing("write to").error(error);
        let mut transaction = self.begin("write to").await?;
        for record in schemas {
            let row = SchemaRow::new(record)?;
            let query = sqlx::query(
                "INSERT INTO schema_version (flow, namespace, name, version, from_lsn, from_seq, shape)
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
        for statement in ["DELETE FROM checkpoint WHERE flow = ?", "DELETE FROM schema_version WHERE flow = ?"] {
            sqlx::query(statement).bind(flow).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn flows(&self) -> Result<Vec<String>> {
        let query =
            sqlx::query_scalar("SELECT flow FROM checkpoint UNION SELECT flow FROM schema_version ORDER BY flow");
        query.fetch_all(&self.pool).await.map_err(|error| self.doing("read").error(error))
    }
}

/// Looks at the file, or at the directory that it would be created in.
pub(crate) fn check(path: &Path) -> Result<Finding> {
    let refused = |error: std::io::Error| {
        Error::configuration(format!("cannot use {}: {error}", path.display()))
            .with_remedy("choose a state directory that you may write to, with --state")
    };
    if path.exists() {
        std::fs::OpenOptions::new().read(true).write(true).open(path).map_err(refused)?;
        return Ok(Finding::ok(SUBJECT, path.display().to_string()));
    }
    let absolute = std::path::absolute(path).map_err(refused)?;
    let existing = absolute.ancestors().skip(1).find(|directory| directory.exists()).unwrap_or(Path::new("/"));
    let metadata = std::fs::metadata(existing).map_err(refused)?;
    if !metadata.is_dir() {
        return Err(refused(std::io::ErrorKind::NotADirectory.into()));
    }
    if metadata.permissions().readonly() {
        return Err(refused(std::io::ErrorKind::PermissionDenied.into()));
    }
    Ok(Finding::ok(SUBJECT, format!("{} will be created", path.display())))
}

fn schema_row(row: &SqliteRow) -> sqlx::Result<SchemaRow> {
    Ok(SchemaRow {
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        from_lsn: row.try_get("from_lsn")?,
        from_seq: row.try_get("from_seq")?,
        shape: row.try_get("shape")?,
    })
}

fn create_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        Error::configuration(format!("cannot create the state directory {}", path.display()))
            .with_source(error)
            .with_remedy("choose a directory that you may write to, with --state")
    })
}
