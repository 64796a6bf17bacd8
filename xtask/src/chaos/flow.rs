//! `ductstream run`, as a process that is done harm to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::plan::{Place, Shape};
use super::store::Store;
use crate::workspace::capture;

/// How often a condition is looked at.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(3);
/// Longer than anything takes that goes on at all, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Below the server's start to clean-up is a matter of milliseconds, and PostgreSQL's patience is two seconds.
const FIRST_RETRY: &str = "50ms";

/// A flow file, its state, and the process while there is one.
#[derive(Debug)]
pub(super) struct Flow {
    ductstream: PathBuf,
    directory: PathBuf,
    process: Option<Child>,
    /// How often it was started.
    pub(super) starts: u64,
}

impl Flow {
    /// Writes the flow file.
    pub(super) fn new(ductstream: &Path, directory: &Path, document: &str) -> Result<Self> {
        fs::write(directory.join("flow.yaml"), document)?;
        let (ductstream, directory) = (ductstream.to_path_buf(), directory.to_path_buf());
        Ok(Self { ductstream, directory, process: None, starts: 0 })
    }

    /// Starts it, to run until it is stopped or killed.
    pub(super) fn start(&mut self) -> Result<()> {
        self.process = Some(self.command()?.spawn().context("starting ductstream")?);
        self.starts += 1;
        Ok(())
    }

    pub(super) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Runs it until everything that is committed is durable.
    pub(super) fn drain(&mut self) -> Result<()> {
        self.process = Some(self.command()?.arg("--until-idle").spawn().context("starting ductstream")?);
        self.starts += 1;
        self.ends_well("run --until-idle")
    }

    /// Kills it with SIGKILL, whatever it is doing.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Asks it to stop; it has to end with success.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        self.ends_well("SIGTERM")
    }

    /// Sends a signal, named without `SIG`.
    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        capture(Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())])).map(drop)
    }

    /// Fails when it has ended: nothing that happens here is a reason to.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        match self.status()? {
            Some(status) => bail!("ductstream run ended by itself: {status}"),
            None => Ok(()),
        }
    }

    /// Waits until `condition` holds while the process runs; false after `patience`.
    pub(super) fn wait_until(&mut self, patience: Duration, condition: impl Fn() -> bool) -> Result<bool> {
        let deadline = Instant::now() + patience;
        while !condition() {
            if self.process.is_some() {
                self.still_runs()?;
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), |process| Ok(process.try_wait()?))
    }

    fn ends_well(&mut self, why: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.status()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("ductstream does not end within {PATIENCE:?} after {why}"),
                None => std::thread::sleep(POLL_INTERVAL),
            }
        };
        self.process = None;
        if status.success() { Ok(()) } else { bail!("ductstream ended with {status} after {why}") }
    }

    fn command(&self) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.directory.join("log"))?;
        let mut command = Command::new(&self.ductstream);
        command.arg("run").arg(self.directory.join("flow.yaml")).arg("--state").arg(self.directory.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // It fails when the process has ended, which is what is wanted.
        drop(self.kill());
    }
}

/// The flow file. The source is behind the proxy, the checkpoints are not: losing them is the server's business.
pub(super) fn document(shape: &Shape, proxy: &str, server: &str, store: &Store) -> String {
    let Shape { format, envelope, place, batch_kib, binary, large, .. } = shape;
    // Small objects: a debug build of the S3 server takes its time over the checksums of large ones.
    let roll = match place {
        Place::Topics(_) => String::new(),
        Place::Lake { roll_age, roll_rows, .. } => {
            let rows = roll_rows.map(|rows| format!(", rows: {rows}")).unwrap_or_default();
            format!("    roll: {{bytes: 512KiB, age: {}ms{rows}}}\n", roll_age.as_millis())
        }
    };
    let checkpoint =
        if shape.checkpoint_in_postgres { format!("checkpoint: {{url: \"{server}\"}}\n") } else { String::new() };
    format!(
        "\
name: chaos
source:
  type: postgres
  url: {proxy}
  tables: [accounts, documents, pages, scratch, events, journal]
  batch_size: {batch_kib}KiB
  binary: {binary}
  {large}
  heartbeat: 200ms
format: {format}
envelope: {envelope}
retry: {{initial: {FIRST_RETRY}, max: 500ms}}
{checkpoint}destinations:
  - name: there
{roll}{}",
        store.settings(),
    )
}
