//! Keys and columns of published tables.

use std::collections::HashMap;

use ductstream_core::Result;

use crate::assemble::DeclaredColumns;
use crate::connect::{Connection, Row, quote_literal};

/// What `pgoutput` does not say about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationKey {
    /// The table's OID.
    pub oid: u32,
    /// `relreplident`: d, n, f or i.
    pub identity: char,
    /// The primary key's columns in the order of the key; empty when there is none.
    pub primary_key: Vec<String>,
}

/// The tables of some publications, as far as they are known before they are streamed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Keys by table.
    pub keys: Vec<RelationKey>,
    /// What columns are declared to be, by the OIDs of tables that exist.
    pub columns: HashMap<u32, DeclaredColumns>,
    /// OIDs of the types of their columns, ascending.
    pub types: Vec<u32>,
}

/// One row per key column, or one row without a column for a table that has no key.
const KEYS: &str = "SELECT c.oid, c.relreplident, a.attname FROM pg_catalog.pg_class c \
    LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary \
    LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) ON true \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum";

/// The columns of which there is something to say. A default has no columns in it, so that its text can be asked for without the
/// table, which somebody may have locked.
const DECLARED: &str = "SELECT a.attrelid, a.attname, a.attnotnull, \
      CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, 0) END \
    FROM pg_catalog.pg_attribute a \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attnotnull OR a.atthasdef) AND a.attrelid IN";

/// Relations of the publications, and of their partition roots and leaves: which of them appears is the publication's
/// choice.
const PUBLISHED: &str = "SELECT DISTINCT format('%I.%I', p.schemaname, p.tablename)::regclass::oid \
    FROM pg_catalog.pg_publication_tables p WHERE p.pubname IN";

/// The keys of the tables `oids`.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load_keys(connection: &mut Connection, oids: &[u32]) -> Result<Vec<RelationKey>> {
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let rows = connection.simple_query(&format!("{KEYS} WHERE c.oid IN ({list}) ORDER BY c.oid, k.place")).await?;
    keys(&rows)
}

/// What the columns of the table `oid` are declared to be.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load_columns(connection: &mut Connection, oid: u32) -> Result<DeclaredColumns> {
    let rows = connection.simple_query(&format!("{DECLARED} ({oid})")).await?;
    Ok(declared(&rows)?.remove(&oid).unwrap_or_default())
}

/// Keys and types of everything that the publications hold now.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load_published(connection: &mut Connection, publications: &[String]) -> Result<Published> {
    let names = publications.iter().map(|name| quote_literal(name)).collect::<Vec<_>>().join(",");
    let tables = format!("{PUBLISHED} ({names})");
    let rows = connection.simple_query(&format!("{KEYS} WHERE c.oid IN ({tables}) ORDER BY c.oid, k.place")).await?;
    let types = format!(
        "SELECT DISTINCT atttypid FROM pg_catalog.pg_attribute \
         WHERE attrelid IN ({tables}) AND attnum > 0 AND NOT attisdropped ORDER BY 1"
    );
    let types = connection.simple_query(&types).await?.iter().map(|row| row.require(0)).collect::<Result<_>>()?;
    let keys = keys(&rows)?;
    let mut columns = declared(&connection.simple_query(&format!("{DECLARED} ({tables})")).await?)?;
    for key in &keys {
        columns.entry(key.oid).or_default();
    }
    Ok(Published { keys, columns, types })
}

fn declared(rows: &[Row]) -> Result<HashMap<u32, DeclaredColumns>> {
    let mut tables: HashMap<u32, DeclaredColumns> = HashMap::new();
    for row in rows {
        let columns = tables.entry(row.require(0)?).or_default();
        let name: String = row.require(1)?;
        if let Some(default) = row.get(3) {
            columns.defaults.insert(name.clone(), default.to_owned());
        }
        if row.get(2) == Some("t") {
            columns.not_null.insert(name);
        }
    }
    Ok(tables)
}

fn keys(rows: &[Row]) -> Result<Vec<RelationKey>> {
    let mut keys: Vec<RelationKey> = Vec::new();
    for row in rows {
        let oid = row.require(0)?;
        if keys.last().is_none_or(|key| key.oid != oid) {
            keys.push(RelationKey { oid, identity: row.require(1)?, primary_key: Vec::new() });
        }
        if let (Some(key), Some(column)) = (keys.last_mut(), row.get(2)) {
            key.primary_key.push(column.to_owned());
        }
    }
    Ok(keys)
}
