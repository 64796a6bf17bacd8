//! One episode: a flow that is done harm to while its source changes, then drained and compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::flow::{Flow, PATIENCE, document};
use super::ledger::Ledger;
use super::plan::{Cycle, Episode, Fault, Moment, Then};
use super::proxy::Proxy;
use super::source::{Comparison, Source, Workload};
use super::store::Store;

/// A source may be too quiet for what a cycle waits for.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(3);
/// Between two cuts of the connection: some fall into an attempt to connect, some into the stream.
const BETWEEN_CUTS: Duration = Duration::from_millis(70);

/// The programs that an episode runs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ductstream: PathBuf,
    pub(super) s3_server: PathBuf,
    pub(super) postgres: u16,
}

/// What came of an episode.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Outcome {
    pub(super) number: u64,
    pub(super) flow: String,
    pub(super) cycles: Vec<Recovery>,
    pub(super) starts: u64,
    /// What the workload did.
    pub(super) workload: String,
    pub(super) comparison: Comparison,
    pub(super) seconds: f64,
    /// Why it failed, and where what it left is.
    pub(super) failure: Option<String>,
}

/// How a cycle went.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Recovery {
    pub(super) kind: String,
    pub(super) seconds: f64,
    /// From the end of the fault to the next cut or message; of a cycle that ends with a kill, there is none.
    pub(super) recovery_ms: Option<f64>,
}

/// Plays an episode in `directory`, which it removes when nothing went wrong.
pub(super) fn run(plan: &Episode, programs: &Programs, directory: &Path) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome { number: plan.number, flow: plan.shape.to_string(), ..Outcome::default() };
    let played = Stage::set(plan, programs, directory).and_then(|mut stage| {
        let played = stage.play(plan, &mut outcome);
        outcome.starts = stage.flow.starts;
        if played.is_err() {
            fs::write(directory.join("postgres.log"), stage.source.log())?;
            if let Store::Topics(topics) = &stage.store {
                fs::write(directory.join("kafka.log"), topics.log())?;
            }
        }
        played
    });
    let removed = || fs::remove_dir_all(directory).with_context(|| directory.display().to_string());
    outcome.failure = match played.and_then(|()| removed()) {
        Ok(()) => None,
        Err(error) => Some(format!("{error:#}\nevidence is in {}", directory.display())),
    };
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome
}

/// Everything that takes part.
struct Stage {
    // Ends before what it talks to.
    flow: Flow,
    workload: Option<Workload>,
    proxy: Proxy,
    store: Store,
    source: Source,
    /// Of files, which nothing may change once they are committed.
    ledger: Option<Ledger>,
    seed: u64,
    directory: PathBuf,
    checkpoint_in_postgres: bool,
}

impl Stage {
    fn set(plan: &Episode, programs: &Programs, directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)?;
        let source = Source::start(programs.postgres)?;
        let proxy = Proxy::start(source.port())?;
        let store = Store::start(&plan.shape.place, &programs.s3_server, directory)?;
        let document = document(&plan.shape, &source.url(proxy.port()), &source.url(source.port()), &store);
        Ok(Self {
            flow: Flow::new(&programs.ductstream, directory, &document)?,
            workload: None,
            ledger: store.lake().map(Ledger::new),
            proxy,
            store,
            source,
            seed: plan.seed,
            directory: directory.to_path_buf(),
            checkpoint_in_postgres: plan.shape.checkpoint_in_postgres,
        })
    }

    fn play(&mut self, plan: &Episode, outcome: &mut Outcome) -> Result<()> {
        self.flow.drain().context("before the first change")?;
        self.workload = Some(Workload::start(&self.source.url(self.source.port()), plan.seed)?);
        for cycle in &plan.cycles {
            let started = Instant::now();
            let recovery = self.cycle(cycle).with_context(|| format!("cycle {}: {cycle}", cycle.number))?;
            if let Some(ledger) = &mut self.ledger {
                ledger.read().with_context(|| format!("after cycle {}: {cycle}", cycle.number))?;
            }
            outcome.cycles.push(Recovery {
                kind: cycle.fault.kind().to_owned(),
                seconds: started.elapsed().as_secs_f64(),
                recovery_ms: recovery.map(|time| time.as_secs_f64() * 1e3),
            });
        }
        if self.flow.is_started() {
            self.flow.stop().context("at the end")?;
        }
        if let Some(workload) = self.workload.take() {
            outcome.workload = workload.stop()?;
        }
        self.flow.drain().context("draining")?;
        if let Some(ledger) = &mut self.ledger {
            ledger.read()?;
            ledger.verify()?;
        }
        outcome.comparison = self.source.compare(&self.store, &self.directory)?;
        let Comparison { different, changes, differences, .. } = &outcome.comparison;
        ensure!(*different == 0, "{different} differences, the first:\n    {}", differences.join("\n    "));
        ensure!(*changes > 0, "the workload changed nothing");
        Ok(())
    }

    /// Plays a cycle, and returns how long the flow took to go on after the fault.
    fn cycle(&mut self, cycle: &Cycle) -> Result<Option<Duration>> {
        if !self.flow.is_started() {
            self.flow.start()?;
        }
        self.wait_for(cycle.moment)?;
        if cycle.fault == Fault::Kill {
            self.flow.kill()?;
            return Ok(None);
        }
        self.inflict(cycle)?;
        let recovery = self.recover()?;
        match cycle.then {
            Then::GoOn => {}
            Then::Kill => self.flow.kill()?,
            Then::Stop => self.flow.stop()?,
        }
        Ok(Some(recovery))
    }

    fn wait_for(&mut self, moment: Moment) -> Result<()> {
        match moment {
            Moment::Time(time) => self.flow.wait_until(time, || false)?,
            Moment::Files(count) | Moment::Kibibytes(count) => {
                let before = self.store.arrived();
                self.flow.wait_until(ARRIVAL_PATIENCE, || self.store.arrived() >= before + count)?
            }
        };
        Ok(())
    }

    fn inflict(&mut self, cycle: &Cycle) -> Result<()> {
        let lasts = self.begin(cycle)?;
        self.pass(lasts / 2)?;
        if cycle.killed_in_it {
            self.flow.kill()?;
            // Where its checkpoints are away as well, only a supervisor's restart helps, and that is what comes below.
            if !(self.checkpoint_in_postgres && matches!(cycle.fault, Fault::ServerKill { .. })) {
                self.flow.start()?;
            }
        }
        self.pass(lasts / 2)?;
        self.end(cycle.fault)?;
        if !self.flow.is_started() {
            self.flow.start()?;
        }
        Ok(())
    }

    /// Begins a fault and says how long it is to last.
    fn begin(&mut self, cycle: &Cycle) -> Result<Duration> {
        Ok(match cycle.fault {
            Fault::Kill => bail!("a kill is over at once"),
            Fault::ServerKill { down } => {
                self.source.kill()?;
                down
            }
            Fault::Cut { times } => {
                for _ in 1..times {
                    self.proxy.cut();
                    self.pass(BETWEEN_CUTS)?;
                }
                self.proxy.cut();
                BETWEEN_CUTS
            }
            Fault::Refuse { lasts } => {
                self.proxy.refuse(true);
                lasts
            }
            Fault::Stall { lasts } => {
                self.proxy.stall(true);
                lasts
            }
            Fault::Freeze { lasts } => {
                self.flow.signal("STOP")?;
                lasts
            }
            Fault::Store { once_in, lasts } => {
                self.store.misbehave(self.seed ^ cycle.number, once_in)?;
                lasts
            }
            Fault::BrokerKill { down } => {
                self.store.topics()?.kill()?;
                down
            }
            Fault::BrokerFreeze { lasts } => {
                self.store.topics()?.signal("STOP")?;
                lasts
            }
        })
    }

    fn end(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Kill | Fault::Cut { .. } => Ok(()),
            Fault::ServerKill { .. } => self.source.restart(),
            Fault::Refuse { .. } => {
                self.proxy.refuse(false);
                Ok(())
            }
            Fault::Stall { .. } => {
                self.proxy.stall(false);
                Ok(())
            }
            Fault::Freeze { .. } => self.flow.signal("CONT"),
            Fault::Store { .. } => self.store.behave(),
            Fault::BrokerKill { .. } => self.store.topics()?.restart(),
            Fault::BrokerFreeze { .. } => self.store.topics()?.signal("CONT"),
        }
    }

    /// Lets time pass, in which the process must not end.
    fn pass(&mut self, time: Duration) -> Result<()> {
        self.flow.wait_until(time, || false).map(drop)
    }

    /// The workload goes on all the time, so a flow that goes on delivers soon.
    fn recover(&mut self) -> Result<Duration> {
        let (started, before) = (Instant::now(), self.store.progress());
        if !self.flow.wait_until(PATIENCE, || self.store.progress() > before)? {
            bail!("nothing was delivered within {PATIENCE:?} after the fault: the flow does not go on");
        }
        Ok(started.elapsed())
    }
}
