//! Writes one object of length-delimited messages, whose first is the `FileDescriptorSet` of the others.

use std::ops::Range;

use ductstream_core::{Envelope, ObjectEncoder, Result, TableChunk};

use super::push_varint;
use super::rows::ProtoRows;
use super::value_schema;
use crate::envelope::ValueTransform;
use crate::rows::RowEncoder;

pub(super) struct ProtoEncoder {
    transform: ValueTransform,
    rows: ProtoRows,
    /// Records without their lengths, and where each of them ends: kept for their memory.
    records: Vec<u8>,
    ends: Vec<usize>,
    out: Vec<u8>,
    taken: u64,
}

impl ProtoEncoder {
    pub(super) fn new(transform: ValueTransform, envelope: Envelope) -> Result<Self> {
        let schema = transform.schema().clone();
        let proto = value_schema(&transform, envelope)?;
        let mut out = Vec::new();
        push_record(&proto.descriptor_set(), &mut out);
        let rows = ProtoRows::new(schema, &proto);
        Ok(Self { transform, rows, records: Vec::new(), ends: Vec::new(), out, taken: 0 })
    }
}

fn push_record(record: &[u8], out: &mut Vec<u8>) {
    push_varint(record.len() as u64, out);
    out.extend_from_slice(record);
}

impl ObjectEncoder for ProtoEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: Range<usize>) -> Result<()> {
        let batch = self.transform.apply(chunk, rows)?;
        self.records.clear();
        self.ends.clear();
        let table = &self.transform.table().table;
        self.rows
            .encode(&batch, &mut self.records, &mut self.ends)
            .map_err(|error| error.context(format_args!("table {table}")))?;
        self.out.reserve(self.records.len() + 3 * self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            push_record(&self.records[start..*end], &mut self.out);
            start = *end;
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.out);
        self.taken += bytes.len() as u64;
        bytes
    }

    fn ready_bytes(&self) -> usize {
        self.out.len()
    }

    fn memory_bytes(&self) -> usize {
        self.out.capacity() + self.records.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn size_bytes(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.take())
    }
}
