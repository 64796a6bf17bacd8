//! Names of objects and manifests: `{prefix}/{namespace}.{table}/[date=YYYY-MM-DD/[hour=HH/]]{position}.{ext}` and
//! `{prefix}/_cuts/{position}.json`.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate};
use ductstream_core::{Error, Position, Result, TableName};
use object_store::path::Path;

use crate::settings::PartitionBy;

const CUTS: &str = "_cuts";
const PROBE: &str = "_ductstream_check";
/// Extensions of the objects that any format has.
const EXTENSIONS: [&str; 7] = ["parquet", "arrow", "avro", "pb", "jsonl", "jsonl.gz", "jsonl.zst"];
const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// The names below one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: Path,
    extension: &'static str,
}

impl Names {
    /// Names below `prefix`, of objects that end with `.extension`.
    pub(crate) fn new(prefix: &str, extension: &'static str) -> Result<Self> {
        let prefix = Path::parse(prefix).map_err(|error| {
            Error::configuration(format!("{prefix:?} cannot be a prefix of object names"))
                .with_source(error)
                .with_remedy("set `prefix` to names joined by single slashes, such as `lake/shop`")
        })?;
        Ok(Self { prefix, extension })
    }

    /// What every name starts with.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The directory of the manifests.
    pub(crate) fn cuts(&self) -> Result<Path> {
        self.below(CUTS)
    }

    /// The object that a check puts and deletes.
    pub(crate) fn probe(&self) -> Result<Path> {
        self.below(PROBE)
    }

    /// The manifest of the cut at `position`.
    pub(crate) fn manifest(&self, position: Position) -> Result<Path> {
        self.below(&format!("{CUTS}/{}.json", position.object_name()))
    }

    /// Sorts before the manifest of the cut at `position`, and after every earlier one.
    pub(crate) fn manifests_from(&self, position: Position) -> Result<Path> {
        self.below(&format!("{CUTS}/{}", position.object_name()))
    }

    /// The object of `table` in `partition` whose first record is at `first`.
    pub(crate) fn object(&self, table: &TableName, partition: Option<Partition>, first: Position) -> Result<Path> {
        let directories = partition.map(|partition| format!("{}/", partition.label())).unwrap_or_default();
        let name = first.object_name();
        self.below(&format!("{}/{directories}{name}.{}", table_directory(table), self.extension))
    }

    /// A path as a manifest names it: without the prefix.
    pub(crate) fn relative(&self, path: &Path) -> String {
        match path.prefix_match(&self.prefix) {
            Some(parts) => parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
            None => path.to_string(),
        }
    }

    /// The path of an object that a manifest names.
    pub(crate) fn below(&self, relative: &str) -> Result<Path> {
        let path = if self.prefix.is_root() { relative.to_owned() } else { format!("{}/{relative}", self.prefix) };
        Path::parse(&path).map_err(|error| Error::bug(format!("{path:?} is no object name")).with_source(error))
    }

    /// The position in the name of a manifest; `None` for anything else.
    pub(crate) fn manifest_position(&self, path: &Path) -> Option<Position> {
        let relative = self.relative(path);
        let name = relative.strip_prefix(CUTS)?.strip_prefix('/')?.strip_suffix(".json")?;
        Position::from_object_name(name)
    }

    /// The position in the name of an object that this destination may have written; `None` for anything else.
    pub(crate) fn object_position(&self, path: &Path) -> Option<Position> {
        let relative = self.relative(path);
        let mut parts: Vec<&str> = relative.split('/').collect();
        // Whatever the format is now: what a crash left may be of the one before.
        let (name, extension) = parts.pop()?.split_once('.')?;
        if extension != self.extension && !EXTENSIONS.contains(&extension) {
            return None;
        }
        let ours = match parts[..] {
            [table] => is_table_directory(table),
            [table, date] => is_table_directory(table) && parse_date(date).is_some(),
            [table, date, hour] => is_table_directory(table) && parse_date(date).is_some() && is_hour(hour),
            _ => false,
        };
        if ours { Position::from_object_name(name) } else { None }
    }

    /// Whether a directory directly below the prefix may be a table's.
    pub(crate) fn is_table_directory(&self, directory: &Path) -> bool {
        directory.filename().is_some_and(is_table_directory)
    }
}

/// One partition of a table: an hour or a day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    start_micros: i64,
    hourly: bool,
}

impl Partition {
    /// The partition of a record that was committed at `commit_time`, in microseconds since 1970-01-01 UTC.
    pub(crate) fn of(commit_time: i64, by: PartitionBy) -> Option<Self> {
        let (length, hourly) = match by {
            PartitionBy::None => return None,
            PartitionBy::Date => (MICROS_PER_DAY, false),
            PartitionBy::Hour => (MICROS_PER_HOUR, true),
        };
        Some(Self { start_micros: commit_time.saturating_sub(commit_time.rem_euclid(length)), hourly })
    }

    /// `date=YYYY-MM-DD` or `date=YYYY-MM-DD/hour=HH`.
    pub(crate) fn label(self) -> String {
        let start = DateTime::from_timestamp_micros(self.start_micros).unwrap_or_default();
        start.format(if self.hourly { "date=%Y-%m-%d/hour=%H" } else { "date=%Y-%m-%d" }).to_string()
    }
}

/// The day of a partition label; `None` for anything else.
pub(crate) fn parse_date(part: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(part.split('/').next()?.strip_prefix("date=")?, "%Y-%m-%d").ok()
}

/// `date=YYYY-MM-DD` of `date`.
pub(crate) fn date_directory(date: NaiveDate) -> String {
    format!("date={}", date.format("%Y-%m-%d"))
}

fn is_hour(part: &str) -> bool {
    part.strip_prefix("hour=").is_some_and(|hour| hour.len() == 2 && hour.parse::<u8>().is_ok_and(|hour| hour < 24))
}

/// `{namespace}.{table}`. The first dot separates the two, so a dot in the namespace is encoded: names never meet.
fn table_directory(table: &TableName) -> String {
    let mut directory = String::new();
    encode(&table.namespace, true, &mut directory);
    directory.push('.');
    encode(&table.name, false, &mut directory);
    directory
}

fn is_table_directory(name: &str) -> bool {
    name.split_once('.').is_some_and(|(namespace, table)| !namespace.is_empty() && !table.is_empty())
}

/// Percent-encodes what some file system, object store or glob cannot hold. Letters beyond ASCII stay: encoded, the longest name
/// that PostgreSQL allows would be too long for a file name.
fn encode(name: &str, dots: bool, out: &mut String) {
    for character in name.chars() {
        let reserved = "/\\%#?*\"'<>|:[]{}^`~=&".contains(character);
        if character.is_ascii_control() || reserved || dots && character == '.' {
            let _ = write!(out, "%{:02X}", character as u32);
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use ductstream_core::Lsn;

    use super::*;

    const AT: i64 = 1_763_895_600_000_000; // 2025-11-23 11:00:00 UTC

    fn names(prefix: &str) -> Names {
        Names::new(prefix, "parquet").unwrap()
    }

    fn first() -> Position {
        Position::new(Lsn(0x1_6B37_4D48), 3)
    }

    #[test]
    fn names_are_those_of_the_reference() {
        let table = TableName::new("public", "orders");
        let object = |by| names("shop").object(&table, Partition::of(AT, by), first()).unwrap().to_string();
        let name = "000000016b374d48-0000000000000003";
        assert_eq!(object(PartitionBy::None), format!("shop/public.orders/{name}.parquet"));
        assert_eq!(object(PartitionBy::Date), format!("shop/public.orders/date=2025-11-23/{name}.parquet"));
        assert_eq!(object(PartitionBy::Hour), format!("shop/public.orders/date=2025-11-23/hour=11/{name}.parquet"));
        assert_eq!(names("shop").manifest(first()).unwrap().to_string(), format!("shop/_cuts/{name}.json"));
        assert_eq!(names("").manifest(first()).unwrap().to_string(), format!("_cuts/{name}.json"));
    }

    #[test]
    fn tables_never_share_a_directory_and_every_directory_is_a_path() {
        let tables = [("a.b", "c"), ("a", "b.c"), ("a%2Eb", "c"), ("..", ".."), ("a/b", "c#1"), ("Größe", "表")];
        let directories: Vec<String> = tables.map(|(ns, name)| table_directory(&TableName::new(ns, name))).into();
        assert_eq!(directories[..3], ["a%2Eb.c", "a.b.c", "a%252Eb.c"]);
        assert_eq!(directories[4..], ["a%2Fb.c%231", "Größe.表"]);
        for (namespace, name) in tables {
            let path = names("p").object(&TableName::new(namespace, name), None, first()).unwrap();
            assert_eq!(names("p").object_position(&path), Some(first()), "{path}");
        }
    }

    #[test]
    fn positions_are_read_from_own_names_only() {
        let name = "000000016b374d48-0000000000000003";
        let ours = |path: String| names("shop").object_position(&Path::parse(path).unwrap());
        assert_eq!(ours(format!("shop/public.orders/date=2025-11-23/hour=11/{name}.parquet")), Some(first()));
        for foreign in [
            format!("shop/_cuts/{name}.parquet"),
            format!("shop/public.orders/{name}.json"),
            format!("shop/public.orders/x{name}.parquet"),
            format!("shop/public.orders/region=eu/{name}.parquet"),
            format!("shop/public.orders/date=2025-11-23/hour=24/{name}.parquet"),
            format!("shop/orders/{name}.parquet"),
            format!("else/public.orders/{name}.parquet"),
            format!("shop/{name}.parquet"),
        ] {
            assert_eq!(ours(foreign.clone()), None, "{foreign}");
        }
    }

    #[test]
    fn times_before_1970_have_a_partition_too() {
        assert_eq!(Partition::of(-1, PartitionBy::Hour).unwrap().label(), "date=1969-12-31/hour=23");
    }

    #[test]
    fn a_prefix_that_is_no_path_is_refused() {
        assert!(Names::new("a//b", "parquet").is_err());
        assert!(Names::new("../b", "parquet").is_err());
    }
}
