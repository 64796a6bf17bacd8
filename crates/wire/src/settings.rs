//! What a user sets about wire formats.

use ductstream_core::{ByteSize, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::debezium::Debezium;
use crate::limits;

/// Settings of every format and envelope; those of the flow's are used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WireSettings {
    /// How Parquet is written.
    pub parquet: ParquetSettings,
    /// How JSON is written.
    pub json: JsonSettings,
    /// How the envelope `debezium` is made.
    pub debezium: Debezium,
    /// How Avro is written.
    pub avro: AvroSettings,
    /// How Arrow is written.
    pub arrow: ArrowSettings,
}

/// The `parquet` section of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetSettings {
    /// How pages are compressed.
    pub compression: ParquetCompression,
    /// Compression level: 1 to 22 with `zstd` (default 1), 0 to 9 with `gzip` (default 6). Higher is smaller and slower.
    pub compression_level: Option<u32>,
    /// Rows after which a row group ends.
    pub row_group_rows: u64,
    /// Encoded bytes after which a row group ends. A file that is being written keeps up to one row group in memory.
    pub row_group_bytes: ByteSize,
    /// Try dictionaries. A column whose dictionary grows too large goes on without one.
    pub dictionary: bool,
    /// Which minima and maxima are stored.
    pub statistics: ParquetStatistics,
}

/// How Parquet pages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParquetCompression {
    /// Zstandard: small and fast.
    #[default]
    Zstd,
    /// Snappy: faster and larger; read by everything.
    Snappy,
    /// Gzip.
    Gzip,
    /// LZ4 (`LZ4_RAW`): the fastest; not read by old readers.
    Lz4,
    /// None.
    None,
}

/// Which minima and maxima Parquet files carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParquetStatistics {
    /// None.
    None,
    /// Of each row group, so that a reader can skip row groups.
    #[default]
    RowGroup,
    /// Of each page as well.
    Page,
}

/// The `json` section of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonSettings {
    /// How files are compressed; `gzip` names them `.jsonl.gz`, `zstd` `.jsonl.zst`.
    pub compression: JsonCompression,
    /// Compression level: 1 to 22 with `zstd` (default 1), 0 to 9 with `gzip` (default 6).
    pub compression_level: Option<u32>,
    /// How numeric values are written.
    pub numeric: NumericJson,
}

/// How JSON lines are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JsonCompression {
    /// Not at all.
    #[default]
    None,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How numeric values are written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumericJson {
    /// As a string, which every reader takes without loss.
    #[default]
    String,
    /// As a number with all its digits; many readers round it. `NaN` and infinities stay strings.
    Number,
}

/// The `avro` section of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AvroSettings {
    /// How the blocks of files are compressed.
    pub compression: AvroCompression,
    /// Compression level: 1 to 22 with `zstandard` (default 1), 0 to 9 with `deflate` (default 1). Higher is smaller and slower.
    pub compression_level: Option<u32>,
}

/// How the blocks of Avro files are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AvroCompression {
    /// Deflate: the only one that every reader has to know.
    #[default]
    Deflate,
    /// Zstandard: smaller and faster; many readers know it, some need a library of its own for it.
    Zstandard,
    /// Snappy: faster and larger.
    Snappy,
    /// None.
    None,
}

impl AvroCompression {
    /// The name in a file's header.
    pub(crate) fn codec(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Zstandard => "zstandard",
            Self::Snappy => "snappy",
            Self::None => "null",
        }
    }
}

impl AvroSettings {
    /// Refuses values that cannot be written with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) that names the setting.
    pub fn validate(&self) -> Result<()> {
        let levels = match self.compression {
            AvroCompression::Zstandard => Some(limits::ZSTD_LEVELS),
            AvroCompression::Deflate => Some(limits::GZIP_LEVELS),
            AvroCompression::Snappy | AvroCompression::None => None,
        };
        check_level("avro.compression_level", self.compression_level, levels)
    }
}

/// The `arrow` section of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArrowSettings {
    /// How the buffers of record batches are compressed.
    pub compression: ArrowCompression,
    /// Compression level: 1 to 22 with `zstd` (default 1). Higher is smaller and slower.
    pub compression_level: Option<u32>,
}

/// How the buffers of Arrow record batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArrowCompression {
    /// Zstandard: small and fast.
    #[default]
    Zstd,
    /// LZ4 frames: faster and larger.
    Lz4,
    /// None: readers can map the file into memory and use it as it is.
    None,
}

impl ArrowSettings {
    /// Refuses values that cannot be written with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) that names the setting.
    pub fn validate(&self) -> Result<()> {
        let levels = (self.compression == ArrowCompression::Zstd).then_some(limits::ZSTD_LEVELS);
        check_level("arrow.compression_level", self.compression_level, levels)
    }
}

impl Default for ParquetSettings {
    fn default() -> Self {
        Self {
            compression: ParquetCompression::default(),
            compression_level: None,
            row_group_rows: limits::ROW_GROUP_ROWS,
            row_group_bytes: ByteSize(limits::ROW_GROUP_BYTES),
            dictionary: true,
            statistics: ParquetStatistics::default(),
        }
    }
}

impl ParquetSettings {
    /// Refuses values that cannot be written with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) that names the setting.
    pub fn validate(&self) -> Result<()> {
        let levels = match self.compression {
            ParquetCompression::Zstd => Some(limits::ZSTD_LEVELS),
            ParquetCompression::Gzip => Some(limits::GZIP_LEVELS),
            ParquetCompression::Snappy | ParquetCompression::Lz4 | ParquetCompression::None => None,
        };
        check_level("parquet.compression_level", self.compression_level, levels)?;
        if self.row_group_rows == 0 {
            return Err(Error::configuration("parquet.row_group_rows is 0").with_remedy("set it to at least 1"));
        }
        if self.row_group_bytes.0 == 0 {
            return Err(Error::configuration("parquet.row_group_bytes is 0").with_remedy("set it to 1MiB or more"));
        }
        Ok(())
    }
}

impl JsonSettings {
    /// Refuses values that cannot be written with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) that names the setting.
    pub fn validate(&self) -> Result<()> {
        let levels = match self.compression {
            JsonCompression::Zstd => Some(limits::ZSTD_LEVELS),
            JsonCompression::Gzip => Some(limits::GZIP_LEVELS),
            JsonCompression::None => None,
        };
        check_level("json.compression_level", self.compression_level, levels)
    }
}

/// `levels` is `None` for a compression that has no levels.
fn check_level(setting: &str, level: Option<u32>, levels: Option<(u32, u32)>) -> Result<()> {
    match (level, levels) {
        (None, _) => Ok(()),
        (Some(level), Some((least, most))) if (least..=most).contains(&level) => Ok(()),
        (Some(level), Some((least, most))) => {
            let message = format!("{setting} is {level}, and the compression has levels {least} to {most}");
            Err(Error::configuration(message).with_remedy(format!("set it to a number from {least} to {most}")))
        }
        (Some(level), None) => {
            let message = format!("{setting} is {level}, and the compression has no levels");
            Err(Error::configuration(message).with_remedy("remove it, or choose a compression that has"))
        }
    }
}
