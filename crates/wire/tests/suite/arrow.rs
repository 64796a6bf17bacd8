use ductstream_core::{Envelope, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_testkit::python;
use ductstream_wire::{ArrowCompression, ArrowSettings, WireSettings, build};

use super::types;

fn write(envelope: Envelope, chunk: &TableChunk, compression: ArrowCompression, portions: &[usize]) -> Vec<u8> {
    let arrow = ArrowSettings { compression, ..ArrowSettings::default() };
    let settings = WireSettings { arrow, ..WireSettings::default() };
    encode(&*build(WireFormat::Arrow, envelope, &settings).unwrap(), chunk, portions)
}

/// What a script prints of an Arrow file, whose name is its argument.
fn read(file: &[u8], script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.arrow");
    std::fs::write(&path, file).unwrap();
    python::run(script, &[path.to_str().unwrap()])
}

/// Timestamps that Python has no type for (years before 1) are shown as the numbers that are stored.
const PYARROW_COLUMNS: &str = "
import pyarrow as pa, pyarrow.ipc, sys
table = pa.ipc.open_file(sys.argv[1]).read_all()
table.validate(full=True)
for field, column in zip(table.schema, table.columns):
    if pa.types.is_temporal(field.type):
        column = column.cast(pa.int32() if pa.types.is_date(field.type) else pa.int64())
    elif field.name == 'rt':
        column = pa.chunked_array([[None if not row.is_valid else row['lower'].value or row['upper'].value for row in column]])
    print(field.name, field.type, *(repr(value) for value in column.to_pylist()), sep=' | ')
print(table.schema.field('li').metadata, table.schema.metadata[b'ductstream.schema_version'])
";

#[test]
fn pyarrow_reads_every_type() {
    for compression in [ArrowCompression::Zstd, ArrowCompression::Lz4, ArrowCompression::None] {
        let read = read(&write(Envelope::Flat, &types::chunk(), compression, &[3]), PYARROW_COLUMNS);
        let expected = r#"
b | bool | True | False | None
i2 | int16 | 7 | -32768 | None
i4 | int32 | 7 | -2147483648 | 3
i8 | int64 | 7 | -9223372036854775808 | None
o | uint32 | 7 | 4294967295 | None
f4 | float | 0.10000000149011612 | nan | None
f8 | double | 1e+100 | -inf | None
n | decimal128(12, 2) | Decimal('12.50') | Decimal('-0.05') | None
nn | decimal256(50, 10) | Decimal('1E-10') | Decimal('-123456789012345678901234567890.1234567890') | None
nt | string | '0.10' | 'NaN' | None
t | string | 'żółw "q" \\' | '\x01\n' | None
j | extension<arrow.json> | '{"a": [1, 2.50],\n "a": null}' | '"\\n"' | None
by | binary | b'\x00\xff\x10' | b'' | None
u | extension<arrow.uuid> | UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') | UUID('00000000-0000-0000-0000-000000000000') | None
d | date32[day] | 20780 | -719163 | None
ti | time64[us] | 41079049237 | 0 | None
ts | timestamp[us] | 1795433079049237 | -62135596800000001 | None
tz | timestamp[us, tz=UTC] | 1795433079049237 | -62135596800000001 | None
iv | struct<months: int32 not null, days: int32 not null, micros: int64 not null> | {'months': 14, 'days': 3, 'micros': -14706789000} | {'months': 0, 'days': 0, 'micros': 0} | None
li | list<item: int32> | [1, None] | [] | None
co | struct<x: int32, la bel: string> | {'x': 1, 'la bel': 'p'} | {'x': None, 'la bel': None} | None
h | map<string, string> | [('k', 'v'), ('n', None)] | [] | None
r | struct<lower: int32, upper: int32, lower_inc: bool not null, upper_inc: bool not null, empty: bool not null> | {'lower': 1, 'upper': 5, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': None, 'lower_inc': False, 'upper_inc': False, 'empty': True} | None
rt | struct<lower: timestamp[us, tz=UTC], upper: timestamp[us, tz=UTC], lower_inc: bool not null, upper_inc: bool not null, empty: bool not null> | 1795433079500000 | -62135596800000001 | None
mr | list<item: struct<lower: int32, upper: int32, lower_inc: bool not null, upper_inc: bool not null, empty: bool not null>> | [{'lower': 1, 'upper': 3, 'lower_inc': True, 'upper_inc': False, 'empty': False}, {'lower': 8, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False}] | [] | None
v | fixed_size_list<item: float not null>[2] | [1.5, -2.0] | [0.0, 10000000000.0] | None
hv | fixed_size_list<item: halffloat not null>[2] | [1.5, -2.0] | [0.0999755859375, 0.0] | None
_op | string | 'insert' | 'insert' | 'insert'
_commit_lsn | uint64 | 23803720 | 23803720 | 23803720
_seq | uint64 | 0 | 1 | 2
_xid | uint32 | 751 | 751 | 751
_commit_time | timestamp[us, tz=UTC] | 1795433079049237 | 1795433079049237 | 1795433079049237
_unchanged | list<item: string not null> | None | None | None
_old_key | struct<i4: int32> | None | None | None
_schema_version | uint32 | 3 | 3 | 3
{b'pg.oid': b'1007', b'pg.type': b'integer[]', b'pg.typmod': b'-1'} b'3'
"#;
        assert_eq!(read, expected.trim_start());
    }
}

const DUCKDB_ROWS: &str = "
import duckdb, pyarrow.ipc, sys
changes = pyarrow.ipc.open_file(sys.argv[1]).read_all()
for row in duckdb.sql('select op, key.id, before.id, after.note, after.amount, after.tags, unchanged, position.seq from changes').fetchall():
    print(*row)
";

#[test]
fn duckdb_reads_native_changes() {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, -1).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    let batch = batch.update_key(&orders, (1, 2), "b").delete(&orders, 2).truncate(&orders).commit(0x200).build();
    let file = write(Envelope::Native, &batch.chunks[0], ArrowCompression::Zstd, &[5]);
    let expected = "
insert 1 None a 1.25 ['a'] None 0
update 1 None None 1.25 ['unseen'] ['note'] 1
update 2 1 b 2.25 ['b'] None 2
delete 2 2 None None None None 3
truncate None None None None None None 4
";
    assert_eq!(read(&file, DUCKDB_ROWS), expected.trim_start());
}

#[test]
fn every_type_gives_the_same_bytes_however_it_is_cut() {
    let chunk = types::chunk();
    for envelope in [Envelope::Flat, Envelope::Native] {
        let whole = write(envelope, &chunk, ArrowCompression::None, &[3]);
        for portions in [&[1][..], &[2], &[1, 2]] {
            assert!(write(envelope, &chunk, ArrowCompression::None, portions) == whole, "{portions:?}");
        }
    }
}

#[test]
fn what_lies_below_nulls_does_not_depend_on_the_chunk_that_a_change_came_in() {
    let orders = table("public.orders", 1);
    let first = |batch: BatchBuilder| batch.insert(&orders, 1, "a").update(&orders, 1, "b");
    let begin = || BatchBuilder::new().begin(0x100, 751, 1);
    // Behind the two records, one that brings old images into the chunk.
    let alone = first(begin()).build();
    let among = first(begin()).update_full(&orders, (1, "b"), (2, "c")).build();
    for envelope in [Envelope::Flat, Envelope::Native] {
        let write = |chunk: &TableChunk| {
            let codec = build(WireFormat::Arrow, envelope, &WireSettings::default()).unwrap();
            let mut encoder = codec.encoder(&chunk.schema).unwrap();
            encoder.append(chunk, 0..2).unwrap();
            encoder.finish().unwrap()
        };
        assert!(write(&alone.chunks[0]) == write(&among.chunks[0]));
    }
}
