//! `ductstream completions` and `ductstream flow-schema`: what shells and editors need.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use ductstream_core::Result;

use super::exit::Exit;
use super::{Cli, output};
use crate::flow;

const EXAMPLES: &str = "\
Examples:
  ductstream completions bash > ~/.local/share/bash-completion/completions/ductstream
  ductstream completions zsh > ~/.zfunc/_ductstream
  ductstream completions fish > ~/.config/fish/completions/ductstream.fish";

/// Print a shell's completion script
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ductstream", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints the flow file's JSON Schema, as it is published under `schemas/`.
pub(crate) fn flow_schema() -> Result<Exit> {
    output::json(&flow::json_schema())?;
    Ok(Exit::Done)
}
