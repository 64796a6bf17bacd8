//! Object container files: a header with the schema, then blocks of compressed records.

use std::io::{self, Write};

use ductstream_core::{Error, Result};
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use super::rows::push_long;
use crate::{AvroCompression, AvroSettings, limits};

const MAGIC: &[u8] = b"Obj\x01";
/// Name of what nothing is compressed with, which every file may leave out.
pub(super) const SYNC_BYTES: usize = 16;

/// Writes blocks that end where the rows say, not where they were appended.
pub(super) struct Container {
    settings: AvroSettings,
    sync: [u8; SYNC_BYTES],
    /// Records of the block that is not complete.
    block: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    compressed: Vec<u8>,
    pub(super) out: Vec<u8>,
}

impl Container {
    /// A file of records of `schema`, which says these things of itself.
    pub(super) fn new(settings: AvroSettings, schema: &str, properties: &[(&str, String)]) -> Self {
        let mut out = MAGIC.to_vec();
        push_long(i64::try_from(properties.len()).unwrap_or(0) + 2, &mut out);
        let own = [("avro.schema", schema), ("avro.codec", settings.compression.codec())];
        for (key, value) in own.into_iter().chain(properties.iter().map(|(key, value)| (*key, value.as_str()))) {
            push_text(key, &mut out);
            push_text(value, &mut out);
        }
        out.push(0);
        // Derived from the header: the same records have to give the same bytes.
        let mut sync = [0; SYNC_BYTES];
        sync.copy_from_slice(&Sha256::digest(&out)[..SYNC_BYTES]);
        out.extend_from_slice(&sync);
        Self { settings, sync, block: Vec::new(), ends: Vec::new(), compressed: Vec::new(), out }
    }

    /// Where records are appended, and their ends.
    pub(super) fn block(&mut self) -> (&mut Vec<u8>, &mut Vec<usize>) {
        (&mut self.block, &mut self.ends)
    }

    /// Writes the blocks that are complete.
    pub(super) fn write_complete(&mut self) -> Result<()> {
        let (mut start, mut rows) = (0, 0);
        for index in 0..self.ends.len() {
            let end = self.ends[index];
            if end - start >= limits::AVRO_BLOCK_BYTES {
                self.write_block(start..end, index + 1 - rows)?;
                (start, rows) = (end, index + 1);
            }
        }
        self.block.drain(..start);
        self.ends.drain(..rows);
        self.ends.iter_mut().for_each(|end| *end -= start);
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self) -> Result<()> {
        if !self.ends.is_empty() {
            self.write_block(0..self.block.len(), self.ends.len())?;
        }
        self.block.clear();
        self.ends.clear();
        Ok(())
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.block.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<usize>();
        self.block.capacity() + ends + self.compressed.capacity() + self.out.capacity()
    }

    fn write_block(&mut self, bytes: std::ops::Range<usize>, rows: usize) -> Result<()> {
        self.compressed.clear();
        compress(&self.settings, &self.block[bytes], &mut self.compressed)
            .map_err(|error| Error::bug("compressing an Avro block").with_source(error))?;
        push_long(i64::try_from(rows).unwrap_or(i64::MAX), &mut self.out);
        push_long(i64::try_from(self.compressed.len()).unwrap_or(i64::MAX), &mut self.out);
        self.out.extend_from_slice(&self.compressed);
        self.out.extend_from_slice(&self.sync);
        Ok(())
    }
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push_long(i64::try_from(text.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(text.as_bytes());
}

fn compress(settings: &AvroSettings, block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = |default| settings.compression_level.unwrap_or(default);
    match settings.compression {
        AvroCompression::None => out.extend_from_slice(block),
        AvroCompression::Deflate => {
            let level = flate2::Compression::new(level(limits::DEFLATE_LEVEL));
            let mut encoder = DeflateEncoder::new(out, level);
            encoder.write_all(block)?;
            encoder.finish()?;
        }
        AvroCompression::Zstandard => {
            let level = i32::try_from(level(limits::ZSTD_LEVEL)).unwrap_or(i32::MAX);
            *out = zstd::bulk::compress(block, level)?;
        }
        AvroCompression::Snappy => {
            let start = out.len();
            out.resize(start + snap::raw::max_compress_len(block.len()), 0);
            let written = snap::raw::Encoder::new().compress(block, &mut out[start..])?;
            out.truncate(start + written);
            let mut crc = flate2::Crc::new();
            crc.update(block);
            out.extend_from_slice(&crc.sum().to_be_bytes());
        }
    }
    Ok(())
}
