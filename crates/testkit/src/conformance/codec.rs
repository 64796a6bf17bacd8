//! What every [`Codec`] has to do.

use std::ops::Range;
use std::sync::Arc;

use ductstream_core::{ChangeBatch, Codec, ObjectEncoder, TableChunk, TableSchema};

use crate::batch::{BatchBuilder, table};

/// Rows of the large object: more than any codec keeps to itself.
const MANY: i64 = 10_000;

/// Runs the whole suite. Panics where `codec` does not keep the contract of [`ObjectEncoder`].
pub fn run(codec: &dyn Codec) {
    names_itself_for_files(codec);
    gives_the_same_bytes_wherever_appends_are_cut(codec);
    gives_the_same_bytes_wherever_they_are_taken(codec);
    takes_every_operation(codec);
    finishes_an_object_without_records(codec);
    accounts_for_size_and_memory(codec);
    keeps_objects_apart(codec);
}

/// An object of `chunk` whose rows are appended in portions of these sizes, over and over.
pub fn encode(codec: &dyn Codec, chunk: &TableChunk, portions: &[usize]) -> Vec<u8> {
    let mut encoder = codec.encoder(&chunk.schema).expect("the schema fits");
    for rows in cut(chunk.len(), portions) {
        encoder.append(chunk, rows).expect("the rows fit");
    }
    encoder.finish().expect("the object finishes")
}

fn cut(rows: usize, portions: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    let mut portions = portions.iter().copied().cycle();
    std::iter::from_fn(move || {
        let portion = portions.next().unwrap_or(rows).min(rows - from);
        from += portion;
        (portion > 0).then(|| from - portion..from)
    })
}

fn orders() -> Arc<TableSchema> {
    table("public.orders", 1)
}

fn large() -> TableChunk {
    let orders = orders();
    let mut batch = BatchBuilder::new().begin(0x100, 751, 1_795_433_079_049_237).insert_many(&orders, 1, MANY);
    for id in 1..200 {
        batch =
            batch.update_unchanged(&orders, id, "note").update_key(&orders, (id, -id), "moved").delete(&orders, -id);
    }
    only_chunk(batch.commit(0x9000).build())
}

fn only_chunk(batch: ChangeBatch) -> TableChunk {
    let [chunk] = <[TableChunk; 1]>::try_from(batch.chunks).expect("one table");
    chunk
}

fn names_itself_for_files(codec: &dyn Codec) {
    let extension = codec.extension();
    assert!(!extension.is_empty() && !extension.starts_with('.'), "an extension without a dot in front: {extension:?}");
}

fn gives_the_same_bytes_wherever_appends_are_cut(codec: &dyn Codec) {
    let chunk = large();
    let whole = encode(codec, &chunk, &[chunk.len()]);
    for portions in [&[1, 4095, 3][..], &[8192], &[7, 1000], &[5000]] {
        assert!(encode(codec, &chunk, portions) == whole, "portions of {portions:?} rows gave other bytes");
    }
}

/// Also when the records come in chunks of their own, as a restart would bring them.
fn gives_the_same_bytes_wherever_they_are_taken(codec: &dyn Codec) {
    let orders = orders();
    let part = |from: i64, count: i64| {
        let begin = BatchBuilder::new().begin(0x100 + from as u64, 7, 1);
        only_chunk(begin.insert_many(&orders, from, count).update_key(&orders, (from, -from), "x").build())
    };
    let parts = [part(1, 10), part(100, 5000), part(9000, 5000), part(20_000, 1)];
    let object = |take: bool| {
        let mut encoder = codec.encoder(&orders).expect("the schema fits");
        let mut bytes = Vec::new();
        for chunk in &parts {
            encoder.append(chunk, 0..chunk.len()).expect("the rows fit");
            if take {
                let ready = encoder.ready_bytes();
                let taken = encoder.take();
                assert_eq!((taken.len(), encoder.ready_bytes()), (ready, 0), "ready_bytes is what take returns");
                bytes.extend(taken);
            }
        }
        bytes.extend(encoder.finish().expect("the object finishes"));
        bytes
    };
    assert!(object(true) == object(false), "taking early gave other bytes");
}

fn takes_every_operation(codec: &dyn Codec) {
    let orders = orders();
    let batch = BatchBuilder::new().begin(0x100, 751, 1).load(&orders, 1, "a").insert(&orders, 2, "b");
    let batch = batch.update(&orders, 2, "c").update_unchanged(&orders, 2, "note").update_key(&orders, (2, 3), "d");
    let batch = batch.update_full(&orders, (3, "d"), (3, "e")).delete_full(&orders, 3, "e");
    let chunk = only_chunk(batch.delete(&orders, 1).truncate(&orders).commit(0x200).build());
    let object = encode(codec, &chunk, &[chunk.len()]);
    assert!(!object.is_empty(), "an object with records has bytes");
    assert!(encode(codec, &chunk, &[1]) == object, "one operation at a time gave other bytes");
}

fn finishes_an_object_without_records(codec: &dyn Codec) {
    let encoder = codec.encoder(&orders()).expect("the schema fits");
    encoder.finish().expect("an object without records finishes");
}

fn accounts_for_size_and_memory(codec: &dyn Codec) {
    let chunk = large();
    let mut encoder = codec.encoder(&chunk.schema).expect("the schema fits");
    let mut taken = 0;
    let mut held = 0;
    for (index, rows) in cut(chunk.len(), &[3000]).enumerate() {
        encoder.append(&chunk, rows).expect("the rows fit");
        assert!(encoder.memory_bytes() >= encoder.ready_bytes(), "what can be taken is in memory");
        assert!(encoder.size_bytes() >= (taken + encoder.ready_bytes()) as u64, "the size covers what is encoded");
        held = held.max(encoder.memory_bytes());
        if index % 2 == 0 {
            taken += encoder.take().len();
        }
    }
    assert!(held > 0, "records that are not taken use memory");
    let estimate = encoder.size_bytes();
    let size = (taken + encoder.finish().expect("the object finishes").len()) as u64;
    assert!(estimate >= size, "the size was estimated as {estimate}, and is {size}");
    assert!(estimate <= 8 * size + (1 << 20), "the size was estimated as {estimate}, and is only {size}");
}

fn keeps_objects_apart(codec: &dyn Codec) {
    let (orders, items) = (orders(), table("public.items", 3));
    let batch = BatchBuilder::new().begin(0x100, 7, 1).insert(&orders, 1, "a").insert(&items, 1, "a").build();
    let alone = |chunk: &TableChunk| encode(codec, chunk, &[1]);
    let mut encoders: Vec<Box<dyn ObjectEncoder>> =
        batch.chunks.iter().map(|chunk| codec.encoder(&chunk.schema).expect("the schema fits")).collect();
    for (encoder, chunk) in encoders.iter_mut().zip(&batch.chunks) {
        encoder.append(chunk, 0..1).expect("the row fits");
    }
    for (encoder, chunk) in encoders.into_iter().zip(&batch.chunks) {
        assert!(encoder.finish().expect("the object finishes") == alone(chunk), "two open objects mixed");
    }
}
