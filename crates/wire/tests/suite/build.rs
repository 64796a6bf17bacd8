use ductstream_core::{Envelope, ErrorKind, WireFormat};
use ductstream_wire::{JsonSettings, ParquetSettings, WireSettings, build};

#[test]
fn a_codec_knows_its_format_envelope_and_extension() {
    let extension = |format, settings: &WireSettings| build(format, Envelope::Native, settings).unwrap().extension();
    assert_eq!(extension(WireFormat::Parquet, &WireSettings::default()), "parquet");
    assert_eq!(extension(WireFormat::Json, &WireSettings::default()), "jsonl");
    assert_eq!(extension(WireFormat::Arrow, &WireSettings::default()), "arrow");
    assert_eq!(extension(WireFormat::Proto, &WireSettings::default()), "pb");
    assert_eq!(extension(WireFormat::Avro, &WireSettings::default()), "avro");
    let json: JsonSettings = serde_json::from_str(r#"{"compression": "zstd", "compression_level": 3}"#).unwrap();
    assert_eq!(extension(WireFormat::Json, &WireSettings { json, ..WireSettings::default() }), "jsonl.zst");
    let codec = build(WireFormat::Json, Envelope::Native, &WireSettings::default()).unwrap();
    assert_eq!((codec.format(), codec.envelope()), (WireFormat::Json, Envelope::Native));
}

#[test]
fn envelopes_that_a_format_does_not_have_are_refused_with_those_that_do() {
    for (format, envelope, remedy) in [
        (WireFormat::Arrow, Envelope::Debezium, "set format to json, avro or proto, or envelope to flat or native"),
        (WireFormat::Parquet, Envelope::Debezium, "set format to json, avro or proto, or envelope to flat or native"),
    ] {
        let error = build(format, envelope, &WireSettings::default()).err().unwrap();
        assert_eq!((error.kind(), error.remedy()), (ErrorKind::Configuration, Some(remedy)));
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let parquet = |settings: &str| {
        let parquet: ParquetSettings = serde_json::from_str(settings).unwrap();
        let settings = WireSettings { parquet, ..WireSettings::default() };
        build(WireFormat::Parquet, Envelope::Flat, &settings).err().map(|error| error.message().to_owned())
    };
    let refused = |settings: &str, name: &str| assert!(parquet(settings).is_some_and(|message| message.contains(name)));
    refused(r#"{"compression_level": 23}"#, "parquet.compression_level");
    refused(r#"{"compression": "snappy", "compression_level": 1}"#, "parquet.compression_level");
    refused(r#"{"row_group_rows": 0}"#, "parquet.row_group_rows");
    refused(r#"{"row_group_bytes": "0B"}"#, "parquet.row_group_bytes");
    assert_eq!(parquet(r#"{"compression": "gzip", "compression_level": 9, "row_group_bytes": "1MiB"}"#), None);
    let avro = serde_json::from_str(r#"{"compression": "snappy", "compression_level": 1}"#).unwrap();
    let settings = WireSettings { avro, ..WireSettings::default() };
    let error = build(WireFormat::Avro, Envelope::Flat, &settings).err().unwrap();
    assert!(error.message().contains("avro.compression_level"), "{error}");
    let arrow = serde_json::from_str(r#"{"compression": "lz4", "compression_level": 1}"#).unwrap();
    let settings = WireSettings { arrow, ..WireSettings::default() };
    let error = build(WireFormat::Arrow, Envelope::Flat, &settings).err().unwrap();
    assert!(error.message().contains("arrow.compression_level"), "{error}");
    assert!(serde_json::from_str::<ParquetSettings>(r#"{"compresion": "zstd"}"#).is_err());
}
