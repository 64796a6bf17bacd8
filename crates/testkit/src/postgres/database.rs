//! A database of a test's own.

use std::sync::{Arc, mpsc};

use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::Cluster;
use super::cluster::connect;

/// A fresh database of a cluster, dropped with its slots some time after this value is.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: Arc<Cluster>,
    name: String,
    client: Mutex<Option<Arc<Client>>>,
}

impl TestDatabase {
    pub(super) fn new(cluster: Arc<Cluster>, name: String) -> Self {
        Self { cluster, name, client: Mutex::new(None) }
    }

    /// The same database on a standby of its cluster.
    pub fn on(&self, standby: &Arc<Cluster>) -> Self {
        Self::new(Arc::clone(standby), self.name.clone())
    }

    /// Its name, unique in the cluster: a good name for its slot too, since those share one namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// A URL of the superuser, over TCP.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// A URL of a role with a password, over TCP.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        format!("postgresql://{role}:{password}@127.0.0.1:{}/{}", self.cluster.port(), self.name)
    }

    /// A connection string of the superuser over the unix socket.
    pub fn socket_conninfo(&self) -> String {
        let directory = self.cluster.socket_directory().display();
        format!("host={directory} port={} user=postgres dbname={}", self.cluster.port(), self.name)
    }

    /// A new connection of the superuser, for a session of the test's own.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }

    /// Runs any number of statements; several in one call are one transaction, unless they say otherwise.
    pub async fn execute(&self, sql: &str) {
        let result = self.client().await.batch_execute(sql).await;
        result.unwrap_or_else(|error| panic!("{sql}: {}", describe(&error)));
    }

    /// Runs a statement and returns why it failed.
    pub async fn try_execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client().await.batch_execute(sql).await
    }

    /// The rows of a query, each value as the server prints it, `None` for null.
    pub async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client().await.simple_query(sql).await;
        let messages = messages.unwrap_or_else(|error| panic!("{sql}: {}", describe(&error)));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect()
    }

    /// The only row of a query, each value as the server prints it.
    pub async fn query_one(&self, sql: &str) -> Vec<Option<String>> {
        let mut rows = self.query(sql).await;
        assert_eq!(rows.len(), 1, "{sql} gave {} rows and not one", rows.len());
        rows.remove(0)
    }

    /// The first value of the only row of a query, which must not be null.
    pub async fn query_value(&self, sql: &str) -> String {
        let value = self.query_one(sql).await.into_iter().next().flatten();
        value.unwrap_or_else(|| panic!("{sql} gave null"))
    }

    /// The shared connection, made anew after the server was away.
    async fn client(&self) -> Arc<Client> {
        let mut slot = self.client.lock().await;
        match &*slot {
            Some(client) if !client.is_closed() => Arc::clone(client),
            _ => {
                let client = Arc::new(self.connect().await);
                *slot = Some(Arc::clone(&client));
                client
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.cluster.janitor().drop_database(std::mem::take(&mut self.name));
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| format!("{error:?}"), ToString::to_string)
}

/// Drops databases and their slots in the background, so that a long suite runs out of neither slots nor disk.
#[derive(Debug)]
pub(super) struct Janitor {
    names: mpsc::Sender<String>,
}

impl Janitor {
    pub(super) fn start(url: String) -> Self {
        let (names, queue) = mpsc::channel::<String>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            for name in queue {
                // The test has its verdict; that its server is down, say, is no reason for another.
                let dropped = runtime.block_on(drop_database(&url, &name));
                drop(dropped);
            }
        });
        Self { names }
    }

    fn drop_database(&self, name: String) {
        drop(self.names.send(name));
    }
}

async fn drop_database(url: &str, name: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    // Walsenders hold slots, and slots hold the database. Waits inside the server until they have let go.
    let result = client
        .batch_execute(&format!(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
                 where database = '{name}' and active;
             select pg_drop_replication_slot(slot_name) from pg_replication_slots
                 where database = '{name}' and not active;"
        ))
        .await;
    let dropped = client.batch_execute(&format!("drop database {name} with (force)")).await;
    drop(client);
    driver.abort();
    result.and(dropped)
}
