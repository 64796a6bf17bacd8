//! Writes one Avro object container file.

use std::ops::Range;

use ductstream_core::{Envelope, ObjectEncoder, Result, TableChunk};

use super::container::Container;
use super::rows::AvroRows;
use super::value_schema;
use crate::AvroSettings;
use crate::envelope::{ValueTransform, metadata};
use crate::rows::RowEncoder;

pub(super) struct AvroEncoder {
    transform: ValueTransform,
    rows: AvroRows,
    container: Container,
    taken: u64,
}

impl AvroEncoder {
    pub(super) fn new(transform: ValueTransform, envelope: Envelope, settings: &AvroSettings) -> Result<Self> {
        let table = transform.table();
        let schema = value_schema(&transform)?.to_string();
        let properties = metadata(envelope, table);
        let mut properties: Vec<_> = properties.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        properties.sort_unstable();
        let container = Container::new(settings.clone(), &schema, &properties);
        let rows = AvroRows::new(transform.schema().clone());
        Ok(Self { transform, rows, container, taken: 0 })
    }
}

impl ObjectEncoder for AvroEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()> {
        let batch = self.transform.apply(chunk, rows)?;
        let (out, ends) = self.container.block();
        let table = &self.transform.table().table;
        self.rows.encode(&batch, out, ends).map_err(|error| error.context(format_args!("table {table}")))?;
        self.container.write_complete()
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.container.out);
        self.taken += bytes.len() as u64;
        bytes
    }

    fn ready_bytes(&self) -> usize {
        self.container.out.len()
    }

    fn memory_bytes(&self) -> usize {
        self.container.memory_bytes()
    }

    fn size_bytes(&self) -> u64 {
        // Compression may add a little to what cannot be compressed; the block's own counts and mark follow.
        let waiting = self.container.waiting_bytes();
        self.taken + (self.container.out.len() + waiting + waiting / 16 + 64) as u64
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        self.container.finish()?;
        Ok(self.take())
    }
}
