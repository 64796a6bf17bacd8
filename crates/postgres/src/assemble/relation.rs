//! The tables that the server has told about, by OID.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::FieldRef;
use ductstream_core::{Column, PgType, ReplicaIdentity, TableChunk, TableName, TableSchema, metadata};

use super::chunk::ChunkBuilder;
use crate::pgoutput::Relation;
use crate::types::{ColumnProgram, SpecialValues, TypeCatalog};

/// A table as its last Relation message told of it, and its rows of the open batch.
#[derive(Debug)]
pub(super) struct TableState {
    pub(super) schema: Arc<TableSchema>,
    pub(super) chunk: ChunkBuilder,
    /// Index among the open batch's chunks, when it has rows there.
    pub(super) open_chunk: Option<u32>,
    /// Number of the last batch that had rows of it.
    last_batch: u64,
    /// The Relation message, to recognise it when it is sent again. Empty when the next one is to be read whatever it
    /// says.
    message: Vec<u8>,
}

impl TableState {
    /// Hands out the rows collected so far.
    fn finish(&mut self, batch: u64) -> TableChunk {
        self.open_chunk = None;
        self.last_batch = batch;
        let finished = self.chunk.finish();
        TableChunk {
            schema: self.schema.clone(),
            ops: finished.rows.ops,
            positions: finished.rows.positions,
            xids: finished.rows.xids,
            commit_times: finished.rows.commit_times,
            after: finished.after,
            before: finished.before,
            old: finished.rows.old,
            unchanged: finished.unchanged,
            wire_bytes: finished.rows.wire_bytes,
        }
    }
}

/// Every table by OID, with the last one that was looked up at hand: changes come in runs.
#[derive(Debug, Default)]
pub(super) struct Relations {
    tables: Vec<TableState>,
    by_oid: HashMap<u32, usize>,
    last: Option<(u32, usize)>,
    /// Tables of the last batch, which keep room for another chunk like it.
    warm: Vec<usize>,
    /// Number of batches so far.
    batches: u64,
}

impl Relations {
    /// Index of the table `oid`.
    #[inline]
    pub(super) fn find(&mut self, oid: u32) -> Option<usize> {
        match self.last {
            Some((last, index)) if last == oid => Some(index),
            _ => self.look_up(oid),
        }
    }

    fn look_up(&mut self, oid: u32) -> Option<usize> {
        let index = *self.by_oid.get(&oid)?;
        self.last = Some((oid, index));
        Some(index)
    }

    #[inline]
    pub(super) fn table(&mut self, index: usize) -> &mut TableState {
        &mut self.tables[index]
    }

    /// The rows of `tables`, as chunks. Tables that have none give back the room that they kept from the batch before,
    /// so that what is kept never exceeds what one batch takes.
    pub(super) fn finish(&mut self, tables: Vec<usize>) -> Vec<TableChunk> {
        self.batches += 1;
        let chunks = tables.iter().map(|index| self.tables[*index].finish(self.batches)).collect();
        for index in std::mem::replace(&mut self.warm, tables) {
            let table = &mut self.tables[index];
            if table.last_batch != self.batches {
                table.chunk.release();
            }
        }
        chunks
    }

    /// Whether the table was told about before, and whether in these very words.
    pub(super) fn compare(&self, oid: u32, message: &[u8]) -> Known {
        match self.by_oid.get(&oid).map(|index| &self.tables[*index]) {
            None => Known::No,
            Some(table) if table.message == message => Known::Same,
            Some(_) => Known::Otherwise,
        }
    }

    /// Reads the table's next Relation message whatever it says.
    pub(super) fn forget_message(&mut self, oid: u32) {
        if let Some(index) = self.by_oid.get(&oid) {
            self.tables[*index].message.clear();
        }
    }

    /// Whether one of `tables` has this OID or this name.
    pub(super) fn includes(&self, tables: &[usize], oid: u32, name: &TableName) -> bool {
        tables.iter().map(|index| &*self.tables[*index].schema).any(|table| table.oid == oid || table.table == *name)
    }

    /// Puts the table in place of what was known of its OID.
    pub(super) fn install(&mut self, schema: Arc<TableSchema>, programs: Vec<ColumnProgram>, message: &[u8]) {
        let oid = schema.oid;
        let state = TableState {
            schema,
            chunk: ChunkBuilder::new(programs),
            open_chunk: None,
            last_batch: 0,
            message: message.to_vec(),
        };
        match self.by_oid.get(&oid) {
            Some(index) => self.tables[*index] = state,
            None => {
                self.by_oid.insert(oid, self.tables.len());
                self.tables.push(state);
            }
        }
    }
}

/// What was known of a table before a Relation message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    No,
    Same,
    Otherwise,
}

/// What the columns of a table are declared to be, of which `pgoutput` says nothing. It goes into the metadata of their fields and
/// makes no difference to values, keys and versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredColumns {
    /// The columns that are NOT NULL.
    pub not_null: BTreeSet<String>,
    /// The expressions of defaults, by column.
    pub defaults: BTreeMap<String, String>,
}

/// What the catalog says of a table, as far as it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Catalogued<'a> {
    /// The primary key's columns; empty when there is none.
    pub(crate) primary_key: Option<&'a [String]>,
    pub(crate) columns: Option<&'a DeclaredColumns>,
}

impl Catalogued<'_> {
    /// The field with what is known of its column.
    fn describe(&self, field: FieldRef) -> FieldRef {
        let name = field.name();
        let mut said: Vec<(&str, String)> = Vec::new();
        if self.primary_key.is_some_and(|key| key.contains(name)) {
            said.push((metadata::PG_PRIMARY_KEY, "true".to_owned()));
        }
        if let Some(columns) = self.columns {
            if columns.not_null.contains(name) {
                said.push((metadata::PG_NOT_NULL, "true".to_owned()));
            }
            said.extend(columns.defaults.get(name).map(|default| (metadata::PG_DEFAULT, default.clone())));
        }
        if said.is_empty() {
            return field;
        }
        let mut entries = field.metadata().clone();
        entries.extend(said.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Arc::new(Arc::unwrap_or_clone(field).with_metadata(entries))
    }
}

/// The table's schema, its version not given yet, and the programs of its columns.
pub(crate) fn compile(
    relation: &Relation<'_>,
    catalogued: Catalogued<'_>,
    types: &TypeCatalog,
    special_values: SpecialValues,
) -> (TableSchema, Vec<ColumnProgram>) {
    let mut columns = Vec::with_capacity(relation.columns.len());
    let mut programs = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let program = ColumnProgram::compile(types, column.type_oid, column.typmod, special_values);
        let name = types.format_type(column.type_oid, column.typmod);
        let pg_type = PgType { oid: column.type_oid, typmod: column.typmod, name };
        columns.push(Column { field: catalogued.describe(program.field(column.name, &pg_type)), pg_type });
        programs.push(program);
    }
    let table = TableName::new(relation.namespace, relation.name);
    let schema = TableSchema::new(table, relation.oid, 0, relation.identity, columns);
    (schema.with_key(key_columns(relation, catalogued.primary_key)), programs)
}

/// Indexes of the record key's columns.
fn key_columns(relation: &Relation<'_>, primary_key: Option<&[String]>) -> Vec<usize> {
    let columns = &relation.columns;
    let every = || (0..columns.len()).collect();
    match relation.identity {
        ReplicaIdentity::Nothing => Vec::new(),
        // Under FULL the server flags every column, so the primary key has to come from the catalog. One that is not
        // published whole (a column list may leave part of it out) identifies no row.
        ReplicaIdentity::Full => match primary_key {
            Some(names) if !names.is_empty() => {
                let index = |name: &String| columns.iter().position(|column| column.name == name);
                names.iter().map(index).collect::<Option<Vec<_>>>().unwrap_or_else(every)
            }
            _ => every(),
        },
        ReplicaIdentity::Default | ReplicaIdentity::Index => {
            (0..columns.len()).filter(|index| columns[*index].key).collect()
        }
    }
}
