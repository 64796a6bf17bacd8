//! The tables of a database, as far as replication cares.

use std::collections::BTreeMap;

use ductstream_core::{Error, ReplicaIdentity, Result, TableName};

use crate::connect::{Connection, Row, quote_identifier};

/// A table, or something else that a user may take for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: Kind,
    /// The partitioned tables above it, nearest first.
    pub ancestors: Vec<u32>,
    /// Its replica identity.
    pub identity: ReplicaIdentity,
    /// The columns of the primary key in the order of the key; empty when there is none.
    pub primary_key: Vec<String>,
    /// The columns of the identity's index in the order of the index, for [`ReplicaIdentity::Index`]; empty when the
    /// index is gone.
    pub identity_index: Vec<String>,
    /// The generated columns: those that are stored, and those that are not.
    pub generated: [Vec<String>; 2],
    /// Rows as the planner estimates them; `None` before the first `ANALYZE`.
    pub estimated_rows: Option<u64>,
    /// Whether the role may act as its owner.
    pub owned: bool,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary table, which may be a partition.
    Ordinary,
    /// A partitioned table, which may be a partition itself.
    Partitioned,
    /// An ordinary table that is not in the WAL.
    Unlogged,
    /// Something without changes of its own: a view, a materialized view, a foreign table.
    Other,
}

impl Table {
    /// Whether a publication can hold it.
    pub fn can_be_published(&self) -> bool {
        matches!(self.kind, Kind::Ordinary | Kind::Partitioned)
    }

    /// Whether the server can tell which row an update or delete is about. Without that it refuses them once the table
    /// is published.
    pub fn identifies_rows(&self) -> bool {
        match self.identity {
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Default => !self.primary_key.is_empty(),
            ReplicaIdentity::Index => !self.identity_index.is_empty(),
            ReplicaIdentity::Nothing => false,
        }
    }

    /// Why rows cannot be told apart, of a table that does not [identify](Self::identifies_rows) them, and what helps.
    pub fn identity_problem(&self) -> (&'static str, String) {
        let reason = match self.identity {
            ReplicaIdentity::Nothing => "REPLICA IDENTITY NOTHING",
            ReplicaIdentity::Index => "the index of its replica identity is gone",
            _ => "no primary key",
        };
        let name = format!("{}.{}", quote_identifier(&self.name.namespace), quote_identifier(&self.name.name));
        let remedy = if self.primary_key.is_empty() {
            format!("add a primary key, or run ALTER TABLE {name} REPLICA IDENTITY FULL")
        } else {
            format!("run ALTER TABLE {name} REPLICA IDENTITY DEFAULT")
        };
        (reason, remedy)
    }
}

/// Everything of a user's own that looks like a table; the catalogs' and temporary tables are left out.
const TABLES: &str = "\
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, \
      CASE WHEN c.relispartition \
        THEN (SELECT json_agg(a.relid::oid::bigint) FROM pg_partition_ancestors(c.oid) a WHERE a.relid <> c.oid) END, \
      (SELECT json_agg(a.attname ORDER BY k.place) FROM pg_index i, \
        unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place), pg_attribute a \
        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.attnum), \
      (SELECT json_agg(a.attname ORDER BY k.place) FROM pg_index i, \
        unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place), pg_attribute a \
        WHERE i.indrelid = c.oid AND i.indisreplident AND a.attrelid = c.oid AND a.attnum = k.attnum \
        AND k.place <= i.indnkeyatts), \
      (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a \
        WHERE a.attrelid = c.oid AND a.attgenerated = 's' AND NOT a.attisdropped), \
      (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a \
        WHERE a.attrelid = c.oid AND a.attgenerated NOT IN ('', 's') AND NOT a.attisdropped), \
      CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, \
      pg_has_role(c.relowner, 'USAGE') \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384 \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    ORDER BY n.nspname, c.relname";

/// Everything of a user's own that looks like a table, by name.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load_all(connection: &mut Connection) -> Result<Vec<Table>> {
    connection.simple_query(TABLES).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Table> {
    let kind = match (row.get(3), row.get(4)) {
        (Some("r"), Some("u")) => Kind::Unlogged,
        (Some("r"), _) => Kind::Ordinary,
        (Some("p"), _) => Kind::Partitioned,
        _ => Kind::Other,
    };
    let identity = match row.get(5) {
        Some("f") => ReplicaIdentity::Full,
        Some("i") => ReplicaIdentity::Index,
        Some("n") => ReplicaIdentity::Nothing,
        _ => ReplicaIdentity::Default,
    };
    Ok(Table {
        oid: row.require(0)?,
        name: TableName::new(row.require::<String>(1)?, row.require::<String>(2)?),
        kind,
        ancestors: list(row, 6)?,
        identity,
        primary_key: list(row, 7)?,
        identity_index: list(row, 8)?,
        generated: [list(row, 9)?, list(row, 10)?],
        estimated_rows: row.parse(11)?,
        owned: row.get(12) == Some("t"),
    })
}

/// A list that the server made by `json_agg`, which is NULL for no elements.
fn list<T: serde::de::DeserializeOwned>(row: &Row, index: usize) -> Result<Vec<T>> {
    let Some(text) = row.get(index) else { return Ok(Vec::new()) };
    serde_json::from_str(text)
        .map_err(|error| Error::bug("the server answered a list that cannot be read").with_source(error))
}

/// The ordinary tables that hold the rows of `published`: itself, or its partitions. It is their identity, not the
/// partitioned table's, that decides whether updates and deletes work.
pub fn storage<'a>(tables: &'a [Table], published: &'a Table) -> Vec<&'a Table> {
    if published.kind != Kind::Partitioned {
        return vec![published];
    }
    let below = |table: &&Table| table.kind == Kind::Ordinary && table.ancestors.contains(&published.oid);
    tables.iter().filter(below).collect()
}

/// Bytes on disk by OID, with indexes and TOAST. Waits for whoever locks a table exclusively.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load_bytes(connection: &mut Connection, oids: &[u32]) -> Result<BTreeMap<u32, u64>> {
    if oids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let sql = format!("SELECT oid, coalesce(pg_total_relation_size(oid), 0) FROM pg_class WHERE oid IN ({list})");
    connection.simple_query(&sql).await?.iter().map(|row| Ok((row.require(0)?, row.require(1)?))).collect()
}
