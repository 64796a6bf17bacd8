//! `ductstream run`: everything in one process.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ductstream_core::{Error, Lsn, Result};
use ductstream_runner::{Runner, Until};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::screen::Screen;
use super::status::{Display, Progress};
use super::{Global, output, signals};
use crate::components::FlowComponents;
use crate::flow::{DestinationKind, Flow};

const EXAMPLES: &str = "\
Examples:
  ductstream run shop.yaml                     stream until Ctrl-C
  ductstream run shop.yaml --until-idle        stream what has been committed by now, then end
  ductstream run shop.yaml --until-lsn 0/16B3748
  ductstream run shop.yaml --json | jq .rows   status events for programs

The first SIGINT or SIGTERM drains what was read, stores the checkpoint and exits with 0; a second one leaves at once, and
loses nothing: what was not stored is read again.";

/// Stream a flow's changes to its destinations
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The flow file; `-` reads standard input
    flow: PathBuf,
    /// End when everything committed before the start is durable
    #[arg(long, conflicts_with = "until_lsn")]
    until_idle: bool,
    /// End when everything committed before this WAL address is durable
    #[arg(long, value_name = "LSN")]
    until_lsn: Option<Lsn>,
    /// Print status events as lines of JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RunArgs, global: &Global, screen: &Screen) -> Result<Exit> {
    let flow = Flow::load(&args.flow)?;
    let prints = flow.destinations.iter().any(|destination| matches!(destination.kind, DestinationKind::Stdout(_)));
    if args.json && prints {
        return Err(Error::configuration("--json and the destination `stdout` would both print on standard output")
            .with_remedy("leave out --json, or choose another destination"));
    }
    let display = match args.json {
        true => Display::Json,
        false if screen.is_terminal() && !prints => Display::Live(screen.clone()),
        false => Display::Log,
    };
    screen.start_log(global, matches!(display, Display::Live(_)));
    let store = global.open_store(&flow).await?;
    let outboxes = global.outbox_directory(&flow)?;
    let stop = signals::stop_on_signal(screen, "stopping: draining what was read; once more to leave at once")?;
    let closed = CancellationToken::new();
    let name = flow.name.to_string();
    let only_destination = flow.destinations.len() == 1;
    let components = FlowComponents::new(flow, closed.clone())?
        .spilling_in(global.spill_directory())
        .keeping_dead_letters_in(global.dead_letter_directory());
    let runner = Runner::new(components.runner_settings(outboxes), Arc::new(components), store);
    let progress = Progress::new(name.clone(), display);
    let shown = tokio::spawn(progress.follow(runner.status()));
    let result = runner.run(args.until(), stop).await;
    // The runner has dropped its end of the status, so this ends too, with the last status shown.
    let _ = shown.await;
    screen.leave();
    match result {
        Ok(summary) if args.json => {
            let rows = summary.status.rows;
            output::json_line(&json!({"event": "finished", "flow": name, "position": summary.position, "rows": rows}))?;
            Ok(Exit::Done)
        }
        Ok(summary) => {
            tracing::info!(flow = name, position = %summary.position, rows = summary.status.rows, "finished");
            Ok(Exit::Done)
        }
        // The reader of standard output has seen enough. Where there are other destinations, that is a failure like any other.
        Err(_) if closed.is_cancelled() && only_destination => Ok(Exit::Done),
        Err(error) if args.json => {
            let kind = error.kind().as_str();
            output::json_line(&json!({"event": "failed", "flow": name, "kind": kind, "error": error.report()}))?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

impl RunArgs {
    fn until(&self) -> Until {
        match self.until_lsn {
            Some(lsn) => Until::Lsn(lsn),
            None if self.until_idle => Until::Idle,
            None => Until::Stopped,
        }
    }
}
