//! `cargo xtask quickstart`: real changes, from a real PostgreSQL, into Parquet files or a real Kafka, in a minute.

mod agreement;
mod live;
mod topics;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::Postgres;
use crate::workspace::{capture, root, run, say, show};
use crate::{product, servers};
use topics::Topics;

const SHOP: &str = include_str!("shop.sql");
const STOCK: &str = include_str!("stock.sql");
const WORKLOAD: &str = include_str!("workload.sql");
const DATABASE: &str = "shop";
const SLOT: &str = "ductstream_shop";
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams a small live shop from a throwaway PostgreSQL into ./quickstart-out, and checks what arrived
#[derive(Debug, clap::Args)]
pub(crate) struct Quickstart {
    /// Into topics of a throwaway Kafka broker, instead of Parquet files
    #[arg(long)]
    kafka: bool,
    /// Leave the servers running afterwards, until Ctrl-C, and say how to go on
    #[arg(long)]
    keep: bool,
    /// How long the shop is busy
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u32,
}

impl Quickstart {
    /// Both tours in short, with the debug build that the tests have made: what `cargo xtask test` runs.
    pub(crate) fn ci() -> Result<()> {
        let ductstream = product::build_for_tests("ductstream", false)?;
        for kafka in [false, true] {
            Self { kafka, keep: false, seconds: 3 }.tour(ductstream.clone())?;
        }
        Ok(())
    }

    pub(crate) fn run(&self) -> Result<()> {
        say("building ductstream");
        self.tour(product::build(false)?)
    }

    fn tour(&self, ductstream: PathBuf) -> Result<()> {
        servers::make_venv()?;
        if self.kafka {
            servers::fetch_kafka()?;
        }
        let shop = Shop::open(ductstream, self.kafka)?;
        shop.stream(self.seconds)?;
        if !shop.compare()? {
            bail!("source and copy differ: that is a bug, please report it with what is in {}", shop.out.display());
        }
        if self.keep {
            shop.keep();
        }
        say(format!("done: look around in {}", shop.out.display()));
        Ok(())
    }
}

/// The shop's server, its flow file and where that leads.
#[derive(Debug)]
struct Shop {
    ductstream: PathBuf,
    postgres: Postgres,
    out: PathBuf,
    flow: PathBuf,
    place: Place,
}

/// Where the flow leads.
#[derive(Debug)]
enum Place {
    /// A directory of files.
    Lake(PathBuf),
    /// A broker.
    Topics(Topics),
}

impl Shop {
    fn open(ductstream: PathBuf, kafka: bool) -> Result<Self> {
        let out = root().join("quickstart-out");
        let flow = out.join("shop.yaml");
        clear(&out, &flow)?;
        say("starting a throwaway PostgreSQL");
        let postgres = Postgres::start(&["pgbench"], &[("wal_level", "logical"), ("timezone", "UTC")])?;
        println!("    PostgreSQL {} at {}", postgres.version()?, postgres.url(DATABASE));
        postgres.query("postgres", &format!("create database {DATABASE}"))?;
        postgres.query(DATABASE, SHOP)?;
        let place = if kafka { Place::Topics(topics()?) } else { Place::Lake(out.join("lake")) };
        let shop = Self { ductstream, postgres, out, flow, place };
        fs::create_dir_all(&shop.out)?;
        fs::write(&shop.flow, shop.document())?;
        fs::write(shop.out.join("workload.sql"), WORKLOAD)?;
        Ok(shop)
    }

    fn document(&self) -> String {
        format!(
            "\
name: shop
source:
  type: postgres
  url: {}
  tables: [\"public.*\"]
{}",
            self.postgres.url(DATABASE),
            self.place.document(),
        )
    }

    /// Runs the flow while the shop is busy, stops it, and starts it again for what is left.
    fn stream(&self, seconds: u32) -> Result<()> {
        say(format!("the flow file, {}:", self.flow.display()));
        for line in self.document().lines() {
            println!("    {line}");
        }
        say("ductstream run quickstart-out/shop.yaml");
        let mut command = self.run_command();
        if let Place::Topics(_) = &self.place {
            let log = self.out.join("ductstream.log");
            println!("    its log is {}", log.display());
            // In a terminal its status would be drawn over the messages.
            command.stderr(File::create(log)?);
        }
        let mut flow = Running(command.spawn().context("starting ductstream")?);
        self.wait_for_slot(&mut flow)?;
        self.postgres.query(DATABASE, STOCK)?;
        if let Place::Topics(topics) = &self.place {
            live::show(topics, &self.postgres, DATABASE, &self.out)?;
            say(format!("the shop is busy for {seconds} seconds"));
        }
        self.be_busy(seconds)?;
        say("stopping it with SIGTERM: it drains what it has read, stores its checkpoint and exits with 0");
        flow.terminate()?;
        say("ductstream run quickstart-out/shop.yaml --until-idle: resumes at the checkpoint, and ends with the WAL");
        run(self.run_command().arg("--until-idle"))
    }

    fn run_command(&self) -> Command {
        let mut command = Command::new(&self.ductstream);
        command.arg("run").arg(&self.flow).arg("--state").arg(self.out.join("state"));
        command
    }

    /// The flow streams what is committed after its slot was made.
    fn wait_for_slot(&self, flow: &mut Running) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let active = format!("select count(*) from pg_replication_slots where slot_name = '{SLOT}' and active");
        while self.postgres.query(DATABASE, &active)? != "1" {
            if let Some(status) = flow.0.try_wait()? {
                bail!("ductstream ended before it streamed: {status}");
            }
            if Instant::now() > deadline {
                bail!("ductstream did not start to stream within {START_TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn be_busy(&self, seconds: u32) -> Result<()> {
        let mut pgbench = self.postgres.client("pgbench");
        pgbench.args(["--no-vacuum", "--client=4", "--rate=250", "--time", &seconds.to_string(), "--file"]);
        pgbench.arg(self.out.join("workload.sql")).arg(self.postgres.url(DATABASE));
        capture(&mut pgbench).map(drop)
    }

    fn compare(&self) -> Result<bool> {
        match &self.place {
            Place::Lake(lake) => {
                say("reading the Parquet files back with DuckDB, and comparing with the source");
                agreement::compare_files(&self.postgres, DATABASE, lake)
            }
            Place::Topics(topics) => {
                say("reading the topics with Confluent's Python client, and comparing with the source");
                agreement::compare_topics(&self.postgres, DATABASE, topics, &self.out)
            }
        }
    }

    fn keep(&self) -> ! {
        let (ductstream, url) = (self.ductstream.display(), self.postgres.url(DATABASE));
        let (flow, state, psql) = (self.flow.display(), self.out.join("state"), self.postgres.client("psql"));
        say("the servers run until Ctrl-C; in other terminals, for example:");
        println!("    {} '{url}'", psql.get_program().display());
        println!("    {ductstream} tail '{url}'");
        println!("    {ductstream} run {flow} --state {}", state.display());
        if let Place::Topics(topics) = &self.place {
            println!("    {}", show(&topics.console_consumer("public.orders")));
        }
        loop {
            std::thread::park();
        }
    }
}

fn topics() -> Result<Topics> {
    say("starting a throwaway Kafka broker");
    let topics = Topics::open()?;
    println!("    Kafka at {}", topics.address());
    Ok(topics)
}

impl Place {
    /// The flow file from `format` on.
    fn document(&self) -> String {
        match self {
            Self::Topics(topics) => topics.document(),
            Self::Lake(lake) => format!(
                "\
format: parquet
envelope: flat
destinations:
  - name: lake
    type: file
    path: {}
    roll: {{bytes: 128MiB, age: 2s}}
",
                lake.display()
            ),
        }
    }
}

/// A child that does not outlive a failure.
struct Running(Child);

impl Running {
    /// Asks it to stop and waits until it has, successfully.
    fn terminate(&mut self) -> Result<()> {
        capture(Command::new("sh").args(["-c", &format!("kill -TERM {}", self.0.id())]))?;
        let status = self.0.wait()?;
        if !status.success() {
            bail!("ductstream run ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails when the child has ended, which is what is wanted.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// Removes what an earlier quickstart left, and nothing else.
fn clear(out: &Path, flow: &Path) -> Result<()> {
    match (out.exists(), flow.exists()) {
        (false, _) => Ok(()),
        (true, true) => fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display())),
        (true, false) => bail!("{} exists and is not of an earlier quickstart: move it away", out.display()),
    }
}
