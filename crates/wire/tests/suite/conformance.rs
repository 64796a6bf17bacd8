use ductstream_core::{ByteSize, Envelope, WireFormat};
use ductstream_testkit::conformance::codec;
use ductstream_wire::{
    ArrowCodec, ArrowCompression, ArrowSettings, AvroCompression, AvroSettings, JsonCompression, JsonSettings,
    ParquetCompression, ParquetSettings, ParquetStatistics, WireSettings, build,
};

const ENVELOPES: [Envelope; 2] = [Envelope::Flat, Envelope::Native];

#[test]
fn parquet_keeps_the_codec_contract() {
    for envelope in ENVELOPES {
        codec::run(&*build(WireFormat::Parquet, envelope, &WireSettings::default()).unwrap());
    }
}

#[test]
fn parquet_keeps_the_codec_contract_with_small_row_groups() {
    let parquet = ParquetSettings {
        compression: ParquetCompression::Snappy,
        row_group_rows: 1500,
        row_group_bytes: ByteSize(20 << 10),
        dictionary: false,
        statistics: ParquetStatistics::Page,
        ..ParquetSettings::default()
    };
    let settings = WireSettings { parquet, ..WireSettings::default() };
    codec::run(&*build(WireFormat::Parquet, Envelope::Flat, &settings).unwrap());
}

#[test]
fn json_keeps_the_codec_contract_however_it_is_compressed() {
    for compression in [JsonCompression::None, JsonCompression::Gzip, JsonCompression::Zstd] {
        let settings =
            WireSettings { json: JsonSettings { compression, ..JsonSettings::default() }, ..WireSettings::default() };
        for envelope in ENVELOPES {
            codec::run(&*build(WireFormat::Json, envelope, &settings).unwrap());
        }
    }
}

#[test]
fn avro_keeps_the_codec_contract_however_it_is_compressed() {
    let all = [AvroCompression::Deflate, AvroCompression::Zstandard, AvroCompression::Snappy, AvroCompression::None];
    for compression in all {
        let avro = AvroSettings { compression, ..AvroSettings::default() };
        let settings = WireSettings { avro, ..WireSettings::default() };
        for envelope in ENVELOPES {
            codec::run(&*build(WireFormat::Avro, envelope, &settings).unwrap());
        }
    }
}

#[test]
fn arrow_keeps_the_codec_contract_however_it_is_compressed() {
    for compression in [ArrowCompression::Zstd, ArrowCompression::Lz4, ArrowCompression::None] {
        let arrow = ArrowSettings { compression, ..ArrowSettings::default() };
        let settings = WireSettings { arrow: arrow.clone(), ..WireSettings::default() };
        for envelope in ENVELOPES {
            codec::run(&*build(WireFormat::Arrow, envelope, &settings).unwrap());
            codec::run(&ArrowCodec::stream(envelope, arrow.clone()).unwrap());
        }
    }
}

#[test]
fn proto_keeps_the_codec_contract() {
    for envelope in ENVELOPES {
        codec::run(&*build(WireFormat::Proto, envelope, &WireSettings::default()).unwrap());
    }
}
