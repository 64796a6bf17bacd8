//! Writes one Parquet object.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ductstream_core::{Envelope, Error, ObjectEncoder, Result, TableChunk};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::arrow::encode_arrow_schema;

use super::decimal::{widen_batch, widen_schema};
use super::parquet_schema;
use super::properties::writer_properties;
use crate::ParquetSettings;
use crate::envelope::Transform;
use crate::slices::Slices;

/// What a column adds to the footer per row group (offsets, statistics of at most 64 bytes each, encodings), and what a page adds in
/// headers and indexes; rounded up generously.
const FOOTER_BYTES_PER_COLUMN: usize = 700;
const BYTES_PER_PAGE: usize = 250;

/// A page ends after this many rows at the latest.
const PAGE_ROWS: usize = 20_000;

pub(super) struct ParquetEncoder {
    transform: Transform,
    /// The schema of the file.
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    slices: Slices,
    row_group_bytes: usize,
    leaves: usize,
    /// Bytes of the footer without row groups.
    schema_bytes: usize,
}

impl ParquetEncoder {
    pub(super) fn new(transform: Transform, envelope: Envelope, settings: &ParquetSettings) -> Result<Self> {
        let (table, schema) = (transform.table().clone(), widen_schema(transform.schema()));
        let parquet = parquet_schema(&table, &schema)?;
        let failed =
            |error| Error::bug(format!("beginning a Parquet file of table {}", table.table)).with_source(error);
        let properties = writer_properties(settings, &parquet, envelope, &table).map_err(failed)?;
        let names: usize = parquet.columns().iter().map(|column| column.path().string().len()).sum();
        let leaves = parquet.num_columns();
        let schema_bytes = encode_arrow_schema(&schema).len() + 2 * names + 64 * leaves + 1024;
        let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(parquet);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).map_err(failed)?;
        let row_group_bytes = usize::try_from(settings.row_group_bytes.0).unwrap_or(usize::MAX);
        let slices = Slices::new(schema.clone());
        Ok(Self { transform, schema, writer, slices, row_group_bytes, leaves, schema_bytes })
    }

    fn write(&mut self, slice: &RecordBatch) -> Result<()> {
        let written = self.writer.write(slice).and_then(|()| {
            // Measured only between slices, which end at the same rows however they were appended.
            if self.writer.in_progress_size() >= self.row_group_bytes {
                self.writer.flush()?;
            }
            Ok(self.writer.sync()?)
        });
        written.map_err(|error| self.failed("writing rows").with_source(error))
    }

    fn failed(&self, doing: &str) -> Error {
        let table = self.transform.table();
        Error::bug(format!("{doing} to a Parquet file of table {} version {}", table.table, table.version))
    }

    fn complete(&mut self) -> Result<()> {
        let rest = self.slices.finish().map_err(|error| self.failed("gathering rows").with_source(error))?;
        rest.map_or(Ok(()), |slice| self.write(&slice))?;
        let finished = self.writer.finish().map(drop).and_then(|()| Ok(self.writer.sync()?));
        finished.map_err(|error| self.failed("writing the footer").with_source(error))
    }

    /// What the footer, page headers and indexes add.
    fn overhead_bytes(&self) -> usize {
        let groups = self.writer.flushed_row_groups();
        let written: i64 = groups.iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).sum();
        let rows = usize::try_from(written).unwrap_or(0) + self.writer.in_progress_rows();
        let groups = groups.len() + 1;
        let pages = rows / PAGE_ROWS + groups;
        self.schema_bytes + self.leaves * (groups * FOOTER_BYTES_PER_COLUMN + pages * BYTES_PER_PAGE)
    }
}

impl ObjectEncoder for ParquetEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()> {
        let batch = widen_batch(self.transform.apply(chunk, rows)?, &self.schema);
        let mut batch = batch.map_err(|error| self.failed("widening decimals").with_source(error))?;
        while batch.num_rows() > 0 {
            let slice = self.slices.fill(&mut batch);
            if let Some(slice) = slice.map_err(|error| self.failed("gathering rows").with_source(error))? {
                self.write(&slice)?;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    fn ready_bytes(&self) -> usize {
        self.writer.inner().len()
    }

    fn memory_bytes(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().capacity() + self.slices.memory_bytes()
    }

    fn size_bytes(&self) -> u64 {
        let encoded = self.writer.bytes_written() + self.writer.in_progress_size();
        (encoded + self.slices.bytes() + self.overhead_bytes()) as u64
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        self.complete()?;
        Ok(self.take())
    }
}

impl std::fmt::Debug for ParquetEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetEncoder").field("table", &self.transform.table().table).finish_non_exhaustive()
    }
}
