//! A single record as it came from the source, with everything that is needed to deliver it again.
//!
//! An Arrow IPC stream of one row: `after` and `before` as structs of the table's own columns with their metadata, and what is said of table and record in
//! the schema's metadata.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_buffer::BooleanBuffer;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use ductstream_core::{
    Column, Error, OldImage, Op, PgType, Position, ReplicaIdentity, Result, TableChunk, TableName, TableSchema,
    Unchanged, metadata,
};
use serde::{Deserialize, Serialize};

/// Key of the schema's metadata.
const RECORD: &str = "ductstream.record";

/// What the columns do not say.
#[derive(Serialize, Deserialize)]
struct About {
    table: TableName,
    table_oid: u32,
    schema_version: u32,
    identity: ReplicaIdentity,
    key: Vec<usize>,
    op: Op,
    position: Position,
    xid: u32,
    commit_time: i64,
    old: Old,
    unchanged: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Old {
    None,
    Key,
    Full,
}

/// The record in `row` of `chunk`, by itself.
///
/// # Errors
/// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the columns do not fit the schema.
pub fn pack_record(chunk: &TableChunk, row: usize) -> Result<Vec<u8>> {
    let failed = |error: ArrowError| Error::bug("packing a record").with_source(error);
    let schema = &chunk.schema;
    let about = About {
        table: schema.table.clone(),
        table_oid: schema.oid,
        schema_version: schema.version,
        identity: schema.identity,
        key: schema.key.clone(),
        op: chunk.ops[row],
        position: chunk.positions[row],
        xid: chunk.xids[row],
        commit_time: chunk.commit_times[row],
        old: match chunk.old[row] {
            OldImage::None => Old::None,
            OldImage::Key => Old::Key,
            OldImage::Full => Old::Full,
        },
        unchanged: chunk.unchanged.iter().flat_map(|unchanged| unchanged.columns_of(row)).collect(),
    };
    let about = serde_json::to_string(&about).map_err(|error| Error::bug("packing a record").with_source(error))?;
    let image = |columns: &[ArrayRef]| {
        let columns = columns.iter().map(|column| column.slice(row, 1)).collect();
        StructArray::try_new_with_length(schema.arrow.fields().clone(), columns, None, 1).map_err(failed)
    };
    let mut images = vec![("after", image(&chunk.after)?)];
    if let Some(before) = chunk.before.as_ref().filter(|_| chunk.old[row] != OldImage::None) {
        images.push(("before", image(before)?));
    }
    let field = |(name, array): &(&str, StructArray)| Field::new(*name, array.data_type().clone(), false);
    let fields: Vec<Field> = images.iter().map(field).collect();
    let packed = Arc::new(Schema::new(fields).with_metadata(HashMap::from([(RECORD.to_owned(), about)])));
    let columns = images.into_iter().map(|(_, array)| Arc::new(array) as ArrayRef).collect();
    let batch = RecordBatch::try_new(packed.clone(), columns).map_err(failed)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &packed).map_err(failed)?;
    writer.write(&batch).and_then(|()| writer.finish()).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

/// The record that [`pack_record`] packed, as a chunk of one row.
///
/// # Errors
/// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when these are not such bytes.
pub fn unpack_record(bytes: &[u8]) -> Result<TableChunk> {
    let failed = |error: ArrowError| Error::data("this is no record that was kept apart").with_source(error);
    let damaged = |what: &str| Error::data(format!("this is no record that was kept apart: {what}"));
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(failed)?;
    let batch = reader.next().transpose().map_err(failed)?.ok_or_else(|| damaged("it has no row"))?;
    let packed = batch.schema();
    let about = packed.metadata().get(RECORD).ok_or_else(|| damaged("it does not say of which table it is"))?;
    let about: About = serde_json::from_str(about).map_err(|error| damaged("its description").with_source(error))?;
    let image =
        |name: &str| batch.column_by_name(name).and_then(|column| column.as_struct_opt()).filter(|it| it.len() == 1);
    let after = image("after").ok_or_else(|| damaged("it has no columns"))?;
    let DataType::Struct(fields) = after.data_type() else { return Err(damaged("it has no columns")) };
    let columns = fields.iter().map(|field| Column { pg_type: pg_type(field), field: field.clone() }).collect();
    if about.key.iter().chain(&about.unchanged).any(|index| *index >= fields.len()) {
        return Err(damaged("it names columns that it does not have"));
    }
    let schema = TableSchema::new(about.table, about.table_oid, about.schema_version, about.identity, columns);
    let bits = (0..fields.len()).map(|column| about.unchanged.contains(&column));
    let unchanged = (!about.unchanged.is_empty()).then(|| Unchanged::new(fields.len(), BooleanBuffer::from_iter(bits)));
    Ok(TableChunk {
        schema: Arc::new(schema.with_key(about.key)),
        ops: vec![about.op],
        positions: vec![about.position],
        xids: vec![about.xid],
        commit_times: vec![about.commit_time],
        after: after.columns().to_vec(),
        before: image("before").map(|before| before.columns().to_vec()),
        old: vec![match about.old {
            Old::None => OldImage::None,
            Old::Key => OldImage::Key,
            Old::Full => OldImage::Full,
        }],
        unchanged,
        wire_bytes: 0,
    })
}

fn pg_type(field: &Field) -> PgType {
    let tag = |name: &str| field.metadata().get(name).map(String::as_str).unwrap_or_default();
    PgType {
        oid: tag(metadata::PG_OID).parse().unwrap_or(0),
        typmod: tag(metadata::PG_TYPMOD).parse().unwrap_or(-1),
        name: tag(metadata::PG_TYPE).to_owned(),
    }
}
