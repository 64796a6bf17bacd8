//! One PostgreSQL cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ductstream_cluster::{Binaries, Server, ServerOptions};
use parking_lot::Mutex;
use tokio_postgres::{Client, NoTls};

use super::database::Janitor;
use super::{Certificates, TestDatabase, blocking};

/// What every cluster starts with; a builder's own settings come after these and win.
const SETTINGS: &[(&str, &str)] = &[
    ("wal_level", "logical"),
    ("max_replication_slots", "100"),
    ("max_wal_senders", "100"),
    ("max_connections", "300"),
    ("max_prepared_transactions", "20"),
    ("fsync", "off"),
    ("shared_buffers", "64MB"),
    // The least there is: whatever is larger arrives while it runs, in all tests.
    ("logical_decoding_work_mem", "64kB"),
    // So that a test can see what was asked for.
    ("log_replication_commands", "on"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// The physical slot by which a standby keeps its primary's WAL.
const STANDBY_SLOT: &str = "standby";

/// A running cluster whose superuser is `postgres`, trusted on loopback unless the builder says otherwise.
///
/// It is stopped and its directory removed when it is dropped or the test process ends, however that ends.
#[derive(Debug)]
pub struct Cluster {
    major: u16,
    port: u16,
    socket_directory: PathBuf,
    server: Arc<Mutex<Server>>,
    certificates: Option<Certificates>,
    janitor: Janitor,
    databases: AtomicU32,
}

/// Settings of a private cluster; see [`Cluster::builder`].
#[derive(Debug)]
pub struct ClusterBuilder {
    major: u16,
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    certificates: Option<Certificates>,
}

impl ClusterBuilder {
    /// Adds a setting of `postgresql.conf`, which wins over the defaults of this kit.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a line of `pg_hba.conf` before those that trust `postgres` on the socket and loopback. The first line that
    /// matches decides, so name the role: `host all app 127.0.0.1/32 scram-sha-256`.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Turns TLS on with these certificates; the authority's is also the one that client certificates are checked by.
    #[must_use]
    pub fn tls(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Initialises and starts the cluster.
    pub async fn start(self) -> Cluster {
        blocking(move || self.create()).await
    }

    /// As [`ClusterBuilder::start`], on this thread.
    pub(super) fn create(self) -> Cluster {
        let binaries = Binaries::fetched(self.major).unwrap_or_else(|error| panic!("{error}"));
        let mut settings: Vec<_> = SETTINGS.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut files = Vec::new();
        if let Some(certificates) = &self.certificates {
            for (name, pem, option) in [
                ("server.crt", &certificates.server, "ssl_cert_file"),
                ("server.key", &certificates.server_key, "ssl_key_file"),
                ("root.crt", &certificates.authority, "ssl_ca_file"),
            ] {
                files.push((name.to_owned(), pem.clone().into_bytes()));
                settings.push((option.to_owned(), name.to_owned()));
            }
            settings.push(("ssl".to_owned(), "on".to_owned()));
        }
        settings.extend(self.settings);
        let mut hba = self.hba;
        hba.extend(["local", "host"].into_iter().flat_map(|kind| {
            let address = if kind == "local" { "" } else { " 127.0.0.1/32" };
            ["all", "replication"].map(|database| format!("{kind} {database} all{address} trust"))
        }));
        let server = Server::create(ServerOptions { binaries, settings, hba, files })
            .unwrap_or_else(|error| panic!("PostgreSQL {}: {error}", self.major));
        Cluster::new(self.major, server, self.certificates)
    }
}

impl Cluster {
    /// A private cluster with settings, access rules or certificates of its own, which may also be stopped and killed.
    pub fn builder(major: u16) -> ClusterBuilder {
        ClusterBuilder { major, settings: Vec::new(), hba: Vec::new(), certificates: None }
    }

    fn new(major: u16, server: Server, certificates: Option<Certificates>) -> Self {
        let port = server.port();
        Self {
            major,
            port,
            socket_directory: server.socket_directory().to_path_buf(),
            server: Arc::new(Mutex::new(server)),
            certificates,
            janitor: Janitor::start(url(port, "postgres")),
            databases: AtomicU32::new(0),
        }
    }

    /// The major version.
    pub fn major(&self) -> u16 {
        self.major
    }

    /// The TCP port on 127.0.0.1, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the unix socket.
    pub fn socket_directory(&self) -> &std::path::Path {
        &self.socket_directory
    }

    /// The certificates that the builder was given.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// A URL of the superuser for a database, over TCP.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.server.lock().log()
    }

    /// A connection of the superuser to a database.
    pub async fn connect(&self, database: &str) -> Client {
        connect(&self.url(database)).await
    }

    /// A fresh database with a unique name. It is dropped, with its slots, some time after the value is.
    pub async fn database(self: &Arc<Self>) -> TestDatabase {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = self.connect("postgres").await;
        // template0, because nobody can be connected to it and make this fail.
        client
            .batch_execute(&format!("create database {name} template template0"))
            .await
            .unwrap_or_else(|error| panic!("creating the database {name}: {error}"));
        TestDatabase::new(Arc::clone(self), name)
    }

    /// A standby of this cluster, with `settings` of its own; it streams through a physical slot `standby`. This cluster is shut down for
    /// a moment, to be copied.
    pub async fn standby(&self, settings: &[(&str, &str)]) -> Cluster {
        let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port);
        let own = [
            ("primary_conninfo", conninfo.as_str()),
            ("primary_slot_name", STANDBY_SLOT),
            ("hot_standby_feedback", "on"),
            ("wal_receiver_status_interval", "1s"),
        ];
        let settings: Vec<_> =
            own.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.stop().await;
        let (server, major) = (Arc::clone(&self.server), self.major);
        let copied = blocking(move || server.lock().standby(&settings)).await;
        let copy = copied.unwrap_or_else(|error| panic!("copying PostgreSQL {major}: {error}"));
        self.start().await;
        let client = self.connect("postgres").await;
        client
            .batch_execute(&format!("select pg_create_physical_replication_slot('{STANDBY_SLOT}', true)"))
            .await
            .unwrap_or_else(|error| panic!("creating the standby's slot: {error}"));
        let standby = Cluster::new(major, copy, self.certificates.clone());
        standby.start().await;
        standby
    }

    /// Promotes a standby, and returns when it takes writes.
    pub async fn promote(&self) {
        let client = self.connect("postgres").await;
        let promoted = client.query_one("select pg_promote()", &[]).await;
        let promoted = promoted.unwrap_or_else(|error| panic!("promoting PostgreSQL {}: {error}", self.major));
        assert!(promoted.get::<_, bool>(0), "the standby was not promoted in time");
    }

    /// Kills the server with SIGKILL, as a crash would.
    pub async fn stop_immediate(&self) {
        self.with_server("killing", Server::kill).await;
    }

    /// Shuts the server down in order.
    pub async fn stop(&self) {
        self.with_server("stopping", Server::shut_down).await;
    }

    /// Starts a stopped server, on the port it had.
    pub async fn start(&self) {
        self.with_server("starting", Server::start).await;
    }

    /// Kills the server and starts it, which recovers from the WAL.
    pub async fn restart(&self) {
        self.stop_immediate().await;
        self.start().await;
    }

    /// Sets a setting in `postgresql.conf`, for the next start.
    pub async fn set(&self, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.with_server("configuring", move |server| server.set(&name, &value)).await;
    }

    async fn with_server(
        &self,
        doing: &'static str,
        action: impl FnOnce(&mut Server) -> std::io::Result<()> + Send + 'static,
    ) {
        let server = Arc::clone(&self.server);
        let major = self.major;
        blocking(move || {
            action(&mut server.lock()).unwrap_or_else(|error| panic!("{doing} PostgreSQL {major}: {error}"));
        })
        .await;
    }

    pub(super) fn janitor(&self) -> &Janitor {
        &self.janitor
    }
}

/// Connects, and drives the connection on the current runtime.
pub(super) async fn connect(url: &str) -> Client {
    match tokio_postgres::connect(url, NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            client
        }
        Err(error) => panic!("connecting to {url}: {error:?}"),
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/{database}")
}
