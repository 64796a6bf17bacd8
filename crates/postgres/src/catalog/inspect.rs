//! A first look at a database, for writing a flow.

use std::collections::BTreeMap;

use ductstream_core::Result;

use super::server::{self, Server};
use super::table::{self, Kind, Table};
use crate::connect::{Connection, ConnectionSettings, Mode};

/// What a new flow may want to know.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The address without secrets: `db.example:5432/shop as app`.
    pub address: String,
    /// The server and the database.
    pub server: Server,
    /// The tables that could be streamed, by name; a partition is left to the table above it.
    pub tables: Vec<InspectedTable>,
}

/// One table that could be streamed.
#[derive(Debug, Clone)]
pub struct InspectedTable {
    /// The table.
    pub table: Table,
    /// How many partitions hold its rows; 0 for an ordinary table.
    pub partitions: usize,
    /// Rows as the planner estimates them, over all partitions; `None` when nothing is known.
    pub estimated_rows: Option<u64>,
    /// Bytes on disk, over all partitions.
    pub bytes: u64,
    /// Whether updates and deletes could be published as it is.
    pub identifies_rows: bool,
}

/// Connects and looks.
///
/// # Errors
/// The connection's, or what the server answers.
pub async fn inspect(settings: &ConnectionSettings) -> Result<Inspection> {
    let mut connection = Connection::connect(settings, Mode::Sql).await?;
    let server = server::load(&mut connection).await?;
    let all = table::load_all(&mut connection).await?;
    let stored = all.iter().filter(|table| table.kind == Kind::Ordinary).map(|table| table.oid).collect::<Vec<_>>();
    let bytes = table::load_bytes(&mut connection, &stored).await?;
    let address = connection.address().to_owned();
    connection.close().await;
    let streamable = all.iter().filter(|table| table.can_be_published() && table.ancestors.is_empty());
    let tables = streamable.map(|table| sum(&all, table, &bytes)).collect();
    Ok(Inspection { address, server, tables })
}

fn sum(all: &[Table], table: &Table, bytes: &BTreeMap<u32, u64>) -> InspectedTable {
    let storage = table::storage(all, table);
    let known: Vec<u64> = storage.iter().filter_map(|part| part.estimated_rows).collect();
    InspectedTable {
        table: table.clone(),
        partitions: if table.kind == Kind::Partitioned { storage.len() } else { 0 },
        estimated_rows: (!known.is_empty()).then(|| known.iter().sum()),
        bytes: storage.iter().filter_map(|part| bytes.get(&part.oid)).sum(),
        identifies_rows: storage.iter().all(|part| part.identifies_rows()),
    }
}
