//! The assembler, fed with messages written by hand.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use ductstream_core::{
    Barrier, ChangeBatch, ErrorKind, Lsn, OldImage, Op, Position, ReplicaIdentity, Result, SchemaRecord, TableName,
    metadata,
};
use ductstream_postgres::assemble::{Assembler, AssemblerSettings, DeclaredColumns, Pushed, RelationNeed};
use ductstream_postgres::types::{SpecialValues, TypeCatalog};
use proptest::prelude::*;

use super::pgoutput_bytes::*;

/// Microseconds from 1970 to 2000.
const EPOCH: i64 = 946_684_800_000_000;
const ORDERS: u32 = 1001;
const ITEMS: u32 = 1002;

fn settings() -> AssemblerSettings {
    AssemblerSettings {
        special_values: SpecialValues::Error,
        batch_bytes: 1 << 20,
        messages: true,
        declarations: false,
    }
}

fn assembler() -> Assembler {
    assembler_from(Vec::new(), Position::default())
}

fn assembler_from(known: Vec<SchemaRecord>, from: Position) -> Assembler {
    Assembler::new(settings(), TypeCatalog::new(), known, from)
}

fn push(assembler: &mut Assembler, messages: &[Vec<u8>]) {
    for message in messages {
        assert_eq!(assembler.push(message).expect("a good message"), Pushed::Done);
    }
}

fn push_err(assembler: &mut Assembler, message: &[u8]) -> ductstream_core::Error {
    assembler.push(message).expect_err("a bad message")
}

fn at(lsn: u64, seq: u64) -> Position {
    Position::new(Lsn(lsn), seq)
}

fn orders() -> Vec<u8> {
    relation(ORDERS, "orders", b'd', &[key("id", INT4), column("note", TEXT)])
}

fn orders_with(columns: &[ColumnSpec]) -> Vec<u8> {
    relation(ORDERS, "orders", b'd', columns)
}

fn items() -> Vec<u8> {
    relation(ITEMS, "items", b'd', &[key("id", INT4), column("note", TEXT)])
}

fn order(id: i32) -> Vec<u8> {
    insert(ORDERS, &[int(id), text("note")])
}

/// A record as text, everything in it that a reader sees.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    table: String,
    version: u32,
    op: Op,
    position: Position,
    xid: u32,
    commit_time: i64,
    after: Vec<Option<String>>,
    before: Option<Vec<Option<String>>>,
    old: OldImage,
    unchanged: Vec<usize>,
}

fn cells(columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let cell = |column: &ArrayRef| match column.data_type() {
        _ if column.is_null(row) => None,
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
        other => panic!("{other} is not used in these tests"),
    };
    columns.iter().map(cell).collect()
}

fn seen(batch: &ChangeBatch) -> Vec<Seen> {
    let see = |record: ductstream_core::Record<'_>| {
        let (chunk, row) = (record.chunk, record.row);
        let before = chunk.before.as_ref().filter(|_| chunk.old[row] != OldImage::None);
        Seen {
            table: chunk.schema.table.to_string(),
            version: chunk.schema.version,
            op: record.op(),
            position: record.position(),
            xid: chunk.xids[row],
            commit_time: chunk.commit_times[row],
            after: cells(&chunk.after, row),
            before: before.map(|columns| cells(columns, row)),
            old: chunk.old[row],
            unchanged: chunk.unchanged.as_ref().map(|mask| mask.columns_of(row).collect()).unwrap_or_default(),
        }
    };
    for chunk in &batch.chunks {
        let columns = chunk.after.iter().chain(chunk.before.iter().flatten());
        assert!(columns.map(|column| column.len()).all(|len| len == chunk.len()), "columns as long as the chunk");
    }
    batch.records().map(see).collect()
}

fn take(assembler: &mut Assembler) -> ChangeBatch {
    assembler.take().expect("a pending batch")
}

fn positions(batch: &ChangeBatch) -> Vec<Position> {
    batch.records().map(|record| record.position()).collect()
}

fn schema_barriers(batch: &ChangeBatch) -> Vec<(SchemaRecord, Option<u32>)> {
    let schema = |barrier: &Barrier| match barrier {
        Barrier::Schema { record, previous, .. } => {
            Some((record.clone(), previous.as_ref().map(|schema| schema.version)))
        }
        _ => None,
    };
    batch.barriers.iter().filter_map(schema).collect()
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

#[test]
fn a_transaction_becomes_records_with_positions_and_a_bound_behind_its_commit() {
    // Given a transaction of two inserts
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 751), orders(), order(1), order(2)]);
    assert!(assembler.in_transaction());
    push(&mut assembler, &[commit(100, 140, 5)]);
    assert!(!assembler.in_transaction());
    // When it is taken
    let batch = take(&mut assembler);
    // Then
    assert_eq!(batch.end, at(140, 0));
    assert_eq!(batch.end_time, Some(EPOCH + 5));
    let records = seen(&batch);
    assert_eq!(records.len(), 2);
    assert_eq!(
        records[1],
        Seen {
            table: "public.orders".into(),
            version: 1,
            op: Op::Insert,
            position: at(100, 1),
            xid: 751,
            commit_time: EPOCH + 5,
            after: some(&["2", "note"]),
            before: None,
            old: OldImage::None,
            unchanged: Vec::new(),
        }
    );
    assert!(batch.chunks[0].before.is_none() && batch.chunks[0].unchanged.is_none());
    assert!(batch.chunks[0].wire_bytes > 0);
    assert!(!assembler.has_pending() && assembler.take().is_none());
    assert_eq!(assembler.pending_bytes(), 0);
}

#[test]
fn values_arrive_as_text_or_binary_one_by_one() {
    let mut assembler = assembler();
    let binary = Value::Binary(b"binary".to_vec());
    push(
        &mut assembler,
        &[begin(100, 0, 1), orders(), insert(ORDERS, &[text("-7"), binary]), insert(ORDERS, &[int(8), Value::Null])],
    );
    let records = seen(&take(&mut assembler));
    assert_eq!(records[0].after, some(&["-7", "binary"]));
    assert_eq!(records[1].after, [Some("8".to_owned()), None]);
}

#[test]
fn a_batch_taken_inside_a_transaction_ends_behind_its_last_change() {
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), order(2)]);
    assert_eq!(take(&mut assembler).end, at(100, 2));
    push(&mut assembler, &[order(3), commit(100, 140, 5)]);
    let batch = take(&mut assembler);
    assert_eq!(positions(&batch), [at(100, 2)]);
    assert_eq!(batch.end, at(140, 0));
}

#[test]
fn a_restart_inside_a_transaction_counts_what_is_durable_and_delivers_the_rest() {
    let mut assembler = assembler_from(Vec::new(), at(100, 2));
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), order(2)]);
    assert!(!assembler.has_pending());
    push(&mut assembler, &[order(3), commit(100, 140, 5)]);
    let batch = take(&mut assembler);
    assert_eq!(positions(&batch), [at(100, 2)]);
    assert_eq!(seen(&batch)[0].after[0].as_deref(), Some("3"));
}

#[test]
fn a_transaction_without_changes_moves_the_bound_only() {
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 1), commit(100, 140, 5)]);
    let batch = take(&mut assembler);
    assert!(batch.is_empty() && batch.barriers.is_empty());
    assert_eq!((batch.end, batch.end_time), (at(140, 0), Some(EPOCH + 5)));
}

#[test]
fn records_of_several_tables_keep_their_order_in_merged_runs() {
    let mut assembler = assembler();
    let item = |id| insert(ITEMS, &[int(id), text("item")]);
    push(
        &mut assembler,
        &[begin(100, 0, 1), orders(), order(1), order(2), items(), item(3), order(4), commit(100, 140, 0)],
    );
    push(&mut assembler, &[begin(150, 0, 2), order(5), commit(150, 160, 0)]);
    let batch = take(&mut assembler);
    let runs: Vec<(u32, u32)> = batch.runs.iter().map(|run| (run.chunk, run.rows)).collect();
    assert_eq!(runs, [(0, 2), (1, 1), (0, 2)]);
    assert_eq!(positions(&batch), [at(100, 0), at(100, 1), at(100, 2), at(100, 3), at(150, 0)]);
}

#[test]
fn batches_are_cut_by_size_inside_a_transaction() {
    // Given batches of about two rows
    let settings = AssemblerSettings { batch_bytes: 2 * order(1).len(), ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    // When five rows come in one transaction
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1)]);
    assert!(!assembler.is_full());
    push(&mut assembler, &[order(2)]);
    assert!(assembler.is_full());
    push(&mut assembler, &[order(3), order(4), order(5), commit(100, 140, 5)]);
    assert_eq!(assembler.pending_bytes(), 5 * order(1).len());
    // Then they come in three batches, each with its bound
    let batches: Vec<ChangeBatch> = std::iter::from_fn(|| assembler.take()).collect();
    let ends: Vec<_> = batches.iter().map(|batch| (batch.len(), batch.end)).collect();
    assert_eq!(ends, [(2, at(100, 2)), (2, at(100, 4)), (1, at(140, 0))]);
    assert!(!assembler.is_full());
}

#[test]
fn a_row_of_nulls_counts_as_what_it_takes_in_memory() {
    const TIMESTAMPTZ: u32 = 1184;
    // Given forty columns of eight bytes each, of which a null takes one byte on the wire
    let columns: Vec<ColumnSpec> =
        std::iter::once(key("id", INT4)).chain((0..40).map(|_| column("at", TIMESTAMPTZ))).collect();
    let row = |id| insert(ORDERS, &std::iter::once(int(id)).chain((0..40).map(|_| Value::Null)).collect::<Vec<_>>());
    let settings = AssemblerSettings { batch_bytes: 3000, ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    // When ten rows come, of which thirty would fit by the wire
    push(&mut assembler, &[begin(100, 5, 1), orders_with(&columns)]);
    push(&mut assembler, &(1..=10).map(row).collect::<Vec<_>>());
    // Then they fill a batch
    assert!(assembler.is_full());
}

#[test]
fn a_commit_behind_a_cut_batch_moves_the_end_of_that_batch() {
    let settings = AssemblerSettings { batch_bytes: 1, ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), commit(100, 140, 5)]);
    assert_eq!(take(&mut assembler).end, at(140, 0));
    assert!(!assembler.has_pending());
}

#[test]
fn an_update_tells_unchanged_from_null_and_marks_the_row_alone() {
    let mut assembler = assembler();
    let messages = [
        begin(100, 0, 1),
        orders(),
        order(1),
        update(ORDERS, None, &[int(1), Value::Unchanged]),
        update(ORDERS, None, &[int(1), Value::Null]),
    ];
    push(&mut assembler, &messages);
    let records = seen(&take(&mut assembler));
    let unchanged: Vec<_> = records.iter().map(|record| record.unchanged.clone()).collect();
    assert_eq!(unchanged, [vec![], vec![1], vec![]]);
    assert_eq!((records[1].op, &records[1].after), (Op::Update, &vec![Some("1".to_owned()), None]));
    assert_eq!(records[1].old, OldImage::None);
}

#[test]
fn a_key_changing_update_carries_the_old_key() {
    let mut assembler = assembler();
    let old = [int(1), Value::Null];
    let messages = [
        begin(100, 0, 1),
        orders(),
        order(1),
        update(ORDERS, Some((b'K', &old)), &[int(2), Value::Unchanged]),
        order(3),
    ];
    push(&mut assembler, &messages);
    let batch = take(&mut assembler);
    let records = seen(&batch);
    assert_eq!(records[1].before, Some(vec![Some("1".to_owned()), None]));
    assert_eq!((records[1].old, records[1].unchanged.as_slice()), (OldImage::Key, &[1][..]));
    assert_eq!([records[0].old, records[2].old], [OldImage::None; 2]);
    // The rows around it are null in the old columns.
    assert_eq!(batch.chunks[0].before.as_ref().map(|columns| columns[0].null_count()), Some(2));
}

#[test]
fn under_full_identity_an_unchanged_value_is_filled_from_the_old_row() {
    let mut assembler = assembler();
    assembler.set_relation_key(ORDERS, vec!["id".to_owned()]);
    let full = relation(ORDERS, "orders", b'f', &[key("id", INT4), key("note", TEXT)]);
    let old = [int(1), text("toasted")];
    push(&mut assembler, &[begin(100, 0, 1), full, update(ORDERS, Some((b'O', &old)), &[int(2), Value::Unchanged])]);
    let batch = take(&mut assembler);
    let records = seen(&batch);
    assert_eq!(records[0].after, some(&["2", "toasted"]));
    assert_eq!(records[0].before, Some(some(&["1", "toasted"])));
    assert_eq!((records[0].old, records[0].unchanged.len()), (OldImage::Full, 0));
    assert!(batch.chunks[0].unchanged.is_none());
}

#[test]
fn a_delete_has_an_old_image_and_no_new_row() {
    let mut assembler = assembler();
    let messages = [begin(100, 0, 1), orders(), order(1), delete(ORDERS, b'K', &[int(1), Value::Null])];
    push(&mut assembler, &messages);
    push(&mut assembler, &[delete(ORDERS, b'O', &[int(2), text("whole")]), order(3)]);
    let records = seen(&take(&mut assembler));
    assert_eq!((records[1].op, records[1].old), (Op::Delete, OldImage::Key));
    assert_eq!(records[1].after, [None, None]);
    assert_eq!(records[1].before, Some(vec![Some("1".to_owned()), None]));
    assert_eq!((records[2].old, &records[2].before), (OldImage::Full, &Some(some(&["2", "whole"]))));
    assert_eq!(records[3].after, some(&["3", "note"]));
}

#[test]
fn old_images_and_masks_of_one_batch_do_not_leak_into_the_next() {
    let mut assembler = assembler();
    let old = [int(1), Value::Null];
    push(
        &mut assembler,
        &[begin(100, 0, 1), orders(), update(ORDERS, Some((b'K', &old)), &[int(2), Value::Unchanged])],
    );
    drop(take(&mut assembler));
    push(&mut assembler, &[order(1), order(2)]);
    let batch = take(&mut assembler);
    assert!(batch.chunks[0].before.is_none() && batch.chunks[0].unchanged.is_none());
    push(&mut assembler, &[order(3), update(ORDERS, Some((b'K', &old)), &[int(2), text("x")])]);
    let records = seen(&take(&mut assembler));
    assert_eq!([records[0].old, records[1].old], [OldImage::None, OldImage::Key]);
    assert_eq!(records[1].before, Some(vec![Some("1".to_owned()), None]));
}

#[test]
fn a_truncate_begins_a_batch_with_one_record_per_table() {
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), items(), truncate(3, &[ORDERS, ITEMS]), order(2)]);
    push(&mut assembler, &[commit(100, 140, 5)]);
    // What was before is a batch of its own...
    let batch = take(&mut assembler);
    assert_eq!((positions(&batch), batch.end), (vec![at(100, 0)], at(100, 1)));
    // ...and the next starts with the truncate records.
    let batch = take(&mut assembler);
    let names = [TableName::new("public", "orders"), TableName::new("public", "items")];
    let [Barrier::Truncate { tables, cascade: true, restart_identity: true }] = &batch.barriers[..] else {
        panic!("{:?} is not one truncate", batch.barriers)
    };
    assert_eq!(tables, &names);
    let records = seen(&batch);
    assert_eq!(records.iter().map(|record| record.op).collect::<Vec<_>>(), [Op::Truncate, Op::Truncate, Op::Insert]);
    assert_eq!(positions(&batch), [at(100, 1), at(100, 2), at(100, 3)]);
    assert_eq!(records[0].after, [None, None]);
}

#[test]
fn a_restart_inside_a_truncate_delivers_the_tables_that_are_left() {
    let mut assembler = assembler_from(Vec::new(), at(100, 1));
    push(&mut assembler, &[begin(100, 5, 1), orders(), items(), truncate(0, &[ORDERS, ITEMS])]);
    let batch = take(&mut assembler);
    assert_eq!(positions(&batch), [at(100, 1)]);
    let truncated = batch.barriers.iter().any(
        |barrier| matches!(barrier, Barrier::Truncate { tables, .. } if tables == &[TableName::new("public", "items")]),
    );
    assert!(truncated, "{:?}", batch.barriers);
}

#[test]
fn a_transactional_message_is_counted_and_not_passed_by_records() {
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 9), orders(), order(1), message(true, 90, "audit", b"x"), order(2)]);
    assert_eq!(positions(&take(&mut assembler)), [at(100, 0)]);
    let batch = take(&mut assembler);
    let [Barrier::Message(message)] = &batch.barriers[..] else { panic!("not one message") };
    assert_eq!((message.position, message.xid, message.commit_time), (at(100, 1), Some(9), Some(EPOCH + 5)));
    assert_eq!((message.prefix.as_str(), message.content.as_slice()), ("audit", &b"x"[..]));
    assert_eq!(positions(&batch), [at(100, 2)]);
}

#[test]
fn a_message_outside_of_transactions_stands_at_its_own_address_and_moves_the_bound() {
    let mut assembler = assembler_from(Vec::new(), at(80, 1));
    push(&mut assembler, &[message(false, 80, "seen", b""), message(false, 90, "new", b"")]);
    let batch = take(&mut assembler);
    let [Barrier::Message(message)] = &batch.barriers[..] else { panic!("not one message") };
    assert_eq!((message.position, message.xid, message.prefix.as_str()), (at(90, 0), None, "new"));
    assert_eq!((batch.end, batch.len()), (at(90, 1), 0));
}

#[test]
fn messages_are_neither_counted_nor_delivered_when_they_are_off() {
    let settings = AssemblerSettings { messages: false, ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    push(
        &mut assembler,
        &[message(false, 90, "a", b""), begin(100, 5, 9), orders(), message(true, 95, "b", b""), order(1)],
    );
    let batch = take(&mut assembler);
    assert_eq!(positions(&batch), [at(100, 0)]);
    assert!(batch.barriers.iter().all(|barrier| matches!(barrier, Barrier::Schema { .. })));
}

#[test]
fn a_table_seen_for_the_first_time_is_announced_without_cutting_the_batch() {
    let mut assembler = assembler();
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), items(), insert(ITEMS, &[int(1), Value::Null])]);
    let batch = take(&mut assembler);
    assert_eq!(batch.len(), 2);
    let announced: Vec<_> = schema_barriers(&batch)
        .into_iter()
        .map(|(record, previous)| (record.table.name, record.version, record.from, previous))
        .collect();
    assert_eq!(announced, [("orders".to_owned(), 1, at(100, 0), None), ("items".to_owned(), 1, at(100, 1), None)]);
}

#[test]
fn a_changed_table_gets_the_next_version_and_cuts_the_batch() {
    let mut assembler = assembler();
    let wide = [key("id", INT4), column("note", TEXT), column("more", INT4)];
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1), orders(), order(2)]);
    push(&mut assembler, &[orders_with(&wide), insert(ORDERS, &[int(3), Value::Null, int(4)])]);
    let batch = take(&mut assembler);
    assert_eq!((batch.len(), batch.chunks[0].schema.version), (2, 1));
    let batch = take(&mut assembler);
    let [Barrier::Schema { schema, previous, record }] = &batch.barriers[..] else { panic!("not one schema") };
    assert_eq!((schema.version, schema.columns.len(), record.version, record.from), (2, 3, 2, at(100, 2)));
    assert_eq!(previous.as_ref().map(|schema| (schema.version, schema.oid)), Some((1, ORDERS)));
    assert_eq!(seen(&batch)[0].after, [Some("3".to_owned()), None, Some("4".to_owned())]);
}

#[test]
fn each_real_change_is_a_version_and_nothing_else_is() {
    let mut assembler = assembler();
    let renamed = [key("id", INT4), column("remark", TEXT)];
    let retyped = [key("id", INT4), column("remark", INT4)];
    let rekeyed = [key("id", INT4), key("remark", INT4)];
    let dropped = [key("id", INT4)];
    let id = |columns: &[ColumnSpec]| insert(ORDERS, &vec![text("1"); columns.len()]);
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1)]);
    for columns in [&renamed[..], &retyped, &rekeyed, &dropped, &renamed] {
        push(&mut assembler, &[orders_with(columns), id(columns)]);
    }
    // The identity moves to an index over the same key, and the table is dropped and created anew.
    push(&mut assembler, &[relation(ORDERS, "orders", b'i', &renamed), id(&renamed)]);
    push(&mut assembler, &[relation(2001, "orders", b'd', &renamed), insert(2001, &[int(9), Value::Null])]);
    let batches: Vec<ChangeBatch> = std::iter::from_fn(|| assembler.take()).collect();
    let versions: Vec<_> = batches.iter().flat_map(seen).map(|record| record.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 6, 6]);
    let announced: Vec<_> =
        batches.iter().flat_map(schema_barriers).map(|(record, previous)| (record.version, previous)).collect();
    assert_eq!(announced, [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3)), (5, Some(4)), (6, Some(5))]);
    assert!(batches.iter().all(|batch| batch.chunks.len() <= 1), "one chunk per table");
}

/// The versions that a run from the start finds: 1 from (100, 0), 2 from (200, 0).
fn two_versions() -> (Vec<Vec<u8>>, Vec<SchemaRecord>) {
    let wide = orders_with(&[key("id", INT4), column("note", TEXT), column("more", INT4)]);
    let wide_row = insert(ORDERS, &[int(3), Value::Null, int(4)]);
    let history = vec![
        begin(100, 5, 1),
        orders(),
        order(1),
        commit(100, 140, 5),
        begin(200, 6, 2),
        wide,
        wide_row,
        commit(200, 240, 6),
    ];
    let mut assembler = assembler();
    push(&mut assembler, &history);
    let batches = std::iter::from_fn(|| assembler.take());
    let known = batches.flat_map(|batch| schema_barriers(&batch)).map(|(record, _)| record).collect();
    (history, known)
}

#[test]
fn a_replay_finds_the_versions_of_its_time_and_announces_those_that_may_not_have_been_delivered() {
    let (history, known) = two_versions();
    // Given a start behind the first version's beginning and before the second's
    let mut assembler = assembler_from(known.clone(), at(100, 1));
    let replayed: Vec<_> = [&history[..3], &[order(7)], &history[3..]].concat();
    push(&mut assembler, &replayed);
    let batches: Vec<_> = std::iter::from_fn(|| assembler.take()).collect();
    // Then both are found again, and only the second is announced, with the first as it was seen
    let versions: Vec<_> = batches.iter().flat_map(seen).map(|record| record.version).collect();
    assert_eq!(versions, [1, 2]);
    let announced: Vec<_> = batches.iter().flat_map(schema_barriers).collect();
    assert_eq!(announced, [(known[1].clone(), Some(1))]);
}

#[test]
fn a_known_version_is_not_announced_again() {
    let (history, known) = two_versions();
    let mut assembler = assembler_from(known, at(240, 0));
    push(&mut assembler, &[begin(300, 7, 3), history[5].clone(), history[6].clone()]);
    let batch = take(&mut assembler);
    assert!(batch.barriers.is_empty());
    assert_eq!(seen(&batch)[0].version, 2);
}

#[test]
fn a_change_made_while_the_flow_was_down_is_a_version_behind_the_stored_one() {
    let (_, known) = two_versions();
    let mut assembler = assembler_from(known, at(240, 0));
    push(&mut assembler, &[begin(300, 7, 3), orders(), order(1)]);
    let batch = take(&mut assembler);
    let [Barrier::Schema { schema, previous: Some(previous), record }] = &batch.barriers[..] else {
        panic!("{:?} is not one change", batch.barriers)
    };
    assert_eq!((schema.version, record.from, previous.version), (3, at(300, 0), 2));
    let names: Vec<_> =
        previous.columns.iter().map(|column| (column.name(), column.field.data_type().clone())).collect();
    assert_eq!(names, [("id", DataType::Int32), ("note", DataType::Utf8), ("more", DataType::Int32)]);
    assert_eq!(previous.key, [0]);
}

#[test]
fn the_catalog_is_asked_for_unknown_types_and_the_message_taken_in_afterwards() {
    let mut assembler = assembler();
    let mood = orders_with(&[key("id", INT4), column("mood", 90_001)]);
    push(&mut assembler, &[begin(100, 5, 1)]);
    let need = Pushed::NeedRelation(RelationNeed { oid: ORDERS, types: vec![90_001] });
    assert_eq!(assembler.push(&mood).expect("a good message"), need);
    assert!(!assembler.has_pending());
    // A type that is gone from the catalog stays unknown, and is read as text.
    push(&mut assembler, &[mood, insert(ORDERS, &[int(1), text("happy")])]);
    assert_eq!(seen(&take(&mut assembler))[0].after, some(&["1", "happy"]));
}

#[test]
fn the_record_key_follows_the_replica_identity() {
    let columns = [key("id", INT4), key("note", TEXT)];
    let cases: [(u8, &[&str], &[usize]); 6] = [
        (b'd', &[], &[0, 1]),
        (b'i', &[], &[0, 1]),
        (b'n', &[], &[]),
        (b'f', &[], &[0, 1]),
        (b'f', &["note"], &[1]),
        // A key that is not published whole identifies nothing.
        (b'f', &["note", "hidden"], &[0, 1]),
    ];
    for (identity, primary_key, expected) in cases {
        let mut assembler = assembler();
        let flagged = columns.map(|column| ColumnSpec { key: identity != b'n', ..column });
        let message = relation(ORDERS, "orders", identity, &flagged);
        push(&mut assembler, &[begin(100, 5, 1)]);
        if identity == b'f' {
            let need = Pushed::NeedRelation(RelationNeed { oid: ORDERS, types: Vec::new() });
            assert_eq!(assembler.push(&message).expect("a good message"), need);
            assembler.set_relation_key(ORDERS, primary_key.iter().map(|name| (*name).to_owned()).collect());
        }
        push(&mut assembler, &[message, order(1)]);
        assert_eq!(take(&mut assembler).chunks[0].schema.key, expected, "{identity} {primary_key:?}");
    }
}

#[test]
fn a_full_identity_table_that_changes_is_looked_up_again() {
    let mut assembler = assembler();
    assembler.set_relation_key(ORDERS, vec!["id".to_owned()]);
    let full = |name| relation(ORDERS, "orders", b'f', &[key("id", INT4), key(name, TEXT)]);
    push(&mut assembler, &[begin(100, 5, 1), full("note"), order(1), full("note"), order(2)]);
    let need = Pushed::NeedRelation(RelationNeed { oid: ORDERS, types: Vec::new() });
    assert_eq!(assembler.push(&full("remark")).expect("a good message"), need);
    assembler.set_relation_key(ORDERS, vec!["remark".to_owned()]);
    push(&mut assembler, &[full("remark"), order(3)]);
    drop(take(&mut assembler));
    let batch = take(&mut assembler);
    assert_eq!((batch.chunks[0].schema.version, &batch.chunks[0].schema.key), (2, &vec![1]));
    assert_eq!(batch.chunks[0].schema.identity, ReplicaIdentity::Full);
}

#[test]
fn what_columns_are_declared_to_be_is_asked_for_and_makes_no_version() {
    let settings = AssemblerSettings { declarations: true, ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    let need = Pushed::NeedRelation(RelationNeed { oid: ORDERS, types: Vec::new() });
    let declared = |names: &[&str]| DeclaredColumns {
        not_null: names.iter().map(|name| (*name).to_owned()).collect(),
        defaults: [("note".to_owned(), "'none'::text".to_owned())].into(),
    };
    // Given: a table that is told about for the first time, whose columns are looked up.
    push(&mut assembler, &[begin(100, 5, 1)]);
    assert_eq!(assembler.push(&orders()).expect("a good message"), need);
    assembler.set_relation_key(ORDERS, vec!["id".to_owned()]);
    assembler.set_relation_columns(ORDERS, declared(&["id"]));
    push(&mut assembler, &[orders(), order(1)]);
    let first = take(&mut assembler);
    let said = |batch: &ChangeBatch| -> Vec<[Option<String>; 3]> {
        let keys = [metadata::PG_PRIMARY_KEY, metadata::PG_NOT_NULL, metadata::PG_DEFAULT];
        let columns = &batch.chunks[0].schema.columns;
        columns.iter().map(|column| keys.map(|key| column.field.metadata().get(key).cloned())).collect()
    };
    let (yes, default) = (Some("true".to_owned()), Some("'none'::text".to_owned()));
    assert_eq!(said(&first), [[yes.clone(), yes.clone(), None], [None, None, default.clone()]]);
    assert!(first.chunks[0].schema.columns.iter().all(|column| column.field.is_nullable()));

    // When: the same columns are told about in other words, and one of them is NOT NULL now.
    let full = relation(ORDERS, "orders", b'f', &[key("id", INT4), key("note", TEXT)]);
    assert_eq!(assembler.push(&full).expect("a good message"), need);
    assembler.set_relation_columns(ORDERS, declared(&["id", "note"]));
    push(&mut assembler, &[full, order(2)]);

    // Then: the metadata says so, and the version is the same.
    let second = take(&mut assembler);
    assert_eq!(said(&second), [[yes.clone(), yes.clone(), None], [None, yes, default]]);
    assert_eq!((first.chunks[0].schema.version, second.chunks[0].schema.version), (1, 1));
}

#[test]
fn a_keepalive_moves_the_bound_between_transactions_only() {
    let mut assembler = assembler_from(Vec::new(), at(50, 0));
    // Behind the bound it says nothing new.
    assembler.keepalive(Lsn(40), 1);
    assembler.keepalive(Lsn(50), 1);
    assert!(!assembler.has_pending());
    assembler.keepalive(Lsn(60), 7);
    let batch = take(&mut assembler);
    assert_eq!((batch.end, batch.end_time, batch.len()), (at(60, 0), Some(7), 0));
    // Inside a transaction it is ignored.
    push(&mut assembler, &[begin(100, 5, 1), orders(), order(1)]);
    assembler.keepalive(Lsn(500), 8);
    push(&mut assembler, &[commit(100, 140, 5)]);
    // With records pending it extends them.
    assembler.keepalive(Lsn(600), 9);
    let batch = take(&mut assembler);
    assert_eq!((batch.len(), batch.end, batch.end_time), (1, at(600, 0), Some(EPOCH + 5)));
    assert!(!assembler.has_pending());
}

#[test]
fn a_value_that_does_not_fit_names_its_place_and_leaves_the_rows_before_it() {
    let mut assembler = assembler();
    // numeric(12,2)
    let amount = ColumnSpec { typmod: (12 << 16 | 2) + 4, ..column("amount", 1700) };
    let priced = orders_with(&[key("id", INT4), amount]);
    push(&mut assembler, &[begin(100, 5, 1), priced, insert(ORDERS, &[int(1), text("1.50")])]);
    let error = push_err(&mut assembler, &insert(ORDERS, &[int(7), text("NaN")]));
    assert_eq!(error.kind(), ErrorKind::Data);
    for part in ["public.orders", "amount", "(id=7)", "0/64", "NaN"] {
        assert!(error.message().contains(part), "{part} in {}", error.message());
    }
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("special_values")));
    // The row before it is whole, and the assembler takes no more.
    assert_eq!(push_err(&mut assembler, &order(8)).kind(), ErrorKind::Bug);
    let batch = take(&mut assembler);
    assert_eq!((batch.len(), batch.end), (1, at(100, 1)));
    assert!(batch.chunks[0].after.iter().all(|column| column.len() == 1));
}

#[test]
fn what_breaks_the_protocol_is_an_error_that_says_where() {
    let setup = [begin(100, 5, 1), orders()];
    let done = [begin(100, 5, 1), orders(), order(1), commit(100, 140, 5)];
    let none: &[Vec<u8>] = &[];
    let cases = [
        (none, order(1), "Insert message outside of a transaction"),
        (none, orders(), "Relation message outside of a transaction"),
        (none, commit(1, 2, 3), "Commit message outside of a transaction"),
        (&setup[..], begin(200, 5, 2), "Begin message inside a transaction"),
        (&setup[..], commit(101, 140, 5), "of another transaction"),
        (&done[..], begin(100, 5, 1), "Begin message of a transaction that commits at 0/64, behind"),
        (&done[..], begin(139, 5, 2), "behind what commits before 0/8C"),
        (&setup[..], truncate(0, &[ORDERS, ORDERS]), "names the table with OID 1001 twice"),
        (&setup[..], insert(ITEMS, &[]), "OID 1002 before its Relation message"),
        (&setup[..], insert(ORDERS, &[int(1)]), "has 1 columns where its Relation message has 2"),
        (&setup[..], b"I\0".to_vec(), "in the transaction that commits at 0/64: malformed Insert message at byte 1"),
        (&setup[..], delete(ORDERS, b'K', &[Value::Unchanged, Value::Null]), "the old row leaves the value out"),
    ];
    for (before, message, expected) in cases {
        let mut assembler = assembler();
        push(&mut assembler, before);
        let error = push_err(&mut assembler, &message);
        assert_eq!(error.kind(), ErrorKind::Bug);
        assert!(error.message().contains(expected), "{expected} in {}", error.message());
    }
}

#[test]
fn messages_of_modes_that_are_off_are_refused() {
    let streamed = push_err(&mut assembler(), b"S\0\0\0\x01\x01");
    assert_eq!(streamed.kind(), ErrorKind::Bug);
    let prepare = [&b"b"[..], &[0; 24], &[0, 0, 0, 1], b"gid\0"].concat();
    let error = push_err(&mut assembler(), &prepare);
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("two_phase")));
}

/// One step of a random history. Both tables are told about at the start of each transaction.
#[derive(Debug, Clone)]
enum Step {
    Insert(bool, i32),
    Update(bool, i32, bool),
    Delete(bool, i32),
    Truncate,
    Message,
    NextTransaction,
    Widen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), any::<i32>()).prop_map(|(table, id)| Step::Insert(table, id)),
        3 => (any::<bool>(), any::<i32>(), any::<bool>()).prop_map(|(table, id, old)| Step::Update(table, id, old)),
        2 => (any::<bool>(), any::<i32>()).prop_map(|(table, id)| Step::Delete(table, id)),
        1 => Just(Step::Truncate),
        1 => Just(Step::Message),
        2 => Just(Step::NextTransaction),
        1 => Just(Step::Widen),
    ]
}

fn play(steps: &[Step]) -> Vec<Vec<u8>> {
    let (mut lsn, mut width) = (100, 2);
    let table = |first: bool| if first { ORDERS } else { ITEMS };
    let row = |width: usize, id: i32| [vec![int(id)], vec![text("note"); width - 1]].concat();
    let columns = |width: usize| [vec![key("id", INT4)], vec![column("note", TEXT); width - 1]].concat();
    let mut out = vec![begin(lsn, 0, 1), orders(), items()];
    for step in steps {
        match step {
            Step::Insert(first, id) => out.push(insert(table(*first), &row(if *first { width } else { 2 }, *id))),
            Step::Update(first, id, old) => {
                let width = if *first { width } else { 2 };
                let mut new = row(width, *id);
                new[1] = Value::Unchanged;
                let image = [vec![int(id.wrapping_add(1))], vec![Value::Null; width - 1]].concat();
                out.push(update(table(*first), old.then_some((b'K', image.as_slice())), &new));
            }
            Step::Delete(first, id) => {
                let width = if *first { width } else { 2 };
                out.push(delete(table(*first), b'K', &[vec![int(*id)], vec![Value::Null; width - 1]].concat()));
            }
            Step::Truncate => out.push(truncate(0, &[ORDERS, ITEMS])),
            Step::Message => out.push(message(true, lsn, "m", b"content")),
            Step::NextTransaction => {
                out.push(commit(lsn, lsn + 10, 0));
                lsn += 20;
                out.push(begin(lsn, 0, 1));
            }
            Step::Widen => {
                width += 1;
                out.push(orders_with(&columns(width)));
            }
        }
    }
    out.push(commit(lsn, lsn + 10, 0));
    out
}

/// Everything that comes out, and the last bound.
fn assemble(
    messages: &[Vec<u8>],
    batch_bytes: usize,
    from: Position,
    known: Vec<SchemaRecord>,
) -> Result<(Vec<Seen>, Vec<String>, Position)> {
    let settings = AssemblerSettings { batch_bytes, ..settings() };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), known, from);
    let (mut records, mut barriers, mut end) = (Vec::new(), Vec::new(), from);
    let mut collect = |batch: ChangeBatch| {
        let batch_records = seen(&batch);
        assert!(batch_records.iter().all(|record| end <= record.position && record.position < batch.end));
        assert!(batch.end >= end, "bounds never move back");
        end = batch.end;
        barriers.extend(batch.barriers.iter().map(describe));
        records.extend(batch_records);
    };
    for message in messages {
        assert_eq!(assembler.push(message)?, Pushed::Done);
        while assembler.is_full() {
            collect(assembler.take().expect("full means pending"));
        }
    }
    std::iter::from_fn(|| assembler.take()).for_each(&mut collect);
    Ok((records, barriers, end))
}

fn describe(barrier: &Barrier) -> String {
    match barrier {
        Barrier::Schema { record, previous, .. } => {
            format!("{record:?} after {:?}", previous.as_ref().map(|schema| schema.version))
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn the_size_of_batches_never_changes_what_comes_out(
        steps in prop::collection::vec(step(), 0..40),
        batch_bytes in 1usize..400,
    ) {
        let messages = play(&steps);
        let whole = assemble(&messages, 1 << 20, Position::default(), Vec::new()).expect("a good history");
        let cut = assemble(&messages, batch_bytes, Position::default(), Vec::new()).expect("a good history");
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn a_restart_at_any_bound_goes_on_exactly_there(
        steps in prop::collection::vec(step(), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        // Given a run, and a restart before one of its records with every schema version stored
        let messages = play(&steps);
        let (records, barriers, end) = assemble(&messages, 1 << 20, Position::default(), Vec::new()).expect("a good history");
        prop_assume!(!records.is_empty());
        let cut = cut.index(records.len());
        let from = records[cut].position;
        let known = known_versions(&messages);
        // When the same messages are played again
        let (again, announced, end_again) = assemble(&messages, 64, from, known).expect("a good history");
        // Then the rest of the records comes, with the same versions, and no barrier that was not there before
        prop_assert_eq!(&again, &records[cut..]);
        prop_assert_eq!(end_again, end);
        // A truncate that the restart falls into names the tables that are left.
        prop_assert!(announced.iter().all(|barrier| barriers.contains(barrier) || barrier.starts_with("Truncate")));
    }
}

fn known_versions(messages: &[Vec<u8>]) -> Vec<SchemaRecord> {
    let mut assembler = assembler();
    push(&mut assembler, messages);
    std::iter::from_fn(|| assembler.take())
        .flat_map(|batch| schema_barriers(&batch))
        .map(|(record, _)| record)
        .collect()
}
