//! How fast rows become Arrow columns: inserts of seven mixed columns, in binary and in text.

#![expect(missing_docs, reason = "criterion's macros make public items without docs")]

#[path = "../tests/suite/pgoutput_bytes.rs"]
#[expect(dead_code, reason = "shared with the tests, which write more kinds of messages")]
mod pgoutput_bytes;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ductstream_core::Position;
use ductstream_postgres::assemble::{Assembler, AssemblerSettings};
use ductstream_postgres::types::{SpecialValues, TypeCatalog};
use pgoutput_bytes::{ColumnSpec, Value, begin, column, commit, insert, key, relation};

const TABLE: u32 = 1001;
const ROWS: u64 = 1_000;

fn columns() -> [ColumnSpec; 7] {
    [
        key("id", 20),
        column("customer", 23),
        column("note", 25),
        ColumnSpec { typmod: (12 << 16 | 2) + 4, ..column("amount", 1700) },
        column("created_at", 1184),
        column("active", 16),
        column("payload", 3802),
    ]
}

fn binary(row: u64) -> Vec<Value> {
    // numeric 1234.56: two digits of base 10000, weight 0, positive, scale 2
    let amount = [0, 2, 0, 0, 0, 0, 0, 2, 0x04, 0xD2, 0x15, 0xE0];
    let payload = [&[1][..], br#"{"source": "web", "tags": ["a", "b"]}"#].concat();
    let values = [
        row.to_be_bytes().to_vec(),
        4711i32.to_be_bytes().to_vec(),
        b"a note of some forty characters, more or less".to_vec(),
        amount.to_vec(),
        700_000_000_000_000i64.to_be_bytes().to_vec(),
        vec![1],
        payload,
    ];
    values.into_iter().map(Value::Binary).collect()
}

fn text(row: u64) -> Vec<Value> {
    let values = [
        row.to_string(),
        "4711".to_owned(),
        "a note of some forty characters, more or less".to_owned(),
        "1234.56".to_owned(),
        "2022-03-08 20:26:40+00".to_owned(),
        "t".to_owned(),
        r#"{"source": "web", "tags": ["a", "b"]}"#.to_owned(),
    ];
    values.into_iter().map(Value::Text).collect()
}

fn transaction(row: impl Fn(u64) -> Vec<Value>) -> Vec<Vec<u8>> {
    let inserts = (0..ROWS).map(|number| insert(TABLE, &row(number)));
    let mut messages = vec![relation(TABLE, "orders", b'd', &columns())];
    messages.extend(inserts);
    messages
}

/// Assembles a transaction that commits at `lsn`.
fn assemble(assembler: &mut Assembler, lsn: u64, messages: &[Vec<u8>]) {
    let (begin, commit) = (begin(lsn, 0, 1), commit(lsn, lsn + 40, 0));
    for message in [&begin].into_iter().chain(messages).chain([&commit]) {
        let pushed = assembler.push(message);
        assert!(pushed.is_ok(), "{pushed:?}");
    }
}

fn decoder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decoder");
    group.throughput(Throughput::Elements(ROWS));
    for (name, messages) in [("binary", transaction(binary)), ("text", transaction(text))] {
        group.bench_with_input(BenchmarkId::new("insert of seven columns", name), &messages, |bencher, messages| {
            let settings = AssemblerSettings {
                special_values: SpecialValues::Error,
                batch_bytes: 4 << 20,
                messages: false,
                declarations: false,
            };
            let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
            let mut lsn = 0;
            bencher.iter(|| {
                lsn += 100;
                assemble(&mut assembler, lsn, messages);
                while assembler.is_full() {
                    black_box(assembler.take());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoder);
criterion_main!(benches);
