//! Records as readers find them: every value as a literal of PostgreSQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ductstream_testkit::python;
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::{Column, Kind};
use super::literal::{self, literal};
use super::table::Row;
use crate::harness::files;

/// One record.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) op: String,
    pub(super) images: BTreeMap<Image, Row>,
    /// The columns that are said to be unchanged.
    pub(super) unchanged: Vec<String>,
}

/// What of a row an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Image {
    /// The columns of the envelope `flat`.
    Row,
    /// `_old_key` of the envelope `flat`.
    OldKey,
    After,
    Before,
    Key,
}

const IMAGES: [(&str, &str, Image); 4] = [
    ("flat", "_old_key", Image::OldKey),
    ("native", "after", Image::After),
    ("native", "before", Image::Before),
    ("native", "key", Image::Key),
];

impl Found {
    /// The row's columns, or those of the new row, or of the old one where there is no new one.
    pub(super) fn values(&self) -> &Row {
        self.images.values().next().expect("a record has an image")
    }

    /// Whether a column is not in an image because it did not change.
    pub(super) fn left_out(&self, image: Image, column: &str) -> bool {
        matches!(image, Image::Row | Image::After) && self.unchanged.iter().any(|name| name == column)
    }
}

/// The records of each of several directories of Parquet files, in order.
pub(super) fn found_in_parquet(directories: &[PathBuf], envelope: &str) -> Vec<Vec<Found>> {
    let mut arguments = vec![envelope];
    arguments.extend(directories.iter().map(|directory| directory.to_str().unwrap()));
    let mut found: Vec<Vec<Found>> = directories.iter().map(|_| Vec::new()).collect();
    for line in python::run(include_str!("parquet.py"), &arguments).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let row = |image: &Value| -> Row {
            image.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
        };
        let images = record["images"].as_object().unwrap().iter();
        let directory = usize::try_from(record["directory"].as_u64().unwrap()).unwrap();
        found[directory].push(Found {
            op: text(&record["op"]).unwrap(),
            images: images.map(|(name, image)| (image_named(name), row(image))).collect(),
            unchanged: record["unchanged"].as_array().unwrap().iter().filter_map(text).collect(),
        });
    }
    found
}

fn image_named(name: &str) -> Image {
    IMAGES.iter().find(|(_, named, _)| *named == name).map_or(Image::Row, |(.., image)| *image)
}

/// The records of a directory of JSON lines, in order.
pub(super) fn found_in_json(directory: &Path, envelope: &str, columns: &[(String, &Column)]) -> Vec<Found> {
    let mut found = Vec::new();
    for file in files(directory, "jsonl") {
        let text = std::fs::read_to_string(file).unwrap();
        found.extend(text.lines().map(|line| record(line, envelope, columns)));
    }
    found
}

fn record(line: &str, envelope: &str, columns: &[(String, &Column)]) -> Found {
    let mut fields: BTreeMap<String, Box<RawValue>> = literal::read(line);
    let flat = envelope == "flat";
    let (op, unchanged) = if flat { ("_op", "_unchanged") } else { ("op", "unchanged") };
    let (op, unchanged) = (literal::read(fields[op].get()), literal::read::<Option<_>>(fields[unchanged].get()));
    let mut images = BTreeMap::new();
    for (_, name, image) in IMAGES.iter().filter(|(of, ..)| *of == envelope) {
        let raw = fields.remove(*name).filter(|raw| raw.get() != "null");
        images.extend(raw.map(|raw| (*image, row(literal::read(raw.get()), columns))));
    }
    if flat {
        fields.retain(|name, _| !name.starts_with('_'));
        images.insert(Image::Row, row(fields, columns));
    }
    Found { op, images, unchanged: unchanged.unwrap_or_default() }
}

fn row(fields: BTreeMap<String, Box<RawValue>>, columns: &[(String, &Column)]) -> Row {
    let kind = |name: &str| columns.iter().find(|(column, _)| column == name).map_or(Kind::Bare, |(_, it)| it.kind);
    fields.into_iter().map(|(name, raw)| (name.clone(), literal(kind(&name), &raw))).collect()
}
