//! Opening a source: connect, verify, and only then create what is missing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ductstream_core::{
    Ancestors, Created, Error, Lsn, Position, Result, SchemaRecord, SourceIdentity, SourceStart, TableName,
};

use crate::assemble::DeclaredColumns;
use crate::catalog::relation::{self, RelationKey};
use crate::catalog::slot::{SlotOptions, SlotState};
use crate::catalog::table::Table;
use crate::catalog::{pattern, publication, server, slot, table, timeline};
use crate::connect::{Connection, ConnectionSettings, Mode, quote_identifier, quote_literal, sqlstate};
use crate::monitor::load_types;
use crate::resume::{Resume, publication_gone, resume, same_publications, within_history};
use crate::role::{promoted, readable, supported};
use crate::settings::SourceSettings;
use crate::source::{identity, sorted};
use crate::types::TypeCatalog;

/// What streaming needs, verified.
pub(crate) struct Opened {
    pub(crate) replication: Connection,
    pub(crate) sql: Connection,
    pub(crate) identity: SourceIdentity,
    pub(crate) ancestors: Ancestors,
    pub(crate) position: Position,
    pub(crate) wal_end: Lsn,
    pub(crate) created: Created,
    pub(crate) publications: Vec<String>,
    pub(crate) types: TypeCatalog,
    pub(crate) keys: Vec<RelationKey>,
    pub(crate) columns: HashMap<u32, DeclaredColumns>,
    pub(crate) schemas: Vec<SchemaRecord>,
    pub(crate) server_version: u32,
    pub(crate) in_recovery: bool,
    /// `wal_sender_timeout`; `None` when the server waits for ever.
    pub(crate) sender_timeout: Option<Duration>,
    pub(crate) decodes_binary: bool,
}

/// Name of the slot of a flow that names none.
pub fn default_slot(flow: &str) -> String {
    format!("ductstream_{}", flow.replace('-', "_"))
}

/// Name of the publication that a flow with `tables` creates.
pub fn default_publication(flow: &str) -> String {
    default_slot(flow)
}

/// How long the process that creates a slot may take to end.
const UNDO_WAIT_MS: u32 = 5_000;

pub(crate) async fn open(
    settings: &SourceSettings,
    flow: &str,
    temporary: bool,
    start: SourceStart,
    unfinished: &mut Unfinished,
) -> Result<Opened> {
    let target = ConnectionSettings::resolve(&settings.url)?;
    let mut sql = Connection::connect(&target, Mode::Sql).await?;
    let target = target.only(sql.address());
    let mut server = server::load(&mut sql).await?;
    supported(settings, &server)?;
    let checkpoint = start.checkpoint.as_ref();
    readable(settings, &server, checkpoint.is_some())?;
    if server.in_recovery {
        // Later, only a replication connection tells the timeline of a standby.
        sql = Connection::connect(&target, Mode::Replication).await?;
    }
    let mut replication = Connection::connect(&target, Mode::Replication).await?;
    let ancestors = timeline::locate(&mut replication, &mut server).await?;
    let slot_name = settings.slot.clone().unwrap_or_else(|| default_slot(flow));
    let identity = identity(&server, &slot_name);
    let found = slot::load(&mut sql, &slot_name).await?;
    promoted(found.as_ref(), server.in_recovery)?;
    let begin = resume(checkpoint, &identity, &ancestors, found.as_ref())?;
    let wal_end = server::wal_end(&mut sql).await?;
    within_history(checkpoint, wal_end, server.in_recovery)?;
    let mut created = checkpoint.map(|checkpoint| checkpoint.created.clone()).unwrap_or_default();

    let sender_timeout = sender_timeout(&mut sql).await?;
    same_publications(checkpoint, &wanted_publications(settings, flow))?;
    let publications = publications(&mut sql, settings, flow, checkpoint.is_some(), unfinished).await?;
    let position = match begin {
        Resume::At(position) => {
            keep_on_standbys(&mut replication, settings, found.as_ref()).await?;
            position
        }
        Resume::CreateSlot => {
            tracing::info!(slot = slot_name, "creating the replication slot; {}", waits_for(server.in_recovery));
            unfinished.creates_slot(&mut replication, &slot_name).await?;
            let options = SlotOptions { temporary, failover: settings.failover && !temporary };
            let point = slot::create(&mut replication, &slot_name, options).await;
            Position::start_of(point.inspect_err(|error| forget_if_refused(&mut unfinished.slot, error))?)
        }
    };
    created.publication = unfinished.publication.clone().or(created.publication);
    created.slot = unfinished.slot.clone().or(created.slot);

    let mut types = TypeCatalog::new();
    let relations = relation::load_published(&mut sql, &publications).await?;
    for row in load_types(&mut sql, &relations.types).await? {
        types.add_row(&row.values())?;
    }
    let decodes_binary = sends_what_it_counts(&sql) && relations.types.iter().all(|oid| types.decode_binary([*oid]));
    Ok(Opened {
        replication,
        wal_end,
        sql,
        identity,
        ancestors,
        position,
        created,
        publications,
        types,
        keys: relations.keys,
        columns: relations.columns,
        schemas: start.schemas,
        server_version: server.version,
        in_recovery: server.in_recovery,
        sender_timeout,
        decodes_binary,
    })
}

/// Whether text that the server sends is as long as it says. The lengths inside of a binary `hstore` are those of its keys and
/// values before they are converted to UTF-8 (`hstore_send` of every version).
fn sends_what_it_counts(sql: &Connection) -> bool {
    matches!(sql.parameter("server_encoding"), Some("UTF8" | "SQL_ASCII"))
}

/// What the creation of a slot waits for, which may take long.
fn waits_for(in_recovery: bool) -> &'static str {
    if in_recovery {
        "on a standby this waits until the primary has written what runs there, which takes an idle one for ever: run \
         SELECT pg_log_standby_snapshot() on the primary"
    } else {
        "this waits for transactions that are running now"
    }
}

/// Turns on what the settings ask for of a slot that was made without it.
async fn keep_on_standbys(
    replication: &mut Connection,
    settings: &SourceSettings,
    found: Option<&SlotState>,
) -> Result<()> {
    let Some(slot) = found.filter(|slot| settings.failover && !slot.failover) else { return Ok(()) };
    slot::keep_on_standbys(replication, &slot.name).await?;
    tracing::info!(slot = slot.name, "standbys keep the replication slot from now on");
    Ok(())
}

async fn sender_timeout(sql: &mut Connection) -> Result<Option<Duration>> {
    let rows = sql.simple_query("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'").await?;
    let millis: u64 = match rows.first() {
        Some(row) => row.require(0)?,
        None => 0,
    };
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// The names of the publications that the settings ask for, sorted.
fn wanted_publications(settings: &SourceSettings, flow: &str) -> Vec<String> {
    match &settings.publication {
        Some(publications) => sorted(publications.names()),
        None => vec![default_publication(flow)],
    }
}

/// The publications to stream, of which the flow's own is made to hold the wanted tables.
async fn publications(
    sql: &mut Connection,
    settings: &SourceSettings,
    flow: &str,
    has_run: bool,
    unfinished: &mut Unfinished,
) -> Result<Vec<String>> {
    if let Some(publications) = &settings.publication {
        publication::load(sql, publications.names()).await?;
        publication::same_columns(sql, publications.names()).await?;
        return Ok(publications.names().to_vec());
    }
    let tables = table::load_all(sql).await?;
    let wanted = pattern::choose(&tables, &settings.tables)?;
    let name = default_publication(flow);
    let members = publication::members(sql, &name).await?;
    for table in wanted.iter().filter(|table| !members.contains(&table.name)) {
        identified(&tables, table)?;
    }
    let wanted: Vec<_> = wanted.iter().map(|table| table.name.clone()).collect();
    // Noted before the server is asked: nobody may be here any more when it answers.
    let exists = publication::find(sql, &name).await?.is_some();
    if has_run && !exists {
        return Err(publication_gone(&name));
    }
    if exists && !has_run && !holds_exactly(sql, &name, &members, &wanted).await? {
        return Err(Error::configuration(format!(
            "publication {name} exists already and is not what this flow would make: it may be another flow's"
        ))
        .with_remedy(format!(
            "give the flow another name, or drop the publication, or set `source.publication: {name}` to use it as it is"
        )));
    }
    unfinished.publication = (!exists).then(|| name.clone());
    let made = publication::ensure(sql, &name, &wanted).await.map_err(on_standby);
    made.inspect_err(|error| forget_if_refused(&mut unfinished.publication, error))?;
    Ok(vec![name])
}

/// Whether a publication that is there already holds these tables and no others, with all that happens to them.
async fn holds_exactly(
    sql: &mut Connection,
    name: &str,
    members: &BTreeSet<TableName>,
    wanted: &[TableName],
) -> Result<bool> {
    let same = *members == wanted.iter().cloned().collect();
    let publication = publication::find(sql, name).await?;
    Ok(same && publication.is_some_and(|publication| publication.operations == [true; 4] && !publication.all_tables))
}

/// Refuses a table of which the server would refuse updates and deletes, from everybody, once the flow publishes it.
fn identified(tables: &[Table], wanted: &Table) -> Result<()> {
    let parts = table::storage(tables, wanted);
    let Some(part) = parts.into_iter().find(|part| !part.identifies_rows()) else { return Ok(()) };
    let (reason, remedy) = part.identity_problem();
    let name = &part.name;
    Err(Error::configuration(format!(
        "table {name} has no replica identity ({reason}): once it is published, applications could not update or delete its rows"
    ))
    .with_remedy(format!("{remedy}; or take it out of `source.tables`")))
}

/// A standby makes nothing: what the primary made arrives there.
fn on_standby(error: Error) -> Error {
    const READ_ONLY: Option<&str> = Some("25006");
    if sqlstate(&error) != READ_ONLY {
        return error;
    }
    error.with_remedy("make the publication on the primary, and name it in `source.publication`")
}

/// What the server refused to make was not made; and if it exists, it is somebody else's.
fn forget_if_refused(made: &mut Option<String>, error: &Error) {
    if sqlstate(error).is_some() {
        *made = None;
    }
}

/// What a start has made in the source, or was about to make, and nobody has on record yet.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    publication: Option<String>,
    slot: Option<String>,
    /// The process that creates the slot. It may be waiting for transactions to end, and does not notice that we have gone.
    walsender: Option<u32>,
}

impl Unfinished {
    async fn creates_slot(&mut self, replication: &mut Connection, name: &str) -> Result<()> {
        let rows = replication.simple_query("SELECT pg_backend_pid()").await?;
        self.walsender = rows.first().map(|row| row.require(0)).transpose()?;
        self.slot = Some(name.to_owned());
        Ok(())
    }

    /// Takes back what was made, so that a start that failed or was broken off leaves nothing behind.
    pub(crate) async fn undo(&mut self, settings: &SourceSettings) {
        let Self { publication, slot, walsender } = std::mem::take(self);
        if publication.is_none() && slot.is_none() {
            return;
        }
        let mut sql = Vec::new();
        if let Some(pid) = walsender {
            // Waits until the process has gone, and its half-made slot with it.
            sql.push(format!(
                "SELECT pg_terminate_backend(pid, {UNDO_WAIT_MS}) FROM pg_stat_activity WHERE pid = {pid}"
            ));
        }
        if let Some(slot) = slot {
            let slot = quote_literal(&slot);
            sql.push(format!(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {slot}"
            ));
        }
        sql.extend(publication.map(|name| format!("DROP PUBLICATION IF EXISTS {}", quote_identifier(&name))));
        if let Err(error) = execute(settings, &sql).await {
            // The error that ended the start is the one to tell.
            tracing::warn!("what the start had made could not be taken back: {}", error.report());
        }
    }
}

async fn execute(settings: &SourceSettings, statements: &[String]) -> Result<()> {
    let mut connection = Connection::connect(&ConnectionSettings::resolve(&settings.url)?, Mode::Sql).await?;
    for statement in statements {
        connection.simple_query(statement).await?;
    }
    Ok(())
}
