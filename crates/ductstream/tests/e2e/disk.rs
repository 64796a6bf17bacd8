//! Disks without space.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ductstream_testkit::postgres::{Postgres, TestDatabase};
use ductstream_testkit::process::eventually_within;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{DUCTSTREAM, Flow, Shape, signal, source_rows};

const PATIENCE: Duration = Duration::from_secs(60);

/// A small disk that programs see which are started in it: a file system in memory, in namespaces of its own, so that it takes no
/// privileges.
struct SmallDisk {
    /// Keeps the namespaces. It reads a pipe from this process, and ends with it.
    holder: Child,
    mounted_at: PathBuf,
}

impl SmallDisk {
    async fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let script = format!("mount -t tmpfs -o size={size} small \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare");
        holder.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(at);
        let mut holder =
            holder.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("unshare runs");
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let said = lines.next_line().await.unwrap();
        assert_eq!(said.as_deref(), Some("mounted"), "this system lets nobody mount a disk of memory");
        Self { holder, mounted_at: at.to_path_buf() }
    }

    /// What is mounted, as seen from outside.
    fn path(&self) -> PathBuf {
        let holder = self.holder.id().expect("the holder runs");
        Path::new(&format!("/proc/{holder}/root")).join(self.mounted_at.strip_prefix("/").unwrap())
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.path().join("ballast")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }

    /// `ductstream run FLOW ...` on the disk.
    fn run(&self, flow: &Flow, arguments: &[&str]) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(flow.directory.path().join("log")).unwrap();
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.holder.id().unwrap().to_string(),
            "--user",
            "--mount",
            "--preserve-credentials",
        ]);
        command.arg(DUCTSTREAM).arg("--state").arg(flow.state()).arg("run").arg(flow.file()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().unwrap()
    }

    async fn drain(&self, flow: &Flow) {
        let status = self.run(flow, &["--until-idle"]).wait().await.unwrap();
        assert!(status.success(), "{status}: {}", flow.log());
    }
}

async fn shop() -> TestDatabase {
    let database = Postgres::version(18).await.database().await;
    database.execute("create table shop (id int primary key, note text)").await;
    database
}

async fn insert(database: &TestDatabase, from: u32, to: u32) {
    let rows = format!("insert into shop select id, repeat('n', 100) from generate_series({from}, {to}) id");
    database.execute(&rows).await;
}

/// Every id that the files hold, in order.
fn ids(out: &Path) -> Vec<u64> {
    let files = crate::harness::files(&out.join("public.shop"), "jsonl");
    let lines = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let id = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["id"].as_u64().unwrap();
    lines.map(id).collect()
}

async fn arrived(flow: &Flow, database: &TestDatabase, out: &Path) {
    let rows = source_rows(database, "shop", &["id"]).await.len();
    assert_eq!(ids(out), (1..=rows as u64).collect::<Vec<_>>(), "{}", flow.log());
}

async fn waits_then_goes_on(flow: &Flow, database: &TestDatabase, disk: &SmallDisk) {
    let streams = || flow.log().matches("INFO streaming").count();
    let before = streams();
    let mut run = disk.run(flow, &[]);
    eventually_within(PATIENCE, "a flow that streams", || async { streams() > before }).await;
    disk.fill();
    insert(database, 1001, 20_000).await;
    let waits = || {
        let ended = run.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", flow.log());
        let waits = flow.log().matches("trying again").count() >= 2;
        async move { waits }
    };
    eventually_within(PATIENCE, "two retries", waits).await;
    disk.make_room();
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    insert(database, 20_001, 20_100).await;
    disk.drain(flow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_named_and_loses_nothing() {
    let database = shop().await;
    let flow = Flow::new(&database, &Shape { destination: "roll: {age: 100ms}", ..Shape::default() });
    let disk = SmallDisk::mount(&flow.out(), "16m").await;
    disk.drain(&flow).await;
    insert(&database, 1, 1000).await;
    disk.drain(&flow).await;
    waits_then_goes_on(&flow, &database, &disk).await;
    assert!(flow.log().contains("no space is left"), "{}", flow.log());
    arrived(&flow, &database, &disk.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_on_a_full_disk_are_waited_for_and_lose_nothing() {
    let database = shop().await;
    let flow = Flow::new(&database, &Shape { destination: "roll: {age: 100ms}", ..Shape::default() });
    let disk = SmallDisk::mount(&flow.state(), "4m").await;
    disk.drain(&flow).await;
    insert(&database, 1, 1000).await;
    disk.drain(&flow).await;
    waits_then_goes_on(&flow, &database, &disk).await;
    arrived(&flow, &database, &flow.out()).await;
}
