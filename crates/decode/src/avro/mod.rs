//! Avro: object container files, and single records.
//!
//! Read here and not by a library, because a reader that knows at which byte it stands can say where a file is damaged, and what it takes is
//! little: the schemas that DuctStream writes.

mod container;
mod schema;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use ductstream_core::{Result, WireFormat};
use ductstream_wire::RowLines;

use crate::columns::batch;
use crate::document::{Document, Rows, damaged};

pub(crate) use container::{is_container, open_container};

pub(crate) use schema::json;

use schema::Schema;
use values::Reader;

/// Opens a single record of `schema`, which begins `offset` bytes behind the message's beginning.
pub(crate) fn open_message(content: Bytes, schema: &str, offset: usize) -> Result<Document> {
    let schema = Schema::parse(schema)?;
    let lines = RowLines::new(&schema.columns)?;
    Ok(Document {
        format: WireFormat::Avro,
        layout: "record",
        properties: Vec::new(),
        columns: Some(schema.columns.clone()),
        definition: Some(schema.text.clone()),
        rows: Box::new(Message { content: Some(content), schema, lines, offset }),
    })
}

struct Message {
    content: Option<Bytes>,
    schema: Schema,
    lines: RowLines,
    offset: usize,
}

impl Rows for Message {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let Some(content) = self.content.take() else { return Ok(false) };
        let mut reader = Reader::new(&content);
        let row = self.schema.read(&mut reader);
        let row = row.map_err(|what| damaged(self.offset + reader.at(), what))?;
        if reader.at() < content.len() {
            let left = content.len() - reader.at();
            let what = format!("{left} bytes follow the record: it has another schema");
            return Err(damaged(self.offset + reader.at(), what));
        }
        self.lines.append(&batch(&Arc::clone(&self.schema.columns), vec![row])?, out)?;
        Ok(true)
    }
}
