//! `ductstream slot`: looks at replication slots, and drops one.

use clap::{Args, Subcommand};
use ductstream_core::{Error, Lsn, Result};
use ductstream_postgres::catalog::slot::{self, SlotState};
use serde::Serialize;

use super::exit::Exit;
use super::output;
use super::screen::Screen;
use super::status::bytes;
use super::target::{Target, connect};

const EXAMPLES: &str = "\
Examples:
  ductstream slot list postgresql://localhost/shop
  ductstream slot list shop.yaml --json
  ductstream slot drop postgresql://localhost/shop ductstream_orders";

/// Look at a server's replication slots, or drop one
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SlotArgs {
    #[command(subcommand)]
    command: SlotCommand,
}

#[derive(Subcommand)]
enum SlotCommand {
    /// List all slots, with the WAL that each keeps on the server's disk
    List {
        /// A libpq URL or keyword string, or a flow file
        #[arg(value_name = "URL|FLOW")]
        target: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop a slot. What it has not delivered can then not be had from it any more
    Drop {
        /// A libpq URL or keyword string, or a flow file
        #[arg(value_name = "URL|FLOW")]
        target: String,
        /// The slot's name
        slot: String,
    },
}

#[derive(Serialize)]
struct ListedSlot {
    name: String,
    plugin: Option<String>,
    database: Option<String>,
    active: bool,
    active_pid: Option<u32>,
    temporary: bool,
    confirmed_flush: Option<Lsn>,
    restart_lsn: Option<Lsn>,
    wal_status: Option<String>,
    retained_bytes: Option<u64>,
}

pub(crate) async fn run(args: SlotArgs, screen: &Screen) -> Result<Exit> {
    match args.command {
        SlotCommand::List { target, json } => list(&target, json).await,
        SlotCommand::Drop { target, slot } => drop_slot(&target, &slot, screen).await,
    }
}

async fn list(target: &str, json: bool) -> Result<Exit> {
    let mut connection = connect(Target::parse(target)?.url()).await?;
    let slots: Vec<ListedSlot> = slot::list(&mut connection).await?.into_iter().map(listed).collect();
    match json {
        true => output::json(&slots)?,
        false => output::print(&table(&slots))?,
    }
    Ok(Exit::Done)
}

async fn drop_slot(target: &str, name: &str, screen: &Screen) -> Result<Exit> {
    let mut connection = connect(Target::parse(target)?.url()).await?;
    let Some(found) = slot::load(&mut connection, name).await? else {
        return Err(Error::configuration(format!("there is no slot {name:?} on {}", connection.address()))
            .with_remedy("look at the names with `ductstream slot list`"));
    };
    refuse_active(&found)?;
    slot::drop(&mut connection, name).await?;
    screen.message(&format!("dropped slot {name}"));
    Ok(Exit::Done)
}

/// Refuses to touch a slot that somebody reads from.
pub(crate) fn refuse_active(slot: &SlotState) -> Result<()> {
    if !slot.active {
        return Ok(());
    }
    let process = slot.active_pid.map(|pid| format!(" by server process {pid}")).unwrap_or_default();
    Err(Error::configuration(format!("slot {} is in use{process}", slot.name))
        .with_remedy("stop the flow that reads from it, then try again"))
}

fn listed(slot: SlotState) -> ListedSlot {
    ListedSlot {
        name: slot.name,
        plugin: slot.plugin,
        database: slot.database,
        active: slot.active,
        active_pid: slot.active_pid,
        temporary: slot.temporary,
        confirmed_flush: slot.confirmed_flush,
        restart_lsn: slot.restart_lsn,
        wal_status: slot.wal_status,
        retained_bytes: slot.retained_bytes,
    }
}

fn table(slots: &[ListedSlot]) -> String {
    if slots.is_empty() {
        return "no replication slots\n".to_owned();
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let lsn = |value: Option<Lsn>| value.map_or_else(|| "-".to_owned(), |lsn| lsn.to_string());
    let header = ["SLOT", "DATABASE", "PLUGIN", "ACTIVE", "CONFIRMED", "RETAINED", "STATUS"].map(str::to_owned);
    let rows = slots.iter().map(|slot| {
        [
            slot.name.clone(),
            text(&slot.database),
            text(&slot.plugin),
            if slot.active { "yes" } else { "no" }.to_owned(),
            lsn(slot.confirmed_flush),
            slot.retained_bytes.map_or_else(|| "-".to_owned(), bytes),
            text(&slot.wal_status),
        ]
    });
    output::columns(std::iter::once(header).chain(rows).collect())
}
