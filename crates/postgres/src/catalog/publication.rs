//! Publications, and which tables a pattern means.

use std::collections::BTreeSet;

use ductstream_core::{Error, Result, TableName};

use crate::connect::{Connection, quote_identifier, quote_literal};

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
}

/// Ordinary and partitioned tables that can be published: not the catalogs', not temporary, not unlogged.
const TABLES: &str = "SELECT n.nspname, c.relname, c.relispartition FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384 \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2";

/// The publications of these names.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming the ones that do not exist.
pub async fn load(connection: &mut Connection, names: &[String]) -> Result<Vec<Publication>> {
    let list = names.iter().map(|name| quote_literal(name)).collect::<Vec<_>>().join(",");
    let rows = connection
        .simple_query(&format!(
            "SELECT pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot \
             FROM pg_catalog.pg_publication WHERE pubname IN ({list}) ORDER BY pubname"
        ))
        .await?;
    let flag = |row: &crate::connect::Row, index| row.get(index) == Some("t");
    let found = rows.iter().map(|row| {
        Ok(Publication {
            name: row.require(0)?,
            all_tables: flag(row, 1),
            operations: [flag(row, 2), flag(row, 3), flag(row, 4), flag(row, 5)],
            via_root: flag(row, 6),
        })
    });
    let found = found.collect::<Result<Vec<_>>>()?;
    let missing: Vec<&str> =
        names.iter().filter(|name| found.iter().all(|found| found.name != **name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    Err(Error::configuration(format!("publication {} does not exist", missing.join(", ")))
        .with_remedy("create it with CREATE PUBLICATION, or give `source.tables` and let the flow create its own"))
}

/// The tables that the patterns mean, by name. A partition is left to its root where a pattern means that as well.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming a pattern that means no table.
pub async fn resolve(connection: &mut Connection, patterns: &[String]) -> Result<Vec<TableName>> {
    let rows = connection.simple_query(TABLES).await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in &rows {
        let table = TableName::new(row.require::<String>(0)?, row.require::<String>(1)?);
        tables.push((table, row.get(2) == Some("t")));
    }
    let mut wanted = BTreeSet::new();
    for pattern in patterns {
        let (namespace, name) = pattern.split_once('.').unwrap_or(("public", pattern));
        let plain = !pattern.contains(['*', '?']);
        let before = wanted.len();
        let mut seen = false;
        for (table, is_partition) in &tables {
            if glob(namespace, &table.namespace) && glob(name, &table.name) {
                seen = true;
                // A wildcard means tables as their owner sees them; a partition is meant only by its own name.
                if plain || !is_partition {
                    wanted.insert(table.clone());
                }
            }
        }
        if !seen && wanted.len() == before {
            return Err(no_table(pattern, tables.iter().map(|(table, _)| table)));
        }
    }
    Ok(wanted.into_iter().collect())
}

fn no_table<'a>(pattern: &str, tables: impl Iterator<Item = &'a TableName>) -> Error {
    let nearest = tables
        .map(|table| (strsim::jaro_winkler(pattern, &table.to_string()), table))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::configuration(format!("source.tables: no table is named {pattern:?}"));
    match nearest {
        Some((_, table)) => error.with_remedy(format!("did you mean {table}? Change `source.tables`, or create the table")),
        None => error.with_remedy("change `source.tables`, or create the table"),
    }
}

/// Whether `text` is what `pattern` means: `*` stands for any characters, `?` for one.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(one) if *one == '?' || *one == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                // What the last star stands for grows by one character.
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    (at, seen) = (star_at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Makes the publication `name` hold exactly `tables`: creates it when it is missing (and returns true), and adds and drops tables
/// otherwise.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn ensure(connection: &mut Connection, name: &str, tables: &[TableName]) -> Result<bool> {
    let doing = |error: Error| error.context(format_args!("making publication {name:?}"));
    let list = tables.iter().map(qualified).collect::<Vec<_>>().join(", ");
    let publication = quote_identifier(name);
    let exists = format!("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {}", quote_literal(name));
    if connection.simple_query(&exists).await?.is_empty() {
        let sql = format!("CREATE PUBLICATION {publication} FOR TABLE {list} WITH (publish_via_partition_root = true)");
        connection.simple_query(&sql).await.map_err(doing)?;
        return Ok(true);
    }
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_publication_rel r \
         JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid JOIN pg_catalog.pg_class c ON c.oid = r.prrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = {}",
        quote_literal(name)
    );
    let rows = connection.simple_query(&sql).await?;
    let holds = rows.iter().map(|row| Ok(TableName::new(row.require::<String>(0)?, row.require::<String>(1)?)));
    let holds = holds.collect::<Result<BTreeSet<_>>>()?;
    if holds != tables.iter().cloned().collect() {
        let sql = format!("ALTER PUBLICATION {publication} SET TABLE {list}");
        connection.simple_query(&sql).await.map_err(doing)?;
    }
    Ok(false)
}

/// Drops a publication.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn drop(connection: &mut Connection, name: &str) -> Result<()> {
    let sql = format!("DROP PUBLICATION IF EXISTS {}", quote_identifier(name));
    connection.simple_query(&sql).await.map_err(|error| error.context(format_args!("dropping publication {name:?}")))?;
    Ok(())
}

fn qualified(table: &TableName) -> String {
    format!("{}.{}", quote_identifier(&table.namespace), quote_identifier(&table.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        for (pattern, text, matches) in [
            ("orders", "orders", true),
            ("orders", "order", false),
            ("order_*", "order_", true),
            ("order_*", "order_items", true),
            ("*_log", "a_log_log", true),
            ("*_log", "a_logs", false),
            ("o?d", "old", true),
            ("o?d", "od", false),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
