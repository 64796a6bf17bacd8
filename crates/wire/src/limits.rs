//! All limits and defaults of the crate.

/// Rows after which a row group ends, by default.
pub(crate) const ROW_GROUP_ROWS: u64 = 1 << 20;

/// Encoded bytes after which a row group ends, by default.
pub(crate) const ROW_GROUP_BYTES: u64 = 16 << 20;

/// Levels of Zstandard, and the one used by default: higher ones cost more than the rest of the encoding.
pub(crate) const ZSTD_LEVELS: (u32, u32) = (1, 22);
pub(crate) const ZSTD_LEVEL: u32 = 1;

/// Levels of gzip, and the one used by default.
pub(crate) const GZIP_LEVELS: (u32, u32) = (0, 9);
pub(crate) const GZIP_LEVEL: u32 = 6;

/// Level of Avro's deflate by default: what blocks of 64 KiB gain by higher ones costs more than the rest of the encoding.
pub(crate) const DEFLATE_LEVEL: u32 = 1;

/// Bytes of records after which an Avro block ends.
pub(crate) const AVRO_BLOCK_BYTES: usize = 64 << 10;

/// Rows that go to the Parquet writer at once. Pages end where such a slice ends, so it must not depend on how records
/// were appended.
pub(crate) const SLICE_ROWS: usize = 8192;

/// Bytes of values after which a slice ends before it is complete: bounds what wide rows keep in memory.
pub(crate) const SLICE_BYTES: usize = 4 << 20;

/// A dictionary of more bytes is given up. Small, so that columns of distinct values fall back early.
pub(crate) const DICTIONARY_BYTES: usize = 128 << 10;

/// Uncompressed bytes that go to a compressor at once. Its blocks may end there, so it must not depend on how records
/// were appended.
pub(crate) const COMPRESS_BYTES: usize = 128 << 10;

/// Bytes of messages that are kept for other destinations that send the same. About what the queues between source and destinations hold
/// in front of one that keeps up.
pub(crate) const SHARED_BYTES: usize = 8 << 20;

const _: () = assert!(ROW_GROUP_ROWS as usize >= SLICE_ROWS && ROW_GROUP_BYTES as usize > SLICE_BYTES);
const _: () = assert!(ZSTD_LEVEL >= ZSTD_LEVELS.0 && ZSTD_LEVEL <= ZSTD_LEVELS.1 && GZIP_LEVEL <= GZIP_LEVELS.1);
