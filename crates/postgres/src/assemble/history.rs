//! Which version of a table's schema holds at a position.

use std::collections::HashMap;
use std::sync::Arc;

use ductstream_core::{Barrier, Error, Position, Result, SchemaRecord, TableName, TableSchema};

use super::shape::{remembered_schema, shape_text};

/// The schema versions of every table, by position.
///
/// A version holds from the position of the first change that has it. A replay meets the same changes at the same
/// positions and so finds the same versions again, whatever came later.
#[derive(Debug)]
pub(super) struct History {
    tables: HashMap<TableName, Vec<Version>>,
}

#[derive(Debug)]
struct Version {
    record: SchemaRecord,
    schema: Option<Arc<TableSchema>>,
    /// Whether its barrier is behind us: delivered before the start, or handed out since.
    announced: bool,
}

/// A schema with its version, and the barrier that announces it when it has not been announced.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) schema: Arc<TableSchema>,
    pub(super) barrier: Option<Barrier>,
}

impl History {
    /// The versions stored so far; records before `start` are durable.
    pub(super) fn new(known: Vec<SchemaRecord>, start: Position) -> Self {
        let mut tables: HashMap<TableName, Vec<Version>> = HashMap::new();
        for record in known {
            // A version that begins after the start may be stored without its barrier having been delivered: announce
            // it again.
            let announced = record.from < start;
            tables.entry(record.table.clone()).or_default().push(Version { record, schema: None, announced });
        }
        for versions in tables.values_mut() {
            versions.sort_by_key(|version| (version.record.from, version.record.version));
        }
        Self { tables }
    }

    /// Gives `schema` the version that holds at `position`: the latest one from before, when its shape is the same, or
    /// a new one.
    pub(super) fn resolve(&mut self, mut schema: TableSchema, position: Position) -> Result<Resolved> {
        let shape = shape_text(&schema);
        let versions = self.tables.entry(schema.table.clone()).or_default();
        let begun = versions.partition_point(|version| version.record.from <= position);
        let held = match same_shape(&versions[..begun], &shape) {
            Some(held) => held,
            None => {
                let newest = versions.iter().map(|version| version.record.version).max().unwrap_or(0);
                let record = SchemaRecord { table: schema.table.clone(), version: newest + 1, from: position, shape };
                versions.insert(begun, Version { record, schema: None, announced: false });
                begun
            }
        };
        schema.version = versions[held].record.version;
        let schema = Arc::new(schema);
        let previous = match held.checked_sub(1).map(|before| &versions[before]) {
            Some(version) if !versions[held].announced => Some(version.schema()?),
            _ => None,
        };
        let version = &mut versions[held];
        version.schema = Some(schema.clone());
        let barrier = (!version.announced).then(|| Barrier::Schema {
            schema: schema.clone(),
            previous,
            record: version.record.clone(),
        });
        version.announced = true;
        Ok(Resolved { schema, barrier })
    }
}

/// The latest of `versions` when it has this shape. Several may begin at one position, when a table changed twice
/// before its next row.
fn same_shape(versions: &[Version], shape: &str) -> Option<usize> {
    let latest = versions.last()?.record.from;
    versions.iter().rposition(|version| version.record.from == latest && version.record.shape == shape)
}

impl Version {
    /// The schema as it was seen, or as the stored record tells of it.
    fn schema(&self) -> Result<Arc<TableSchema>> {
        if let Some(schema) = &self.schema {
            return Ok(schema.clone());
        }
        remembered_schema(&self.record).map(Arc::new).ok_or_else(|| {
            let SchemaRecord { table, version, .. } = &self.record;
            Error::bug(format!("the stored schema of {table} at version {version} cannot be read"))
        })
    }
}
