//! Set-up, quickstart, tests, chaos and benchmarks: `cargo xtask --help`.
//!
//! Light on purpose, so that it builds in seconds: it fetches and drives programs, and links none of the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod bench;
mod chaos;
mod maven;
mod postgres;
mod product;
mod quickstart;
mod report;
mod servers;
mod test;
mod versions;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Set-up, quickstart, tests, chaos and benchmarks of DuctStream")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Servers(servers::Servers),
    Test(test::Test),
    Quickstart(quickstart::Quickstart),
    Bench(bench::Bench),
    Chaos(chaos::Chaos),
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Servers(servers) => servers.run(),
            Self::Test(test) => test.run(),
            Self::Quickstart(quickstart) => quickstart.run(),
            Self::Bench(bench) => bench.run(),
            Self::Chaos(chaos) => chaos.run(),
        }
    }
}
