//! Whether what arrived and the source agree, as readers that are not ours see the one and PostgreSQL the other.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::topics::Topics;
use crate::postgres::Postgres;
use crate::servers::python;

const ANSWER: &str = include_str!("answer.py");

/// The tables' columns in order: table, column, type, whether it belongs to the primary key.
const COLUMNS: &str = "
    select c.relname, a.attname, t.typname, a.attnum = any(i.indkey)
    from pg_class c
    join pg_index i on i.indrelid = c.oid and i.indisprimary
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    order by c.relname, a.attnum";

/// A table of the source.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    /// In order.
    pub(super) columns: Vec<Column>,
}

#[derive(Debug, Serialize)]
pub(super) struct Column {
    name: String,
    type_name: String,
    key: bool,
}

/// What arrived of a table, in the order of the query's columns.
#[derive(Debug, Deserialize)]
pub(super) struct Arrived {
    inserts: u64,
    updates: u64,
    deletes: u64,
    unchanged: u64,
    /// Objects, or messages.
    objects: u64,
}

/// Rows, and a checksum over all their values.
pub(super) type Contents = (u64, Option<String>);

/// Prints what arrived of each table in files and whether it adds up to what the source holds.
pub(super) fn compare_files(postgres: &Postgres, database: &str, lake: &Path) -> Result<bool> {
    let tables = tables(&postgres.query(database, COLUMNS)?)?;
    let queries: Vec<String> = tables.iter().flat_map(|table| [table.arrived(lake), table.folded(lake)]).collect();
    let mut answers = answer(&queries)?.into_iter();
    let arrived = tables.iter().map(|_| Ok((one_row(answers.next())?, one_row(answers.next())?)));
    compare(postgres, database, &tables, "objects", arrived.collect::<Result<_>>()?)
}

/// Prints what arrived of each table in topics and whether it adds up to what the source holds.
pub(super) fn compare_topics(postgres: &Postgres, database: &str, topics: &Topics, out: &Path) -> Result<bool> {
    let tables = tables(&postgres.query(database, COLUMNS)?)?;
    let arrived = topics.arrived(&tables, out)?;
    compare(postgres, database, &tables, "messages", arrived)
}

fn compare(
    postgres: &Postgres,
    database: &str,
    tables: &[Table],
    pieces: &str,
    arrived: Vec<(Arrived, Contents)>,
) -> Result<bool> {
    println!(
        "\n    {:<12} {:>8} {:>8} {:>8} {:>10} {pieces:>8} {:>12} {:>12}  checksum",
        "table", "inserts", "updates", "deletes", "unchanged", "source rows", "folded rows"
    );
    let mut all = true;
    for (table, (arrived, folded)) in tables.iter().zip(arrived) {
        let source: Contents = serde_json::from_str(&postgres.query(database, &table.source())?)?;
        all &= print(table, &arrived, &source, &folded);
    }
    println!(
        "\n    unchanged: updates whose long value PostgreSQL did not send, because it is the same as before.\n    \
         folded: the changes applied in order, per key; the checksum is over all values of all rows."
    );
    Ok(all)
}

fn print(table: &Table, arrived: &Arrived, source: &Contents, folded: &Contents) -> bool {
    let Arrived { inserts, updates, deletes, unchanged, objects } = arrived;
    let verdict = match (source == folded, &folded.1) {
        (true, Some(checksum)) => format!("{} agrees", &checksum[..8.min(checksum.len())]),
        (true, None) => "agrees (empty)".to_owned(),
        (false, _) => "DIFFERS".to_owned(),
    };
    println!(
        "    {:<12} {inserts:>8} {updates:>8} {deletes:>8} {unchanged:>10} {objects:>8} {:>12} {:>12}  {verdict}",
        table.name, source.0, folded.0
    );
    source == folded
}

impl Table {
    /// The table's topic.
    pub(super) fn topic(&self) -> String {
        format!("public.{}", self.name)
    }

    /// DuckDB's relation of a table's files.
    fn files(&self, lake: &Path) -> String {
        let pattern = lake.join(format!("public.{}/**/*.parquet", self.name));
        format!("read_parquet('{}', filename = true)", pattern.display().to_string().replace('\'', "''"))
    }

    fn arrived(&self, lake: &Path) -> String {
        let of = |operation: &str| format!("count(*) filter (where _op = '{operation}')");
        format!(
            "select {}, {}, {}, count(_unchanged), count(distinct filename) from {}",
            of("insert"),
            of("update"),
            of("delete"),
            self.files(lake)
        )
    }

    /// Folds the changes as any reader would: once per (`_commit_lsn`, `_seq`), in that order, per key; a column that
    /// is unchanged keeps its earlier value.
    fn folded(&self, lake: &Path) -> String {
        let position = "_commit_lsn::hugeint * 4294967296 + _seq";
        let keys: Vec<&str> = self.columns.iter().filter(|it| it.key).map(|it| it.name.as_str()).collect();
        let values = self.columns.iter().filter(|column| !column.key).map(|Column { name, .. }| {
            format!(
                "struct_extract(arg_max({{'value': {name}}}, {position}) filter (where _op <> 'delete'
                     and not coalesce(list_contains(_unchanged, '{name}'), false)), 'value') as {name}"
            )
        });
        let values: Vec<String> = values.collect();
        format!(
            "with changes as (
                select * from {} qualify row_number() over (partition by _commit_lsn, _seq) = 1
            ), folded as (
                select {keys}, arg_max(_op, {position}) as _op, {} from changes group by {keys}
            ) select count(*), {} from folded where _op <> 'delete'",
            self.files(lake),
            values.join(", "),
            self.checksum(Column::in_duckdb),
            keys = keys.join(", "),
        )
    }

    fn source(&self) -> String {
        format!("select json_build_array(count(*), {}) from {}", self.checksum(Column::in_postgres), self.name)
    }

    /// A checksum over all rows in no particular order, the same text in both databases.
    fn checksum(&self, text: fn(&Column) -> String) -> String {
        let values: Vec<String> =
            self.columns.iter().map(|column| format!("coalesce({}, '~')", text(column))).collect();
        let row = format!("md5(concat_ws('|', {}))", values.join(", "));
        format!("md5(string_agg({row}, '' order by {row}))")
    }
}

impl Column {
    fn in_postgres(&self) -> String {
        let name = &self.name;
        match self.type_name.as_str() {
            "timestamptz" => format!("(extract(epoch from {name}) * 1000000)::bigint::text"),
            array if array.starts_with('_') => format!("array_to_json({name})::text"),
            _ => format!("{name}::text"),
        }
    }

    fn in_duckdb(&self) -> String {
        let name = &self.name;
        match self.type_name.as_str() {
            "timestamptz" => format!("epoch_us({name})::text"),
            array if array.starts_with('_') => format!("to_json({name})::text"),
            _ => format!("{name}::text"),
        }
    }
}

fn tables(rows: &str) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    for row in rows.lines() {
        let fields: Vec<&str> = row.split('|').collect();
        let [table, name, type_name, key] = fields[..] else { bail!("the catalog gave {row:?}") };
        let column = Column { name: name.to_owned(), type_name: type_name.to_owned(), key: key == "t" };
        match tables.last_mut().filter(|last| last.name == table) {
            Some(last) => last.columns.push(column),
            None => tables.push(Table { name: table.to_owned(), columns: vec![column] }),
        }
    }
    Ok(tables)
}

/// What DuckDB answers: per query, its rows.
fn answer(queries: &[String]) -> Result<Vec<Vec<serde_json::Value>>> {
    let mut duckdb = Command::new(python());
    duckdb.args(["-c", ANSWER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = duckdb.spawn().context("starting Python")?;
    let mut stdin = child.stdin.take().context("Python has no standard input")?;
    stdin.write_all(&serde_json::to_vec(queries)?)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("DuckDB could not read the files");
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn one_row<T: serde::de::DeserializeOwned>(rows: Option<Vec<serde_json::Value>>) -> Result<T> {
    let row = rows.and_then(|rows| rows.into_iter().next()).context("DuckDB gave no row")?;
    Ok(serde_json::from_value(row)?)
}
