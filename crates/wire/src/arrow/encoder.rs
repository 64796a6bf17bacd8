//! Writes one Arrow IPC file or stream.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use arrow_select::concat::concat_batches;
use ductstream_core::{Error, ObjectEncoder, Result, TableChunk};

use super::Layout;
use super::canonical::canonical_batch;
use crate::envelope::Transform;
use crate::slices::Slices;
use crate::{ArrowCompression, ArrowSettings, limits};

/// What an array adds to a record batch beside its values: a node, and of up to three buffers the place, the length in front and the
/// padding behind.
const BYTES_PER_ARRAY: usize = 16 + 3 * (16 + 8 + 64);
/// What a record batch adds: its message's frame, and its place in the footer.
const BYTES_PER_BATCH: usize = 512;

pub(super) struct ArrowEncoder {
    transform: Transform,
    writer: Writer,
    slices: Slices,
    arrays: usize,
    /// Bytes of the schema, which is at the beginning and in the footer.
    schema_bytes: usize,
    batches: usize,
    taken: u64,
}

enum Writer {
    File(FileWriter<Vec<u8>>),
    Stream(StreamWriter<Vec<u8>>),
}

impl Writer {
    fn new(layout: Layout, schema: &SchemaRef, options: IpcWriteOptions) -> Result<Self, ArrowError> {
        Ok(match layout {
            Layout::File => Self::File(FileWriter::try_new_with_options(Vec::new(), schema, options)?),
            Layout::Stream => Self::Stream(StreamWriter::try_new_with_options(Vec::new(), schema, options)?),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::File(writer) => writer.write(batch),
            Self::Stream(writer) => writer.write(batch),
        }
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        match self {
            Self::File(writer) => writer.finish(),
            Self::Stream(writer) => writer.finish(),
        }
    }

    fn out(&self) -> &Vec<u8> {
        match self {
            Self::File(writer) => writer.get_ref(),
            Self::Stream(writer) => writer.get_ref(),
        }
    }

    fn out_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::File(writer) => writer.get_mut(),
            Self::Stream(writer) => writer.get_mut(),
        }
    }
}

impl ArrowEncoder {
    pub(super) fn new(transform: Transform, layout: Layout, settings: &ArrowSettings) -> Result<Self> {
        let schema = transform.schema().clone();
        let writer = options(settings).and_then(|options| Writer::new(layout, &schema, options)).map_err(|error| {
            Error::bug(format!("beginning an Arrow file of table {}", transform.table().table)).with_source(error)
        })?;
        let arrays = schema.fields().iter().map(|field| arrays(field)).sum();
        let schema_bytes = writer.out().len();
        let slices = Slices::new(schema);
        Ok(Self { transform, writer, slices, arrays, schema_bytes, batches: 0, taken: 0 })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut batch = canonical_batch(batch)?;
        while batch.num_rows() > 0 {
            if let Some(slice) = self.slices.fill(&mut batch)? {
                self.write(slice)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, slice: RecordBatch) -> Result<(), ArrowError> {
        self.batches += 1;
        // The last byte of a bitmap that was cut out of a longer one holds bits of what follows: a copy has none.
        let nothing = RecordBatch::new_empty(slice.schema());
        self.writer.write(&concat_batches(&slice.schema(), [&slice, &nothing])?)
    }

    fn complete(&mut self) -> Result<(), ArrowError> {
        if let Some(slice) = self.slices.finish()? {
            self.write(slice)?;
        }
        self.writer.finish()
    }

    fn failed(&self, error: ArrowError) -> Error {
        let table = self.transform.table();
        let message = format!("writing Arrow of table {} version {}", table.table, table.version);
        Error::bug(message).with_source(error)
    }
}

impl ObjectEncoder for ArrowEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()> {
        let batch = self.transform.apply(chunk, rows)?;
        self.add(&batch).map_err(|error| self.failed(error))
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.writer.out_mut());
        self.taken += bytes.len() as u64;
        bytes
    }

    fn ready_bytes(&self) -> usize {
        self.writer.out().len()
    }

    fn memory_bytes(&self) -> usize {
        self.writer.out().capacity() + self.slices.memory_bytes()
    }

    fn size_bytes(&self) -> u64 {
        let footer = 2 * self.schema_bytes + self.batches * BYTES_PER_BATCH;
        let last = self.slices.memory_bytes() + self.arrays * BYTES_PER_ARRAY + BYTES_PER_BATCH;
        self.taken + (self.writer.out().len() + last + footer) as u64
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        self.complete().map_err(|error| self.failed(error))?;
        Ok(self.take())
    }
}

fn options(settings: &ArrowSettings) -> Result<IpcWriteOptions, ArrowError> {
    let options = IpcWriteOptions::default();
    let level = i32::try_from(settings.compression_level.unwrap_or(limits::ZSTD_LEVEL)).unwrap_or(i32::MAX);
    match settings.compression {
        ArrowCompression::Zstd => {
            options.try_with_compression(Some(CompressionType::ZSTD))?.try_with_compression_level(Some(level))
        }
        ArrowCompression::Lz4 => options.try_with_compression(Some(CompressionType::LZ4_FRAME)),
        ArrowCompression::None => Ok(options),
    }
}

/// How many arrays a column of `field` is made of.
fn arrays(field: &Field) -> usize {
    1 + match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| arrays(field)).sum(),
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => arrays(item),
        _ => 0,
    }
}
