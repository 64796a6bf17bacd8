//! `cargo xtask test`: whatever the tests need, then all of them, then the quickstarts and a short run of `cargo xtask chaos`.

use anyhow::Result;

use crate::chaos::Chaos;
use crate::quickstart::Quickstart;
use crate::servers::Servers;
use crate::versions::POSTGRES;
use crate::workspace::{cargo, run, say};

/// Fetches what the tests need and runs them all, doctests, the quickstarts and a short `chaos` included
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    servers: Servers,
    /// What `cargo test` gets: a filter, `--package NAME`, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        self.servers.run()?;
        let mut test = cargo();
        test.arg("test").args(self.selection());
        test.args(&self.arguments);
        if self.servers.all_postgres {
            let majors: Vec<String> = POSTGRES.iter().map(|version| version.major.to_string()).collect();
            test.env("DUCTSTREAM_TEST_POSTGRES", majors.join(","));
        }
        say("cargo test");
        run(&mut test)?;
        // Whoever asks for some of the tests asks for those alone.
        if self.arguments.is_empty() {
            Quickstart::ci()?;
            Chaos::ci().iter().try_for_each(Chaos::run)?;
        }
        Ok(())
    }

    /// The whole workspace, unless the arguments choose packages; with failpoints, which only crash tests have.
    fn selection(&self) -> &'static [&'static str] {
        let chosen = self.arguments.iter().any(|it| it == "-p" || it.starts_with("--package"));
        if chosen { &[] } else { &["--workspace", "--features", "ductstream/failpoints"] }
    }
}
