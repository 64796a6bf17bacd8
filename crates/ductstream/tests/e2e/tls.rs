//! TLS and passwords, from the flow file to the files that come out, and where the password never shows.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ductstream_testkit::postgres::{Certificates, Cluster, TestDatabase, supported_versions};
use serde_json::json;

use crate::harness::{Flow, Shape, files};

const PASSWORD: &str = "kOlibri-9f3e7";
const WRONG: &str = "sperLing-2b6d1";

/// A server that takes the role `cdc` only over TLS and with a password.
async fn guarded(version: u16) -> TestDatabase {
    let cluster = Cluster::builder(version)
        .tls(Certificates::generate())
        .hba("hostnossl all cdc 127.0.0.1/32 reject")
        .hba("hostssl all cdc 127.0.0.1/32 scram-sha-256")
        .start()
        .await;
    let database = Arc::new(cluster).database().await;
    database
        .execute(&format!(
            "create role cdc login replication password '{PASSWORD}'; grant create on database {} to cdc;
             create table public.t (id int primary key, v text); alter table t owner to cdc",
            database.name()
        ))
        .await;
    database
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A flow whose URL is made of `url`, with `password`, `root.crt` and `other.crt` beside the flow file.
fn flow(database: &TestDatabase, name: &str, url: &str) -> Flow {
    let port = database.cluster().port().to_string();
    let mut flow = Flow::at("URL", name, &Shape { tables: &["public.t"], ..Shape::default() });
    let directory = flow.directory.path().display().to_string();
    let url = url.replace("PORT", &port).replace("DATABASE", database.name()).replace("DIR", &directory);
    flow.edit("url: URL", &format!("url: \"{url}\""));
    // As `echo` and most secret stores write it, with a line break at the end.
    write(&flow.directory.path().join("password"), &format!("{PASSWORD}\n"));
    write(&flow.directory.path().join("root.crt"), &database.cluster().certificates().unwrap().authority);
    write(&flow.directory.path().join("other.crt"), &Certificates::generate().authority);
    flow
}

/// Nothing that the flow said or left behind holds a password.
fn keeps_its_secret(flow: &Flow, said: &[&[u8]]) {
    for secret in [PASSWORD, WRONG] {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        for said in said {
            assert!(!holds(said), "{secret} was said: {}", String::from_utf8_lossy(said));
        }
        let mut kept = Vec::new();
        for extension in ["db", "db-wal", "db-shm", "json", "jsonl"] {
            kept.extend(files(&flow.state(), extension));
            kept.extend(files(&flow.out(), extension));
        }
        for file in kept {
            assert!(!holds(&std::fs::read(&file).unwrap()), "{secret} is in {}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_flow_over_verified_tls_with_a_password_from_a_file_that_never_shows() {
    let urls = [
        "postgresql://cdc:${file:password}@127.0.0.1:PORT/DATABASE?sslmode=verify-full&sslrootcert=DIR/root.crt",
        "host=127.0.0.1 port=PORT user=cdc password=${file:DIR/password} dbname=DATABASE sslmode=verify-full sslrootcert=DIR/root.crt channel_binding=require",
    ];
    for version in supported_versions() {
        let database = guarded(version).await;
        for (index, url) in urls.into_iter().enumerate() {
            let flow = flow(&database, &format!("guarded_{index}"), url);
            flow.create().await;
            database.execute(&format!("insert into t values ({index}, 'x')")).await;
            let output = flow
                .command("run", &["--until-idle", "--json", "-vv"])
                .env("RUST_LOG", "trace")
                .output()
                .await
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let rows: Vec<_> = flow.records("public.t").iter().map(|row| json!([row["id"], row["v"]])).collect();
            assert_eq!(rows, [json!([index, "x"])]);
            assert!(!files(&flow.state(), "db").is_empty(), "there is a state database to look into");
            keeps_its_secret(&flow, &[&output.stderr, &output.stdout]);
            for command in ["check", "schema"] {
                let output = flow.command(command, &["-vv"]).env("RUST_LOG", "trace").output().await.unwrap();
                assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
                keeps_its_secret(&flow, &[&output.stderr, &output.stdout]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_or_is_not_allowed_is_refused_without_saying_the_password() {
    let database = guarded(18).await;
    let base = "postgresql://cdc:${file:password}@127.0.0.1:PORT/DATABASE";
    let cases = [
        // An authority that did not sign the server's certificate.
        (format!("{base}?sslmode=verify-full&sslrootcert=DIR/other.crt"), PASSWORD, "certificate"),
        (format!("{base}?sslmode=disable"), PASSWORD, "pg_hba.conf"),
        (format!("{base}?sslmode=verify-full&sslrootcert=DIR/root.crt"), WRONG, "password"),
        (format!("{base}?sslmode=verify-fulll&sslrootcert=DIR/root.crt"), PASSWORD, "sslmode"),
        (format!("{base}?sslmode=verify-full&sslrootcert=DIR/none.crt"), PASSWORD, "none.crt"),
        (base.replace(":PORT", ":port"), PASSWORD, "port"),
        (base.replace("DATABASE", "missing"), PASSWORD, "missing"),
        ("host=127.0.0.1 port=PORT user=cdc password=${file:password} dbname='DATABASE".to_owned(), PASSWORD, "quote"),
        (
            "host=127.0.0.1 port=PORT user=cdc passwort=${file:password} dbname=DATABASE".to_owned(),
            PASSWORD,
            "passwort",
        ),
    ];
    for (index, (url, password, named)) in cases.iter().enumerate() {
        let flow = flow(&database, &format!("refused_{index}"), url);
        write(&flow.directory.path().join("password"), password);
        let output = flow.command("run", &["--until-idle", "-vv"]).env("RUST_LOG", "trace").output().await.unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{url}: {message}");
        assert!(message.contains(named), "{url}: {named} is not in: {message}");
        keeps_its_secret(&flow, &[&output.stderr, &output.stdout]);
        let created = "select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots)";
        assert_eq!(database.query_value(created).await, "0", "{url}: a slot or a publication was created");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_checkpoint_store_never_shows() {
    let database = guarded(18).await;
    let url = "postgresql://cdc:${file:password}@127.0.0.1:PORT/DATABASE?sslmode=verify-full&sslrootcert=DIR/root.crt";
    let cases = [
        ("postgresql://cdc:${file:password}@127.0.0.1:PORT/DATABASE?sslmode=require", true),
        ("postgresql://cdc:sperLing-2b6d1@127.0.0.1:PORT/DATABASE?sslmode=require", false),
        ("postgresql://cdc:sperLing-2b6d1@127.0.0.1:port/DATABASE", false),
        ("postgresq://cdc:sperLing-2b6d1@127.0.0.1:PORT/DATABASE", false),
    ];
    for (index, (store, right)) in cases.into_iter().enumerate() {
        let mut flow = flow(&database, &format!("stored_{index}"), url);
        let port = database.cluster().port().to_string();
        let store = store.replace("PORT", &port).replace("DATABASE", database.name());
        flow.edit("format: json", &format!("checkpoint: {{url: \"{store}\"}}\nformat: json"));
        let arguments = ["--until-idle", "-vv"];
        let output = flow.command("run", &arguments).env("RUST_LOG", "trace").output().await.unwrap();
        keeps_its_secret(&flow, &[&output.stderr, &output.stdout]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), right, "{store}: {message}");
    }
}
