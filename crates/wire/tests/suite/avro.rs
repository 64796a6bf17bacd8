use std::path::Path;

use ductstream_core::{ChangeBatch, Envelope, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_testkit::python;
use ductstream_wire::{AvroCompression, AvroSettings, WireSettings, build};

use super::types;

/// What a script prints of an Avro file, whose name is its argument.
fn read(envelope: Envelope, chunk: &TableChunk, compression: AvroCompression, script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.avro");
    let avro = AvroSettings { compression, ..AvroSettings::default() };
    let settings = WireSettings { avro, ..WireSettings::default() };
    let codec = build(WireFormat::Avro, envelope, &settings).unwrap();
    std::fs::write(&path, encode(&*codec, chunk, &[3])).unwrap();
    python::run(script, &[Path::to_str(&path).unwrap()])
}

/// Values that Python has no type for (years before 1) are shown as the numbers that are stored.
const FASTAVRO_COLUMNS: &str = "
import fastavro, fastavro.read, json, sys
for name in fastavro.read.LOGICAL_READERS:
    if 'timestamp' in name or 'date' in name:
        fastavro.read.LOGICAL_READERS[name] = lambda number, *_: number
file = fastavro.reader(open(sys.argv[1], 'rb'))
rows = list(file)
for field in file.writer_schema['fields']:
    print(field['name'], *(repr(row[field['name']]) for row in rows), sep=' | ')
";

#[test]
fn fastavro_reads_every_type() {
    let read = read(Envelope::Flat, &types::chunk(), AvroCompression::Deflate, FASTAVRO_COLUMNS);
    let expected = r#"
b | True | False | None
i2 | 7 | -32768 | None
i4 | 7 | -2147483648 | 3
i8 | 7 | -9223372036854775808 | None
o | 7 | 4294967295 | None
f4 | 0.10000000149011612 | nan | None
f8 | 1e+100 | -inf | None
n | Decimal('12.50') | Decimal('-0.05') | None
nn | Decimal('1E-10') | Decimal('-123456789012345678901234567890.1234567890') | None
nt | '0.10' | 'NaN' | None
t | 'żółw "q" \\' | '\x01\n' | None
j | '{"a": [1, 2.50],\n "a": null}' | '"\\n"' | None
by | b'\x00\xff\x10' | b'' | None
u | UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') | UUID('00000000-0000-0000-0000-000000000000') | None
d | 20780 | -719163 | None
ti | datetime.time(11, 24, 39, 49237) | datetime.time(0, 0) | None
ts | 1795433079049237 | -62135596800000001 | None
tz | 1795433079049237 | -62135596800000001 | None
iv | {'months': 14, 'days': 3, 'micros': -14706789000} | {'months': 0, 'days': 0, 'micros': 0} | None
li | [1, None] | [] | None
co | {'x': 1, 'la_x0020_bel': 'p'} | {'x': None, 'la_x0020_bel': None} | None
h | {'k': 'v', 'n': None} | {} | None
r | {'lower': 1, 'upper': 5, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': None, 'lower_inc': False, 'upper_inc': False, 'empty': True} | None
rt | {'lower': 1795433079500000, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': -62135596800000001, 'lower_inc': False, 'upper_inc': True, 'empty': False} | None
mr | [{'lower': 1, 'upper': 3, 'lower_inc': True, 'upper_inc': False, 'empty': False}, {'lower': 8, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False}] | [] | None
v | [1.5, -2.0] | [0.0, 10000000000.0] | None
hv | [1.5, -2.0] | [0.0999755859375, 0.0] | None
_op | 'insert' | 'insert' | 'insert'
_commit_lsn | 23803720 | 23803720 | 23803720
_seq | 0 | 1 | 2
_xid | 751 | 751 | 751
_commit_time | 1795433079049237 | 1795433079049237 | 1795433079049237
_unchanged | None | None | None
_old_key | None | None | None
_schema_version | 3 | 3 | 3
"#;
    assert_eq!(read, expected.trim_start());
}

const FASTAVRO_ROWS: &str = "
import fastavro, sys
file = fastavro.reader(open(sys.argv[1], 'rb'))
for row in file:
    after, before = row['after'], row['before']
    print(row['op'], row['table'], row['key'], before and before['id'], after and after['note'],
          after and str(after['amount']), after and after['tags'], row['unchanged'], row['position'], row['commit_time'].isoformat())
print(file.metadata['avro.codec'], {k: v for k, v in sorted(file.metadata.items()) if k.startswith('duct')})
print(file.writer_schema['name'], file.writer_schema.get('namespace'))
";

fn changes() -> ChangeBatch {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, -1).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    batch.update_key(&orders, (1, 2), "b").delete(&orders, 2).truncate(&orders).commit(0x200).build()
}

#[test]
fn native_changes_read_back_however_they_are_compressed() {
    for (compression, name) in [
        (AvroCompression::Deflate, "deflate"),
        (AvroCompression::Zstandard, "zstandard"),
        (AvroCompression::Snappy, "snappy"),
        (AvroCompression::None, "null"),
    ] {
        let read = read(Envelope::Native, &changes().chunks[0], compression, FASTAVRO_ROWS);
        let expected = format!(
            "
insert public.orders {{'id': 1}} None a 1.25 ['a'] None {{'commit_lsn': 256, 'seq': 0}} 1969-12-31T23:59:59.999999+00:00
update public.orders {{'id': 1}} None None 1.25 ['unseen'] ['note'] {{'commit_lsn': 256, 'seq': 1}} 1969-12-31T23:59:59.999999+00:00
update public.orders {{'id': 2}} 1 b 2.25 ['b'] None {{'commit_lsn': 256, 'seq': 2}} 1969-12-31T23:59:59.999999+00:00
delete public.orders {{'id': 2}} 2 None None None None {{'commit_lsn': 256, 'seq': 3}} 1969-12-31T23:59:59.999999+00:00
truncate public.orders None None None None None None {{'commit_lsn': 256, 'seq': 4}} 1969-12-31T23:59:59.999999+00:00
{name} {{'ductstream.envelope': 'native', 'ductstream.schema_version': '1', 'ductstream.table': 'public.orders'}}
public.orders.Value None
"
        );
        assert_eq!(read, expected.trim_start());
    }
}
