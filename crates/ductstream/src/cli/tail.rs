//! `ductstream tail`: live changes on a temporary slot.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use clap::Args;
use ductstream_core::{
    Barrier, ChangeBatch, Envelope, Error, HEARTBEAT_PREFIX, Result, Source, SourceStart, TableName,
};
use ductstream_postgres::catalog::table::Table;
use ductstream_postgres::catalog::{pattern, publication, table};
use ductstream_postgres::connect::Connection;
use ductstream_postgres::settings::SourceSettings;
use ductstream_postgres::source::PostgresSource;
use ductstream_postgres::types::SpecialValues;
use ductstream_wire::{JsonLines, JsonSettings};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::change::{ChangePrinter, dim};
use super::exit::Exit;
use super::screen::Screen;
use super::target::{Target, connect, postgres};
use super::{Global, output, signals};

const EXAMPLES: &str = "\
Examples:
  ductstream tail postgresql://localhost/shop
  ductstream tail postgresql://localhost/shop public.orders 'public.order_*'
  ductstream tail postgresql://localhost/shop --json | jq .after

Shows what commits from now on, and delivers nothing. The slot is temporary; the publication that logical replication
needs is dropped at the end. Without tables: every table that the role owns. Of a table without replica identity only
inserts are shown, so that its updates and deletes go on working.";

/// Print a database's changes as they commit
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TailArgs {
    /// A libpq URL or keyword string, or a flow file for its source
    #[arg(value_name = "URL|FLOW")]
    target: String,
    /// Tables, as schema.table, with * and ? as wildcards
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Print lines of JSON, in the envelope `native`
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: TailArgs, global: &Global, screen: &Screen) -> Result<Exit> {
    screen.start_log(global, true);
    let target = Target::parse(&args.target)?;
    let stop = signals::stop_on_signal(screen, "stopping")?;
    let mut connection = connect(target.url()).await?;
    let tables = Tables::find(&mut connection, &args.tables).await?;
    let name = format!("ductstream_tail_{:08x}", RandomState::new().hash_one("tail") as u32);
    let publications = tables.publish(&mut connection, &name).await;
    if let Ok(publications) = &publications {
        screen.message(&format!("watching {tables} on {}; Ctrl-C to end", connection.address()));
        let settings = settings(&target, &name, publications, args.json)?;
        let result = follow(settings, &name, Printer::new(args.json)?, &stop).await;
        let dropped = drop_publications(connection, target.url(), &name).await;
        return result.and(dropped).map(|()| Exit::Done);
    }
    let dropped = drop_publications(connection, target.url(), &name).await;
    publications.and(dropped).map(|()| Exit::Done)
}

/// Prints until told to stop, or until nobody reads any more.
async fn follow(settings: SourceSettings, flow: &str, mut printer: Printer, stop: &CancellationToken) -> Result<()> {
    let mut source = PostgresSource::new(settings, flow).temporary();
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = source.open(SourceStart::default()) => opened?,
    };
    source.begin(opened.position).await?;
    let acknowledge = source.acknowledger();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            filled = source.fill() => filled?,
        }
        while let Some(batch) = source.take() {
            if !printer.print(&batch)? {
                return source.close().await;
            }
            acknowledge.acknowledge(batch.end);
        }
    }
    source.close().await
}

struct Printer {
    lines: JsonLines,
    buffer: Vec<u8>,
    json: bool,
    changes: ChangePrinter,
}

impl Printer {
    fn new(json: bool) -> Result<Self> {
        let lines = JsonLines::new(Envelope::Native, JsonSettings::default())?;
        Ok(Self { lines, buffer: Vec::new(), json, changes: ChangePrinter::default() })
    }

    /// Whether there is still a reader.
    fn print(&mut self, batch: &ChangeBatch) -> Result<bool> {
        self.buffer.clear();
        self.lines.append(batch, &mut self.buffer)?;
        if self.json {
            return output::print_while_read(&self.buffer);
        }
        let mut text: String = batch.barriers.iter().filter_map(barrier).collect();
        for line in self.buffer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let change: Value = serde_json::from_slice(line)
                .map_err(|error| Error::bug("a change's own JSON cannot be read").with_source(error))?;
            self.changes.push(&change, &mut text);
        }
        output::print_while_read(text.as_bytes())
    }
}

/// What is worth a line of a barrier; a truncate has records of its own.
fn barrier(barrier: &Barrier) -> Option<String> {
    match barrier {
        Barrier::Schema { schema, previous: Some(_), .. } => {
            let columns: Vec<_> =
                schema.columns.iter().map(|column| format!("{} {}", column.name(), column.pg_type.name)).collect();
            Some(format!("{} {}  {}\n", dim("* schema"), schema.table, columns.join(", ")))
        }
        Barrier::Message(message) if message.prefix != HEARTBEAT_PREFIX => {
            let content = String::from_utf8_lossy(&message.content);
            Some(format!("{} {}  {content:?}\n", dim("* message"), message.prefix))
        }
        Barrier::Schema { .. } | Barrier::Message(_) | Barrier::Truncate { .. } => None,
    }
}

/// What is watched.
struct Tables {
    /// Tables of which every change can be published.
    whole: Vec<TableName>,
    /// Tables without a replica identity. Published for updates and deletes, the server would refuse those to everybody.
    inserts_only: Vec<TableName>,
}

impl Tables {
    /// The tables of the patterns; without patterns, every table of the role's own.
    async fn find(connection: &mut Connection, patterns: &[String]) -> Result<Self> {
        let all = table::load_all(connection).await?;
        let own = |table: &&Table| table.owned && table.can_be_published() && table.ancestors.is_empty();
        let chosen: Vec<&Table> = match patterns {
            [] => all.iter().filter(own).collect(),
            patterns => pattern::choose(&all, patterns)?,
        };
        if chosen.is_empty() {
            return Err(Error::configuration(format!("the role owns no table on {}", connection.address()))
                .with_remedy("connect to another database, or as the owner of the tables"));
        }
        let identified = |table: &&Table| table::storage(&all, table).iter().all(|part| part.identifies_rows());
        let (whole, inserts_only): (Vec<_>, Vec<_>) = chosen.into_iter().partition(identified);
        let names = |tables: Vec<&Table>| tables.into_iter().map(|table| table.name.clone()).collect();
        Ok(Self { whole: names(whole), inserts_only: names(inserts_only) })
    }

    /// Creates the publications, and returns their names.
    async fn publish(&self, connection: &mut Connection, name: &str) -> Result<Vec<String>> {
        let mut publications = Vec::new();
        if !self.whole.is_empty() {
            publication::ensure(connection, name, &self.whole).await?;
            publications.push(name.to_owned());
        }
        if !self.inserts_only.is_empty() {
            let name = inserts_only(name);
            publication::create_for_inserts(connection, &name, &self.inserts_only).await?;
            publications.push(name);
        }
        Ok(publications)
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.whole.as_slice(), self.inserts_only.as_slice()) {
            ([one], []) => write!(f, "{one}")?,
            (whole, inserts_only) => write!(f, "{} tables", whole.len() + inserts_only.len())?,
        }
        if let [first, rest @ ..] = self.inserts_only.as_slice() {
            write!(f, " (only inserts of {first}")?;
            rest.iter().try_for_each(|table| write!(f, ", {table}"))?;
            f.write_str(": no replica identity)")?;
        }
        Ok(())
    }
}

fn inserts_only(publication: &str) -> String {
    format!("{publication}_inserts")
}

fn settings(target: &Target, slot: &str, publications: &[String], json: bool) -> Result<SourceSettings> {
    let settings = json!({"url": target.url(), "publication": publications, "slot": slot, "heartbeat": "0s"});
    let mut settings: SourceSettings = serde_json::from_value(settings)
        .map_err(|error| Error::bug("the settings of a tail cannot be read").with_source(error))?;
    settings.special_values = match target {
        Target::Flow(flow) => postgres(flow).special_values,
        // People read every value as PostgreSQL prints it; JSON keeps the envelope's own forms.
        Target::Url(_) if !json => SpecialValues::Text,
        Target::Url(_) => settings.special_values,
    };
    Ok(settings)
}

/// Drops them on the connection at hand, or on a new one when that was lost.
async fn drop_publications(mut connection: Connection, url: &str, name: &str) -> Result<()> {
    if drop_both(&mut connection, name).await.is_ok() {
        return Ok(());
    }
    let again = async { drop_both(&mut connect(url).await?, name).await };
    again.await.map_err(|error: Error| {
        error.with_remedy(format!("run DROP PUBLICATION IF EXISTS {name}, {}", inserts_only(name)))
    })
}

async fn drop_both(connection: &mut Connection, name: &str) -> Result<()> {
    publication::drop(connection, name).await?;
    publication::drop(connection, &inserts_only(name)).await
}
