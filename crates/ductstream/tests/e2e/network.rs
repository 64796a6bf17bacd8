//! Lost, stalled and slow connections, and runs that end.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ductstream_testkit::postgres::{Cluster, Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::eventually_within;
use ductstream_testkit::proxy::TcpProxy;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::timeout;

use crate::harness::{Flow, Shape, Through, peak_memory_bytes, signal, source_rows};

const PATIENCE: Duration = Duration::from_secs(90);
/// A run that has nothing to wait for ends within this, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(15);
const COLUMNS: &[&str] = &["id", "n", "note"];
const TABLE: &str = "create table shop (id int primary key, n int not null, note text)";

fn parquet() -> Shape<'static> {
    Shape { format: "parquet", destination: "roll: {age: 200ms}", ..Shape::default() }
}

async fn shop(version: u16) -> TestDatabase {
    let database = Postgres::version(version).await.database().await;
    database.execute(TABLE).await;
    database
}

/// A database of a server that gives a silent reader two seconds.
async fn impatient() -> TestDatabase {
    let database = Arc::new(Cluster::builder(18).setting("wal_sender_timeout", "2s").start().await).database().await;
    database.execute(TABLE).await;
    database
}

async fn proxied(database: &TestDatabase) -> (TcpProxy, String) {
    let port = database.cluster().port();
    let proxy = TcpProxy::start(([127, 0, 0, 1], port).into()).await;
    let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    (proxy, url)
}

async fn insert(database: &TestDatabase, from: u32, to: u32) {
    database
        .execute(&format!("insert into shop select id, id, repeat('n', 100) from generate_series({from}, {to}) id"))
        .await;
}

async fn arrives(flow: &Flow, database: &TestDatabase) {
    let expected = source_rows(database, "shop", COLUMNS).await;
    let found = || async { flow.folded("public.shop", COLUMNS, Through::Manifests) == expected };
    if timeout(PATIENCE, eventually_within(PATIENCE, "the source's rows", found)).await.is_err() {
        panic!("the source's rows did not arrive:\n{}", flow.log());
    }
    assert!(flow.folded("public.shop", COLUMNS, Through::Glob) == expected);
}

async fn stops(flow: &Flow, mut run: tokio::process::Child) {
    signal(&run, "TERM");
    let status = timeout(PATIENCE, run.wait()).await.unwrap_or_else(|_| panic!("it does not stop:\n{}", flow.log()));
    assert_eq!(status.unwrap().code(), Some(0), "{}", flow.log());
}

/// The process that sends to the flow; "0" while there is none.
async fn walsender(database: &TestDatabase, flow: &Flow) -> String {
    let slot = &flow.name;
    let sql =
        format!("select coalesce(max(active_pid), 0) from pg_replication_slots where slot_name = 'ductstream_{slot}'");
    database.query_value(&sql).await
}

async fn streaming(database: &TestDatabase, flow: &Flow) -> String {
    eventually_within(PATIENCE, "a walsender", || async { walsender(database, flow).await != "0" }).await;
    walsender(database, flow).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_again_and_again_inside_a_transaction_loses_and_doubles_nothing() {
    let database = shop(18).await;
    let (proxy, url) = proxied(&database).await;
    let mut shape = parquet();
    (shape.destination, shape.source) = ("roll: {rows: 5000}", "  batch_size: 128KiB");
    let flow = Flow::at(&url, database.name(), &shape);
    flow.create().await;
    // Many more cuts than are waited for: on a busy machine several become visible at once.
    insert(&database, 1, 200_000).await;
    let waits_for = async |what: &str, condition: &dyn Fn() -> bool| {
        let waiting = timeout(PATIENCE, eventually_within(2 * PATIENCE, what, || async { condition() })).await;
        assert!(waiting.is_ok(), "waited in vain for {what} after {:?}:\n{}", flow.cuts().last(), flow.log());
    };
    let run = flow.start();
    // Cut while it connects: each attempt makes two connections.
    for _ in 0..4 {
        let accepted = proxy.accepted();
        waits_for("another connection", &|| proxy.accepted() > accepted).await;
        proxy.cut();
    }
    // Cut while it delivers.
    for _ in 0..5 {
        let cuts = flow.cuts().len();
        waits_for("another cut", &|| flow.cuts().len() > cuts).await;
        proxy.cut();
    }
    assert!(flow.cuts().last().unwrap()["position"]["seq"].as_u64().unwrap() > 0, "the transaction is not over yet");
    proxy.refuse();
    let lines = flow.log().lines().count();
    waits_for("a retry", &|| flow.log().lines().count() > lines).await;
    proxy.resume();
    insert(&database, 200_001, 200_100).await;
    // The last rows wait for the age of a cut, or the end.
    let last = format!(
        "select count(*) from pg_stat_replication where pid = {{}} and write_lsn >= '{}'",
        database.query_value("select pg_current_wal_lsn()").await
    );
    eventually_within(PATIENCE, "the end of the transaction", || async {
        let pid = walsender(&database, &flow).await;
        database.query_value(&last.replace("{}", &pid)).await == "1"
    })
    .await;
    stops(&flow, run).await;
    arrives(&flow, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_network_or_process_that_outlasts_the_servers_patience_goes_on_afterwards() {
    let database = impatient().await;
    let (proxy, url) = proxied(&database).await;
    let flow = Flow::at(&url, database.name(), &parquet());
    flow.create().await;
    let run = flow.start();
    let gone = async |before: String| {
        let other = || async { walsender(&database, &flow).await != before };
        eventually_within(PATIENCE, "the server to give up", other).await;
    };

    let pid = streaming(&database, &flow).await;
    insert(&database, 1, 20_000).await;
    proxy.stall();
    insert(&database, 20_001, 40_000).await;
    gone(pid).await;
    proxy.resume();
    arrives(&flow, &database).await;

    let pid = streaming(&database, &flow).await;
    signal(&run, "STOP");
    insert(&database, 40_001, 60_000).await;
    gone(pid).await;
    signal(&run, "CONT");
    arrives(&flow, &database).await;
    stops(&flow, run).await;
}

/// A flow that prints, started with nobody reading what it prints.
async fn printing(database: &TestDatabase) -> (Flow, tokio::process::Child) {
    let mut flow = Flow::new(database, &Shape { destination: "", source: "  batch_size: 64KiB", ..Shape::default() });
    let path = format!("type: file\n    path: {}\n", flow.out().display());
    flow.edit(&path, "type: stdout\n");
    flow.edit("format: json", "memory_limit: 16MiB\nformat: json");
    flow.create().await;
    insert(database, 1, 100_000).await;
    let mut command = flow.command("run", &[]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    (flow, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_neither_the_connection_nor_memory_nor_a_change() {
    let database = impatient().await;
    let (flow, mut run) = printing(&database).await;
    let pid = streaming(&database, &flow).await;
    let since = database.query_value("select clock_timestamp()").await;
    let heard = format!(
        "select count(*) from pg_stat_replication where pid = {pid} and reply_time > '{since}'::timestamptz + interval '7 s'"
    );
    eventually_within(PATIENCE, "answers for three times the server's patience", || async {
        assert_eq!(walsender(&database, &flow).await, pid, "the walsender gave up");
        database.query_value(&heard).await == "1"
    })
    .await;
    let peak = peak_memory_bytes(run.id().unwrap()).unwrap();
    assert!(peak < 200 << 20, "{peak} bytes");

    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    for id in 1..=100_000 {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["id"], id);
    }
    signal(&run, "TERM");
    assert_eq!(timeout(PATIENCE, run.wait()).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_leaves_at_once_and_loses_nothing() {
    let database = shop(14).await;
    let (flow, mut run) = printing(&database).await;
    streaming(&database, &flow).await;
    signal(&run, "INT");
    let mut log = BufReader::new(run.stderr.take().unwrap()).lines();
    while !log.next_line().await.unwrap().expect("it says that it stops").contains("once more to leave") {}
    assert!(run.try_wait().unwrap().is_none(), "nobody reads what it prints, so it is still draining");
    signal(&run, "INT");
    assert_eq!(timeout(PROMPT, run.wait()).await.unwrap().unwrap().code(), Some(130));

    eventually_within(PATIENCE, "a free slot", || async { walsender(&database, &flow).await == "0" }).await;
    let mut again = flow.command("run", &["--until-idle"]);
    let mut again = again.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    again.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(again.wait().await.unwrap().code(), Some(0));
    assert_eq!(text.lines().count(), 100_000, "nothing had been stored, everything comes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_replaced_ends_the_run_by_name_and_the_next_run_goes_on() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    let mut run = flow.start();
    insert(&database, 1, 1000).await;
    arrives(&flow, &database).await;
    let aside = flow.directory.path().join("aside");
    std::fs::rename(flow.out(), &aside).unwrap();
    std::fs::write(flow.out(), "in the way").unwrap();
    insert(&database, 1001, 2000).await;
    let ended = timeout(PATIENCE, run.wait()).await.expect("another attempt would find the same").unwrap();
    assert_eq!(ended.code(), Some(2), "{}", flow.log());
    assert!(flow.log().contains("a file is where a directory should be"), "{}", flow.log());
    std::fs::remove_file(flow.out()).unwrap();
    std::fs::rename(&aside, flow.out()).unwrap();
    flow.drain().await;
    arrives(&flow, &database).await;
}

/// Lets a running process open no file that it has not open already, as a system that is short of them does; or again as many as before.
async fn limit_files(run: &tokio::process::Child, most: &str) {
    let arguments = ["--pid", &run.id().unwrap().to_string(), &format!("--nofile={most}:")];
    let status = tokio::process::Command::new("prlimit").args(arguments).status().await.unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_takes_no_files_for_a_while_is_waited_for() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    let run = flow.start();
    insert(&database, 1, 1000).await;
    arrives(&flow, &database).await;
    limit_files(&run, "3").await;
    insert(&database, 1001, 2000).await;
    eventually_within(PATIENCE, "a retry", || async { flow.log().contains("trying again") }).await;
    limit_files(&run, "1024").await;
    arrives(&flow, &database).await;
    stops(&flow, run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn until_idle_ends_promptly_also_beside_a_transaction_that_is_still_open() {
    for version in supported_versions() {
        let database = shop(version).await;
        let flow = Flow::new(&database, &Shape::default());
        flow.create().await;
        timeout(PROMPT, flow.drain()).await.expect("an idle database has nothing to wait for");

        let writer = database.connect().await;
        writer
            .batch_execute("begin; insert into shop select id, 0, 'open' from generate_series(1, 50000) id")
            .await
            .unwrap();
        insert(&database, 50_001, 50_010).await;
        timeout(PROMPT, flow.drain()).await.expect("what is not committed is not owed");
        assert_eq!(flow.records("public.shop").len(), 10);
        writer.batch_execute("commit").await.unwrap();
        flow.drain().await;
        assert_eq!(flow.records("public.shop").len(), 50_010);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_of_other_databases_does_not_pin_the_slot_of_a_quiet_one() {
    for version in supported_versions() {
        let cluster = Postgres::version(version).await;
        let (quiet, busy) = (shop(version).await, cluster.database().await);
        let flow = Flow::new(&quiet, &Shape { source: "  heartbeat: 300ms", ..Shape::default() });
        flow.create().await;
        let run = flow.start();
        streaming(&quiet, &flow).await;
        busy.execute("create table noise as select repeat('x', 1000) from generate_series(1, 3000)").await;
        let end = busy.query_value("select pg_current_wal_lsn()").await;
        let moved = format!(
            "select count(*) from pg_replication_slots where slot_name = 'ductstream_{}' and confirmed_flush_lsn >= '{end}'",
            flow.name
        );
        eventually_within(PATIENCE, "the slot to move", || async { quiet.query_value(&moved).await == "1" }).await;
        stops(&flow, run).await;
        assert!(flow.records("public.shop").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_is_told_never_passes_the_stored_checkpoint() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &Shape { source: "  heartbeat: 100ms", ..parquet() });
    flow.create().await;
    let store = format!("sqlite:{}", flow.state().join(ductstream_control::SqliteStore::FILE_NAME).display());
    let store = ductstream_control::open(&store).await.unwrap();
    let confirmed = format!(
        "select greatest(s.confirmed_flush_lsn, r.flush_lsn) from pg_replication_slots s
         left join pg_stat_replication r on r.pid = s.active_pid where slot_name = 'ductstream_{}'",
        flow.name
    );
    let mut moved = std::collections::BTreeSet::new();
    let mut id = 0;
    for round in 0..4 {
        let mut run = flow.start();
        streaming(&database, &flow).await;
        let started = std::time::Instant::now();
        while moved.len() < (round + 1) * 3 {
            assert!(started.elapsed() < PATIENCE, "the slot does not move: {}", flow.log());
            id += 10;
            insert(&database, id + 1, id + 10).await;
            // The server first: the checkpoint only grows meanwhile.
            let told: ductstream_core::Lsn = database.query_value(&confirmed).await.parse().unwrap();
            let stored = store.load(&flow.name).await.unwrap().unwrap().position.commit_lsn;
            assert!(told <= stored, "the server was told {told}, and stored is {stored}");
            moved.insert(told);
        }
        run.kill().await.unwrap();
    }
    flow.drain().await;
    arrives(&flow, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_durable_and_stored_never_lets_the_slot_pass_the_checkpoint() {
    let database = shop(18).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    for n in 0..4 {
        insert(&database, n * 100 + 1, n * 100 + 100).await;
        // Crashes with the cut durable and nothing stored; then, at the next start, before the checkpointer's first store.
        for crash in ["1*off->return", "return"] {
            let mut command = flow.command("run", &["--until-idle"]);
            let output = command.env("FAILPOINTS", format!("runner::durable={crash}")).output().await.unwrap();
            assert!(!output.status.success());
        }
        flow.drain().await;
    }
    arrives(&flow, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_dropped_behind_the_flows_back_is_refused_with_the_gap_named() {
    for version in supported_versions() {
        let database = shop(version).await;
        let flow = Flow::new(&database, &parquet());
        flow.create().await;
        let mut run = flow.start();
        streaming(&database, &flow).await;
        database.execute(&format!("drop publication ductstream_{}", flow.name)).await;
        insert(&database, 1, 10).await;
        let ended = timeout(PATIENCE, run.wait()).await.expect("changes are missing, it must not go on").unwrap();
        assert_eq!(ended.code(), Some(1), "{}", flow.log());
        let (code, message) = flow.fails("run", &["--until-idle"]).await;
        assert_eq!(code, 1, "{message}");
        for said in [flow.log(), message] {
            assert!(said.contains(&format!("publication ductstream_{}", flow.name)), "{said}");
            assert!(said.contains("ductstream cleanup"), "{said}");
        }
        assert!(database.query("select from pg_publication").await.is_empty(), "it was made anew, and hides the gap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_stop_ends_soon_also_when_the_server_is_silent_or_away() {
    let database = shop(18).await;
    let (proxy, url) = proxied(&database).await;
    let flow = Flow::at(&url, database.name(), &parquet());
    flow.create().await;

    let mut run = flow.start();
    insert(&database, 1, 1000).await;
    arrives(&flow, &database).await;
    proxy.stall();
    signal(&run, "TERM");
    let ended = timeout(PROMPT, run.wait()).await.expect("a silent server is not waited for").unwrap();
    assert_eq!(ended.code(), Some(0), "{}", flow.log());
    proxy.resume();

    let mut run = flow.start();
    eventually_within(PATIENCE, "a walsender", || async { walsender(&database, &flow).await != "0" }).await;
    proxy.refuse();
    eventually_within(PATIENCE, "a retry", || async { flow.log().contains("trying again") }).await;
    signal(&run, "INT");
    timeout(PROMPT, run.wait()).await.expect("a server that is away is not waited for").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_has_invalidated_is_refused_with_the_gap_named() {
    let cluster = Cluster::builder(18).setting("max_slot_wal_keep_size", "1MB").setting("max_wal_size", "32MB");
    let database = Arc::new(cluster.setting("min_wal_size", "32MB").start().await).database().await;
    database.execute(TABLE).await;
    let flow = Flow::new(&database, &parquet());
    flow.create().await;
    let lost = format!(
        "select count(*) from pg_replication_slots where slot_name = 'ductstream_{}' and wal_status = 'lost'",
        flow.name
    );
    eventually_within(PATIENCE, "the slot to be lost", || async {
        insert(&database, 1, 10_000).await;
        database.execute("truncate shop; select pg_switch_wal()").await;
        database.execute("checkpoint").await;
        database.query_value(&lost).await == "1"
    })
    .await;
    let (code, message) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!(code, 1, "{message}");
    for word in ["invalidated", "changes after", "ductstream cleanup"] {
        assert!(message.contains(word), "{word:?} is missing in:\n{message}");
    }
}
