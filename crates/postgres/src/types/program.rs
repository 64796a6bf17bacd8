//! Column programs: a column's type, compiled once per relation.

use arrow_schema::{DataType, FieldRef};
use ductstream_core::PgType;

use super::builder::ColumnBuilder;
use super::catalog::TypeCatalog;
use super::wire_type::{Typed, resolve};
use super::{SpecialValues, layout};

/// How the values of one column become an Arrow array.
#[derive(Debug, Clone)]
pub struct ColumnProgram {
    typed: Typed,
    special: SpecialValues,
    data_type: DataType,
}

impl ColumnProgram {
    /// The program for a column of this type. A type that `catalog` does not know is read as text.
    pub fn compile(catalog: &TypeCatalog, oid: u32, typmod: i32, special: SpecialValues) -> Self {
        let typed = resolve(catalog, oid, typmod);
        let data_type = layout::data_type(&typed.wire, special);
        Self { typed, special, data_type }
    }

    /// The column's Arrow type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The column's PostgreSQL type, with the name that [`TypeCatalog::format_type`] gives it.
    pub fn pg_type(&self) -> &PgType {
        &self.typed.pg
    }

    /// The column's field: nullable, with `pg.type`, `pg.oid`, `pg.typmod` and, for JSON and UUIDs, Arrow's extension type as metadata.
    /// Fields of composites, elements of arrays and bounds of ranges carry the same of their own types.
    pub fn field(&self, name: &str, pg: &PgType) -> FieldRef {
        layout::field(name, &self.typed.wire, pg, self.special)
    }

    /// Whether every value that arrives on a connection that asks for binary values can be read. When not, the connection has to ask
    /// for text.
    pub fn decodes_binary(&self) -> bool {
        self.typed.wire.arrives_readable()
    }

    /// A builder with room for `capacity` values.
    pub fn builder(&self, capacity: usize) -> ColumnBuilder {
        ColumnBuilder::new(&self.typed.wire, self.special, capacity)
    }
}
