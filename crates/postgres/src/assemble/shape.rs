//! The canonical text of a table's shape: what makes one schema version differ from another.
//!
//! Type and table OIDs are left out on purpose: a table that is dropped and created anew with the same columns keeps
//! its version. So is the replica identity, but for the key that follows from it.

use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use ductstream_core::{Column, PgType, ReplicaIdentity, SchemaRecord, TableSchema, metadata};
use serde::{Deserialize, Serialize};

/// What is compared and kept. The order of the fields is part of the text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    columns: Vec<ShapeColumn>,
    key: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapeColumn {
    name: String,
    #[serde(rename = "type")]
    pg_type: String,
    arrow: ArrowType,
}

/// An Arrow type without the metadata of its fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ArrowType {
    List(Box<ArrowField>),
    FixedSizeList(Box<ArrowField>, i32),
    Struct(Vec<ArrowField>),
    Map(Box<ArrowField>),
    /// A type without fields, as Arrow prints and reads it.
    #[serde(untagged)]
    Plain(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrowField {
    name: String,
    arrow: ArrowType,
    nullable: bool,
}

impl From<&DataType> for ArrowType {
    fn from(data_type: &DataType) -> Self {
        match data_type {
            DataType::List(item) => Self::List(Box::new(item.into())),
            DataType::FixedSizeList(item, size) => Self::FixedSizeList(Box::new(item.into()), *size),
            DataType::Struct(fields) => Self::Struct(fields.iter().map(ArrowField::from).collect()),
            DataType::Map(entries, _) => Self::Map(Box::new(entries.into())),
            plain => Self::Plain(plain.to_string()),
        }
    }
}

impl From<&FieldRef> for ArrowField {
    fn from(field: &FieldRef) -> Self {
        Self { name: field.name().clone(), arrow: field.data_type().into(), nullable: field.is_nullable() }
    }
}

impl ArrowType {
    fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::List(item) => DataType::List(item.field()?),
            Self::FixedSizeList(item, size) => DataType::FixedSizeList(item.field()?, *size),
            Self::Struct(fields) => DataType::Struct(fields.iter().map(ArrowField::field).collect::<Option<Fields>>()?),
            Self::Map(entries) => DataType::Map(entries.field()?, false),
            Self::Plain(text) => DataType::from_str(text).ok()?,
        })
    }
}

impl ArrowField {
    fn field(&self) -> Option<FieldRef> {
        Some(Arc::new(Field::new(&self.name, self.arrow.data_type()?, self.nullable)))
    }
}

/// The canonical text of `schema`'s columns, types and key.
pub(super) fn shape_text(schema: &TableSchema) -> String {
    let column = |column: &Column| ShapeColumn {
        name: column.name().to_owned(),
        pg_type: column.pg_type.name.clone(),
        arrow: column.field.data_type().into(),
    };
    let shape = Shape { columns: schema.columns.iter().map(column).collect(), key: schema.key.clone() };
    serde_json::json!(shape).to_string()
}

/// The schema that `record` tells of, as far as its text does: without OIDs, modifiers and identity. `None` when it is
/// not a shape.
pub(super) fn remembered_schema(record: &SchemaRecord) -> Option<TableSchema> {
    let shape: Shape = serde_json::from_str(&record.shape).ok()?;
    let columns = shape.columns.into_iter().map(remembered_column).collect::<Option<Vec<_>>>()?;
    if shape.key.iter().any(|index| *index >= columns.len()) {
        return None;
    }
    let schema = TableSchema::new(record.table.clone(), 0, record.version, ReplicaIdentity::Default, columns);
    Some(schema.with_key(shape.key))
}

fn remembered_column(column: ShapeColumn) -> Option<Column> {
    let field = Field::new(column.name, column.arrow.data_type()?, true)
        .with_metadata([(metadata::PG_TYPE.to_owned(), column.pg_type.clone())]);
    Some(Column { pg_type: PgType { oid: 0, typmod: -1, name: column.pg_type }, field: Arc::new(field) })
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;
    use ductstream_core::{Lsn, Position, TableName};

    use super::*;

    fn schema() -> TableSchema {
        let item = |data_type| Arc::new(Field::new("item", data_type, true));
        let pair = DataType::Struct(Fields::from(vec![
            Field::new("a \"quoted\" one", DataType::Int32, true),
            Field::new("b", DataType::Utf8, false),
        ]));
        let types = [
            DataType::Int64,
            DataType::Decimal128(12, 2),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::FixedSizeBinary(16),
            DataType::List(item(pair.clone())),
            DataType::FixedSizeList(item(DataType::Float16), 3),
            DataType::Map(Arc::new(Field::new("entries", pair, false)), false),
        ];
        let column = |(index, data_type): (usize, DataType)| Column {
            pg_type: PgType { oid: 1, typmod: -1, name: format!("type {index}") },
            field: Arc::new(Field::new(format!("c{index}"), data_type, true)),
        };
        let columns = types.into_iter().enumerate().map(column).collect();
        TableSchema::new(TableName::new("public", "t"), 7, 3, ReplicaIdentity::Default, columns).with_key(vec![0, 2])
    }

    #[test]
    fn a_shape_reads_back_to_the_schema_it_tells_of() {
        let schema = schema();
        let record = SchemaRecord {
            table: schema.table.clone(),
            version: 3,
            from: Position::start_of(Lsn(1)),
            shape: shape_text(&schema),
        };
        let read = remembered_schema(&record).expect("a shape");
        let types = |schema: &TableSchema| -> Vec<(String, DataType)> {
            schema.columns.iter().map(|c| (c.name().to_owned(), c.field.data_type().clone())).collect()
        };
        assert_eq!(types(&read), types(&schema));
        assert_eq!((read.version, &read.key), (3, &schema.key));
        assert_eq!(shape_text(&read), record.shape);
    }

    #[test]
    fn a_text_that_is_no_shape_is_told_from_one() {
        let from = Position::default();
        for shape in [
            "",
            "{}",
            r#"{"columns":[],"key":[0]}"#,
            r#"{"columns":[{"name":"a","type":"x","arrow":"Nope"}],"key":[]}"#,
        ] {
            let record = SchemaRecord { table: TableName::new("a", "b"), version: 1, from, shape: shape.to_owned() };
            assert!(remembered_schema(&record).is_none(), "{shape}");
        }
    }
}
