//! Publications.

use std::collections::BTreeSet;

use ductstream_core::{Error, Result, TableName};

use crate::connect::{Connection, Row, quote_identifier, quote_literal};

pub use super::pattern::resolve;

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// Which operations it publishes: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// Whether changes of partitions are published as changes of their root.
    pub via_root: bool,
    /// Whether the role may act as its owner.
    pub owned: bool,
}

/// The publications of these names.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming the ones that do not exist.
pub async fn load(connection: &mut Connection, names: &[String]) -> Result<Vec<Publication>> {
    let found = query(connection, names).await?;
    let missing: Vec<&str> =
        names.iter().filter(|name| found.iter().all(|found| found.name != **name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    Err(Error::configuration(format!("publication {} does not exist", missing.join(", ")))
        .with_remedy("create it with CREATE PUBLICATION, or give `source.tables` and let the flow create its own"))
}

async fn query(connection: &mut Connection, names: &[String]) -> Result<Vec<Publication>> {
    let sql = format!(
        "SELECT pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, \
         pg_catalog.pg_has_role(pubowner, 'USAGE') \
         FROM pg_catalog.pg_publication WHERE pubname IN ({}) ORDER BY pubname",
        literals(names)
    );
    connection.simple_query(&sql).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Publication> {
    let flag = |index| row.get(index) == Some("t");
    Ok(Publication {
        name: row.require(0)?,
        all_tables: flag(1),
        operations: [flag(2), flag(3), flag(4), flag(5)],
        via_root: flag(6),
        owned: flag(7),
    })
}

/// The publication of this name; `None` when there is none.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn find(connection: &mut Connection, name: &str) -> Result<Option<Publication>> {
    Ok(query(connection, std::slice::from_ref(&name.to_owned())).await?.pop())
}

/// The tables under whose names the publications send changes.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn published(connection: &mut Connection, names: &[String]) -> Result<Vec<TableName>> {
    let sql = format!(
        "SELECT DISTINCT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname IN ({}) ORDER BY 1, 2",
        literals(names)
    );
    table_names(&connection.simple_query(&sql).await?)
}

/// Refuses publications that send different columns of one table: the server takes a table's columns from all of them, and stops the
/// stream at its first change where they do not agree.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming the tables.
pub async fn same_columns(connection: &mut Connection, names: &[String]) -> Result<()> {
    // Column lists came with version 15.
    if connection.server_version_num() < 150_000 || names.len() < 2 {
        return Ok(());
    }
    let sql = format!(
        "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname IN ({}) \
         GROUP BY 1, 2 HAVING count(DISTINCT attnames) > 1 ORDER BY 1, 2",
        literals(names)
    );
    let tables = table_names(&connection.simple_query(&sql).await?)?;
    if tables.is_empty() {
        return Ok(());
    }
    let tables = tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::configuration(format!("publications {} send different columns of {tables}", names.join(", ")))
        .with_remedy("give the table the same column list in each of them, or name one of them"))
}

/// The stored generated columns that the publications send, because they publish all of them or list them.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn generated_columns(connection: &mut Connection, names: &[String]) -> Result<BTreeSet<(TableName, String)>> {
    // They can be published from version 18 on.
    if connection.server_version_num() < 180_000 {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT DISTINCT p.schemaname, p.tablename, a.attname FROM pg_catalog.pg_publication_tables p \
         JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (p.attnames) \
         WHERE a.attgenerated = 's' AND p.pubname IN ({})",
        literals(names)
    );
    let rows = connection.simple_query(&sql).await?;
    let columns = rows.iter().map(|row| row.require::<String>(2)).collect::<Result<Vec<_>>>()?;
    Ok(table_names(&rows)?.into_iter().zip(columns).collect())
}

/// The tables that were put into a publication by name.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn members(connection: &mut Connection, name: &str) -> Result<BTreeSet<TableName>> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_publication_rel r \
         JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid JOIN pg_catalog.pg_class c ON c.oid = r.prrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = {}",
        quote_literal(name)
    );
    Ok(table_names(&connection.simple_query(&sql).await?)?.into_iter().collect())
}

fn table_names(rows: &[Row]) -> Result<Vec<TableName>> {
    rows.iter().map(|row| Ok(TableName::new(row.require::<String>(0)?, row.require::<String>(1)?))).collect()
}

/// Makes the publication `name` hold exactly `tables`: creates it when it is missing (and returns true), and adds and
/// drops tables otherwise, all or none. What it says about tables that stay (row filters, column lists) stays.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn ensure(connection: &mut Connection, name: &str, tables: &[TableName]) -> Result<bool> {
    let doing = |error: Error| error.context(format_args!("making publication {name:?}"));
    let publication = quote_identifier(name);
    if find(connection, name).await?.is_none() {
        let list = qualified(tables.iter());
        let sql = format!("CREATE PUBLICATION {publication} FOR TABLE {list} WITH (publish_via_partition_root = true)");
        connection.simple_query(&sql).await.map_err(doing)?;
        return Ok(true);
    }
    let (has, wanted) = (members(connection, name).await?, tables.iter().cloned().collect::<BTreeSet<_>>());
    // One message is one transaction.
    let mut sql = String::new();
    for (verb, tables) in [("ADD", wanted.difference(&has)), ("DROP", has.difference(&wanted))] {
        let list = qualified(tables);
        if !list.is_empty() {
            sql += &format!("ALTER PUBLICATION {publication} {verb} TABLE {list};");
        }
    }
    if !sql.is_empty() {
        connection.simple_query(&sql).await.map_err(doing)?;
    }
    Ok(false)
}

/// Creates a publication of what is added to `tables`: inserts and truncates. The server goes on taking updates and deletes of tables that
/// have no replica identity, which it refuses once they are published for those.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn create_for_inserts(connection: &mut Connection, name: &str, tables: &[TableName]) -> Result<()> {
    let list = qualified(tables.iter());
    let options = "publish = 'insert, truncate', publish_via_partition_root = true";
    let sql = format!("CREATE PUBLICATION {} FOR TABLE {list} WITH ({options})", quote_identifier(name));
    let made = connection.simple_query(&sql).await;
    made.map(|_| ()).map_err(|error| error.context(format_args!("making publication {name:?}")))
}

/// Drops a publication.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn drop(connection: &mut Connection, name: &str) -> Result<()> {
    let sql = format!("DROP PUBLICATION IF EXISTS {}", quote_identifier(name));
    connection
        .simple_query(&sql)
        .await
        .map_err(|error| error.context(format_args!("dropping publication {name:?}")))?;
    Ok(())
}

fn qualified<'a>(tables: impl Iterator<Item = &'a TableName>) -> String {
    let name = |table: &TableName| format!("{}.{}", quote_identifier(&table.namespace), quote_identifier(&table.name));
    tables.map(name).collect::<Vec<_>>().join(", ")
}

fn literals(names: &[String]) -> String {
    names.iter().map(|name| quote_literal(name)).collect::<Vec<_>>().join(",")
}
