//! Opening a source: connect, verify, and only then create what is missing.

use std::time::Duration;

use ductstream_core::{Created, Error, Lsn, Position, Result, SchemaRecord, SourceIdentity, SourceStart};

use crate::catalog::relation::{self, RelationKey};
use crate::catalog::{publication, server, slot};
use crate::connect::{Connection, ConnectionSettings, Mode};
use crate::monitor::load_types;
use crate::resume::{Resume, resume};
use crate::settings::SourceSettings;
use crate::source::identity;
use crate::types::TypeCatalog;

/// What streaming needs, verified.
pub(crate) struct Opened {
    pub(crate) replication: Connection,
    pub(crate) sql: Connection,
    pub(crate) identity: SourceIdentity,
    pub(crate) position: Position,
    pub(crate) wal_end: Lsn,
    pub(crate) created: Created,
    pub(crate) publications: Vec<String>,
    pub(crate) types: TypeCatalog,
    pub(crate) keys: Vec<RelationKey>,
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

/// Oldest server that is supported, as `server_version_num`.
const OLDEST_SERVER: u32 = 140_000;

pub(crate) async fn open(
    settings: &SourceSettings,
    flow: &str,
    temporary: bool,
    start: SourceStart,
) -> Result<Opened> {
    let target = ConnectionSettings::resolve(&settings.url)?;
    let mut sql = Connection::connect(&target, Mode::Sql).await?;
    let server = server::load(&mut sql).await?;
    supported(&server)?;
    let slot_name = settings.slot.clone().unwrap_or_else(|| default_slot(flow));
    let identity = identity(&server, &slot_name);
    let checkpoint = start.checkpoint.as_ref();
    let found = slot::load(&mut sql, &slot_name).await?;
    let begin = resume(checkpoint, &identity, found.as_ref())?;
    let mut created = checkpoint.map(|checkpoint| checkpoint.created.clone()).unwrap_or_default();

    let mut replication = Connection::connect(&target, Mode::Replication).await?;
    let sender_timeout = sender_timeout(&mut sql).await?;
    let publications = publications(&mut sql, settings, flow, &mut created).await?;
    let position = match begin {
        Resume::At(position) => position,
        Resume::CreateSlot => {
            let point = create_slot(&mut replication, &mut sql, &slot_name, temporary, &created).await?;
            created.slot = Some(slot_name);
            Position::start_of(point)
        }
    };

    let mut types = TypeCatalog::new();
    let relations = relation::load_published(&mut sql, &publications).await?;
    for row in load_types(&mut sql, &relations.types).await? {
        types.add_row(&row.values())?;
    }
    let decodes_binary = relations.types.iter().all(|oid| types.decode_binary([*oid]));
    Ok(Opened {
        replication,
        wal_end: server::wal_end(&mut sql).await?,
        sql,
        identity,
        position,
        created,
        publications,
        types,
        keys: relations.keys,
        schemas: start.schemas,
        server_version: server.version,
        in_recovery: server.in_recovery,
        sender_timeout,
        decodes_binary,
    })
}

fn supported(server: &server::Server) -> Result<()> {
    if server.version < OLDEST_SERVER {
        return Err(Error::configuration(format!("PostgreSQL {} is too old", server.version_text))
            .with_remedy("use PostgreSQL 14 or later"));
    }
    if server.wal_level != "logical" {
        return Err(Error::configuration(format!("wal_level is {:?}, logical replication needs \"logical\"", server.wal_level))
            .with_remedy("run ALTER SYSTEM SET wal_level = logical, and restart the server"));
    }
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

/// The publications to stream, of which the flow's own is made to hold the wanted tables.
async fn publications(
    sql: &mut Connection,
    settings: &SourceSettings,
    flow: &str,
    created: &mut Created,
) -> Result<Vec<String>> {
    if let Some(publications) = &settings.publication {
        publication::load(sql, publications.names()).await?;
        return Ok(publications.names().to_vec());
    }
    let tables = publication::resolve(sql, &settings.tables).await?;
    let name = default_publication(flow);
    if publication::ensure(sql, &name, &tables).await? {
        created.publication = Some(name.clone());
    }
    Ok(vec![name])
}

/// Creates the slot; takes the publication back when that fails, so that a failed first start leaves nothing.
async fn create_slot(
    replication: &mut Connection,
    sql: &mut Connection,
    name: &str,
    temporary: bool,
    created: &Created,
) -> Result<Lsn> {
    tracing::info!(slot = name, "creating the replication slot; this waits for transactions that are running now");
    let failed = match slot::create(replication, name, temporary).await {
        Ok(point) => return Ok(point),
        Err(error) => error,
    };
    if let Some(publication) = &created.publication {
        // The first error is the one to tell.
        if let Err(error) = publication::drop(sql, publication).await {
            tracing::warn!(publication, "{}", error.report());
        }
    }
    Err(failed)
}
