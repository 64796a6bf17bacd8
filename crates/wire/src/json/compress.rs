//! Streaming compression of JSON lines.

use std::io::{self, Write};

use ductstream_core::{Error, Result};
use flate2::write::GzEncoder;

use crate::{JsonCompression, JsonSettings, limits};

/// Memory of a compressor's own tables at the levels that people use.
const GZIP_MEMORY_BYTES: usize = 512 << 10;
const ZSTD_MEMORY_BYTES: usize = 2 << 20;

/// What a compressor may keep to itself before it writes.
const HELD_BYTES: usize = 2 * limits::COMPRESS_BYTES;

/// Turns lines into an object's bytes.
pub(super) enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    pub(super) fn new(settings: &JsonSettings) -> Result<Self> {
        Ok(match settings.compression {
            JsonCompression::None => Self::None(Vec::new()),
            JsonCompression::Gzip => {
                let level = flate2::Compression::new(settings.compression_level.unwrap_or(limits::GZIP_LEVEL));
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
            JsonCompression::Zstd => {
                let level = i32::try_from(settings.compression_level.unwrap_or(limits::ZSTD_LEVEL)).unwrap_or(i32::MAX);
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), level);
                let failed = |error| Error::configuration("beginning a Zstandard stream").with_source(error);
                Self::Zstd(encoder.map_err(failed)?)
            }
        })
    }

    /// Takes what is complete of `lines`; the rest has to be offered again with more behind it.
    pub(super) fn feed(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None(out) if out.is_empty() => std::mem::swap(out, lines),
            Self::None(out) => out.append(lines),
            Self::Gzip(_) | Self::Zstd(_) => {
                let complete = lines.len() - lines.len() % limits::COMPRESS_BYTES;
                for portion in lines[..complete].chunks(limits::COMPRESS_BYTES) {
                    self.write(portion)?;
                }
                lines.drain(..complete);
            }
        }
        Ok(())
    }

    /// Takes the last `lines`, and returns what was not taken yet.
    pub(super) fn finish(mut self, lines: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        self.feed(lines)?;
        self.write(lines)?;
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }

    fn write(&mut self, portion: &[u8]) -> io::Result<()> {
        match self {
            Self::None(out) => out.write_all(portion),
            Self::Gzip(encoder) => encoder.write_all(portion),
            Self::Zstd(encoder) => encoder.write_all(portion),
        }
    }

    pub(super) fn out(&self) -> &Vec<u8> {
        match self {
            Self::None(out) => out,
            Self::Gzip(encoder) => encoder.get_ref(),
            Self::Zstd(encoder) => encoder.get_ref(),
        }
    }

    pub(super) fn out_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::None(out) => out,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        let own = match self {
            Self::None(_) => 0,
            Self::Gzip(_) => GZIP_MEMORY_BYTES,
            Self::Zstd(_) => ZSTD_MEMORY_BYTES,
        };
        own + self.out().capacity()
    }

    /// The most that is still to come of `fed` bytes besides what is out.
    pub(super) fn held_bytes(&self, fed: u64) -> u64 {
        match self {
            Self::None(_) => 0,
            Self::Gzip(_) | Self::Zstd(_) => fed.min(HELD_BYTES as u64) + 64,
        }
    }
}
