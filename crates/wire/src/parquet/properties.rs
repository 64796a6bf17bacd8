//! From settings to the properties of the Parquet writer.

use std::collections::BTreeMap;

use ductstream_core::{Envelope, TableSchema};
use parquet::basic::{Compression, Encoding, GzipLevel, Type, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnDescriptor, ColumnPath, SchemaDescriptor};

use crate::envelope::metadata;
use crate::{ParquetCompression, ParquetSettings, ParquetStatistics, limits};

/// Whole numbers that the envelope adds. They grow slowly or stay the same, so differences are the smallest and cheapest way
/// to write them; a dictionary would be built and thrown away.
const ENVELOPE_NUMBERS: [&str; 10] = [
    "_commit_lsn",
    "_seq",
    "_xid",
    "_commit_time",
    "_schema_version",
    "position.commit_lsn",
    "position.seq",
    "xid",
    "commit_time",
    "schema_version",
];

/// The properties of files that hold `table` in `envelope`.
pub(super) fn writer_properties(
    settings: &ParquetSettings,
    schema: &SchemaDescriptor,
    envelope: Envelope,
    table: &TableSchema,
) -> Result<WriterProperties> {
    let rows = usize::try_from(settings.row_group_rows).unwrap_or(usize::MAX);
    let properties = WriterProperties::builder()
        .set_created_by(concat!("ductstream version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression(settings)?)
        .set_dictionary_enabled(settings.dictionary)
        .set_dictionary_page_size_limit(limits::DICTIONARY_BYTES)
        .set_max_row_group_row_count(Some(rows))
        .set_statistics_enabled(statistics(settings))
        .set_coerce_types(true)
        .set_key_value_metadata(Some(file_metadata(envelope, table)));
    Ok(schema.columns().iter().fold(properties, |properties, column| encode(properties, column, envelope)).build())
}

/// Differences for whole numbers, where a dictionary is not used or was given up.
fn encode(
    properties: WriterPropertiesBuilder,
    column: &ColumnDescriptor,
    envelope: Envelope,
) -> WriterPropertiesBuilder {
    let path = column.path();
    let properties = match column.physical_type() {
        Type::INT32 | Type::INT64 => properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED),
        _ => properties,
    };
    if is_envelope_number(path, envelope) {
        return properties.set_column_dictionary_enabled(path.clone(), false);
    }
    properties
}

fn is_envelope_number(path: &ColumnPath, envelope: Envelope) -> bool {
    let name = path.string();
    ENVELOPE_NUMBERS.contains(&name.as_str()) && (envelope != Envelope::Flat || name.starts_with('_'))
}

/// In the order of the keys, so that the same file has the same bytes.
fn file_metadata(envelope: Envelope, table: &TableSchema) -> Vec<KeyValue> {
    let entries: BTreeMap<_, _> = metadata(envelope, table).into_iter().collect();
    entries.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

fn compression(settings: &ParquetSettings) -> Result<Compression> {
    let level = settings.compression_level;
    Ok(match settings.compression {
        ParquetCompression::Zstd => {
            let level = i32::try_from(level.unwrap_or(limits::ZSTD_LEVEL)).unwrap_or(i32::MAX);
            Compression::ZSTD(ZstdLevel::try_new(level)?)
        }
        ParquetCompression::Gzip => Compression::GZIP(GzipLevel::try_new(level.unwrap_or(limits::GZIP_LEVEL))?),
        ParquetCompression::Snappy => Compression::SNAPPY,
        ParquetCompression::Lz4 => Compression::LZ4_RAW,
        ParquetCompression::None => Compression::UNCOMPRESSED,
    })
}

fn statistics(settings: &ParquetSettings) -> EnabledStatistics {
    match settings.statistics {
        ParquetStatistics::None => EnabledStatistics::None,
        ParquetStatistics::RowGroup => EnabledStatistics::Chunk,
        ParquetStatistics::Page => EnabledStatistics::Page,
    }
}
