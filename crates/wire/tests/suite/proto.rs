use ductstream_core::{Envelope, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_testkit::python;
use ductstream_wire::{WireSettings, build, describe};

use super::types;

/// Reads length-delimited messages by the descriptors that the first of them holds.
const READER: &str = concat!(
    include_str!("delimited.py"),
    "
def value(message, field):
    if field.is_repeated:
        return [plain(item) for item in getattr(message, field.name)]
    return plain(getattr(message, field.name)) if message.HasField(field.name) else None
def plain(it):
    if not hasattr(it, 'DESCRIPTOR'): return it
    assert not unknown_fields.UnknownFieldSet(it)
    return {field.name: value(it, field) for field in it.DESCRIPTOR.fields}
"
);

fn read(envelope: Envelope, chunk: &TableChunk, script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.pb");
    let codec = build(WireFormat::Proto, envelope, &WireSettings::default()).unwrap();
    std::fs::write(&path, encode(&*codec, chunk, &[2])).unwrap();
    python::run(&format!("{READER}{script}"), &[path.to_str().unwrap()])
}

#[test]
fn protobuf_reads_every_type() {
    let script = "
for field in first.fields:
    print(field.name, *(repr(value(row, field)) for row in rows), sep=' | ')
";
    let expected = r#"
b | True | False | None
i2 | 7 | -32768 | None
i4 | 7 | -2147483648 | 3
i8 | 7 | -9223372036854775808 | None
o | 7 | 4294967295 | None
f4 | 0.10000000149011612 | nan | None
f8 | 1e+100 | -inf | None
n | '12.50' | '-0.05' | None
nn | '0.0000000001' | '-123456789012345678901234567890.1234567890' | None
nt | '0.10' | 'NaN' | None
t | 'żółw "q" \\' | '\x01\n' | None
j | '{"a": [1, 2.50],\n "a": null}' | '"\\n"' | None
by | b'\x00\xff\x10' | b'' | None
u | 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' | '00000000-0000-0000-0000-000000000000' | None
d | 20780 | -719163 | None
ti | 41079049237 | 0 | None
ts | 1795433079049237 | -62135596800000001 | None
tz | 1795433079049237 | -62135596800000001 | None
iv | {'months': 14, 'days': 3, 'micros': -14706789000} | {'months': 0, 'days': 0, 'micros': 0} | None
li | {'items': [{'value': 1}, {'value': None}]} | {'items': []} | None
co | {'x': 1, 'la_x0020_bel': 'p'} | {'x': None, 'la_x0020_bel': None} | None
h | {'entries': [{'key': 'k', 'value': 'v'}, {'key': 'n', 'value': None}]} | {'entries': []} | None
r | {'lower': 1, 'upper': 5, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': None, 'lower_inc': False, 'upper_inc': False, 'empty': True} | None
rt | {'lower': 1795433079500000, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False} | {'lower': None, 'upper': -62135596800000001, 'lower_inc': False, 'upper_inc': True, 'empty': False} | None
mr | {'items': [{'value': {'lower': 1, 'upper': 3, 'lower_inc': True, 'upper_inc': False, 'empty': False}}, {'value': {'lower': 8, 'upper': None, 'lower_inc': True, 'upper_inc': False, 'empty': False}}]} | {'items': []} | None
v | {'items': [1.5, -2.0]} | {'items': [0.0, 10000000000.0]} | None
hv | {'items': [1.5, -2.0]} | {'items': [0.0999755859375, 0.0]} | None
_op | 'insert' | 'insert' | 'insert'
_commit_lsn | 23803720 | 23803720 | 23803720
_seq | 0 | 1 | 2
_xid | 751 | 751 | 751
_commit_time | 1795433079049237 | 1795433079049237 | 1795433079049237
_unchanged | [] | [] | []
_old_key | None | None | None
_schema_version | 3 | 3 | 3
"#;
    assert_eq!(read(Envelope::Flat, &types::chunk(), script), expected.trim_start());
}

#[test]
fn protobuf_reads_native_changes() {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(0x100, 751, -1).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    let batch = batch.update_key(&orders, (1, 2), "b").delete(&orders, 2).truncate(&orders).commit(0x200).build();
    let script = "
for row in map(plain, rows):
    print(row['op'], row['key'], row['before'] and row['before']['id'], row['after'] and row['after']['note'],
          row['after'] and row['after']['tags'], row['unchanged'], row['position'], row['commit_time'])
print([(field.name, field.number, field.json_name) for field in first.fields if field.number > 5])
";
    let expected = r#"
insert {'id': 1} None a {'items': [{'value': 'a'}]} [] {'commit_lsn': 256, 'seq': 0} -1
update {'id': 1} None None {'items': [{'value': 'unseen'}]} ['note'] {'commit_lsn': 256, 'seq': 1} -1
update {'id': 2} 1 b {'items': [{'value': 'b'}]} [] {'commit_lsn': 256, 'seq': 2} -1
delete {'id': 2} 2 None None [] {'commit_lsn': 256, 'seq': 3} -1
truncate None None None None [] {'commit_lsn': 256, 'seq': 4} -1
[('unchanged', 6, 'unchanged'), ('position', 7, 'position'), ('xid', 8, 'xid'), ('commit_time', 9, 'commit_time'), ('schema_version', 10, 'schema_version')]
"#;
    assert_eq!(read(Envelope::Native, &batch.chunks[0], script), expected.trim_start());
}

#[test]
fn the_schema_is_a_proto_file() {
    let shapes = describe(&table("public.orders", 2), Envelope::Flat, &WireSettings::default()).unwrap();
    let expected = r#"
syntax = "proto3";

package public.orders;

message Value {
  // bigint
  optional int64 id = 27814624;
  // text
  optional string note = 12717117;
  // numeric(12,2)
  optional string amount = 24759881;
  // timestamp with time zone: microseconds since 1970-01-01 UTC
  optional int64 at = 30741896;
  // text[]
  optional .public.orders.Value_tags tags = 453536;
  optional string _op = 1 [json_name = "_op"];
  optional uint64 _commit_lsn = 2 [json_name = "_commit_lsn"];
  optional uint64 _seq = 3 [json_name = "_seq"];
  optional uint32 _xid = 4 [json_name = "_xid"];
  // microseconds since 1970-01-01 UTC
  optional int64 _commit_time = 5 [json_name = "_commit_time"];
  repeated string _unchanged = 6 [json_name = "_unchanged"];
  optional .public.orders.Value__old_key _old_key = 7 [json_name = "_old_key"];
  optional uint32 _schema_version = 8 [json_name = "_schema_version"];
}

message Value_tags {
  repeated .public.orders.Value_tags_item items = 1;
}

message Value_tags_item {
  optional string value = 1;
}

message Value__old_key {
  // bigint
  optional int64 id = 27814624;
}
"#;
    assert_eq!(shapes.proto.as_deref(), Some(expected.trim_start()));
}
