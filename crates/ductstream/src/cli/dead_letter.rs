//! `ductstream dead-letter`: records that could not be delivered, and delivering them after all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ductstream_core::{Error, Result};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::screen::Screen;
use super::{Global, output};
use crate::components::FlowComponents;
use crate::dead_letter::replay::{Outcome, replay};
use crate::dead_letter::{DeadLetter, Kept, Letters};
use crate::flow::Flow;

const EXAMPLES: &str = "\
Examples:
  ductstream dead-letter list shop.yaml                         what waits
  ductstream dead-letter show shop.yaml 00000000019694a0-0000000000000003
  ductstream dead-letter show shop.yaml ID --original | ductstream decode -
  ductstream dead-letter replay shop.yaml                       deliver all that wait, with today's settings
  ductstream dead-letter replay shop.yaml ID --destination bus

With `on_error: dead_letter`, a record that a destination cannot deliver is kept apart with its error, and the flow goes on.
`replay` delivers it behind everything that was delivered meanwhile: where later changes of the same key are there already, its
position (`_commit_lsn`, `_seq`) says which is the newer one. What was replayed is marked, and not delivered again.";

/// Show the records that could not be delivered, and deliver them later
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeadLetterArgs {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

#[derive(Subcommand)]
enum DeadLetterCommand {
    /// List what waits
    List {
        /// The flow file; `-` reads standard input
        flow: PathBuf,
        /// What was replayed, too
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one with its record and its error, as JSON
    Show {
        /// The flow file; `-` reads standard input
        flow: PathBuf,
        /// The letter, as `list` names it
        id: String,
        /// The destination that refused it, where several did
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
        /// Print the record as it came from the source instead: an Arrow IPC stream, for `ductstream decode`
        #[arg(long)]
        original: bool,
    },
    /// Deliver them to the destination that refused them
    Replay {
        /// The flow file; `-` reads standard input
        flow: PathBuf,
        /// The letters, as `list` names them; all that wait by default
        ids: Vec<String>,
        /// Only those that this destination refused
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
    },
}

pub(crate) async fn run(args: DeadLetterArgs, global: &Global, screen: &Screen) -> Result<Exit> {
    screen.start_log(global, true);
    match args.command {
        DeadLetterCommand::List { flow, all, json } => list(&Flow::load(&flow)?, global, all, json).await,
        DeadLetterCommand::Show { flow, id, destination, original } => {
            let (flow, wanted) = (Flow::load(&flow)?, Wanted { ids: vec![id], destination });
            let Some(letters) = open(&flow, global)? else { return Err(wanted.missing()) };
            let mut found = wanted.choose(letters.all().await?)?;
            match (found.pop(), found.is_empty()) {
                (Some(kept), true) => show(&kept, original),
                _ => Err(Error::configuration("several destinations refused this record")
                    .with_remedy("say which is meant with --destination")),
            }
        }
        DeadLetterCommand::Replay { flow, ids, destination } => {
            replay_chosen(Flow::load(&flow)?, global, screen, Wanted { ids, destination }).await
        }
    }
}

fn open(flow: &Flow, global: &Global) -> Result<Option<Letters>> {
    Letters::existing(flow, &global.dead_letter_directory())
}

async fn list(flow: &Flow, global: &Global, all: bool, json: bool) -> Result<Exit> {
    let kept = match open(flow, global)? {
        Some(letters) => letters.all().await?,
        None => Vec::new(),
    };
    let shown: Vec<&Kept> = kept.iter().filter(|kept| all || kept.replayed_at.is_none()).collect();
    if json {
        output::json(&shown.iter().map(|kept| summary(kept)).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let head = ["ID", "REFUSED", "DESTINATION", "TABLE", "OP", "POSITION", "REPLAYED", "ERROR"].map(str::to_owned);
    let rows = shown.iter().map(|Kept { letter, replayed_at }| {
        [
            letter.id.clone(),
            letter.refused_at.clone(),
            letter.destination.clone(),
            letter.table.to_string(),
            letter.op.as_str().to_owned(),
            letter.position.to_string(),
            replayed_at.clone().unwrap_or_else(|| "no".to_owned()),
            letter.error.message.clone(),
        ]
    });
    output::print(&output::columns(std::iter::once(head).chain(rows).collect()))?;
    Ok(Exit::Done)
}

fn summary(Kept { letter, replayed_at }: &Kept) -> Value {
    json!({
        "id": letter.id,
        "flow": letter.flow,
        "destination": letter.destination,
        "refused_at": letter.refused_at,
        "table": letter.table.to_string(),
        "op": letter.op,
        "position": letter.position,
        "schema_version": letter.schema_version,
        "error": letter.error,
        "replayed_at": replayed_at,
    })
}

fn show(kept: &Kept, original: bool) -> Result<Exit> {
    if original {
        output::print_while_read(&kept.letter.bytes()?)?;
        return Ok(Exit::Done);
    }
    // The record as it was written: numbers keep their digits.
    #[derive(serde::Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        summary: serde_json::Map<String, Value>,
        record: &'a serde_json::value::RawValue,
    }
    let summary = summary(kept).as_object().cloned().unwrap_or_default();
    output::json(&Whole { summary, record: &kept.letter.record })?;
    Ok(Exit::Done)
}

/// Which letters are meant.
struct Wanted {
    ids: Vec<String>,
    destination: Option<String>,
}

impl Wanted {
    /// # Errors
    /// `Configuration` when one that is named is not there.
    fn choose(&self, kept: Vec<Kept>) -> Result<Vec<Kept>> {
        let is_meant = |letter: &DeadLetter| {
            (self.ids.is_empty() || self.ids.contains(&letter.id))
                && self.destination.as_ref().is_none_or(|destination| *destination == letter.destination)
        };
        let chosen: Vec<Kept> = kept.into_iter().filter(|kept| is_meant(&kept.letter)).collect();
        match self.ids.iter().find(|id| !chosen.iter().any(|kept| kept.letter.id == **id)) {
            Some(_) => Err(self.missing()),
            None => Ok(chosen),
        }
    }

    fn missing(&self) -> Error {
        Error::configuration(format!("there is no dead letter {}", self.ids.join(", ")))
            .with_remedy("look at those that there are with `ductstream dead-letter list FLOW --all`")
    }
}

async fn replay_chosen(flow: Flow, global: &Global, screen: &Screen, wanted: Wanted) -> Result<Exit> {
    let kept = match open(&flow, global)? {
        Some(letters) => Some((wanted.choose(letters.all().await?)?, letters)),
        None => wanted.choose(Vec::new()).map(|_| None)?,
    };
    let Some((kept, letters)) = kept else {
        screen.message("there is nothing to replay");
        return Ok(Exit::Done);
    };
    let mut waiting: BTreeMap<String, Vec<DeadLetter>> = BTreeMap::new();
    for Kept { letter, replayed_at } in kept {
        match replayed_at {
            Some(at) if !wanted.ids.is_empty() => screen.message(&format!("{} was replayed at {at}", letter.id)),
            Some(_) => {}
            None => waiting.entry(letter.destination.clone()).or_default().push(letter),
        }
    }
    if waiting.is_empty() {
        screen.message("there is nothing to replay");
        return Ok(Exit::Done);
    }
    let components = FlowComponents::new(flow, CancellationToken::new())?;
    let mut exit = Exit::Done;
    for (destination, chosen) in waiting {
        let outcomes = replay(&components, &destination, &letters, &chosen).await;
        let outcomes = outcomes.map_err(|error| error.context(format_args!("destination {destination}")))?;
        for (letter, outcome) in chosen.iter().zip(outcomes) {
            match outcome {
                Outcome::Replayed => screen.message(&format!("replayed {} to {destination}", letter.id)),
                Outcome::Refused(why) => {
                    screen.message(&format!("{destination} refused {} again: {why}", letter.id));
                    exit = Exit::Failed;
                }
            }
        }
    }
    Ok(exit)
}
