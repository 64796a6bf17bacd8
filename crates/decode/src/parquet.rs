//! Parquet.

use arrow_array::RecordBatch;
use bytes::Bytes;
use ductstream_core::{Error, Result, WireFormat};
use ductstream_wire::RowLines;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::schema::printer::print_schema;

use crate::document::{Document, Rows, damaged, guarded, own_properties};

const MAGIC: &[u8] = b"PAR1";

/// Rows that are read at once.
const ROWS: usize = 1024;

/// Whether these bytes begin as a file does.
pub(crate) fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Opens a file.
pub(crate) fn open(bytes: Bytes) -> Result<Document> {
    if !bytes.starts_with(MAGIC) || !bytes.ends_with(MAGIC) || bytes.len() < 12 {
        let what = "the footer is missing, without which nothing of a Parquet file can be read: the file is cut off";
        return Err(damaged(bytes.len(), what));
    }
    let metadata = guarded(|| ArrowReaderMetadata::load(&bytes, Default::default()));
    let metadata = metadata.map_err(|what| damaged(footer_at(&bytes), format_args!("the footer: {what}")))?;
    let columns = metadata.schema().clone();
    let lines = RowLines::new(&columns)?;
    let mut text = Vec::new();
    print_schema(&mut text, metadata.parquet_schema().root_schema());
    let pairs: Vec<(String, String)> = metadata
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    Ok(Document {
        format: WireFormat::Parquet,
        layout: "file",
        properties: own_properties(pairs.iter().map(|(key, value)| (key, value))),
        columns: Some(columns),
        definition: String::from_utf8(text).ok(),
        rows: Box::new(Groups { bytes, metadata, lines, group: 0, rows: 0, reader: None }),
    })
}

/// Where the footer begins that the end of the file tells the length of.
fn footer_at(bytes: &[u8]) -> usize {
    let length = bytes.get(bytes.len() - 8..).and_then(|it| it.first_chunk::<4>()).map(|it| u32::from_le_bytes(*it));
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    (bytes.len() - 8).checked_sub(length).unwrap_or(bytes.len() - 8)
}

/// Reads one row group after another, so that it is known where the damage is.
struct Groups {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    lines: RowLines,
    group: usize,
    /// Rows that were read.
    rows: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl Rows for Groups {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        while self.group < self.metadata.metadata().num_row_groups() {
            let batch = guarded(|| self.next()).map_err(|what| self.damage(&what))?;
            match batch {
                Some(batch) => {
                    self.lines.append(&batch, out)?;
                    self.rows += batch.num_rows();
                    return Ok(true);
                }
                None => (self.group, self.reader) = (self.group + 1, None),
            }
        }
        Ok(false)
    }
}

impl Groups {
    fn next(&mut self) -> Result<Option<RecordBatch>, Box<dyn std::error::Error>> {
        if self.reader.is_none() {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone());
            self.reader = Some(builder.with_row_groups(vec![self.group]).with_batch_size(ROWS).build()?);
        }
        Ok(self.reader.as_mut().and_then(Iterator::next).transpose()?)
    }

    fn damage(&self, what: &str) -> Error {
        let group = self.metadata.metadata().row_group(self.group);
        let at = group.columns().first().map_or(0, |column| column.byte_range().0);
        let what = format!("row group {}, behind row {}: {what}", self.group, self.rows);
        damaged(usize::try_from(at).unwrap_or(usize::MAX), what)
    }
}
