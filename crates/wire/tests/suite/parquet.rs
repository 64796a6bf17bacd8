use std::path::{Path, PathBuf};

use ductstream_core::{ByteSize, ChangeBatch, Envelope, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_testkit::python;
use ductstream_wire::{ParquetCompression, ParquetSettings, ParquetStatistics, WireSettings, build};
use tempfile::TempDir;

use super::types;

/// A Parquet file that is gone with the test.
struct File {
    path: PathBuf,
    _directory: TempDir,
}

impl File {
    fn of(envelope: Envelope, chunk: &TableChunk, parquet: ParquetSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.parquet");
        let settings = WireSettings { parquet, ..WireSettings::default() };
        let codec = build(WireFormat::Parquet, envelope, &settings).unwrap();
        std::fs::write(&path, encode(&*codec, chunk, &[chunk.len()])).unwrap();
        Self { path, _directory: directory }
    }

    fn read_by(&self, script: &str) -> String {
        python::run(script, &[Path::to_str(&self.path).unwrap()])
    }

    /// What DuckDB answers to a query of the file, which it calls FILE.
    fn query(&self, sql: &str) -> String {
        let script = format!(
            "import duckdb, sys\nprint(duckdb.sql(\"\"\"{sql}\"\"\".replace('FILE', repr(sys.argv[1]))).fetchall())"
        );
        self.read_by(&script).trim().to_owned()
    }
}

const DUCKDB_COLUMNS: &str = "
import duckdb, sys
duckdb.sql(\"SET TimeZone = 'UTC'\")
file = duckdb.sql(f\"FROM read_parquet('{sys.argv[1]}')\")
rows = duckdb.sql('SELECT COLUMNS(*)::VARCHAR FROM file').fetchall()
for name, type, *values in zip(file.columns, file.types, *rows):
    print(name, type, *map(repr, values), sep=' | ')
";

#[test]
fn duckdb_reads_every_type() {
    let file = File::of(Envelope::Flat, &types::chunk(), ParquetSettings::default());
    let expected = r#"
b | BOOLEAN | 'true' | 'false' | None
i2 | SMALLINT | '7' | '-32768' | None
i4 | INTEGER | '7' | '-2147483648' | '3'
i8 | BIGINT | '7' | '-9223372036854775808' | None
o | UINTEGER | '7' | '4294967295' | None
f4 | FLOAT | '0.1' | 'nan' | None
f8 | DOUBLE | '1e+100' | '-inf' | None
n | DECIMAL(12,2) | '12.50' | '-0.05' | None
nn | DOUBLE | '1e-10' | '-1.2345678901234568e+29' | None
nt | VARCHAR | '0.10' | 'NaN' | None
t | VARCHAR | 'żółw "q" \\' | '\x01\n' | None
j | JSON | '{"a": [1, 2.50],\n "a": null}' | '"\\n"' | None
by | BLOB | '\\x00\\xFF\\x10' | '' | None
u | UUID | 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' | '00000000-0000-0000-0000-000000000000' | None
d | DATE | '2026-11-23' | '0001-12-31 (BC)' | None
ti | TIME | '11:24:39.049237' | '00:00:00' | None
ts | TIMESTAMP | '2026-11-23 11:24:39.049237' | '0001-12-31 (BC) 23:59:59.999999' | None
tz | TIMESTAMP WITH TIME ZONE | '2026-11-23 11:24:39.049237+00' | '0001-12-31 (BC) 23:59:59.999999+00' | None
iv | STRUCT("months" INTEGER, "days" INTEGER, micros BIGINT) | "{'months': 14, 'days': 3, 'micros': -14706789000}" | "{'months': 0, 'days': 0, 'micros': 0}" | None
li | INTEGER[] | '[1, NULL]' | '[]' | None
co | STRUCT(x INTEGER, "la bel" VARCHAR) | "{'x': 1, 'la bel': p}" | "{'x': NULL, 'la bel': NULL}" | None
h | MAP(VARCHAR, VARCHAR) | '{k=v, n=NULL}' | '{}' | None
r | STRUCT(lower INTEGER, upper INTEGER, lower_inc BOOLEAN, upper_inc BOOLEAN, empty BOOLEAN) | "{'lower': 1, 'upper': 5, 'lower_inc': true, 'upper_inc': false, 'empty': false}" | "{'lower': NULL, 'upper': NULL, 'lower_inc': false, 'upper_inc': false, 'empty': true}" | None
rt | STRUCT(lower TIMESTAMP WITH TIME ZONE, upper TIMESTAMP WITH TIME ZONE, lower_inc BOOLEAN, upper_inc BOOLEAN, empty BOOLEAN) | "{'lower': '2026-11-23 11:24:39.5+00', 'upper': NULL, 'lower_inc': true, 'upper_inc': false, 'empty': false}" | "{'lower': NULL, 'upper': '0001-12-31 (BC) 23:59:59.999999+00', 'lower_inc': false, 'upper_inc': true, 'empty': false}" | None
mr | STRUCT(lower INTEGER, upper INTEGER, lower_inc BOOLEAN, upper_inc BOOLEAN, empty BOOLEAN)[] | "[{'lower': 1, 'upper': 3, 'lower_inc': true, 'upper_inc': false, 'empty': false}, {'lower': 8, 'upper': NULL, 'lower_inc': true, 'upper_inc': false, 'empty': false}]" | '[]' | None
v | FLOAT[] | '[1.5, -2.0]' | '[0.0, 10000000000.0]' | None
hv | FLOAT[] | '[1.5, -2.0]' | '[0.099975586, 0.0]' | None
_op | VARCHAR | 'insert' | 'insert' | 'insert'
_commit_lsn | UBIGINT | '23803720' | '23803720' | '23803720'
_seq | UBIGINT | '0' | '1' | '2'
_xid | UINTEGER | '751' | '751' | '751'
_commit_time | TIMESTAMP WITH TIME ZONE | '2026-11-23 11:24:39.049237+00' | '2026-11-23 11:24:39.049237+00' | '2026-11-23 11:24:39.049237+00'
_unchanged | VARCHAR[] | None | None | None
_old_key | STRUCT(i4 INTEGER) | None | None | None
_schema_version | UINTEGER | '3' | '3' | '3'
"#;
    assert_eq!(file.read_by(DUCKDB_COLUMNS), expected.trim_start());
}

/// Values that Python has no type for (years before 1, microseconds) are shown as the numbers that are stored.
const PYARROW_COLUMNS: &str = "
import pyarrow as pa, pyarrow.parquet as pq, sys
table = pq.read_table(sys.argv[1])
def plain(type):
    if pa.types.is_date32(type): return pa.int32()
    if pa.types.is_time(type) or pa.types.is_timestamp(type): return pa.int64()
    if pa.types.is_float16(type): return pa.float32()
    if pa.types.is_fixed_size_list(type): return pa.list_(plain(type.value_type), type.list_size)
    if pa.types.is_struct(type): return pa.struct([pa.field(f.name, plain(f.type)) for f in type])
    return type
for field, column in zip(table.schema, table.columns):
    print(field.name, field.type, *map(repr, column.cast(plain(field.type)).to_pylist()), sep=' | ')
";

#[test]
fn pyarrow_reads_every_type() {
    let file = File::of(Envelope::Flat, &types::chunk(), ParquetSettings::default());
    let expected = r#"
b | bool | True | False | None
i2 | int16 | 7 | -32768 | None
i4 | int32 | 7 | -2147483648 | 3
i8 | int64 | 7 | -9223372036854775808 | None
o | uint32 | 7 | 4294967295 | None
f4 | float | 0.10000000149011612 | nan | None
f8 | double | 1e+100 | -inf | None
n | decimal128(12, 2) | Decimal('12.50') | Decimal('-0.05') | None
nn | decimal256(57, 10) | Decimal('1E-10') | Decimal('-123456789012345678901234567890.1234567890') | None
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
li | list<element: int32> | [1, None] | [] | None
co | struct<x: int32, la bel: string> | {'x': 1, 'la bel': 'p'} | {'x': None, 'la bel': None} | None
h | map<string, string ('h')> | [('k', 'v'), ('n', None)] | [] | None
r | struct<lower: int32, upper: int32, lower_inc: bool not null, upper_inc: bool not null, empty: bool not null> | {'lower': 1, 'upper': 5, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': None, 'lower_inc': False, 'upper_inc': False, 'empty': True} | None
rt | struct<lower: timestamp[us, tz=UTC], upper: timestamp[us, tz=UTC], lower_inc: bool not null, upper_inc: bool not null, empty: bool not null> | {'lower': 1795433079500000, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': -62135596800000001, 'lower_inc': False, 'upper_inc': True, 'empty': False} | None
mr | list<element: struct<lower: int32, upper: int32, lower_inc: bool not null, upper_inc: bool not null, empty: bool not null>> | [{'lower': 1, 'upper': 3, 'lower_inc': True, 'upper_inc': False, 'empty': False}, {'lower': 8, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False}] | [] | None
v | fixed_size_list<element: float not null>[2] | [1.5, -2.0] | [0.0, 10000000000.0] | None
hv | fixed_size_list<element: halffloat not null>[2] | [1.5, -2.0] | [0.0999755859375, 0.0] | None
_op | string | 'insert' | 'insert' | 'insert'
_commit_lsn | uint64 | 23803720 | 23803720 | 23803720
_seq | uint64 | 0 | 1 | 2
_xid | uint32 | 751 | 751 | 751
_commit_time | timestamp[us, tz=UTC] | 1795433079049237 | 1795433079049237 | 1795433079049237
_unchanged | list<element: string not null> | None | None | None
_old_key | struct<i4: int32> | None | None | None
_schema_version | uint32 | 3 | 3 | 3
"#;
    assert_eq!(file.read_by(PYARROW_COLUMNS), expected.trim_start());
}

#[test]
fn a_file_names_its_table_version_and_envelope_and_keeps_the_types_of_the_source() {
    let file = File::of(Envelope::Native, &changes().chunks[0], ParquetSettings::default());
    let script = "
import pyarrow.parquet as pq, sys
schema = pq.read_schema(sys.argv[1])
file = pq.read_metadata(sys.argv[1])
for metadata in [schema.metadata, file.metadata]:
    print({k.decode(): v.decode() for k, v in sorted(metadata.items()) if k.startswith(b'duct')})
print({k.decode(): v.decode() for k, v in sorted(schema.field('after').type.field('amount').metadata.items()) if b'pg' in k})
print(file.created_by.split()[0])";
    let expected = "
{'ductstream.envelope': 'native', 'ductstream.schema_version': '1', 'ductstream.table': 'public.orders'}
{'ductstream.envelope': 'native', 'ductstream.schema_version': '1', 'ductstream.table': 'public.orders'}
{'pg.oid': '1700', 'pg.type': 'numeric(12,2)', 'pg.typmod': '786438'}
ductstream
";
    assert_eq!(file.read_by(script), expected.trim_start());
}

fn changes() -> ChangeBatch {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, 0).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    batch.update_key(&orders, (1, 2), "b").delete(&orders, 2).truncate(&orders).commit(0x200).build()
}

#[test]
fn flat_changes_read_back_as_rows_and_their_changes() {
    let file = File::of(Envelope::Flat, &changes().chunks[0], ParquetSettings::default());
    let rows =
        file.query("SELECT _seq, _op, id, note, amount::VARCHAR, _unchanged, _old_key.id FROM FILE ORDER BY _seq");
    let expected = "[(0, 'insert', 1, 'a', '1.25', None, None), (1, 'update', 1, None, '1.25', ['note'], None), \
                    (2, 'update', 2, 'b', '2.25', None, 1), (3, 'delete', 2, None, None, None, None), \
                    (4, 'truncate', None, None, None, None, None)]";
    assert_eq!(rows, expected);
}

#[test]
fn native_changes_read_back_with_key_before_and_after() {
    let file = File::of(Envelope::Native, &changes().chunks[0], ParquetSettings::default());
    let rows = file.query(
        "SELECT op, \"table\", key, before.id, after.note, after IS NULL, unchanged, position, xid FROM FILE ORDER BY position.seq",
    );
    let expected = "[('insert', 'public.orders', {'id': 1}, None, 'a', False, None, {'commit_lsn': 256, 'seq': 0}, 751), \
                    ('update', 'public.orders', {'id': 1}, None, None, False, ['note'], {'commit_lsn': 256, 'seq': 1}, 751), \
                    ('update', 'public.orders', {'id': 2}, 1, 'b', False, None, {'commit_lsn': 256, 'seq': 2}, 751), \
                    ('delete', 'public.orders', {'id': 2}, 2, None, True, None, {'commit_lsn': 256, 'seq': 3}, 751), \
                    ('truncate', 'public.orders', None, None, None, True, None, {'commit_lsn': 256, 'seq': 4}, 751)]";
    assert_eq!(rows, expected);
}

fn many() -> TableChunk {
    let orders = table("public.orders", 1);
    BatchBuilder::new().begin(0x100, 751, 0).insert_many(&orders, 1, 20_000).commit(0x200).build().chunks.remove(0)
}

#[test]
fn settings_shape_the_file() {
    let shape = |settings: ParquetSettings| {
        let file = File::of(Envelope::Flat, &many(), settings);
        let sum = "(SELECT sum(id) FROM FILE)::BIGINT";
        file.query(&format!(
            "SELECT count(DISTINCT row_group_id), max(row_group_num_rows), min(compression), \
             count(stats_max_value) > 0, bool_or(contains(encodings, 'DICTIONARY')), {sum} FROM parquet_metadata(FILE)"
        ))
    };
    let defaults = ParquetSettings::default();
    assert_eq!(shape(defaults.clone()), "[(1, 20000, 'ZSTD', True, True, 200010000)]");
    let settings = ParquetSettings {
        compression: ParquetCompression::Lz4,
        row_group_rows: 6000,
        dictionary: false,
        statistics: ParquetStatistics::None,
        ..defaults.clone()
    };
    assert_eq!(shape(settings), "[(4, 6000, 'LZ4_RAW', False, False, 200010000)]");
    let by_bytes =
        |compression| ParquetSettings { compression, row_group_bytes: ByteSize(100_000), ..defaults.clone() };
    assert_eq!(shape(by_bytes(ParquetCompression::None)), "[(3, 8192, 'UNCOMPRESSED', True, True, 200010000)]");
    assert_eq!(shape(by_bytes(ParquetCompression::Snappy)), "[(3, 8192, 'SNAPPY', True, True, 200010000)]");
    assert_eq!(shape(by_bytes(ParquetCompression::Gzip)), "[(3, 8192, 'GZIP', True, True, 200010000)]");
}

#[test]
fn row_groups_leave_memory_as_they_are_completed() {
    let settings = ParquetSettings { row_group_rows: 8192, ..ParquetSettings::default() };
    let settings = WireSettings { parquet: settings, ..WireSettings::default() };
    let chunk = many();
    let codec = build(WireFormat::Parquet, Envelope::Flat, &settings).unwrap();
    let mut encoder = codec.encoder(&chunk.schema).unwrap();
    encoder.append(&chunk, 0..8000).unwrap();
    assert_eq!(encoder.ready_bytes(), 0);
    encoder.append(&chunk, 8000..9000).unwrap();
    let first = encoder.ready_bytes();
    assert!(first > 10_000, "{first}");
    assert_eq!(encoder.take().len(), first);
    let before = encoder.memory_bytes();
    encoder.append(&chunk, 9000..20_000).unwrap();
    assert!(encoder.ready_bytes() > 10_000 && encoder.memory_bytes() < before + 8 * encoder.ready_bytes());
}
