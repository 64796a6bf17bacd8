//! Object container files: a header with the schema, then blocks of compressed records.

use std::io::Read;

use bytes::Bytes;
use ductstream_core::{Error, Result, WireFormat};
use ductstream_wire::RowLines;

use super::schema::Schema;
use super::values::Reader;
use crate::columns::batch;
use crate::document::{Document, Rows, damaged, own_properties};

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;

/// The most bytes that a block may have when it is decompressed: records are at most as large as PostgreSQL's values.
const BLOCK_LIMIT: u64 = 2 << 30;

/// Whether these bytes begin as a container does.
pub(crate) fn is_container(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Opens a container.
pub(crate) fn open_container(bytes: Bytes) -> Result<Document> {
    let header = Header::read(&bytes)?;
    let schema = Schema::parse(&header.schema)?;
    let lines = RowLines::new(&schema.columns)?;
    Ok(Document {
        format: WireFormat::Avro,
        layout: "object container file",
        properties: own_properties(header.metadata.iter().map(|(key, value)| (key, value))),
        columns: Some(schema.columns.clone()),
        definition: Some(header.schema),
        rows: Box::new(Blocks {
            at: header.end,
            bytes,
            codec: header.codec,
            sync: header.sync,
            schema,
            lines,
            count: 0,
        }),
    })
}

struct Header {
    schema: String,
    codec: Codec,
    metadata: Vec<(String, String)>,
    sync: [u8; SYNC_BYTES],
    end: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self> {
        let content = bytes.get(MAGIC.len()..).unwrap_or_default();
        let mut reader = Reader::new(content);
        let parsed = Self::entries(&mut reader);
        let at = MAGIC.len() + reader.at();
        let metadata = parsed.map_err(|what| damaged(at, format_args!("the header: {what}")))?;
        let sync = reader.take(SYNC_BYTES).map_err(|_| damaged(at, "the header is cut off"))?;
        let sync = *sync.first_chunk().unwrap_or(&[0; SYNC_BYTES]);
        let find = |name: &str| metadata.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let schema = find("avro.schema").ok_or_else(|| damaged(at, "the header has no schema"))?;
        let codec = Codec::named(find("avro.codec").as_deref().unwrap_or("null"))?;
        Ok(Self { schema, codec, metadata, sync, end: MAGIC.len() + reader.at() })
    }

    fn entries(reader: &mut Reader<'_>) -> std::result::Result<Vec<(String, String)>, String> {
        let mut entries = Vec::new();
        loop {
            let count = match reader.long()? {
                0 => return Ok(entries),
                count if count < 0 => reader.long().map(|_| count.unsigned_abs())?,
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                entries.push((reader.text()?, reader.text()?));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Codec {
    None,
    Deflate,
    Zstandard,
    Snappy,
}

impl Codec {
    fn named(name: &str) -> Result<Self> {
        match name {
            "null" => Ok(Self::None),
            "deflate" => Ok(Self::Deflate),
            "zstandard" => Ok(Self::Zstandard),
            "snappy" => Ok(Self::Snappy),
            _ => Err(Error::configuration(format!(
                "the blocks are compressed with {name}, which DuctStream does not write"
            ))
            .with_remedy("read it with another tool")),
        }
    }

    fn decompress(self, block: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::None => out.extend_from_slice(block),
            Self::Deflate => {
                flate2::read::DeflateDecoder::new(block).take(BLOCK_LIMIT).read_to_end(&mut out)?;
            }
            Self::Zstandard => {
                zstd::stream::read::Decoder::new(block)?.take(BLOCK_LIMIT).read_to_end(&mut out)?;
            }
            Self::Snappy => {
                let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
                let (content, crc) = block.split_last_chunk::<4>().ok_or_else(|| invalid("the checksum is missing"))?;
                let length = snap::raw::decompress_len(content)?;
                // What a run of one byte can be compressed to at best.
                if length > content.len().saturating_mul(64) {
                    return Err(invalid("the length does not fit the content"));
                }
                out = snap::raw::Decoder::new().decompress_vec(content)?;
                let mut found = flate2::Crc::new();
                found.update(&out);
                if found.sum().to_be_bytes() != *crc {
                    return Err(invalid("the checksum does not fit"));
                }
            }
        }
        Ok(out)
    }
}

struct Blocks {
    bytes: Bytes,
    at: usize,
    codec: Codec,
    sync: [u8; SYNC_BYTES],
    schema: Schema,
    lines: RowLines,
    /// Records before this block.
    count: u64,
}

impl Rows for Blocks {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        if self.at >= self.bytes.len() {
            return Ok(false);
        }
        let (rows, block) = self.frame()?;
        let content = self.codec.decompress(&block);
        let content = content.map_err(|error| damaged(self.at, format_args!("a block: {error}")))?;
        let mut reader = Reader::new(&content);
        let mut records = Vec::new();
        let mut failure = None;
        for _ in 0..rows {
            let before = reader.at();
            let record = self.schema.read(&mut reader);
            match record
                .and_then(|record| (reader.at() > before).then_some(record).ok_or("it takes no bytes".to_owned()))
            {
                Ok(record) => records.push(record),
                Err(what) => {
                    let (record, at) = (self.count + records.len() as u64, reader.at());
                    let what = format!("record {record}, at byte {at} of the block's decompressed content: {what}");
                    failure = Some(damaged(self.at, what));
                    break;
                }
            }
        }
        self.count += records.len() as u64;
        self.lines.append(&batch(&self.schema.columns, records)?, out)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if reader.at() < content.len() {
            let left = content.len() - reader.at();
            return Err(damaged(self.at, format_args!("{left} bytes of a block follow its last record")));
        }
        self.end_block(block.len())?;
        Ok(true)
    }
}

impl Blocks {
    /// The number of records of the next block, and its bytes; `at` is then where they begin.
    fn frame(&mut self) -> Result<(u64, Bytes)> {
        let rest = &self.bytes[self.at..];
        let mut reader = Reader::new(rest);
        let numbers = reader.long().and_then(|rows| Ok((rows, reader.long()?)));
        let (rows, size) =
            numbers.map_err(|what| damaged(self.at, format_args!("the beginning of a block: {what}")))?;
        let (Ok(rows), Ok(size)) = (u64::try_from(rows), usize::try_from(size)) else {
            return Err(damaged(self.at, format_args!("a block of {rows} records in {size} bytes")));
        };
        let left = rest.len() - reader.at();
        if size > left {
            return Err(damaged(
                self.at,
                format_args!("a block has {size} bytes, and {left} are left: the file is cut off"),
            ));
        }
        self.at += reader.at();
        Ok((rows, self.bytes.slice(self.at..self.at + size)))
    }

    fn end_block(&mut self, size: usize) -> Result<()> {
        let end = self.at + size;
        match self.bytes.get(end..end + SYNC_BYTES) {
            Some(mark) if mark == self.sync => {
                self.at = end + SYNC_BYTES;
                Ok(())
            }
            Some(_) => Err(damaged(end, "the mark between blocks is another one")),
            None => Err(damaged(end, "the file is cut off behind a block")),
        }
    }
}
