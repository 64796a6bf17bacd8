//! A published table of columns of any types, and what its changes are compared with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use ductstream_testkit::postgres::TestDatabase;

use super::columns::{Column, Kind};
use super::found::{Found, Image, found_in_json, found_in_parquet};
use crate::harness::{Flow, Shape};

/// What the server logs of old rows, and what makes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The primary key.
    Default,
    /// The primary key is the key, and old rows are logged whole.
    Full,
    /// The same without a primary key: the whole row is the key.
    FullWithoutKey,
    /// A unique index over the same columns, the other way round.
    Index,
}

/// How a table is made.
pub(super) struct Layout {
    pub(super) name: String,
    pub(super) columns: Vec<&'static Column>,
    pub(super) identity: Identity,
    /// A second column of the key beside `id`.
    pub(super) key: Option<&'static Column>,
}

impl Layout {
    /// Columns under full identity with a key of one number.
    pub(super) fn full(name: &str, columns: &'static [Column]) -> Self {
        Self { name: name.to_owned(), columns: columns.iter().collect(), identity: Identity::Full, key: None }
    }
}

/// A row of columns by name; a value is what the server prints, or a literal that it reads; `None` for null.
pub(super) type Row = BTreeMap<String, Option<String>>;

/// One change as the server itself logged it.
#[derive(Debug, Default)]
struct Change {
    op: String,
    before: Option<Row>,
    after: Option<Row>,
}

/// A table of columns `id`, perhaps `k`, `c0`, `c1`, ... that is published, and a log of its changes that a trigger keeps.
pub(super) struct Table<'a> {
    database: &'a TestDatabase,
    pub(super) name: String,
    pub(super) columns: Vec<(String, &'static Column)>,
    pub(super) identity: Identity,
    changes: Vec<Change>,
    /// The type of each column, without modifiers.
    types: HashMap<String, String>,
    /// What each value has already been found equal to.
    judged: HashSet<(String, Option<String>, String)>,
}

static ID: Column = Column { sql_type: "int", kind: Kind::Bare, values: &[], since: 14 };

impl<'a> Table<'a> {
    pub(super) async fn create(database: &'a TestDatabase, layout: Layout) -> Self {
        let Layout { name, columns, identity, key } = layout;
        let version = database.cluster().major();
        let chosen = columns.iter().enumerate().filter(|(_, column)| column.since <= version);
        let mut named = vec![("id".to_owned(), &ID)];
        named.extend(key.map(|key| ("k".to_owned(), key)));
        named.extend(chosen.map(|(index, column)| (format!("c{index}"), *column)));
        let not_null = |name: &str| if name.starts_with('c') { "" } else { " not null" };
        let definitions: Vec<String> =
            named.iter().map(|(name, column)| format!("{name} {}{}", column.sql_type, not_null(name))).collect();
        let (key, turned) = if key.is_some() { ("id, k", "k, id") } else { ("id", "id") };
        let primary_key = match identity {
            Identity::FullWithoutKey => String::new(),
            _ => format!("alter table {name} add primary key ({key});"),
        };
        let identity_sql = match identity {
            Identity::Default => String::new(),
            Identity::Full | Identity::FullWithoutKey => format!("alter table {name} replica identity full;"),
            Identity::Index => format!(
                "create unique index {name}_turned on {name} ({turned}); alter table {name} replica identity using index {name}_turned;"
            ),
        };
        database
            .execute(&format!("create table {name} ({}); {primary_key} {identity_sql}", definitions.join(", ")))
            .await;
        database.execute(&logging(&name)).await;
        Self {
            database,
            name,
            columns: named,
            identity,
            changes: Vec::new(),
            types: HashMap::new(),
            judged: HashSet::new(),
        }
    }

    /// Inserts one row per value (the last one is all null), updates all rows without changing a value, and deletes them.
    pub(super) async fn change(&mut self) {
        let rows = self.columns.iter().map(|(_, column)| column.values.len()).max().unwrap();
        let name = &self.name;
        for row in 0..=rows {
            let present = || self.columns.iter().filter_map(|(name, column)| Some((name, column.values.get(row)?)));
            let names: String = present().map(|(name, _)| format!(", {name}")).collect();
            let values: String = present().map(|(_, value)| format!(", {value}")).collect();
            self.database.execute(&format!("insert into {name} (id{names}) values ({row}{values})")).await;
        }
        self.database.execute(&format!("update {name} set id = id; delete from {name}")).await;
        self.read_log().await;
    }

    /// Makes the log say that the value of `column` in the rows that [`change`](Self::change) gave its value `row` is another one.
    pub(super) async fn expect_instead(&self, column: usize, row: usize, value: &str) {
        let name = &self.name;
        self.database.execute(&format!("update kept.{name} set c{column} = {value} where id = {row}")).await;
    }

    /// Reads what the server prints of all changes so far.
    pub(super) async fn read_log(&mut self) {
        let shown: String = self.columns.iter().map(|(name, _)| format!(", {}", shown(name))).collect();
        let name = &self.name;
        let rows = self
            .database
            .query(&format!("select change, op, image{shown} from kept.{name} order by change, image"))
            .await;
        let mut changes: BTreeMap<u64, Change> = BTreeMap::new();
        for mut row in rows {
            let values = row.split_off(3);
            let [number, op, image] = [0, 1, 2].map(|column: usize| row[column].clone().unwrap());
            let values: Row = self.columns.iter().map(|(name, _)| name.clone()).zip(values).collect();
            let change = changes.entry(number.parse().unwrap()).or_default();
            change.op = op;
            match image.as_str() {
                "before" => change.before = Some(values),
                "after" => change.after = Some(values),
                _ => {}
            }
        }
        self.changes = changes.into_values().collect();
    }

    /// Compares everything that a flow delivered of the table with the log.
    pub(super) async fn agrees(&mut self, flow: &Flow, shape: &Shape<'_>, context: &str) {
        let directory = flow.out().join(format!("public.{}", self.name));
        let found = match shape.format {
            "json" => found_in_json(&directory, shape.envelope, &self.columns),
            _ => found_in_parquet(&[directory], shape.envelope).remove(0),
        };
        self.agrees_with(&found, shape, context).await;
    }

    /// Compares the records of the table that a reader found with the log.
    pub(super) async fn agrees_with(&mut self, found: &[Found], shape: &Shape<'_>, context: &str) {
        let version = self.database.cluster().major();
        let source = shape.source.trim().replace('\n', ",");
        let at = format!(
            "{context}PostgreSQL {version}, {} {}, {source}: table {}",
            shape.format, shape.envelope, self.name
        );
        let changes = std::mem::take(&mut self.changes);
        let ops = |op: &dyn Fn(usize) -> String, count: usize| (0..count).map(op).collect::<Vec<_>>();
        assert_eq!(
            ops(&|index| found[index].op.clone(), found.len()),
            ops(&|index| changes[index].op.clone(), changes.len()),
            "{at}: the operations"
        );
        for (number, (record, change)) in found.iter().zip(&changes).enumerate() {
            let place = Place { at: &at, number, op: &change.op, json: shape.format == "json" };
            self.compare_record(&place, record, change, shape.envelope).await;
        }
        self.changes = changes;
    }

    fn key(&self) -> Vec<&str> {
        let names = self.columns.iter().map(|(name, _)| name.as_str());
        match self.identity {
            Identity::FullWithoutKey => names.collect(),
            _ => names.filter(|name| !name.starts_with('c')).collect(),
        }
    }

    /// The images that a record of this change has to have, each with the columns that have to have their values in it; all others
    /// have to be null.
    fn expected<'c>(&'c self, change: &'c Change, envelope: &str) -> BTreeMap<Image, (&'c Row, Vec<&'c str>)> {
        let every: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let key = self.key();
        let full = matches!(self.identity, Identity::Full | Identity::FullWithoutKey);
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let key_changed =
            before.zip(after).is_some_and(|(before, after)| key.iter().any(|name| before[*name] != after[*name]));
        let mut images = BTreeMap::new();
        if envelope == "flat" {
            // The columns of a truncate are all null.
            let row = after.map(|after| (after, every)).or_else(|| before.map(|before| (before, key.clone())));
            images.extend(row.map(|row| (Image::Row, row)));
            images.extend(before.filter(|_| key_changed).map(|before| (Image::OldKey, (before, key))));
            return images;
        }
        images.extend(after.map(|after| (Image::After, (after, every.clone()))));
        if full || key_changed || after.is_none() {
            let carried = if full { every } else { key.clone() };
            images.extend(before.map(|before| (Image::Before, (before, carried))));
        }
        if !key.is_empty() {
            images.extend(after.or(before).map(|row| (Image::Key, (row, key))));
        }
        images
    }

    async fn compare_record(&mut self, place: &Place<'_>, record: &Found, change: &Change, envelope: &str) {
        let columns = self.columns.clone();
        let Place { at, number, op, .. } = place;
        self.check_unchanged(place, record, change);
        let expected: BTreeMap<Image, (Row, Vec<String>)> = self
            .expected(change, envelope)
            .into_iter()
            .map(|(image, (row, carried))| (image, (row.clone(), carried.into_iter().map(str::to_owned).collect())))
            .collect();
        if *op == "truncate" {
            let values: Vec<_> = record.images.values().flat_map(BTreeMap::values).collect();
            return assert!(
                values.iter().all(|value| value.is_none()),
                "{at}: change {number}, a truncate, has {values:?}"
            );
        }
        let images: Vec<Image> = record.images.keys().copied().collect();
        assert_eq!(images, expected.keys().copied().collect::<Vec<_>>(), "{at}: the images of change {number}, {op}");
        for (image, (row, carried)) in &expected {
            let partial = matches!(image, Image::Key | Image::OldKey);
            for (name, column) in columns.iter().filter(|(name, _)| !partial || carried.contains(name)) {
                let spot = Spot { place, image: *image, name, column };
                let printed = if carried.contains(name) { row[name].clone() } else { None };
                match record.images[image].get(name) {
                    Some(found) if !record.left_out(*image, name) => self.compare(&spot, found, &printed).await,
                    Some(None) => {}
                    None if record.left_out(*image, name) => {}
                    // The old row of a JSON document has no more than what is known of it.
                    None if place.json && *image == Image::Before && !carried.contains(name) => {}
                    found => panic!("{}", spot.differs(&found, &printed)),
                }
            }
        }
    }

    /// What is said to be unchanged has to be; and where the server logs whole old rows, nothing is left out.
    fn check_unchanged(&self, place: &Place<'_>, record: &Found, change: &Change) {
        let Place { at, number, op, .. } = place;
        for name in &record.unchanged {
            let (Some(before), Some(after)) = (&change.before, &change.after) else {
                panic!("{at}: column {name} of change {number}, {op}, is said to be unchanged")
            };
            let differs = || {
                format!(
                    "{at}: column {name} of change {number} is said to be unchanged, and was {:?}, is {:?}",
                    before[name], after[name]
                )
            };
            assert!(before[name] == after[name] && before[name].is_some(), "{}", differs());
            let full = matches!(self.identity, Identity::Full | Identity::FullWithoutKey);
            assert!(!full && !self.key().contains(&name.as_str()), "{}", differs());
        }
    }

    /// Compares one value with what the server prints.
    async fn compare(&mut self, spot: &Spot<'_>, found: &Option<String>, printed: &Option<String>) {
        let kind = spot.column.kind;
        let exact = matches!(kind, Kind::Text | Kind::Json) || spot.place.json && matches!(kind, Kind::Range);
        let expected = match kind {
            Kind::Json if spot.place.json => printed.as_deref().and_then(on_one_line),
            _ => printed.clone(),
        };
        if *found == expected {
            return;
        }
        let (Some(literal), Some(server), false) = (found, &expected, exact) else {
            panic!("{}", spot.differs(found, printed));
        };
        if self.judged.insert((spot.name.to_owned(), Some(literal.clone()), server.clone())) {
            let read = self.read_by_server(spot.name, literal).await;
            assert_eq!(read.as_ref(), Ok(&expected), "{}", spot.differs(found, printed));
        }
    }

    /// How the server prints a literal that it reads as a value of the column's type; without the type's modifiers, so that
    /// nothing is rounded or padded.
    async fn read_by_server(&mut self, name: &str, literal: &str) -> Result<Option<String>, String> {
        if !self.types.contains_key(name) {
            let of_type = format!(
                "select format_type(atttypid, -1) from pg_attribute where attrelid = 'kept.{}'::regclass and attname = '{name}'",
                self.name
            );
            self.types.insert(name.to_owned(), self.database.query_value(&of_type).await);
        }
        let literal = literal.replace('\\', "\\\\").replace('\'', "\\'");
        let select = format!("select {} from (select E'{literal}'::{} v) read", shown("v"), self.types[name]);
        self.database.try_execute(&select).await.map_err(|error| format!("{error:?}"))?;
        Ok(self.database.query_one(&select).await.remove(0))
    }
}

/// Where a value was found: a record of one of the flows.
struct Place<'a> {
    at: &'a str,
    number: usize,
    op: &'a str,
    json: bool,
}

/// A value in it.
struct Spot<'a> {
    place: &'a Place<'a>,
    image: Image,
    name: &'a str,
    column: &'a Column,
}

impl Spot<'_> {
    fn differs(&self, found: &dyn Debug, printed: &Option<String>) -> String {
        let clip = |text: String| text.chars().take(400).collect::<String>();
        let (found, printed) = (clip(format!("{found:?}")), clip(format!("{printed:?}")));
        let Self { place: Place { at, number, op, .. }, image, name, column: Column { sql_type, .. } } = self;
        format!(
            "{at}, column {name} {sql_type}, {image:?} of change {number}, {op}: found {found}, the server has {printed}"
        )
    }
}

/// SQL that keeps every change of a table: its number, what it is, and both rows, in `kept.NAME`.
fn logging(name: &str) -> String {
    format!(
        "create schema if not exists kept; create sequence kept.{name}_changes;
         create table kept.{name} (change bigint, op text, image text, like {name});
         create function kept.{name}_log() returns trigger language plpgsql as $$ declare change bigint := nextval('kept.{name}_changes'); begin
             if tg_op = 'TRUNCATE' then insert into kept.{name} values (change, 'truncate', 'none'); return null; end if;
             if tg_op <> 'INSERT' then insert into kept.{name} select change, lower(tg_op), 'before', old.*; end if;
             if tg_op <> 'DELETE' then insert into kept.{name} select change, lower(tg_op), 'after', new.*; end if;
             return null; end $$;
         create trigger log after insert or update or delete on {name} for each row execute function kept.{name}_log();
         create trigger log_truncate after truncate on {name} for each statement execute function kept.{name}_log();
         do $$ declare k record; begin for k in select attname from pg_attribute where attrelid = 'kept.{name}'::regclass and attnotnull and attnum > 0
             loop execute format('alter table kept.{name} alter %I drop not null', k.attname); end loop; end $$"
    )
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
