//! Flows into an S3-protocol server over HTTP.

use std::time::Duration;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually_within;
use ductstream_testkit::python;
use ductstream_testkit::s3::S3Server;
use http::Method;
use serde_json::Value;

use crate::harness::{Flow, Shape, Through, files, signal, source_rows};

const PATIENCE: Duration = Duration::from_secs(90);
const COLUMNS: &[&str] = &["id", "n", "note"];
const PREFIX: &str = "lake/shop";

pub(crate) async fn shop(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    database
}

/// A flow into `server` with more settings of its destination, whose `out()` shows what is in the bucket below the prefix.
pub(crate) fn flow(database: &TestDatabase, server: &S3Server, shape: &Shape<'_>, settings: &str) -> Flow {
    let mut flow = Flow::new(database, shape);
    let file = format!("type: file\n    path: {}", flow.out().display());
    let s3 = format!(
        "type: s3\n    bucket: {}\n    endpoint: {}\n    prefix: {PREFIX}\n    access_key_id: {}\n    secret_access_key: {}\n    {settings}",
        server.bucket(),
        server.endpoint(),
        server.access_key(),
        server.secret_key()
    );
    flow.edit(&file, &s3);
    std::os::unix::fs::symlink(server.root().join(PREFIX), flow.out()).unwrap();
    flow
}

pub(crate) fn parquet(roll: &'static str) -> Shape<'static> {
    Shape { format: "parquet", destination: roll, ..Shape::default() }
}

pub(crate) async fn work(database: &TestDatabase, seed: u32) {
    let from = seed * 1000;
    database
        .execute(&format!(
            "insert into shop select id, 1, repeat('n', id % 50) from generate_series({from}, {from} + 400) id"
        ))
        .await;
    database.execute("update shop set n = n + 1 where id % 3 = 0").await;
    database.execute(&format!("update shop set id = -id where id = {from} + 7")).await;
    database.execute("delete from shop where id % 5 = 1").await;
}

pub(crate) async fn agrees(flow: &Flow, database: &TestDatabase) {
    let expected = source_rows(database, "shop", COLUMNS).await;
    assert!(!expected.is_empty());
    for through in [Through::Manifests, Through::Glob] {
        let found = flow.folded("public.shop", COLUMNS, through);
        assert!(
            found == expected,
            "{through:?}: {} rows delivered, {} in the source\n{}",
            found.len(),
            expected.len(),
            flow.log()
        );
    }
}

/// Manifests name exactly the objects that are there, with their sizes, and objects are named by their first position.
pub(crate) fn manifests_tell_the_truth(flow: &Flow) -> usize {
    let mut named = Vec::new();
    for cut in flow.cuts() {
        for object in cut["objects"].as_array().unwrap() {
            let path = object["path"].as_str().unwrap();
            let size = std::fs::metadata(flow.out().join(path)).unwrap_or_else(|error| panic!("{path}: {error}")).len();
            assert_eq!(object["bytes"].as_u64(), Some(size), "{path}");
            let stem = path.rsplit('/').next().unwrap().split('.').next().unwrap();
            let (lsn, seq) = stem.split_once('-').unwrap();
            let (high, low) = object["first"]["commit_lsn"].as_str().unwrap().split_once('/').unwrap();
            let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
            assert_eq!((lsn.len(), number(lsn)), (16, number(high) << 32 | number(low)), "{path}");
            assert_eq!(Some(number(seq)), object["first"]["seq"].as_u64(), "{path}");
            named.push(flow.out().join(path));
        }
    }
    let mut found =
        [files(&flow.out().join("public.shop"), "parquet"), files(&flow.out().join("public.shop"), "jsonl")].concat();
    named.sort();
    found.sort();
    assert_eq!(found, named, "objects that no manifest names, or the other way round");
    named.len()
}

async fn created_in(database: &TestDatabase) -> String {
    database
        .query_value(
            "select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots where database = current_database())",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_manifests_are_named_as_documented_and_hold_the_sources_rows() {
    for version in supported_versions() {
        for format in ["parquet", "json"] {
            let (database, server) = (shop(version).await, S3Server::start());
            let flow =
                flow(&database, &server, &Shape { format, destination: "roll: {rows: 300}", ..Shape::default() }, "");
            flow.create().await;
            for seed in 1..4 {
                work(&database, seed).await;
                flow.drain().await;
                agrees(&flow, &database).await;
            }
            assert!(manifests_tell_the_truth(&flow) >= 3, "each run ends with a cut");
            assert!(flow.out().join("_cuts").is_dir() && server.root().join(PREFIX).join("public.shop").is_dir());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_or_silent_for_a_while_is_waited_for() {
    let (database, server) = (shop(18).await, S3Server::start());
    let flow = flow(&database, &server, &parquet("roll: {age: 200ms}"), "retry_for: 1s\n    request_timeout: 1s");
    flow.create().await;
    let mut run = flow.start();
    let mut failures = 0;
    for (seed, down) in [(1, true), (2, false)] {
        let cuts = flow.cuts().len();
        work(&database, seed * 2).await;
        eventually_within(PATIENCE, "a cut while the server is up", || async { flow.cuts().len() > cuts }).await;
        if down {
            server.set_down(Some(503))
        } else {
            server.set_stalled(true)
        }
        work(&database, seed * 2 + 1).await;
        eventually_within(PATIENCE, "the flow to give an attempt up", || async {
            flow.log().matches("trying again").count() > failures + 1
        })
        .await;
        server.set_down(None);
        server.set_stalled(false);
        let expected = source_rows(&database, "shop", COLUMNS).await;
        eventually_within(PATIENCE, "the source's rows", || async {
            flow.folded("public.shop", COLUMNS, Through::Manifests) == expected
        })
        .await;
        failures = flow.log().matches("trying again").count();
    }
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    agrees(&flow, &database).await;
    manifests_tell_the_truth(&flow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_bucket_or_server_is_refused_at_the_first_start_and_creates_nothing() {
    let (database, server) = (shop(18).await, S3Server::start());
    let endpoint = server.endpoint();
    let wrong = [
        ("secret_access_key: ductstream-test-secret", "secret_access_key: hush-hush-key", "keys", 2),
        ("access_key_id: ductstream-test\n", "access_key_id: nobody\n", "keys", 2),
        ("bucket: events", "bucket: no-such-bucket", "bucket", 2),
        (endpoint.as_str(), "http://127.0.0.1:1", "reached", 1),
    ];
    for (right, wrong, remedy, exit) in wrong {
        let mut flow = flow(&database, &server, &parquet("roll: {age: 1s}"), "retry_for: 1s");
        flow.edit(right, wrong);
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, exit, "{wrong}: {message}");
        assert!(message.contains("destination lake") && message.contains("s3://"), "{wrong}: {message}");
        assert!(message.contains(remedy) && message.contains("To go on"), "{wrong}: {message}");
        assert!(!message.contains("hush-hush") && !message.contains("ductstream-test-secret"), "{message}");
        assert_eq!(created_in(&database).await, "0", "{wrong}: a slot or a publication was created");
        let (code, message) = flow.fails("check", &[]).await;
        assert_eq!(code, 3, "{wrong}: {message}");
        assert_eq!(created_in(&database).await, "0");
        assert!(files(&server.root(), "parquet").is_empty() && files(&server.root(), "json").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_an_object_is_sent_in_parts_it_shows_no_half_of_it_and_sends_it_again() {
    for version in supported_versions() {
        let (database, server) = (shop(version).await, S3Server::start());
        let shape = Shape { destination: "roll: {bytes: 1GiB, age: 1h}", ..Shape::default() };
        let flow = flow(&database, &server, &shape, "part_size: 5MiB");
        flow.create().await;
        let note = "md5(id::text) || md5((id * 7)::text) || repeat(md5((id * 13)::text), 6)";
        database.execute(&format!("insert into shop select id, id, {note} from generate_series(1, 60000) id")).await;
        for round in 1..3 {
            let sent = server.requests().len();
            let mut run = flow.start();
            eventually_within(PATIENCE, "two parts on their way", || async {
                let requests = server.requests();
                let part = |(method, path): &&(Method, String)| *method == Method::PUT && path.contains("partNumber=");
                requests[sent..].iter().filter(part).count() >= round
            })
            .await;
            run.kill().await.unwrap();
            assert!(files(&flow.out().join("public.shop"), "jsonl").is_empty(), "half an object is visible");
            assert!(flow.cuts().iter().all(|cut| cut["objects"] == Value::Array(Vec::new())));
        }
        flow.drain().await;
        agrees(&flow, &database).await;
        assert!(manifests_tell_the_truth(&flow) > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_the_commit_times_date_and_hour() {
    let database = shop(18).await;
    for (partition, directories) in [("date", 1), ("hour", 2)] {
        let server = S3Server::start();
        let mut flow = flow(&database, &server, &parquet("roll: {rows: 500}"), &format!("partition: {partition}"));
        flow.edit(&format!("name: {}\n", database.name()), &format!("name: {}_{partition}\n", database.name()));
        flow.create().await;
        database.execute("truncate shop").await;
        work(&database, 1).await;
        flow.drain().await;
        agrees(&flow, &database).await;
        assert!(manifests_tell_the_truth(&flow) > 0);
        let root = flow.out().join("public.shop");
        for file in files(&root, "parquet") {
            assert_eq!(file.strip_prefix(&root).unwrap().components().count(), directories + 1, "{}", file.display());
        }
        let wrong = python::run(
            "import duckdb, sys\n\
             hour = \"and strftime(_commit_time, '%H') = hour\" if sys.argv[2] == 'hour' else ''\n\
             kinds = {'date': 'VARCHAR', 'hour': 'VARCHAR'} if hour else {'date': 'VARCHAR'}\n\
             db = duckdb.connect(); db.execute(\"set timezone = 'UTC'\")\n\
             print(*db.execute(f\"select count(*), count(*) filter (not (strftime(_commit_time, '%Y-%m-%d') = date {hour})) \"\n\
                 f\"from read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning=true, hive_types={kinds})\").fetchone())",
            &[root.to_str().unwrap(), partition],
        );
        let (rows, wrong) = wrong.trim().split_once(' ').unwrap();
        assert!(rows != "0" && wrong == "0", "{wrong} of {rows} rows are in another {partition}'s partition");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_never_show_whatever_is_logged() {
    let (database, server) = (shop(18).await, S3Server::start());
    let flow = flow(&database, &server, &parquet("roll: {age: 1s}"), "session_token: hush-hush-token");
    flow.create().await;
    work(&database, 1).await;
    for command in ["run", "check"] {
        let arguments: &[&str] = if command == "run" { &["--until-idle", "-vv", "--json"] } else { &["-vv", "--json"] };
        let output = flow.command(command, arguments).env("RUST_LOG", "trace").output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        for secret in [server.secret_key(), "hush-hush-token"] {
            let line = said.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{command} says {secret}");
            for file in files(&flow.state(), "db") {
                let kept = std::fs::read(&file).unwrap();
                let found = kept.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} is in {}", file.display());
            }
        }
    }
    agrees(&flow, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_larger_than_every_limit_arrives_whole() {
    let database = shop(18).await;
    for format in ["json", "parquet"] {
        let server = S3Server::start();
        let shape =
            Shape { format, source: "  batch_size: 64KiB", destination: "roll: {bytes: 1MiB}", ..Shape::default() };
        let mut flow = flow(&database, &server, &shape, "part_size: 5MiB\n    memory_limit: 16MiB");
        flow.edit(
            &format!("name: {}\n", database.name()),
            &format!("name: {}_{format}\nmemory_limit: 8MiB\n", database.name()),
        );
        flow.create().await;
        database.execute("truncate shop; insert into shop values (1, 1, 'small'), (2, 2, repeat('large', 8000000)), (3, 3, 'small')").await;
        flow.drain().await;
        let large = "large".repeat(8_000_000);
        if format == "json" {
            let rows: Vec<_> =
                flow.records("public.shop").iter().map(|row| row["note"].as_str() == Some(&large)).collect();
            // The first is the truncate.
            assert_eq!(rows, [false, false, true, false]);
        } else {
            let columns = ["id", "length(note)", "md5(note)"];
            let expected = source_rows(&database, "shop", &columns).await;
            assert_eq!(flow.folded("public.shop", &columns, Through::Manifests), expected);
        }
        manifests_tell_the_truth(&flow);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_read_back_by_others() {
    let database = shop(18).await;
    let compressions = [
        ("json", "gzip", ".jsonl.gz"),
        ("json", "zstd", ".jsonl.zst"),
        ("parquet", "gzip", ".parquet"),
        ("parquet", "snappy", ".parquet"),
        ("parquet", "lz4", ".parquet"),
        ("parquet", "none", ".parquet"),
    ];
    for (format, compression, extension) in compressions {
        let server = S3Server::start();
        let shape = Shape { format, destination: "roll: {rows: 300}", ..Shape::default() };
        let mut flow = flow(&database, &server, &shape, "");
        let name = database.name();
        flow.edit(
            &format!("name: {name}\n"),
            &format!("name: {name}_{format}_{compression}\n{format}: {{compression: {compression}}}\n"),
        );
        flow.create().await;
        database.execute("truncate shop").await;
        for seed in 1..3 {
            work(&database, seed).await;
            flow.drain().await;
        }
        let expected = source_rows(&database, "shop", COLUMNS).await;
        assert_eq!(flow.folded("public.shop", COLUMNS, Through::Manifests), expected, "{format} {compression}");
        let objects = flow.cuts().into_iter().flat_map(|cut| cut["objects"].as_array().cloned().unwrap());
        let paths: Vec<String> = objects.map(|object| object["path"].as_str().unwrap().to_owned()).collect();
        assert!(paths.len() > 1 && paths.iter().all(|path| path.ends_with(extension)), "{paths:?}");
    }
}
