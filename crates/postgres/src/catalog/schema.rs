//! The schemas that a flow's tables would have, read from the catalog instead of the stream.

use std::sync::Arc;

use ductstream_core::{ReplicaIdentity, Result, TableName, TableSchema};

use super::pattern;
use crate::assemble::{Catalogued, DeclaredColumns, compile};
use crate::connect::{Connection, Row, quote_literal};
use crate::monitor::load_types;
use crate::pgoutput::{Relation, RelationColumn};
use crate::settings::SourceSettings;
use crate::types::TypeCatalog;

/// One row per column. Generated ones are published only where a publication says so.
const COLUMNS: &str = "SELECT c.oid, n.nspname, c.relname, c.relreplident, a.attname, a.atttypid, a.atttypmod, \
    coalesce(a.attnum = ANY (p.indkey), false), coalesce(a.attnum = ANY (x.indkey), false), a.attgenerated <> '', \
    a.attnotnull, CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    LEFT JOIN pg_index p ON p.indrelid = c.oid AND p.indisprimary \
    LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident";

/// What the flow's tables look like now, by name, as the stream would tell. Version 1 each: the versions that a flow has given are kept
/// with its checkpoint.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming a pattern that means no table or a publication that does
/// not exist; what the server answers, or the connection's.
pub async fn load(connection: &mut Connection, settings: &SourceSettings) -> Result<Vec<Arc<TableSchema>>> {
    let published = match &settings.publication {
        Some(publications) => published(connection, publications.names()).await?,
        None => all_columns(pattern::resolve(connection, &settings.tables).await?),
    };
    let pairs = published
        .iter()
        .map(|table| format!("({}, {})", quote_literal(&table.name.namespace), quote_literal(&table.name.name)));
    let pairs = pairs.collect::<Vec<_>>().join(",");
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("{COLUMNS} WHERE (n.nspname, c.relname) IN ({pairs}) ORDER BY n.nspname, c.relname, a.attnum");
    let rows = connection.simple_query(&sql).await?;
    let columns = rows.iter().map(Column::read).collect::<Result<Vec<_>>>()?;
    let oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let mut types = TypeCatalog::new();
    for row in load_types(connection, &oids).await? {
        types.add_row(&row.values())?;
    }
    let tables = columns.chunk_by(|a, b| a.table_oid == b.table_oid);
    Ok(tables.map(|columns| Arc::new(schema(columns, &published, &types, settings))).collect())
}

/// A table and, where a publication lists them, its published columns.
struct PublishedTable {
    name: TableName,
    columns: Option<Vec<String>>,
}

async fn published(connection: &mut Connection, names: &[String]) -> Result<Vec<PublishedTable>> {
    super::publication::load(connection, names).await?;
    let list = names.iter().map(|name| quote_literal(name)).collect::<Vec<_>>().join(",");
    // Column lists came with version 15, and with them the column `attnames`.
    let sql = format!(
        "SELECT schemaname, tablename, to_jsonb(p) -> 'attnames' FROM pg_publication_tables p WHERE pubname IN ({list}) ORDER BY 1, 2"
    );
    let rows = connection.simple_query(&sql).await?;
    rows.iter()
        .map(|row| {
            let name = TableName::new(row.require::<String>(0)?, row.require::<String>(1)?);
            let columns = row.get(2).and_then(|list| serde_json::from_str(list).ok()).flatten();
            Ok(PublishedTable { name, columns })
        })
        .collect()
}

fn all_columns(tables: Vec<TableName>) -> Vec<PublishedTable> {
    tables.into_iter().map(|name| PublishedTable { name, columns: None }).collect()
}

struct Column {
    table_oid: u32,
    table: TableName,
    identity: ReplicaIdentity,
    name: String,
    type_oid: u32,
    typmod: i32,
    in_primary_key: bool,
    in_identity_index: bool,
    generated: bool,
    not_null: bool,
    default: Option<String>,
}

impl Column {
    fn read(row: &Row) -> Result<Self> {
        let identity = match row.get(3) {
            Some("f") => ReplicaIdentity::Full,
            Some("i") => ReplicaIdentity::Index,
            Some("n") => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        };
        Ok(Self {
            table_oid: row.require(0)?,
            table: TableName::new(row.require::<String>(1)?, row.require::<String>(2)?),
            identity,
            name: row.require(4)?,
            type_oid: row.require(5)?,
            typmod: row.require(6)?,
            in_primary_key: row.get(7) == Some("t"),
            in_identity_index: row.get(8) == Some("t"),
            generated: row.get(9) == Some("t"),
            not_null: row.get(10) == Some("t"),
            default: row.get(11).map(str::to_owned),
        })
    }

    /// Whether the stream would flag it as part of the replica identity.
    fn in_identity(&self) -> bool {
        match self.identity {
            ReplicaIdentity::Default => self.in_primary_key,
            ReplicaIdentity::Index => self.in_identity_index,
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Nothing => false,
        }
    }
}

/// The schema of one table from its columns, of which there is at least one.
fn schema(
    columns: &[Column],
    published: &[PublishedTable],
    types: &TypeCatalog,
    settings: &SourceSettings,
) -> TableSchema {
    let first = &columns[0];
    let listed = published.iter().find(|table| table.name == first.table).and_then(|table| table.columns.as_ref());
    let carried = columns.iter().filter(|column| match listed {
        Some(listed) => listed.contains(&column.name),
        None => !column.generated,
    });
    let relation = Relation {
        oid: first.table_oid,
        namespace: &first.table.namespace,
        name: &first.table.name,
        identity: first.identity,
        columns: carried
            .map(|column| RelationColumn {
                key: column.in_identity(),
                name: &column.name,
                type_oid: column.type_oid,
                typmod: column.typmod,
            })
            .collect(),
    };
    let key: Vec<String> =
        columns.iter().filter(|column| column.in_primary_key).map(|column| column.name.clone()).collect();
    let declared = DeclaredColumns {
        not_null: columns.iter().filter(|column| column.not_null).map(|column| column.name.clone()).collect(),
        defaults: columns.iter().filter_map(|column| Some((column.name.clone(), column.default.clone()?))).collect(),
    };
    let catalogued = Catalogued { primary_key: Some(&key), columns: Some(&declared) };
    let (mut schema, _) = compile(&relation, catalogued, types, settings.special_values);
    schema.version = 1;
    schema
}
