use arrow_array::builder::{
    BinaryBuilder, Decimal256Builder, FixedSizeBinaryBuilder, FixedSizeListBuilder, Float32Builder, Int32Builder,
    ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};
use ductstream_core::{Column, ErrorKind, Lsn};
use ductstream_testkit::batch::{BatchBuilder, column, inserts, table, table_with_identity};

use super::*;

/// Everything that a batch is made of but its masks, as text: arrays print their type and their values, masks print their buffer.
fn text(batch: &ChangeBatch) -> String {
    let mut batch = batch.clone();
    for chunk in &mut batch.chunks {
        chunk.unchanged = None;
    }
    format!("{batch:#?}")
}

fn round_trip(batch: &ChangeBatch) -> ChangeBatch {
    let bytes = encode(batch).unwrap();
    assert_eq!(end_of(&bytes).unwrap(), batch.end);
    let read = decode(&bytes).unwrap();
    for (read, written) in read.chunks.iter().zip(&batch.chunks) {
        assert_eq!(read.schema, written.schema);
        assert_eq!(read.after, written.after, "values compare exactly, where text may round");
        assert_eq!(read.before, written.before);
        assert_eq!(read.unchanged, written.unchanged);
    }
    assert_eq!(text(&read), text(batch));
    read
}

/// Two rows, the second one null, of every Arrow type that a PostgreSQL type becomes.
fn every_type() -> Vec<ArrayRef> {
    let mut uuid = FixedSizeBinaryBuilder::new(16);
    uuid.append_value([7; 16]).unwrap();
    uuid.append_null();
    let mut wide = Decimal256Builder::new().with_data_type(DataType::Decimal256(76, 10));
    wide.append_value(i256::from_i128(i128::MAX));
    wide.append_null();
    let mut bytes = BinaryBuilder::new();
    bytes.append_value([0, 255]);
    bytes.append_null();
    let mut label = StringDictionaryBuilder::<Int32Type>::new();
    label.append_value("new");
    label.append_null();
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_null();
    map.append(true).unwrap();
    map.append(false).unwrap();
    let mut vector = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    vector.values().append_slice(&[1.5, f32::NEG_INFINITY]);
    vector.append(true);
    vector.values().append_slice(&[0.0, 0.0]);
    vector.append(false);
    let months: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None]));
    let micros: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), None]));
    let interval = StructArray::from(vec![
        (Arc::new(Field::new("months", DataType::Int32, true)), months),
        (Arc::new(Field::new("micros", DataType::Int64, true)), micros),
    ]);
    vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int16Array::from(vec![Some(i16::MIN), None])),
        Arc::new(Int32Array::from(vec![Some(i32::MIN), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
        Arc::new(UInt32Array::from(vec![Some(u32::MAX), None])),
        Arc::new(Float32Array::from(vec![Some(f32::MIN_POSITIVE), None])),
        Arc::new(Float64Array::from(vec![Some(-0.0), None])),
        Arc::new(Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(38, 4).unwrap()),
        Arc::new(wide.finish()),
        Arc::new(StringArray::from(vec![Some("a\u{0}✓"), None])),
        Arc::new(label.finish()),
        Arc::new(bytes.finish()),
        Arc::new(uuid.finish()),
        Arc::new(Date32Array::from(vec![Some(-1), None])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(86_399_999_999), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
        Arc::new(list.finish()),
        Arc::new(map.finish()),
        Arc::new(vector.finish()),
        Arc::new(interval),
    ]
}

fn of_every_type() -> TableChunk {
    let arrays = every_type();
    let columns: Vec<Column> = arrays
        .iter()
        .enumerate()
        .map(|(n, array)| column(&format!("c{n}"), (n as u32, "t"), array.data_type().clone()))
        .collect();
    let name = TableName::new("odd \"name\"", "every.type");
    let schema = TableSchema::new(name, 5, 9, ReplicaIdentity::Index, columns).with_key(vec![3, 0]);
    inserts(&Arc::new(schema), 0x100, arrays)
}

#[test]
fn every_type_reads_back_as_it_was_with_its_metadata() {
    let chunk = of_every_type();
    let runs = vec![Run { chunk: 0, rows: 2 }];
    let batch =
        ChangeBatch { chunks: vec![chunk], runs, end: Position::start_of(Lsn(0x130)), ..ChangeBatch::default() };
    let read = round_trip(&batch);
    assert_eq!(read.chunks[0].schema.columns[3].field.metadata().len(), 3);
    round_trip(&batch.since(Position::new(Lsn(0x100), 1)));
    round_trip(&batch.since(batch.end));
}

#[test]
fn operations_old_images_unchanged_values_and_the_order_across_tables_read_back() {
    let orders = table("public.orders", 3);
    let items = table_with_identity("public.items", 1, ReplicaIdentity::Full);
    let batch = BatchBuilder::new()
        .begin(0x100, u32::MAX, -1)
        .insert(&orders, 1, "a")
        .update_full(&items, (1, "b"), (1, "c"))
        .update_key(&orders, (1, 2), "d")
        .update_unchanged(&orders, 2, "note")
        .delete_full(&items, 1, "c")
        .commit(0x130)
        .begin(0x200, 8, 2)
        .delete(&orders, 2)
        .truncate(&items)
        .load(&orders, 9, "e")
        .build();
    let read = round_trip(&batch);
    let order =
        |batch: &ChangeBatch| batch.records().map(|record| (record.op(), record.position())).collect::<Vec<_>>();
    assert_eq!(order(&read), order(&batch));
    round_trip(&batch.since(Position::new(Lsn(0x100), 3)));
}

#[test]
fn barriers_read_back_with_their_schemas_and_contents() {
    let (before, after) = (table("public.orders", 1), table("public.orders", 2));
    let record =
        SchemaRecord { table: after.table.clone(), version: 2, from: Position::new(Lsn(8), 1), shape: "{}".into() };
    let message = LogicalMessage {
        position: Position::new(Lsn(9), 0),
        xid: None,
        commit_time: Some(5),
        prefix: "p".into(),
        content: (0..=255).collect(),
    };
    let barriers = vec![
        Barrier::Schema { schema: after.clone(), previous: Some(before.clone()), record: record.clone() },
        Barrier::Schema { schema: before, previous: None, record },
        Barrier::Truncate { tables: vec![after.table.clone()], cascade: true, restart_identity: false },
        Barrier::Message(message),
    ];
    let batch = ChangeBatch { barriers, end_time: Some(-7), ..ChangeBatch::default() };
    round_trip(&batch);
    round_trip(&ChangeBatch::default());
}

#[test]
fn a_column_beside_a_mask_is_not_taken_for_an_old_row() {
    let schema = TableSchema::new(
        TableName::new("public", "narrow"),
        1,
        1,
        ReplicaIdentity::Nothing,
        vec![column("only", (16, "boolean"), DataType::Boolean)],
    );
    let mut chunk = inserts(&Arc::new(schema), 8, vec![Arc::new(BooleanArray::from(vec![None, Some(true)]))]);
    chunk.unchanged = Some(ductstream_core::Unchanged::new(1, vec![true, false].into()));
    let runs = vec![Run { chunk: 0, rows: 2 }];
    round_trip(&ChangeBatch { chunks: vec![chunk], runs, ..ChangeBatch::default() });
}

#[test]
fn a_table_without_columns_keeps_its_records() {
    let name = TableName::new("public", "empty");
    let schema = Arc::new(TableSchema::new(name, 1, 1, ReplicaIdentity::Nothing, Vec::new()));
    let mut chunk = inserts(&schema, 8, Vec::new());
    (chunk.ops, chunk.xids, chunk.commit_times) = (vec![ductstream_core::Op::Insert], vec![1], vec![1]);
    (chunk.positions, chunk.old) = (vec![Position::new(Lsn(8), 0)], vec![ductstream_core::OldImage::None]);
    let runs = vec![Run { chunk: 0, rows: 1 }];
    round_trip(&ChangeBatch { chunks: vec![chunk], runs, ..ChangeBatch::default() });
}

#[test]
fn bytes_that_are_cut_anywhere_are_an_error_and_never_a_panic() {
    let batch = BatchBuilder::new().begin(8, 1, 1).insert(&table("public.orders", 1), 1, "a").commit(9).build();
    let bytes = encode(&batch).unwrap();
    for length in 0..bytes.len() {
        let error = decode(&bytes[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
    }
}
