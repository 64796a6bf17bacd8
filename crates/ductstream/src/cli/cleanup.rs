//! `ductstream cleanup`: drops what a flow created in its source, and forgets the flow.

use std::path::{Path, PathBuf};

use clap::Args;
use ductstream_core::{Checkpoint, Created, Error, ErrorKind, Result};
use ductstream_postgres::catalog::{publication, server, slot};
use ductstream_postgres::connect::Connection;
use ductstream_postgres::default_slot;

use super::exit::Exit;
use super::screen::Screen;
use super::slot::refuse_active;
use super::status::bytes;
use super::target::{connect, postgres};
use super::{Global, outboxes};
use crate::flow::Flow;

const EXAMPLES: &str = "\
Examples:
  ductstream cleanup shop.yaml          show what would be dropped, and ask
  ductstream cleanup shop.yaml --yes    for scripts

Drops the slot and the publication that the flow created, and nothing that existed before; removes its outboxes, and what they
hold; then forgets the flow's checkpoint and schema versions. What the flow has delivered stays.";

/// Drop what a flow created in its source, and forget its progress
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CleanupArgs {
    /// The flow file
    flow: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: CleanupArgs, global: &Global, screen: &Screen) -> Result<Exit> {
    let flow = Flow::load(&args.flow)?;
    let name = flow.name.as_str();
    let store = global.open_store(&flow).await?;
    let checkpoint = store.load(name).await?;
    let mut connection = connect(&postgres(&flow).url).await?;
    if let Some(checkpoint) = &checkpoint {
        refuse_other_server(&mut connection, checkpoint).await?;
    }
    let found = existing(&mut connection, owned(checkpoint.as_ref())).await?;
    if checkpoint.is_none() {
        screen.message(&unknown(&flow));
    }
    let directory = global.outbox_directory(&flow)?;
    for line in plan(&found, name, connection.address()).into_iter().chain(queued(&directory)) {
        screen.message(&line);
    }
    if !args.yes && !confirmed(screen)? {
        screen.message("nothing was done");
        return Ok(Exit::Done);
    }
    if let Some(slot) = &found.slot {
        slot::drop(&mut connection, slot).await?;
    }
    if let Some(publication) = &found.publication {
        publication::drop(&mut connection, publication).await?;
    }
    outboxes::remove_all(&directory)?;
    // Last: as long as anything is left, the store says what.
    store.forget(name).await?;
    screen.message("done");
    Ok(Exit::Done)
}

/// What the flow created, as its checkpoint says. Without one nobody knows whose a slot of the default name is, so nothing is dropped.
fn owned(checkpoint: Option<&Checkpoint>) -> Created {
    checkpoint.map(|checkpoint| checkpoint.created.clone()).unwrap_or_default()
}

/// What to look at by hand when there is no checkpoint in this store.
fn unknown(flow: &Flow) -> String {
    let slot = postgres(flow).slot.clone().unwrap_or_else(|| default_slot(flow.name.as_str()));
    format!(
        "flow {} has no checkpoint in this store, so nothing is known to be its own; if slot {slot} is, drop it with \
         `ductstream slot drop`, and its publication with DROP PUBLICATION",
        flow.name
    )
}

/// What of `owned` is still there, and may be dropped.
async fn existing(connection: &mut Connection, owned: Created) -> Result<Created> {
    let mut found = Created::default();
    if let Some(name) = owned.slot
        && let Some(slot) = slot::load(connection, &name).await?
    {
        refuse_active(&slot)?;
        found.slot = Some(name);
    }
    if let Some(name) = owned.publication {
        match publication::load(connection, std::slice::from_ref(&name)).await {
            Ok(_) => found.publication = Some(name),
            // It does not exist, which is all right.
            Err(error) if error.kind() == ErrorKind::Configuration => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn refuse_other_server(connection: &mut Connection, checkpoint: &Checkpoint) -> Result<()> {
    let server = server::load(connection).await?;
    let same = server.system_identifier == checkpoint.source.system_identifier
        && server.database == checkpoint.source.database;
    if same {
        return Ok(());
    }
    let message = format!("{} is not the database that the flow ran against", connection.address());
    Err(Error::resync(message).with_remedy("correct `source.url`; nothing was dropped"))
}

fn plan(found: &Created, flow: &str, address: &str) -> Vec<String> {
    let mut lines = vec![format!("on {address}:")];
    lines.extend(found.slot.iter().map(|slot| format!("  drop slot {slot}")));
    lines.extend(found.publication.iter().map(|publication| format!("  drop publication {publication}")));
    if lines.len() == 1 {
        lines = vec![format!("on {address}, the flow left nothing")];
    }
    lines.push(format!("  forget the checkpoint and schema versions of flow {flow}"));
    lines
}

/// The outboxes that go too, with what they hold.
fn queued(directory: &Path) -> Vec<String> {
    let outboxes = outboxes::list(directory);
    outboxes
        .iter()
        .map(|(path, held)| format!("  remove the outbox {} with {}", path.display(), bytes(*held)))
        .collect()
}

fn confirmed(screen: &Screen) -> Result<bool> {
    if !screen.is_terminal() || !console::user_attended() {
        return Err(Error::configuration("cleanup asks before it drops anything, and there is nobody to ask")
            .with_remedy("give --yes"));
    }
    screen.message("go on? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| Error::configuration(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
