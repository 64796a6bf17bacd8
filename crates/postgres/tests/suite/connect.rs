//! Sessions with real servers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ductstream_core::{Error, ErrorKind};
use ductstream_postgres::connect::{
    Connection, ConnectionSettings, Environment, Mode, ReplicationStream, Row, Stream, quote_literal, sqlstate,
};
use ductstream_testkit::postgres::{Certificates, Cluster, Postgres, supported_versions};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

/// A cluster with TLS, and roles that are let in by different methods: all have the password `secret`.
struct Guarded {
    cluster: Arc<Cluster>,
    /// The authority's certificate, one that signed nothing here, and a client's certificate and key.
    files: TempDir,
}

impl Guarded {
    async fn each() -> Vec<&'static Self> {
        static OLDEST: OnceCell<Guarded> = OnceCell::const_new();
        static NEWEST: OnceCell<Guarded> = OnceCell::const_new();
        let versions = supported_versions();
        let (oldest, newest) = (versions[0], versions[versions.len() - 1]);
        vec![OLDEST.get_or_init(|| Self::start(oldest)).await, NEWEST.get_or_init(|| Self::start(newest)).await]
    }

    async fn start(version: u16) -> Self {
        let certificates = Certificates::generate();
        let files = tempfile::tempdir().unwrap();
        write_private(&files.path().join("root.crt"), &certificates.authority);
        write_private(&files.path().join("other.crt"), &Certificates::generate().authority);
        write_private(&files.path().join("server.crt"), &certificates.server);
        write_private(&files.path().join("client.crt"), &certificates.client);
        write_private(&files.path().join("client.key"), &certificates.client_key);
        let mut builder = Cluster::builder(version).tls(certificates);
        for line in [
            "local all scram scram-sha-256",
            "host all scram 127.0.0.1/32 scram-sha-256",
            "host all md5 127.0.0.1/32 md5",
            "host all clear 127.0.0.1/32 password",
            "hostnossl all tls_only 127.0.0.1/32 reject",
            "hostssl all tls_only 127.0.0.1/32 scram-sha-256",
            "hostssl all plain_only 127.0.0.1/32 reject",
            "hostnossl all plain_only 127.0.0.1/32 scram-sha-256",
        ] {
            builder = builder.hba(line);
        }
        let cluster = builder.start().await;
        let admin = cluster.connect("postgres").await;
        admin
            .batch_execute(
                "create role scram login password 'secret';
                 create role clear login password 'secret';
                 create role tls_only login password 'secret';
                 create role plain_only login password 'secret';
                 set password_encryption = 'md5';
                 create role md5 login password 'secret'",
            )
            .await
            .unwrap();
        Self { cluster: Arc::new(cluster), files }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    async fn connect_as(&self, user: &str, more: &str) -> Result<Connection, Error> {
        let port = self.cluster.port();
        connect(&format!("host=127.0.0.1 port={port} dbname=postgres user={user} password=secret {more}")).await
    }

    fn by_name(&self) -> String {
        format!("host=localhost port={} dbname=postgres user=scram password=secret", self.cluster.port())
    }
}

fn write_private(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn connect(url: &str) -> Result<Connection, Error> {
    connect_in(url, &Environment::default()).await
}

async fn connect_in(url: &str, environment: &Environment) -> Result<Connection, Error> {
    Connection::connect(&ConnectionSettings::resolve_in(url, environment)?, Mode::Sql).await
}

/// Why a connection was refused: its kind, and its report, which must have a remedy and no password.
fn refusal(result: Result<Connection, Error>) -> (ErrorKind, String) {
    let error = result.err().expect("the connection should have been refused");
    assert!(error.remedy().is_some(), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    (error.kind(), error.report())
}

async fn is_encrypted(connection: &mut Connection) -> bool {
    let sql = "select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()";
    connection.simple_query(sql).await.unwrap()[0].get(0) == Some("t")
}

#[tokio::test]
async fn scram_over_tls_is_bound_to_the_channel_when_asked_for() {
    for guarded in Guarded::each().await {
        let mut bound = guarded.connect_as("scram", "sslmode=require channel_binding=require").await.unwrap();
        assert!(is_encrypted(&mut bound).await);
        for more in ["sslmode=require channel_binding=disable", "sslmode=require", "ssl_max_protocol_version=TLSv1.2"] {
            assert!(is_encrypted(&mut guarded.connect_as("scram", more).await.unwrap()).await, "{more}");
        }
        let (kind, report) = refusal(guarded.connect_as("scram", "sslmode=disable channel_binding=require").await);
        assert!(kind == ErrorKind::Configuration && report.contains("channel_binding"), "{report}");
        // Neither can a server that asks for no password be known to be the right one.
        let (kind, report) = refusal(guarded.connect_as("postgres", "channel_binding=require").await);
        assert!(kind == ErrorKind::Configuration && report.contains("channel_binding"), "{report}");
    }
}

#[tokio::test]
async fn sslmode_decides_what_is_verified() {
    for guarded in Guarded::each().await {
        let (root, other, own) = (guarded.file("root.crt"), guarded.file("other.crt"), guarded.file("server.crt"));
        let wrong_name = format!("{} hostaddr=127.0.0.1", guarded.by_name().replace("localhost", "db.example"));
        let accepted = [
            format!("{} sslmode=verify-full sslrootcert={root}", guarded.by_name()),
            format!("{} sslmode=verify-full sslrootcert={own}", guarded.by_name()),
            format!("{wrong_name} sslmode=verify-ca sslrootcert={root}"),
            format!("{wrong_name} sslmode=require"),
        ];
        for url in accepted {
            assert!(
                is_encrypted(&mut connect(&url).await.unwrap_or_else(|error| panic!("{url}: {error:?}"))).await,
                "{url}"
            );
        }
        let refused = [
            (
                format!("{wrong_name} sslmode=verify-full sslrootcert={root}"),
                "by a name that is in the server's certificate",
            ),
            (
                format!("{wrong_name} sslmode=verify-full sslrootcert={own}"),
                "by a name that is in the server's certificate",
            ),
            (format!("{} sslmode=verify-ca sslrootcert={other}", guarded.by_name()), "sslrootcert"),
            // As in libpq, root certificates make `require` verify the chain.
            (format!("{} sslmode=require sslrootcert={other}", guarded.by_name()), "sslrootcert"),
            (format!("{} sslmode=require sslrootcert=/nowhere/root.crt", guarded.by_name()), "/nowhere/root.crt"),
        ];
        for (url, word) in refused {
            let (kind, report) = refusal(connect(&url).await);
            assert!(kind == ErrorKind::Configuration && report.contains(word), "{url}: {report}");
        }
    }
}

#[tokio::test]
async fn allow_and_prefer_fall_back_to_what_the_server_takes() {
    for guarded in Guarded::each().await {
        let table = [
            ("scram", "prefer", Some(true)),
            ("scram", "allow", Some(false)),
            ("scram", "disable", Some(false)),
            ("plain_only", "prefer", Some(false)),
            ("plain_only", "require", None),
            ("tls_only", "allow", Some(true)),
            ("tls_only", "disable", None),
        ];
        for (user, mode, encrypted) in table {
            let result = guarded.connect_as(user, &format!("sslmode={mode}")).await;
            match (result, encrypted) {
                (Ok(mut connection), Some(encrypted)) => {
                    assert_eq!(is_encrypted(&mut connection).await, encrypted, "{user} {mode}")
                }
                (Err(error), None) => assert_eq!(sqlstate(&error), Some("28000"), "{user} {mode}"),
                (result, _) => panic!("{user} {mode}: {:?}", result.err()),
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_only_where_tls_is_asked_for() {
    for version in supported_versions() {
        let url = Postgres::version(version).await.url("postgres");
        assert!(!is_encrypted(&mut connect(&url).await.unwrap()).await);
        let (kind, report) = refusal(connect(&format!("{url}?sslmode=require")).await);
        assert!(kind == ErrorKind::Configuration && report.contains("does not offer TLS"), "{report}");
    }
}

#[tokio::test]
async fn direct_tls_works_where_the_server_knows_it() {
    for guarded in Guarded::each().await {
        let result = guarded.connect_as("scram", "sslmode=require sslnegotiation=direct").await;
        if guarded.cluster.major() >= 17 {
            assert!(is_encrypted(&mut result.unwrap()).await);
        } else {
            let (_, report) = refusal(result);
            assert!(report.contains("sslnegotiation=direct"), "{report}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented_and_its_key_must_be_private() {
    for guarded in Guarded::each().await {
        let url = format!(
            "host=127.0.0.1 port={} dbname=postgres user=postgres sslmode=require sslcert={} sslkey={}",
            guarded.cluster.port(),
            guarded.file("client.crt"),
            guarded.file("client.key"),
        );
        let mut connection = connect(&url).await.unwrap();
        let sql = "select client_dn from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()";
        assert!(connection.simple_query(sql).await.unwrap()[0].get(0).unwrap().contains("CN=postgres"));

        let open = guarded.file("open.key");
        std::fs::copy(guarded.file("client.key"), &open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (kind, report) = refusal(connect(&url.replace("client.key", "open.key")).await);
        assert!(kind == ErrorKind::Configuration && report.contains("open.key"), "{report}");
    }
}

#[tokio::test]
async fn md5_and_cleartext_passwords_are_refused_until_asked_for() {
    for guarded in Guarded::each().await {
        for (user, method) in [("md5", "md5"), ("clear", "password")] {
            let (kind, report) = refusal(guarded.connect_as(user, "").await);
            assert_eq!(kind, ErrorKind::Configuration);
            assert!(report.contains(&format!("add require_auth={method}")), "{report}");
            assert!(guarded.connect_as(user, &format!("require_auth={method}")).await.is_ok(), "{user}");
        }
        let (_, report) = refusal(guarded.connect_as("postgres", "require_auth=scram-sha-256").await);
        assert!(report.contains("none authentication"), "{report}");
    }
}

#[tokio::test]
async fn refusals_of_the_server_keep_their_sqlstate() {
    for guarded in Guarded::each().await {
        let port = guarded.cluster.port();
        let base = format!("host=127.0.0.1 port={port} user=scram");
        let table = [
            (format!("{base} dbname=postgres password=wrong"), "28P01"),
            (format!("{base} dbname=nowhere password=secret"), "3D000"),
            (format!("{base} dbname=postgres password=secret options='-c no_such_setting=1'"), "42704"),
        ];
        for (url, code) in table {
            let error = connect(&url).await.err().unwrap();
            assert_eq!((error.kind(), sqlstate(&error)), (ErrorKind::Configuration, Some(code)), "{error:?}");
        }
        let (kind, report) = refusal(connect(&format!("{base} dbname=postgres")).await);
        assert!(kind == ErrorKind::Configuration && report.contains("PGPASSWORD"), "{report}");
    }
}

#[tokio::test]
async fn a_unix_socket_and_the_password_file_let_in() {
    for guarded in Guarded::each().await {
        let directory = guarded.cluster.socket_directory();
        let pass_file = guarded.file("pgpass");
        write_private(Path::new(&pass_file), &format!("{}:*:postgres:scram:secret\n", directory.display()));
        let url = format!("host={} port={} user=scram dbname=postgres", directory.display(), guarded.cluster.port());
        let settings = format!("{url} passfile={pass_file}");
        let mut connection = connect(&settings).await.unwrap();
        assert!(matches!(connection.stream(), Stream::Unix(_)));
        assert_eq!(value(&mut connection, "select current_user").await, "scram");
        assert!(connection.address().ends_with("/postgres as scram"), "{}", connection.address());

        // Found without a host, where the environment says sockets are; its line in the file then is localhost's.
        write_private(Path::new(&pass_file), "localhost:*:postgres:scram:secret\n");
        let mut environment = Environment { socket_directories: vec![directory.into()], ..Environment::default() };
        for (name, value) in
            [("PGPASSFILE", pass_file.as_str()), ("PGPORT", &guarded.cluster.port().to_string()), ("PGUSER", "scram")]
        {
            environment.variables.insert(name.into(), value.into());
        }
        assert!(connect_in("dbname=postgres", &environment).await.is_ok());
    }
}

#[tokio::test]
async fn a_service_file_says_where_to_connect() {
    for version in supported_versions() {
        let cluster = Postgres::version(version).await;
        let directory = tempfile::tempdir().unwrap();
        let text = format!("[mine]\nhost=127.0.0.1\nport={}\nuser=postgres\ndbname=postgres\n", cluster.port());
        std::fs::write(directory.path().join("pg_service.conf"), text).unwrap();
        let mut environment = Environment::default();
        environment.variables.insert("PGSYSCONFDIR".into(), directory.path().display().to_string());
        let mut connection = connect_in("service=mine", &environment).await.unwrap();
        assert_eq!(value(&mut connection, "select current_user").await, "postgres");
    }
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_may_be_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let (kind, report) = refusal(connect(&format!("host=127.0.0.1 port={silent} user=x connect_timeout=1")).await);
    assert!(kind == ErrorKind::Retry && report.contains("no answer in 1 s"), "{report}");
    drop(listener);

    let (kind, report) = refusal(connect(&format!("host=127.0.0.1 port={silent} user=x dbname=d")).await);
    assert!(kind == ErrorKind::Retry && report.contains(&format!("127.0.0.1:{silent}/d as x")), "{report}");
    let (kind, report) = refusal(connect("host=/nowhere user=x").await);
    assert!(kind == ErrorKind::Retry && report.contains("/nowhere/.s.PGSQL.5432"), "{report}");
    let (kind, _) = refusal(connect("host=does-not-exist.invalid user=x").await);
    assert_eq!(kind, ErrorKind::Retry);
}

#[tokio::test]
async fn what_is_not_postgresql_is_called_so() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
        }
    });
    for mode in ["prefer", "disable"] {
        let error = connect(&format!("host=127.0.0.1 port={port} user=x sslmode={mode}")).await.err().unwrap();
        assert!(error.report().contains("not PostgreSQL"), "{mode}: {error:?}");
    }
}

#[tokio::test]
async fn hosts_are_tried_in_order_until_one_of_the_wanted_kind_answers() {
    for version in supported_versions() {
        let cluster = Postgres::version(version).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = listener.local_addr().unwrap().port();
        drop(listener);
        let url = format!("host=127.0.0.1,127.0.0.1 port={closed},{} user=postgres dbname=postgres", cluster.port());
        for target in ["any", "read-write", "primary", "prefer-standby"] {
            assert!(connect(&format!("{url} target_session_attrs={target}")).await.is_ok(), "{target}");
        }
        for target in ["standby", "read-only"] {
            let (kind, report) = refusal(connect(&format!("{url} target_session_attrs={target}")).await);
            assert!(kind == ErrorKind::Retry && report.contains("target_session_attrs"), "{report}");
            assert!(report.contains(&format!("127.0.0.1:{closed}")), "{report}");
        }
        let read_only = format!("{url} target_session_attrs=read-only options='-c default_transaction_read_only=on'");
        assert!(connect(&read_only).await.is_ok());
    }
}

async fn value(connection: &mut Connection, sql: &str) -> String {
    connection.simple_query(sql).await.unwrap()[0].get(0).unwrap().to_owned()
}

#[tokio::test]
async fn queries_return_text_whatever_the_roles_settings_are() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let name = database.name();
        database
            .execute(&format!(
                "alter database {name} set datestyle = 'German'; alter database {name} set timezone = 'Asia/Tokyo';
                 alter database {name} set intervalstyle = 'iso_8601'; alter database {name} set bytea_output = 'escape';
                 alter database {name} set extra_float_digits = -15; alter database {name} set search_path = 'evil'"
            ))
            .await;
        for mode in [Mode::Sql, Mode::Replication] {
            let settings = ConnectionSettings::resolve_in(&database.url(), &Environment::default()).unwrap();
            let mut connection = Connection::connect(&settings, mode).await.unwrap();
            let sql = "select '2024-02-29 12:00+00'::timestamptz, '1 day 2:03'::interval, '\\x00ff'::bytea, 0.1::float8 + 0.2::float8, null, ''";
            let rows = connection.simple_query(sql).await.unwrap();
            let row = &rows[0];
            let values: Vec<_> = (0..7).map(|index| row.get(index)).collect();
            let expected = [
                Some("2024-02-29 12:00:00+00"),
                Some("1 day 02:03:00"),
                Some("\\x00ff"),
                Some("0.30000000000000004"),
                None,
                Some(""),
                None,
            ];
            assert_eq!(values, expected);
            assert_eq!(value(&mut connection, "select current_schemas(false)").await, "{}");
            assert_eq!(value(&mut connection, &format!("select {}", quote_literal(r"it's \ 語"))).await, r"it's \ 語");
            assert_eq!(connection.server_version_num() / 10_000, u32::from(version));
            let rows: Vec<Row> =
                connection.simple_query("select 1; select 2 union all select 3 order by 1; ").await.unwrap();
            let numbers: Vec<i32> = rows.iter().map(|row| row.require(0).unwrap()).collect();
            assert_eq!(numbers, [1, 2, 3]);
            assert_eq!(rows[0].require::<bool>(0).unwrap_err().kind(), ErrorKind::Bug);
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_after_an_error_and_ends_when_it_is_terminated() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let mut connection = connect(&database.url()).await.unwrap();
        let error = connection.simple_query("select 1; select 1/0").await.unwrap_err();
        assert_eq!(sqlstate(&error), Some("22012"));
        assert_eq!(value(&mut connection, "select 1").await, "1");

        let pid = value(&mut connection, "select pg_catalog.pg_backend_pid()").await;
        database.execute(&format!("select pg_terminate_backend({pid}, 10000)")).await;
        let error = connection.simple_query("select 1").await.unwrap_err();
        assert_eq!((error.kind(), sqlstate(&error)), (ErrorKind::Retry, Some("57P01")), "{error:?}");
        assert_eq!(connection.simple_query("select 1").await.unwrap_err().kind(), ErrorKind::Retry);
    }
}

#[tokio::test]
async fn a_query_that_was_abandoned_does_not_answer_the_next_one() {
    let database = Postgres::version(supported_versions()[0]).await.database().await;
    let mut connection = connect(&database.url()).await.unwrap();
    {
        let query = connection.simple_query("select pg_catalog.pg_sleep(600)");
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), query).await.is_err());
    }
    let error = connection.simple_query("select 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn replication_streams_over_every_kind_of_socket() {
    for guarded in Guarded::each().await {
        let database = guarded.cluster.database().await;
        database.execute("create table t (id int primary key); create publication p for table t").await;
        let tcp = database.url();
        for (index, url) in
            [format!("{tcp}?sslmode=disable"), format!("{tcp}?sslmode=require"), database.socket_conninfo()]
                .iter()
                .enumerate()
        {
            let slot = format!("{}_{index}", database.name());
            let settings = ConnectionSettings::resolve_in(url, &Environment::default()).unwrap();
            let mut connection = Connection::connect(&settings, Mode::Replication).await.unwrap();
            let row = &connection.simple_query("IDENTIFY_SYSTEM").await.unwrap()[0];
            assert_eq!(row.get(3), Some(database.name()));
            let create = format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
            connection.simple_query(&create).await.unwrap();
            database.execute(&format!("insert into t values ({index})")).await;
            let start = format!("START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')");
            let stream = connection.start_replication(&start).await.unwrap();
            // The message that holds the only column's text: one column, text, one byte long.
            let wanted = [b"\0\x01t\0\0\0\x01".as_slice(), index.to_string().as_bytes()].concat();
            let is_local_tcp = index == 0;
            read_until(stream, &wanted, is_local_tcp).await;
        }
    }
}

/// Reads without waiting where there is something, and waits where there is not.
async fn read_until(stream: ReplicationStream, wanted: &[u8], is_local_tcp: bool) {
    let mut received = stream.buffered;
    let (mut read, _write) = stream.stream.into_split().unwrap();
    assert_eq!(read.is_local_tcp(), is_local_tcp);
    read.set_receive_buffer_bytes(32 << 10).unwrap();
    while !received.windows(wanted.len()).any(|window| window == wanted) {
        let bytes = read.read_buf(&mut received).await.unwrap();
        assert!(bytes > 0, "the server closed the stream");
    }
}

#[tokio::test]
async fn a_refused_replication_command_says_why() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let settings = ConnectionSettings::resolve_in(&database.url(), &Environment::default()).unwrap();
        let connection = Connection::connect(&settings, Mode::Replication).await.unwrap();
        let error = connection.start_replication("START_REPLICATION SLOT missing LOGICAL 0/0").await.err().unwrap();
        assert_eq!((error.kind(), sqlstate(&error)), (ErrorKind::Configuration, Some("42704")), "{error:?}");
    }
}
