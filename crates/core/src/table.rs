//! Tables, their columns and their versions.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// Keys of the metadata that each Arrow field of a table carries.
pub mod metadata {
    /// The type as `format_type` prints it, such as `numeric(12,2)`.
    pub const PG_TYPE: &str = "pg.type";
    /// The type's OID in the source database.
    pub const PG_OID: &str = "pg.oid";
    /// The type modifier; -1 when there is none.
    pub const PG_TYPMOD: &str = "pg.typmod";
    /// `true` on a column that is declared NOT NULL. Arrow's field is nullable all the same: a record may not carry the column.
    pub const PG_NOT_NULL: &str = "pg.not_null";
    /// `true` on a column of the primary key, whatever the replica identity.
    pub const PG_PRIMARY_KEY: &str = "pg.primary_key";
    /// The expression of the column's default, as PostgreSQL prints it.
    pub const PG_DEFAULT: &str = "pg.default";
    /// The labels of an enum in their order, separated by commas.
    pub const PG_LABELS: &str = "pg.labels";
    /// What stands between an array's elements in PostgreSQL's text, on the field of the elements; a comma when it is missing.
    pub const PG_DELIMITER: &str = "pg.delimiter";
}

/// A table's namespace and name, unquoted. Prints as `namespace.name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The PostgreSQL schema, such as `public`.
    pub namespace: String,
    /// The table's own name.
    pub name: String,
}

impl TableName {
    /// The table `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// What an update or delete carries of the row's old image (`REPLICA IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// Nothing: updates and deletes are refused by the server when published.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a unique index.
    Index,
}

/// A column's type in the source database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PgType {
    /// The type's OID; OIDs of extension types differ from database to database.
    pub oid: u32,
    /// The type modifier; -1 when there is none.
    pub typmod: i32,
    /// The type as `format_type` prints it, such as `numeric(12,2)`.
    pub name: String,
}

/// One column: its PostgreSQL type, and the Arrow field that holds its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's type in the source.
    pub pg_type: PgType,
    /// Name, Arrow type and `pg.*` metadata. Always nullable: a delete, or a value that the WAL did not carry, has none.
    pub field: FieldRef,
}

impl Column {
    /// The column's name.
    pub fn name(&self) -> &str {
        self.field.name()
    }
}

/// A table's columns at a point in history.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// The table.
    pub table: TableName,
    /// The table's OID in the source database.
    pub oid: u32,
    /// Starts at 1 and grows by 1 with each real change of the columns, the key or the types.
    pub version: u32,
    /// What old images hold.
    pub identity: ReplicaIdentity,
    /// The columns in the order of the table.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the record key: the replica identity's columns; under `FULL` the primary key where there is
    /// one, else every column. Ascending. Empty when the table has no identity.
    pub key: Vec<usize>,
    /// The Arrow schema of `columns`.
    pub arrow: SchemaRef,
}

impl TableSchema {
    /// A schema whose `arrow` is derived from `columns`.
    pub fn new(table: TableName, oid: u32, version: u32, identity: ReplicaIdentity, columns: Vec<Column>) -> Self {
        let arrow = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
        Self { table, oid, version, identity, columns, key: Vec::new(), arrow }
    }

    /// The same schema with these key columns.
    #[must_use]
    pub fn with_key(mut self, mut key: Vec<usize>) -> Self {
        key.sort_unstable();
        self.key = key;
        self
    }

    /// Whether column `index` belongs to the key.
    pub fn is_key(&self, index: usize) -> bool {
        self.key.binary_search(&index).is_ok()
    }
}
