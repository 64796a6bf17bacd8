//! What connection settings are made of.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use ductstream_core::ErrorKind;
use ductstream_postgres::connect::{
    AuthMethod, ChannelBinding, ConnectionSettings, Endpoint, Environment, Host, Roots, SslMode,
};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        user: Some("unixuser".into()),
        ..Environment::default()
    }
}

fn resolve(url: &str, variables: &[(&str, &str)]) -> ConnectionSettings {
    ConnectionSettings::resolve_in(url, &environment(variables)).unwrap_or_else(|error| panic!("{url}: {error:?}"))
}

fn addresses(settings: &ConnectionSettings) -> Vec<String> {
    settings.hosts.iter().map(Host::to_string).collect()
}

#[test]
fn a_url_comes_before_the_service_and_the_service_before_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let service_file = directory.path().join("services");
    std::fs::write(&service_file, "[shop]\nhost=service\nport=1111\nuser=service\n").unwrap();
    let variables = [
        ("PGSERVICEFILE", service_file.to_str().unwrap()),
        ("PGHOST", "env"),
        ("PGPORT", "2222"),
        ("PGUSER", "env"),
        ("PGDATABASE", "env"),
    ];
    let settings = resolve("postgresql://url@?service=shop", &variables);
    assert_eq!(settings.to_string(), "service:1111/env as url");
}

#[test]
fn without_a_host_the_directory_that_holds_a_socket_is_taken() {
    let (empty, used) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(used.path().join(".s.PGSQL.6000"), "").unwrap();
    let mut environment = environment(&[]);
    environment.socket_directories = vec![empty.path().into(), used.path().into()];
    let settings = ConnectionSettings::resolve_in("port=6000", &environment).unwrap();
    assert_eq!(settings.hosts[0].endpoint, Endpoint::Unix(used.path().into()));
    assert_eq!(settings.database, "unixuser");
    let settings = ConnectionSettings::resolve_in("port=6001", &environment).unwrap();
    assert_eq!(settings.hosts[0].endpoint, Endpoint::Unix(empty.path().into()));
}

#[test]
fn several_hosts_pair_with_one_port_or_one_each() {
    let table = [
        ("host=a,b", vec!["a:5432", "b:5432"]),
        ("host=a,b port=6", vec!["a:6", "b:6"]),
        ("host=a,b,::1 port=6,,8", vec!["a:6", "b:5432", "[::1]:8"]),
        ("host=a,b hostaddr=10.0.0.1,10.0.0.2", vec!["a:5432", "b:5432"]),
        ("hostaddr=10.0.0.1,fe80::1", vec!["10.0.0.1:5432", "[fe80::1]:5432"]),
        ("host=/run/pg,a", vec!["/run/pg/.s.PGSQL.5432", "a:5432"]),
    ];
    for (text, expected) in table {
        assert_eq!(addresses(&resolve(text, &[])), expected, "{text}");
    }
}

#[test]
fn the_password_file_serves_each_host_and_the_socket_as_localhost() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, "a:*:*:*:of-a\nlocalhost:*:*:*:local\n*:*:shop:app:rest\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut environment = environment(&[("PGUSER", "app"), ("PGDATABASE", "shop")]);
    environment.home = Some(home.path().into());
    let passwords = |url: &str| -> Vec<Option<String>> {
        let settings = ConnectionSettings::resolve_in(url, &environment).unwrap();
        settings.hosts.iter().map(|host| host.password.as_ref().map(|password| password.expose().to_owned())).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(passwords("host=a,b"), [some("of-a"), some("rest")]);
    assert_eq!(passwords(""), [some("local")]);
    assert_eq!(passwords("host=a password=given"), [some("given")]);
    assert_eq!(passwords("host=b user=other"), [None]);
}

#[test]
fn no_password_shows_in_debug_or_display() {
    let settings = resolve("postgresql://app:hunter2@db.example/shop", &[]);
    assert!(!format!("{settings:?} {settings}").contains("hunter2"));
    assert_eq!(settings.to_string(), "db.example:5432/shop as app");
    assert_eq!(settings.with_database("other").to_string(), "db.example:5432/other as app");
}

#[test]
fn defaults_are_libpqs_but_for_require_auth_and_the_timeout() {
    let settings = resolve("", &[]);
    assert_eq!((settings.ssl.mode, settings.channel_binding), (SslMode::Prefer, ChannelBinding::Prefer));
    assert_eq!(settings.connect_timeout, Some(Duration::from_secs(15)));
    assert_eq!(settings.application_name, "ductstream");
    assert!(settings.require_auth.allows(AuthMethod::ScramSha256) && !settings.require_auth.allows(AuthMethod::Md5));
    assert_eq!(resolve("connect_timeout=0", &[]).connect_timeout, None);
    assert_eq!(resolve("fallback_application_name=x", &[]).application_name, "x");
    assert_eq!(resolve("fallback_application_name=x", &[("PGAPPNAME", "y")]).application_name, "y");
}

#[test]
fn the_systems_roots_raise_the_default_sslmode() {
    let settings = resolve("host=h sslrootcert=system", &[]);
    assert_eq!((settings.ssl.mode, settings.ssl.roots), (SslMode::VerifyFull, Roots::System));
    let settings = resolve("host=h sslmode=verify-ca sslrootcert=/x/root.crt", &[]);
    assert_eq!(settings.ssl.roots, Roots::File(PathBuf::from("/x/root.crt")));
}

#[test]
fn what_is_wrong_is_named_with_a_remedy() {
    let table = [
        ("sslmode=sometimes", "sslmode"),
        ("port=0", "port"),
        ("port=70000", "port"),
        ("host=a,b port=1,2,3", "port"),
        ("host=a,b hostaddr=10.0.0.1", "hostaddr"),
        ("hostaddr=db.example", "hostaddr"),
        ("host=@abstract", "host"),
        ("connect_timeout=soon", "connect_timeout"),
        ("keepalives_idle=x", "keepalives_idle"),
        ("target_session_attrs=any-thing", "target_session_attrs"),
        ("require_auth=md5,!none", "require_auth"),
        ("channel_binding=yes", "channel_binding"),
        ("sslmode=require sslrootcert=system", "sslmode=require"),
        ("sslmode=verify-full", "root certificates"),
        ("sslnegotiation=direct", "sslnegotiation=direct"),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "ssl_min_protocol_version"),
        ("service=none", "\"none\""),
    ];
    for (text, word) in table {
        let error = ConnectionSettings::resolve_in(text, &environment(&[])).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        assert!(error.message().contains(word) && error.remedy().is_some(), "{text}: {error:?}");
    }
    let error = ConnectionSettings::resolve_in("", &environment(&[("PGSSLMODE", "maybe")])).expect_err("sslmode");
    assert!(error.message().contains("sslmode"), "{error:?}");
    let error = ConnectionSettings::resolve_in("", &Environment::default()).expect_err("no user");
    assert!(error.message().contains("user"), "{error:?}");
}
