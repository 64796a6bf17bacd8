//! How fast each codec is, and how much it writes: one batch of seven mixed columns, as a file and as one message per row.
//!
//! Criterion keeps times and no sizes: with `CRITERION_HOME`, `sizes.json` there has the bytes per row of each benchmark.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has to say why")]
#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ductstream_core::{
    Codec, Envelope, Lsn, MessageCodec, MessageEncoder, Messages, Position, ReplicaIdentity, TableChunk, TableName,
    TableSchema, WireFormat,
};
use ductstream_testkit::batch::{column, inserts};
use ductstream_wire::{MessageMode, MessageShape, WireSettings, build, message_codec};

const ROWS: usize = 40_000;
const ROWS_PER_TRANSACTION: u64 = 1000;

/// Numbers that look random and are the same in every run.
fn scrambled(row: usize) -> u64 {
    (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn chunk() -> TableChunk {
    let timestamptz = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = vec![
        column("id", (20, "bigint"), DataType::Int64),
        column("customer", (23, "integer"), DataType::Int32),
        column("status", (25, "text"), DataType::Utf8),
        column("note", (25, "text"), DataType::Utf8),
        column("amount", (1700, "numeric(12,2)"), DataType::Decimal128(12, 2)),
        column("created_at", (1184, "timestamp with time zone"), timestamptz),
        column("score", (701, "double precision"), DataType::Float64),
    ];
    let table = TableName::new("public", "orders");
    let schema = Arc::new(TableSchema::new(table, 1, 1, ReplicaIdentity::Default, columns).with_key(vec![0]));
    let mut chunk = inserts(&schema, 0x1_0000, arrays());
    for (row, position) in chunk.positions.iter_mut().enumerate() {
        let transaction = row as u64 / ROWS_PER_TRANSACTION;
        *position = Position::new(Lsn(0x1_0000 + (transaction << 20)), row as u64 % ROWS_PER_TRANSACTION);
    }
    chunk
}

fn arrays() -> Vec<ArrayRef> {
    let rows = || 0..ROWS;
    let statuses = ["new", "paid", "packed", "shipped", "returned"];
    let amounts = Decimal128Array::from_iter_values(rows().map(|row| i128::from(scrambled(row) % 1_000_000)));
    vec![
        Arc::new(Int64Array::from_iter_values(rows().map(|row| row as i64))),
        Arc::new(Int32Array::from_iter_values(rows().map(|row| (scrambled(row) % 100_000) as i32))),
        Arc::new(StringArray::from_iter_values(rows().map(|row| statuses[scrambled(row) as usize % 5]))),
        Arc::new(StringArray::from_iter_values(rows().map(|row| format!("note {:016x} of row {row}", scrambled(row))))),
        Arc::new(amounts.with_data_type(DataType::Decimal128(12, 2))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows().map(|row| 1_795_433_079_000_000 + 1237 * row as i64))
                .with_timezone("UTC"),
        ),
        Arc::new(Float64Array::from_iter_values(rows().map(|row| scrambled(row) as f64 / 1e12))),
    ]
}

fn encode(codec: &dyn Codec, chunk: &TableChunk) -> usize {
    let mut encoder = codec.encoder(&chunk.schema).expect("the schema fits");
    encoder.append(black_box(chunk), 0..chunk.len()).expect("the rows fit");
    encoder.finish().expect("the object finishes").len()
}

/// Bytes per row, by the name of the benchmark.
type Sizes = BTreeMap<String, f64>;

fn files(criterion: &mut Criterion, chunk: &TableChunk, sizes: &mut Sizes) {
    let mut group = criterion.benchmark_group("codecs");
    group.throughput(Throughput::Elements(ROWS as u64));
    for format in [WireFormat::Parquet, WireFormat::Arrow, WireFormat::Avro, WireFormat::Proto, WireFormat::Json] {
        for envelope in [Envelope::Flat, Envelope::Native] {
            let codec = build(format, envelope, &WireSettings::default()).expect("the defaults are valid");
            let name = format!("{format}/{envelope}");
            sizes.insert(format!("codecs/{name}"), encode(&*codec, chunk) as f64 / ROWS as f64);
            group.bench_function(name, |bencher| bencher.iter(|| encode(&*codec, chunk)));
        }
    }
    group.finish();
}

fn encoder(codec: &dyn MessageCodec, chunk: &TableChunk) -> Box<dyn MessageEncoder> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(codec.encoder(&chunk.schema, "public.orders")).expect("the schema fits")
}

/// As the Kafka destination does it: keys and values of a batch into one buffer that is used again.
fn messages(criterion: &mut Criterion, chunk: &TableChunk, sizes: &mut Sizes) {
    let mut group = criterion.benchmark_group("messages");
    group.throughput(Throughput::Elements(ROWS as u64));
    let flat = [WireFormat::Avro, WireFormat::Proto, WireFormat::Json].map(|format| (format, Envelope::Flat));
    for (format, envelope) in flat.into_iter().chain([(WireFormat::Json, Envelope::Debezium)]) {
        let shape = MessageShape { format, envelope, mode: MessageMode::Record, tombstones: false };
        let codec = message_codec(shape, &WireSettings::default(), None).expect("the defaults are valid");
        let mut encoder = encoder(&*codec, chunk);
        let mut out = Messages::default();
        let mut encode = || {
            out.clear();
            encoder.encode(black_box(chunk), 0..chunk.len(), &mut out).expect("the rows fit");
            out.bytes.len()
        };
        let name = format!("{format}/{envelope}");
        sizes.insert(format!("messages/{name}"), encode() as f64 / ROWS as f64);
        group.bench_function(name, |bencher| bencher.iter(&mut encode));
    }
    group.finish();
}

fn codecs(criterion: &mut Criterion) {
    let chunk = chunk();
    let mut sizes = Sizes::new();
    files(criterion, &chunk, &mut sizes);
    messages(criterion, &chunk, &mut sizes);
    if let Some(directory) = std::env::var_os("CRITERION_HOME") {
        let text = serde_json::to_string_pretty(&sizes).expect("numbers are JSON");
        std::fs::write(std::path::Path::new(&directory).join("sizes.json"), text).expect("the directory is there");
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
