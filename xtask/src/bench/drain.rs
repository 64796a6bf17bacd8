//! How fast a backlog leaves the server, and what that takes.
//!
//! Every round measures `pg_recvlogical` and each of the clients once, over each transport.

use anyhow::Result;

use super::client::{Client, Reader, Transport};
use super::goals;
use super::measure::Cost;
use super::plan::Plan;
use super::source::{Mark, Source};
use super::workload::{INSERTS, OTHERS, Workload};
use crate::report::{Figure, Unit};
use crate::workspace::say;

const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Unix];

/// A million rows of seven columns, to nothing and to files.
pub(super) fn inserts(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    let clients = [Client::PgRecvlogicalBinary, Client::Null, Client::Parquet, Client::Json];
    drain(plan, &INSERTS, &clients, figures)
}

/// The other shapes of changes, to files.
pub(super) fn others(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    OTHERS.iter().try_for_each(|workload| drain(plan, workload, &[Client::Parquet, Client::Json], figures))
}

/// What one client took in every round, and what the peer took beside it.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) client: Client,
    transport: Transport,
    costs: Vec<(Cost, Cost)>,
}

fn drain(plan: &Plan, workload: &Workload, clients: &[Client], figures: &mut Vec<Figure>) -> Result<()> {
    let mut series = wanted(plan, workload, clients);
    if series.is_empty() {
        return Ok(());
    }
    let rows = (plan.sizes.rows / workload.fewer).max(1);
    let (source, mark) = Source::with_backlog(&plan.ductstream, workload, rows)?;
    for round in 1..=plan.sizes.rounds {
        say(format!("{}: round {round} of {}", workload.name, plan.sizes.rounds));
        for transport in TRANSPORTS {
            drain_once(&source, &mark, series.iter_mut().filter(|it| it.transport == transport))?;
        }
    }
    figures.extend(series.iter().flat_map(|series| series.figures(workload.name, rows)));
    Ok(())
}

fn wanted(plan: &Plan, workload: &Workload, clients: &[Client]) -> Vec<Series> {
    let all = TRANSPORTS.iter().flat_map(|transport| clients.iter().map(|client| (*transport, *client)));
    let all = all.map(|(transport, client)| Series::new(workload.name, client, transport));
    all.filter(|series| plan.wants(&series.name)).collect()
}

/// One round over one transport: the peer first, then whatever is compared with it.
fn drain_once<'a>(source: &Source, mark: &Mark, series: impl Iterator<Item = &'a mut Series>) -> Result<()> {
    let mut peer = None;
    for series in series {
        let peer = match peer {
            Some(peer) => peer,
            None => *peer.insert(Reader::new(source, Client::PgRecvlogical, series.transport).drain(mark)?),
        };
        let own = Reader::new(source, series.client, series.transport).drain(mark)?;
        series.push(own, peer);
    }
    Ok(())
}

impl Series {
    pub(super) fn new(workload: &str, client: Client, transport: Transport) -> Self {
        Self { name: format!("{workload}/{transport}/{client}"), client, transport, costs: Vec::new() }
    }

    /// Adds a round, and says how it went.
    pub(super) fn push(&mut self, own: Cost, peer: Cost) {
        let (seconds, beside) = (own.wall.as_secs_f64(), peer.wall.as_secs_f64());
        println!("    {:<40} {seconds:>7.2} s, pg_recvlogical {beside:>7.2} s", self.name);
        self.costs.push((own, peer));
    }

    /// Speed, processor time and memory, each beside the peer's.
    pub(super) fn figures(&self, workload: &str, rows: u64) -> [Figure; 3] {
        let rows = rows as f64;
        let speed = |cost: &Cost| rows / cost.wall.as_secs_f64();
        let cpu = |cost: &Cost| cost.cpu.as_secs_f64() / rows * 1e6;
        let name = |what: &str| format!("{} {what}", self.name);
        let speed = self.beside(Figure::higher, name("speed"), Unit::RowsPerSecond, &speed);
        let cpu = self.beside(Figure::lower, name("cpu"), Unit::SecondsPerMillionRows, &cpu);
        let memory = self.beside(Figure::lower, name("memory"), Unit::Megabytes, &megabytes);
        [
            speed.goal(goals::speed(workload, self.transport, self.client)),
            cpu.goal(goals::cpu(workload, self.client)),
            memory.goal(goals::memory(self.client)),
        ]
    }

    fn beside(
        &self,
        figure: fn(String, Unit, Vec<f64>) -> Figure,
        name: String,
        unit: Unit,
        of: &dyn Fn(&Cost) -> f64,
    ) -> Figure {
        let rounds = |which: fn(&(Cost, Cost)) -> &Cost| self.costs.iter().map(|pair| of(which(pair))).collect();
        figure(name, unit, rounds(|pair| &pair.0)).beside(rounds(|pair| &pair.1))
    }
}

/// The largest resident set of a run.
pub(super) fn megabytes(cost: &Cost) -> f64 {
    cost.peak_rss_bytes as f64 / 1e6
}
