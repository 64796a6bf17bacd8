//! The command line: a file per command, and what they share.
//!
//! Messages go to standard error; data and `--json` go to standard output.

mod change;
mod check;
mod cleanup;
mod completions;
mod connectors;
mod dead_letter;
mod decode;
mod exit;
mod init;
mod outboxes;
mod output;
mod run;
mod schema;
mod screen;
mod signals;
mod slot;
mod state;
mod status;
mod tail;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ductstream_core::Error;

use exit::Exit;
use screen::Screen;

const EXAMPLES: &str = "\
Examples:
  ductstream tail postgresql://localhost/shop                  look at live changes
  ductstream init postgresql://localhost/shop -o shop.yaml     write a flow file for a database
  ductstream check shop.yaml                                   find out what would go wrong
  ductstream run shop.yaml                                     stream until stopped
  ductstream run shop.yaml --until-idle                        stream what there is, then end

Exit codes: 0 done, 1 the flow failed, 2 wrong usage or settings, 3 `check` found something that would fail.";

/// Streams changes out of PostgreSQL, into files and object stores.
#[derive(Parser)]
#[command(name = "ductstream", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args)]
struct Global {
    /// Directory for checkpoints [default: the XDG state directory, ~/.local/state/ductstream]
    #[arg(long, global = true, value_name = "DIR", env = "DUCTSTREAM_STATE")]
    state: Option<PathBuf>,
    /// Say more: once for what happens, twice for details. RUST_LOG sets it in full
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How messages are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON document per line
    Json,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Init(init::InitArgs),
    Schema(schema::SchemaArgs),
    Tail(tail::TailArgs),
    Decode(decode::DecodeArgs),
    DeadLetter(dead_letter::DeadLetterArgs),
    Slot(slot::SlotArgs),
    Cleanup(cleanup::CleanupArgs),
    Connectors(connectors::ConnectorsArgs),
    Completions(completions::CompletionsArgs),
    /// Print the JSON Schema of flow files
    #[command(hide = true)]
    FlowSchema,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs the command in `arguments`, the first of which is the program's name.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    // More than one dependency brings a provider; without a choice, the first TLS connection would fail.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let screen = Screen::new();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::bug("cannot start the asynchronous runtime").with_source(error))
        .and_then(|runtime| {
            let result = runtime.block_on(cli.execute(&screen));
            // A read of standard input or a lookup of a name may hang in a thread; nothing waits for it.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            screen.error(&error);
            Exit::of(&error).into()
        }
    }
}

impl Cli {
    async fn execute(self, screen: &Screen) -> ductstream_core::Result<Exit> {
        let global = &self.global;
        match self.command {
            Command::Run(args) => run::run(args, global, screen).await,
            Command::Check(args) => check::run(args, global).await,
            Command::Init(args) => init::run(args, screen).await,
            Command::Schema(args) => schema::run(args).await,
            Command::Tail(args) => tail::run(args, global, screen).await,
            Command::DeadLetter(args) => dead_letter::run(args, global, screen).await,
            Command::Decode(args) => decode::run(args, global, screen).await,
            Command::Slot(args) => slot::run(args, screen).await,
            Command::Cleanup(args) => cleanup::run(args, global, screen).await,
            Command::Connectors(args) => connectors::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::FlowSchema => completions::flow_schema(),
        }
    }
}
