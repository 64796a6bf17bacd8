//! `cargo xtask bench`: measurements beside PostgreSQL's own tools, on the same machine in the same run.

mod drain;
mod measure;

use anyhow::Result;

/// Measures the release build beside PostgreSQL's own tools
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Drain(drain::Drain),
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        match &self.what {
            What::Drain(drain) => drain.run(),
        }
    }
}
