//! Set-up, quickstart, tests and benchmarks: `cargo xtask --help`.
//!
//! Light on purpose, so that it builds in seconds: it fetches and drives programs, and links none of the product.

#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

mod bench;
mod postgres;
mod product;
mod quickstart;
mod servers;
mod test;
mod versions;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Set-up, quickstart, tests and benchmarks of DuctStream")]
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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Servers(servers) => servers.run(),
        Command::Test(test) => test.run(),
        Command::Quickstart(quickstart) => quickstart.run(),
        Command::Bench(bench) => bench.run(),
    }
}
