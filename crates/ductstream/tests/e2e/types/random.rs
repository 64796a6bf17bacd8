//! Random tables with random changes, through both protocols, both formats and both envelopes.
//!
//! Each seed makes types of each other, tables of them with random keys and replica identities, and random transactions. A
//! failure names the seed: `DUCTSTREAM_TEST_SEEDS=17 cargo xtask test random` runs it alone, and `DUCTSTREAM_TEST_SEEDS=1-500`
//! many of them.

use ductstream_testkit::postgres::{TestDatabase, supported_versions};

use super::found::{Found, found_in_json, found_in_parquet};
use super::grammar::{Random, Type, Types};
use super::table::{Identity, Layout, Table};
use super::{BINARY, Column, Flow, Shape, flow_of_every_shape, with_types};

const TABLES: usize = 4;
const TYPES: usize = 12;
const COLUMNS_MAX: usize = 8;
const CHANGES: usize = 30;
/// What CI runs, on each version.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

const IDENTITIES: [Identity; 7] = [
    Identity::Default,
    Identity::Default,
    Identity::Default,
    Identity::Full,
    Identity::Full,
    Identity::FullWithoutKey,
    Identity::Index,
];

fn seeds() -> std::ops::RangeInclusive<u64> {
    let Ok(wanted) = std::env::var("DUCTSTREAM_TEST_SEEDS") else { return SEEDS };
    let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("DUCTSTREAM_TEST_SEEDS={wanted}"));
    match wanted.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(&wanted)..=number(&wanted),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_of_random_tables_arrive_as_the_server_prints_them() {
    for version in supported_versions() {
        for seed in seeds() {
            every_shape_agrees(version, seed).await;
        }
    }
}

async fn every_shape_agrees(version: u16, seed: u64) {
    let context = format!("DUCTSTREAM_TEST_SEEDS={seed}, ");
    // The same draws on each version, whose types differ.
    let mut random = Random::new(seed);
    let as_text = random.once_in(3);
    let database = with_types(version).await;
    let types = Types::random(&mut random, version, as_text, TYPES);
    for statement in &types.setup {
        made(&database, statement, &context).await;
    }
    let mut tables = Vec::new();
    for index in 0..TABLES {
        tables.push(Table::create(&database, layout(&mut random, &types, index)).await);
    }
    let policy = if as_text { "text" } else { "error" };
    let sources = BINARY.map(|binary| format!("{binary}\n  special_values: {policy}"));
    let flows = flow_of_every_shape(&database, &sources).await;
    for statement in changes(&mut random, &tables) {
        made(&database, &statement, &context).await;
    }
    for table in &mut tables {
        table.read_log().await;
    }
    for (flow, shape) in &flows {
        flow.drain().await;
        let found = found(flow, shape, &tables);
        for (table, found) in tables.iter_mut().zip(&found) {
            table.agrees_with(found, shape, &context).await;
        }
    }
}

async fn made(database: &TestDatabase, statement: &str, context: &str) {
    if let Err(error) = database.try_execute(statement).await {
        panic!("{context}{statement}: {error:?}");
    }
}

fn found(flow: &Flow, shape: &Shape<'_>, tables: &[Table<'_>]) -> Vec<Vec<Found>> {
    let directories: Vec<_> = tables.iter().map(|table| flow.out().join(format!("public.{}", table.name))).collect();
    if shape.format == "parquet" {
        return found_in_parquet(&directories, shape.envelope);
    }
    let tables = directories.iter().zip(tables);
    tables.map(|(directory, table)| found_in_json(directory, shape.envelope, &table.columns)).collect()
}

fn layout(random: &mut Random, types: &Types, index: usize) -> Layout {
    let made = &types.known[types.given..];
    let column =
        |random: &mut Random| if random.once_in(3) { random.pick(&types.known) } else { random.pick(made) }.column();
    let columns = (0..=random.below(COLUMNS_MAX)).map(|_| column(random)).collect();
    let identity = *random.pick(&IDENTITIES);
    let key = random.once_in(2).then(|| key(random, &types.known).column());
    Layout { name: format!("t{index}"), columns, identity, key }
}

/// A type of small values that an index can hold.
fn key<'t>(random: &mut Random, types: &'t [Type]) -> &'t Type {
    const KEYS: &[&str] = &[
        "bool",
        "int8",
        "oid",
        "numeric",
        "numeric(12,2)",
        "varchar(10)",
        "char(5)",
        "name",
        "citext",
        "uuid",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "interval",
        "inet",
        "varbit",
        "pg_lsn",
        "mood",
        "positive",
        "int4range",
        "daterange",
        "words",
        "int4multirange",
    ];
    loop {
        let found = random.pick(types);
        if KEYS.contains(&found.name.as_str()) {
            return found;
        }
    }
}

/// Transactions of changes, one statement each.
fn changes(random: &mut Random, tables: &[Table<'_>]) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); tables.len()];
    let mut next_id = 1;
    while statements.len() < CHANGES {
        let mut transaction = String::from("begin; ");
        for _ in 0..=random.below(5) {
            let index = random.below(tables.len());
            let change = change(random, &tables[index], &mut rows[index], &mut next_id);
            // What is rolled back leaves no trace, the rows that the next changes are for least of all.
            let undone = random.once_in(6).then(|| insert(random, &tables[index], 0));
            let undone = undone.map(|change| format!("savepoint s; {change}; rollback to s; ")).unwrap_or_default();
            transaction += &format!("{undone}{change}; ");
        }
        statements.push(transaction + "commit");
    }
    statements
}

fn change(random: &mut Random, table: &Table<'_>, rows: &mut Vec<usize>, next_id: &mut usize) -> String {
    if rows.is_empty() || random.once_in(3) {
        *next_id += 1;
        if random.once_in(20) {
            rows.clear();
            return format!("truncate {}", table.name);
        }
        rows.push(*next_id);
        return insert(random, table, *next_id);
    }
    let index = random.below(rows.len());
    if random.once_in(4) {
        return format!("delete from {} where id = {}", table.name, rows.swap_remove(index));
    }
    let id = rows[index];
    let mut set = Vec::new();
    if random.once_in(4) {
        *next_id += 1;
        rows[index] = *next_id;
        set.push(format!("id = {next_id}"));
    }
    for (name, column) in table.columns.iter().skip(1) {
        if random.once_in(4) {
            set.push(format!("{name} = {}", value(random, name, column)));
        }
    }
    if set.is_empty() {
        set.push("id = id".to_owned());
    }
    format!("update {} set {} where id = {id}", table.name, set.join(", "))
}

fn insert(random: &mut Random, table: &Table<'_>, id: usize) -> String {
    let values: String =
        table.columns.iter().skip(1).map(|(name, column)| format!(", {}", value(random, name, column))).collect();
    format!("insert into {} values ({id}{values})", table.name)
}

fn value(random: &mut Random, name: &str, column: &Column) -> String {
    // The key is never null.
    if name.starts_with('c') && random.once_in(6) {
        "null".to_owned()
    } else {
        (*random.pick(column.values)).to_owned()
    }
}
