//! A published table of columns of every type, and what its changes are compared with.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::path::Path;

use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::python;
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::{Column, Kind};
use super::literal::literal;
use crate::harness::{Flow, Shape, files};

/// A row's image as a reader found it: each column's value as a literal of PostgreSQL, `None` for null.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) op: String,
    /// `after` or `before` of the envelope `native`.
    pub(super) image: Option<String>,
    pub(super) values: BTreeMap<String, Option<String>>,
}

/// A table of columns `c0`, `c1`, ... that is published, and a copy of its rows that stays.
pub(super) struct Table<'a> {
    database: &'a TestDatabase,
    name: &'static str,
    columns: Vec<(String, &'static Column)>,
    /// What each value has already been found equal to.
    judged: HashSet<(String, String, Option<String>)>,
}

impl<'a> Table<'a> {
    pub(super) async fn create(database: &'a TestDatabase, name: &'static str, columns: &'static [Column]) -> Self {
        let version = database.cluster().major();
        let columns = columns.iter().enumerate().filter(|(_, column)| column.since <= version);
        let columns: Vec<_> = columns.map(|(index, column)| (format!("c{index}"), column)).collect();
        let definitions: Vec<String> =
            columns.iter().map(|(name, column)| format!("{name} {}", column.sql_type)).collect();
        let definitions = definitions.join(", ");
        database
            .execute(&format!(
                "create table {name} (id int primary key, {definitions}); alter table {name} replica identity full"
            ))
            .await;
        Self { database, name, columns, judged: HashSet::new() }
    }

    /// Inserts one row per value (the last one is all null), updates all rows without changing a value, keeps a copy, and deletes them.
    pub(super) async fn change(&self) {
        let rows = self.columns.iter().map(|(_, column)| column.values.len()).max().unwrap();
        let name = self.name;
        for row in 0..=rows {
            let present = || self.columns.iter().filter_map(|(name, column)| Some((name, column.values.get(row)?)));
            let names: String = present().map(|(name, _)| format!(", {name}")).collect();
            let values: String = present().map(|(_, value)| format!(", {value}")).collect();
            self.database.execute(&format!("insert into {name} (id{names}) values ({row}{values})")).await;
        }
        self.database
            .execute(&format!(
                "create schema kept; create table kept.{name} as table {name}; update {name} set id = id; delete from {name}"
            ))
            .await;
    }

    async fn rows(&self) -> usize {
        self.database.query_value(&format!("select count(*) from kept.{}", self.name)).await.parse().unwrap()
    }

    /// What the server prints of a column, by id.
    async fn printed(&self, name: &str) -> BTreeMap<String, Option<String>> {
        let rows = self.database.query(&format!("select id, {} from kept.{}", shown(name), self.name)).await;
        rows.into_iter().map(|mut row| (row[0].take().unwrap(), row[1].take())).collect()
    }

    /// Compares one column of all images with what the server prints.
    async fn compare(&mut self, place: &Place<'_>, found: &[Found]) {
        let (name, kind) = (place.name, place.column.kind);
        let printed = self.printed(name).await;
        let exact = matches!(kind, Kind::Text | Kind::Json) || place.json && matches!(kind, Kind::Range);
        for image in found {
            let id = image.values["id"].clone().unwrap();
            let differs = |value: &dyn Debug| place.differs(&id, value, &printed[&id]);
            let value = image.values.get(name).unwrap_or_else(|| panic!("{}", differs(&"no column")));
            let expected = match kind {
                Kind::Json if place.json => printed[&id].as_deref().and_then(on_one_line),
                _ => printed[&id].clone(),
            };
            if *value == expected {
                continue;
            }
            assert!(!exact && value.is_some() && expected.is_some(), "{}", differs(value));
            if self.judged.insert((name.to_owned(), id.clone(), value.clone())) {
                let read = self.read_by_server(place, value.as_deref().unwrap()).await;
                assert_eq!(read.as_ref(), Ok(&expected), "{}", differs(value));
            }
        }
    }

    /// How the server prints a literal that it reads as a value of the column's type; without the type's modifiers, so that
    /// nothing is rounded or padded.
    async fn read_by_server(&self, place: &Place<'_>, literal: &str) -> Result<Option<String>, String> {
        let of_type = format!(
            "select format_type(atttypid, -1) from pg_attribute where attrelid = 'kept.{}'::regclass and attname = '{}'",
            self.name, place.name
        );
        let of_type = self.database.query_value(&of_type).await;
        let literal = literal.replace('\\', "\\\\").replace('\'', "\\'");
        let select = format!("select {} from (select E'{literal}'::{of_type} v) read", shown("v"));
        self.database.try_execute(&select).await.map_err(|error| format!("{error:?}"))?;
        Ok(self.database.query_one(&select).await.remove(0))
    }

    pub(super) async fn agrees(&mut self, flow: &Flow, shape: &Shape<'_>) {
        let at = format!(
            "PostgreSQL {}, {} {}, {}",
            self.database.cluster().major(),
            shape.format,
            shape.envelope,
            shape.source.trim().replace('\n', ",")
        );
        let json = shape.format == "json";
        let mut found = match json {
            true => self.found_in_json(flow, shape.envelope),
            false => found_in_parquet(flow, self.name, shape.envelope),
        };
        let rows = self.rows().await;
        if shape.envelope == "flat" {
            let deletes = found.extract_if(.., |found| found.op == "delete").collect::<Vec<_>>();
            assert_eq!((deletes.len(), found.len()), (rows, 2 * rows), "{at}");
            for (column, value) in deletes.iter().flat_map(|found| &found.values) {
                assert_eq!(column == "id", value.is_some(), "{at}: column {column} of a delete is {value:?}");
            }
        }
        let image =
            |op: &str, image: &str| found.iter().filter(|it| it.op == op && it.image.as_deref() == Some(image)).count();
        if shape.envelope == "native" {
            let counts = [
                image("insert", "after"),
                image("update", "before"),
                image("update", "after"),
                image("delete", "before"),
            ];
            assert_eq!((counts, found.len()), ([rows; 4], 4 * rows), "{at}");
        }
        for (name, column) in self.columns.clone() {
            let place = Place { at: &at, table: self.name, name: &name, column, json };
            self.compare(&place, &found).await;
        }
    }

    fn found_in_json(&self, flow: &Flow, envelope: &str) -> Vec<Found> {
        let files = files(&flow.out().join(format!("public.{}", self.name)), "jsonl");
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        lines.flat_map(|line| self.images(line, envelope)).collect()
    }

    fn images(&self, line: &str, envelope: &str) -> Vec<Found> {
        let fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let string = |name: &str| serde_json::from_str::<String>(fields[name].get()).unwrap();
        if envelope == "flat" {
            return vec![Found { op: string("_op"), image: None, values: self.values(fields) }];
        }
        let images = ["after", "before"].into_iter().filter(|name| fields[*name].get() != "null");
        images
            .map(|name| Found {
                op: string("op"),
                image: Some(name.to_owned()),
                values: self.values(serde_json::from_str(fields[name].get()).unwrap()),
            })
            .collect()
    }

    fn values(&self, fields: BTreeMap<String, Box<RawValue>>) -> BTreeMap<String, Option<String>> {
        let columns = fields.into_iter().filter(|(name, _)| !name.starts_with('_'));
        columns
            .map(|(name, raw)| {
                let kind =
                    self.columns.iter().find(|(column, _)| *column == name).map_or(Kind::Bare, |(_, it)| it.kind);
                let value = match kind {
                    Kind::Json => Some(raw.get().to_owned()).filter(|raw| raw != "null"),
                    kind => {
                        literal(kind, &serde_json::from_str(raw.get()).unwrap_or_else(|error| panic!("{error}: {raw}")))
                    }
                };
                (name, value)
            })
            .collect()
    }
}

/// A column in one of the flows.
struct Place<'a> {
    at: &'a str,
    table: &'a str,
    name: &'a str,
    column: &'a Column,
    json: bool,
}

impl Place<'_> {
    fn differs(&self, id: &str, found: &dyn Debug, printed: &Option<String>) -> String {
        let clip = |text: String| text.chars().take(400).collect::<String>();
        let (found, printed) = (clip(format!("{found:?}")), clip(format!("{printed:?}")));
        let Self { at, table, name, column: Column { sql_type, .. }, .. } = self;
        format!("{at}: table {table}, column {name} {sql_type}, row {id}: found {found}, the server has {printed}")
    }
}

/// SQL for `value` as its type's output function prints it. (A cast to text is something else for some types.)
fn shown(value: &str) -> String {
    format!("case when {value} is not distinct from null then null else format('%s', {value}) end")
}

/// JSON text as it stands in a line; `null` there is not told from a null column.
fn on_one_line(text: &str) -> Option<String> {
    let text = text.replace(['\n', '\r'], " ").trim_matches([' ', '\t']).to_owned();
    Some(text).filter(|text| text != "null")
}

pub(super) fn found_in_parquet(flow: &Flow, table: &str, envelope: &str) -> Vec<Found> {
    images_in_parquet(&flow.out().join(format!("public.{table}")), envelope)
}

pub(super) fn images_in_parquet(directory: &Path, envelope: &str) -> Vec<Found> {
    let printed = python::run(include_str!("parquet.py"), &[directory.to_str().unwrap(), envelope]);
    printed
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let values = row["values"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value)));
            Found { op: text(&row["op"]).unwrap(), image: text(&row["image"]), values: values.collect() }
        })
        .collect()
}
