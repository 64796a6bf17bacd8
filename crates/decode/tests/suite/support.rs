//! Changes in every format, and what is read back of them.

use bytes::Bytes;
use ductstream_core::{ChangeBatch, Codec, Envelope, Error, TableChunk, WireFormat};
use ductstream_decode::{Options, open};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_wire::{
    ArrowCompression, ArrowSettings, AvroCompression, AvroSettings, JsonCompression, JsonSettings, ParquetCompression,
    ParquetSettings, WireSettings, build,
};

/// Every format with every compression that it can be set to.
pub(crate) fn every_setting() -> Vec<(WireFormat, WireSettings)> {
    let mut settings = vec![(WireFormat::Proto, WireSettings::default())];
    for compression in [JsonCompression::None, JsonCompression::Gzip, JsonCompression::Zstd] {
        let json = JsonSettings { compression, ..JsonSettings::default() };
        settings.push((WireFormat::Json, WireSettings { json, ..WireSettings::default() }));
    }
    for compression in
        [AvroCompression::None, AvroCompression::Deflate, AvroCompression::Zstandard, AvroCompression::Snappy]
    {
        let avro = AvroSettings { compression, ..AvroSettings::default() };
        settings.push((WireFormat::Avro, WireSettings { avro, ..WireSettings::default() }));
    }
    for compression in [ArrowCompression::None, ArrowCompression::Lz4, ArrowCompression::Zstd] {
        let arrow = ArrowSettings { compression, ..ArrowSettings::default() };
        settings.push((WireFormat::Arrow, WireSettings { arrow, ..WireSettings::default() }));
    }
    for compression in [
        ParquetCompression::None,
        ParquetCompression::Zstd,
        ParquetCompression::Snappy,
        ParquetCompression::Gzip,
        ParquetCompression::Lz4,
    ] {
        let parquet = ParquetSettings { compression, row_group_rows: 1000, ..ParquetSettings::default() };
        settings.push((WireFormat::Parquet, WireSettings { parquet, ..WireSettings::default() }));
    }
    settings
}

pub(crate) fn codec(format: WireFormat, envelope: Envelope, settings: &WireSettings) -> std::sync::Arc<dyn Codec> {
    build(format, envelope, settings).unwrap()
}

/// A file of `chunk`.
pub(crate) fn file(format: WireFormat, envelope: Envelope, settings: &WireSettings, chunk: &TableChunk) -> Vec<u8> {
    encode(&*codec(format, envelope, settings), chunk, &[chunk.len().max(1)])
}

/// The lines that the format JSON has of `chunk`.
pub(crate) fn lines(envelope: Envelope, chunk: &TableChunk) -> String {
    String::from_utf8(file(WireFormat::Json, envelope, &WireSettings::default(), chunk)).unwrap()
}

/// What is printed, and the error that ended it.
pub(crate) fn read(bytes: impl Into<Bytes>, options: &Options) -> (String, Option<Error>) {
    let mut out = Vec::new();
    let error = match open(bytes.into(), options) {
        Ok(mut document) => loop {
            match document.rows.read(&mut out) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        },
        Err(error) => Some(error),
    };
    (String::from_utf8(out).unwrap(), error)
}

/// What is printed of something that is whole.
pub(crate) fn printed(bytes: impl Into<Bytes>, options: &Options) -> String {
    let (printed, error) = read(bytes, options);
    assert!(error.is_none(), "{error:?} behind {printed}");
    printed
}

/// Changes of every operation.
pub(crate) fn changes() -> ChangeBatch {
    let orders = table("public.orders", 1);
    let batch =
        BatchBuilder::new().begin(0x1_0000_0100, 751, -1).load(&orders, 9, "żółw").insert(&orders, 1, "a\n\"b\"");
    let batch = batch.update_unchanged(&orders, 1, "note").update_key(&orders, (1, 2), "b");
    let batch = batch.update_full(&orders, (2, "b"), (2, "c")).delete(&orders, 2).delete_full(&orders, 9, "d");
    batch.truncate(&orders).commit(0x1_0000_0200).build()
}
