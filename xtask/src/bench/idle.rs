//! What a flow takes while nothing happens: memory, and processor time as Linux accounts it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::{Client, Reader, Transport};
use super::goals;
use super::measure::Running;
use super::plan::Plan;
use super::source::Source;
use crate::report::{Figure, Unit};
use crate::workspace::{capture, say};

/// Starting is over after this time.
const SETTLING: Duration = Duration::from_secs(2);

/// An idle client.
#[derive(Debug)]
struct Idle {
    percent_of_a_core: f64,
    rss_mb: f64,
}

/// A flow with Parquet files as its destination, and heartbeats as they are by default.
pub(super) fn measure(plan: &Plan, figures: &mut Vec<Figure>) -> Result<()> {
    if !plan.wants("idle/tcp/parquet") {
        return Ok(());
    }
    let source = Source::open(&plan.ductstream, include_str!("sql/orders.sql"), None)?;
    let seconds = plan.sizes.idle_seconds;
    say(format!("idle: {seconds} seconds each"));
    let peer = idle(&Reader::new(&source, Client::PgRecvlogical, Transport::Tcp), seconds)?;
    let own = idle(&Reader::new(&source, Client::Parquet, Transport::Tcp), seconds)?;
    let figure = |name: &str, unit, of: fn(&Idle) -> f64| {
        Figure::lower(format!("idle/{name}"), unit, vec![of(&own)]).beside(vec![of(&peer)])
    };
    figures.push(figure("memory", Unit::Megabytes, |it| it.rss_mb).goal(goals::idle_memory()));
    figures.push(figure("cpu", Unit::PercentOfACore, |it| it.percent_of_a_core).goal(goals::idle_cpu()));
    Ok(())
}

fn idle(reader: &Reader<'_>, seconds: u64) -> Result<Idle> {
    let source = reader.source;
    source.start_at_the_end()?;
    let mut running = Running::start(&mut reader.command(None)?)?;
    source.wait_until_read(&mut running)?;
    std::thread::sleep(SETTLING);
    let (before, started) = (cpu_seconds(running.id())?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu_seconds(running.id())? - before;
    let percent_of_a_core = used / started.elapsed().as_secs_f64() * 100.0;
    let rss_mb = rss_mb(running.id())?;
    running.check()?;
    running.stop()?;
    Ok(Idle { percent_of_a_core, rss_mb })
}

/// What all threads of a process have used so far.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("only Linux tells what a process uses")?;
    // The program's name may hold anything; after it, utime and stime are the twelfth and thirteenth.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.map(str::parse::<f64>).sum::<Result<_, _>>()?;
    let ticks_per_second: f64 = capture(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
    Ok(ticks / ticks_per_second)
}

fn rss_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc has no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
