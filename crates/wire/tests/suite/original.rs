use ductstream_core::{Envelope, ErrorKind, TableChunk, WireFormat};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::codec::encode;
use ductstream_wire::{WireSettings, build, pack_record, unpack_record};

use super::types;

fn lines(chunk: &TableChunk) -> String {
    let codec = build(WireFormat::Json, Envelope::Native, &WireSettings::default()).unwrap();
    String::from_utf8(encode(&*codec, chunk, &[1])).unwrap()
}

#[test]
fn a_record_that_was_packed_is_delivered_as_the_one_that_it_was_made_of() {
    let orders = table("public.orders", 4);
    let batch = BatchBuilder::new().begin(0x100, 751, -1).insert(&orders, 1, "a").update_unchanged(&orders, 1, "note");
    let batch = batch.update_key(&orders, (1, 2), "b").update_full(&orders, (2, "b"), (2, "c")).delete(&orders, 2);
    let changes = batch.truncate(&orders).commit(0x200).build().chunks.remove(0);
    for chunk in [changes, types::chunk()] {
        let records: Vec<TableChunk> =
            (0..chunk.len()).map(|row| unpack_record(&pack_record(&chunk, row).unwrap()).unwrap()).collect();
        assert_eq!(records.iter().map(lines).collect::<String>(), lines(&chunk));
        let schema = &records[0].schema;
        assert_eq!(
            (&schema.table, schema.version, schema.oid),
            (&chunk.schema.table, chunk.schema.version, chunk.schema.oid)
        );
        assert_eq!(schema.arrow, chunk.schema.arrow, "with the metadata of each column");
    }
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    let chunk = types::chunk();
    let packed = pack_record(&chunk, 0).unwrap();
    for bytes in [&b""[..], b"nonsense", &packed[..packed.len() / 2]] {
        assert_eq!(unpack_record(bytes).unwrap_err().kind(), ErrorKind::Data);
    }
}
