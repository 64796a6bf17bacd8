//! Set-up, quickstart, tests and benchmarks: `cargo xtask --help`.
//!
//! Light on purpose, so that it builds in seconds: it fetches and drives programs, and links none of the product.

#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

mod servers;
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
    /// Fetch the PostgreSQL servers and Python packages that the tests need, into target/
    Servers(servers::Servers),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Servers(servers) => servers.run(),
    }
}
