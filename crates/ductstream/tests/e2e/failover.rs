//! A primary that dies, and a standby that is promoted in its place, with the slot that it kept (version 17 and later).

use std::sync::Arc;

use ductstream_testkit::postgres::{Cluster, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually;
use ductstream_testkit::proxy::TcpProxy;
use ductstream_testkit::python;
use ductstream_testkit::s3::S3Server;

use crate::harness::{Flow, Shape, Through, files, replayed, signal, source_rows};

const COLUMNS: &[&str] = &["id", "n", "note"];
/// The flow's slot, ready for a failover.
const KEPT: &str =
    "select count(*) from pg_replication_slots where slot_name like 'ductstream%' and synced and not temporary";

struct Pair {
    primary: TestDatabase,
    standby: TestDatabase,
    flow: Flow,
    /// Between the two servers.
    network: TcpProxy,
}

/// A flow that has the servers of both as its hosts, and whose slot the standby keeps.
async fn pair(version: u16, gap_free: bool) -> Pair {
    let mut builder = Cluster::builder(version);
    if gap_free {
        builder = builder.setting("synchronized_standby_slots", "standby");
    }
    let primary = Arc::new(builder.start().await);
    let database = primary.database().await;
    database.execute("create table shop (id int primary key, n int not null, note text)").await;
    let network = TcpProxy::start(([127, 0, 0, 1], primary.port()).into()).await;
    let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", network.port());
    let settings = [
        ("primary_conninfo", conninfo.as_str()),
        ("synchronized_standby_slots", ""),
        ("wal_retrieve_retry_interval", "100ms"),
    ];
    let standby = Arc::new(primary.standby(&settings).await);
    let url = format!(
        "postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        primary.port(),
        standby.port(),
        database.name()
    );
    let shape =
        Shape { format: "parquet", source: "  failover: true", destination: "roll: {age: 200ms}", ..Shape::default() };
    let flow = Flow::at(&url, database.name(), &shape);
    flow.create().await;
    let standby = database.on(&standby);
    // Only now, for a worker that finds no slot at first takes ever longer breaks.
    standby.execute("alter system set sync_replication_slots = on").await;
    standby.execute("select pg_reload_conf()").await;
    Pair { primary: database, standby, flow, network }
}

impl Pair {
    /// Waits until the standby has the slot, which takes changes that move it on, and points in the WAL to decode from.
    async fn kept(&self) {
        eventually("the standby to keep the slot", || async {
            self.primary.execute("insert into shop select coalesce(max(id), 0) + 1, 0, 'kept' from shop").await;
            self.primary.execute("select pg_log_standby_snapshot()").await;
            self.standby.query_value(KEPT).await == "1"
        })
        .await;
    }

    async fn fail_over(&self) {
        self.primary.cluster().stop_immediate().await;
        self.standby.cluster().promote().await;
    }
}

/// Transactions of inserts, updates, deletes and key changes until the server is gone.
async fn write(database: &TestDatabase, offset: u32) {
    let client = database.connect().await;
    for round in 0.. {
        let id = offset + round * 10;
        let sql = match round % 4 {
            0 | 1 => {
                format!("insert into shop select id, {round}, repeat('n', 50) from generate_series({id}, {id} + 9) id")
            }
            2 => format!("update shop set n = n + 1 where id % 7 = {}", round % 7),
            _ => format!(
                "update shop set id = -id where id % 13 = {} and id > 0; delete from shop where id % 31 = 5",
                round % 13
            ),
        };
        if client.batch_execute(&sql).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_under_load_goes_on_from_the_standby_that_is_promoted_and_delivers_every_change_once() {
    for version in supported_versions().into_iter().filter(|version| *version >= 17) {
        let pair = pair(version, true).await;
        let mut run = pair.flow.start();
        pair.kept().await;
        let writer = write(&pair.primary, 100_000);
        let fail = async {
            let cuts = pair.flow.cuts().len();
            eventually("cuts under load", || async { pair.flow.cuts().len() >= cuts + 3 }).await;
            pair.primary.cluster().stop_immediate().await;
        };
        tokio::join!(writer, fail);
        pair.standby.cluster().promote().await;
        pair.standby.execute("insert into shop select id, 0, 'promoted' from generate_series(900000, 900999) id").await;
        let expected = source_rows(&pair.standby, "shop", COLUMNS).await;
        pair.flow.delivers("public.shop", COLUMNS, &expected).await;
        signal(&run, "TERM");
        assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", pair.flow.log());
        assert_eq!(pair.flow.folded("public.shop", COLUMNS, Through::Glob), expected);
        let timelines: Vec<_> =
            pair.flow.cuts().iter().map(|cut| cut["source"]["timeline"].as_u64().unwrap()).collect();
        assert!(timelines.is_sorted() && timelines.contains(&1) && timelines.ends_with(&[2]), "{timelines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_failover_lost_after_they_were_delivered_are_named_and_the_flow_stops() {
    for version in supported_versions().into_iter().filter(|version| *version >= 17) {
        // Given a cut that no checkpoint has reached, and a standby that does not have its changes
        let pair = pair(version, false).await;
        let mut run = pair.flow.start();
        pair.kept().await;
        signal(&run, "TERM");
        assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", pair.flow.log());
        replayed(&pair.primary, &pair.standby).await;
        pair.network.refuse();
        pair.primary.execute("insert into shop values (500000, 0, 'lost')").await;
        let mut crash = pair.flow.command("run", &["--until-idle"]);
        let crashed = crash.env("FAILPOINTS", "object_store::after_manifest=panic").output().await.unwrap();
        assert!(!crashed.status.success());
        // When the standby is promoted
        pair.fail_over().await;
        // Then the destination refuses; or the checkpoint, where the server wrote something of its own that the standby did not get
        let (code, message) = pair.flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 1, "{message}");
        let refused = message.contains("holds a cut at") || message.contains("has delivered changes of timeline 1");
        assert!(refused && message.contains("only up to"), "{message}");
        // And the flow goes on where it came from, with its checkpoint as it was
        let both = format!("127.0.0.1:{},127.0.0.1:{}", pair.primary.cluster().port(), pair.standby.cluster().port());
        let mut flow = pair.flow;
        pair.primary.cluster().start().await;
        flow.drain().await;
        let expected = source_rows(&pair.primary, "shop", COLUMNS).await;
        assert_eq!(flow.folded("public.shop", COLUMNS, Through::Manifests), expected);
        // And the promoted server is refused by the checkpoint, too
        flow.edit(&both, &format!("127.0.0.1:{}", pair.standby.cluster().port()));
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("it lost the changes between") && message.contains("`prefix`"), "{message}");
        let check = flow.command("check", &[]).output().await.unwrap();
        assert_eq!(check.status.code(), Some(3), "{check:?}");
        assert!(String::from_utf8_lossy(&check.stdout).contains("it lost the changes between"), "{check:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_is_cut_back_to_what_the_promoted_standby_has_and_goes_on_from_there() {
    for version in supported_versions().into_iter().filter(|version| *version >= 17) {
        let pair = pair(version, false).await;
        let mut run = pair.flow.start();
        pair.kept().await;
        let Pair { primary, standby, mut flow, network } = pair;
        signal(&run, "TERM");
        assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
        // Given a bucket that follows and is away, and a primary whose files are open: it is not durable, and the outbox goes on
        let s3 = S3Server::start();
        let remote = format!(
            "destinations:\n  - {{name: remote, type: s3, bucket: {}, endpoint: \"{}\", prefix: remote, access_key_id: {}, secret_access_key: {}, retry_for: 500ms}}\n",
            s3.bucket(),
            s3.endpoint(),
            s3.access_key(),
            s3.secret_key()
        );
        flow.edit("destinations:\n", &remote);
        flow.edit("retry:", "ack: {primary: lake}\nretry:");
        flow.edit("roll: {age: 200ms}", "roll: {age: 1h}");
        flow.drain().await;
        s3.set_down(Some(503));
        let mut run = flow.start();
        primary.execute("insert into shop values (500000, 0, 'both have it')").await;
        replayed(&primary, &standby).await;
        network.refuse();
        primary.execute("insert into shop values (500001, 0, 'only one has it')").await;
        let outbox = flow.state().join("outbox").join(&flow.name).join("remote");
        let holds = |text: &str| {
            let read = |file| std::fs::read(file).unwrap_or_default();
            files(&outbox, "outbox")
                .into_iter()
                .map(read)
                .any(|bytes| bytes.windows(text.len()).any(|it| it == text.as_bytes()))
        };
        eventually("the change in the outbox", || async { holds("only one has it") }).await;
        // A checkpoint is stored every half second.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        run.kill().await.unwrap();
        // When the standby is promoted, which never got the last change
        primary.cluster().stop_immediate().await;
        standby.cluster().promote().await;
        standby.execute("insert into shop select id, 0, 'promoted' from generate_series(900000, 900099) id").await;
        s3.set_down(None);
        flow.drain().await;
        // Then both get what the promoted server has, and nothing else
        let expected = source_rows(&standby, "shop", COLUMNS).await;
        assert_eq!(flow.folded("public.shop", COLUMNS, Through::Manifests), expected);
        assert!(expected.iter().any(|row| row.contains("both have it")) && !holds("only one has it"));
        let directory = s3.root().join("remote");
        let arguments = [directory.to_str().unwrap(), "public.shop", &COLUMNS.join(","), "manifests"];
        let delivered = python::run(include_str!("fold.py"), &arguments);
        let expected: Vec<&String> = expected.iter().filter(|row| !row.contains("kept")).collect();
        assert_eq!(delivered.lines().collect::<Vec<_>>(), expected);
    }
}
