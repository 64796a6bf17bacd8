use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, Int64Array};
use arrow_schema::DataType;
use ductstream_core::{Envelope, ErrorKind, ReplicaIdentity, TableName, TableSchema};
use ductstream_testkit::batch::{BatchBuilder, column, inserts, table};
use ductstream_wire::envelope::Transform;

#[test]
fn flat_adds_its_columns_behind_the_rows_own() {
    let transform = Transform::new(Envelope::Flat, &table("public.orders", 1)).unwrap();
    let names: Vec<_> = transform.schema().fields().iter().map(|field| field.name().clone()).collect();
    let expected = "id note amount at tags _op _commit_lsn _seq _xid _commit_time _unchanged _old_key _schema_version";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn native_puts_rows_into_structs() {
    let transform = Transform::new(Envelope::Native, &table("public.orders", 1)).unwrap();
    let names: Vec<_> = transform.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names.join(" "), "op table key before after unchanged position xid commit_time schema_version");
}

#[test]
fn inserts_are_not_copied() {
    let orders = table("public.orders", 1);
    let chunk = BatchBuilder::new().begin(8, 1, 1).insert_many(&orders, 1, 10).build().chunks.remove(0);
    for envelope in [Envelope::Flat, Envelope::Native] {
        let batch = Transform::new(envelope, &orders).unwrap().apply(&chunk, 2..7).unwrap();
        let id = match envelope {
            Envelope::Flat => batch.column(0).clone(),
            _ => batch.column_by_name("after").unwrap().as_struct().column(0).clone(),
        };
        let values = |array: &dyn Array| array.as_primitive::<Int64Type>().values().as_ptr();
        assert_eq!(values(&id), values(&chunk.after[0].slice(2, 1)));
    }
}

#[test]
fn flat_takes_the_key_of_a_delete_from_the_old_row_and_shows_old_keys_of_key_changes() {
    let orders = table("public.orders", 3);
    let batch = BatchBuilder::new().begin(0x10, 9, 1).insert(&orders, 1, "a").update_key(&orders, (1, 2), "b");
    let chunk = batch.delete(&orders, 2).truncate(&orders).build().chunks.remove(0);
    let flat = Transform::new(Envelope::Flat, &orders).unwrap().apply(&chunk, 0..4).unwrap();
    let column = |name: &str| flat.column_by_name(name).unwrap().clone();
    assert_eq!(column("id").as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(1), Some(2), Some(2), None]));
    let old_keys = column("_old_key");
    assert_eq!((0..4).map(|row| old_keys.is_valid(row)).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(old_keys.as_struct().column(0).as_primitive::<Int64Type>().value(1), 1);
    assert_eq!(column("_commit_lsn").as_primitive::<UInt64Type>().values(), &[0x10; 4]);
    assert_eq!(column("_seq").as_primitive::<UInt64Type>().values(), &[0, 1, 2, 3]);
    assert_eq!(column("_schema_version").as_primitive::<UInt32Type>().values(), &[3; 4]);
}

#[test]
fn native_has_an_old_row_only_where_it_tells_something() {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(8, 1, 1).update_key(&orders, (1, 1), "a").update_key(&orders, (1, 2), "b");
    let chunk = batch.update(&orders, 2, "c").delete(&orders, 2).build().chunks.remove(0);
    let native = Transform::new(Envelope::Native, &orders).unwrap().apply(&chunk, 0..4).unwrap();
    let before = native.column_by_name("before").unwrap();
    // An old key that is the new one is sent when it is stored out of line.
    assert_eq!((0..4).map(|row| before.is_valid(row)).collect::<Vec<_>>(), [false, true, false, true]);
}

#[test]
fn unchanged_values_are_named_and_null() {
    let orders = table("public.orders", 1);
    let batch = BatchBuilder::new().begin(8, 1, 1).update_unchanged(&orders, 1, "tags").update(&orders, 2, "b");
    let chunk = batch.build().chunks.remove(0);
    let flat = Transform::new(Envelope::Flat, &orders).unwrap().apply(&chunk, 0..2).unwrap();
    let unchanged = flat.column_by_name("_unchanged").unwrap().as_list::<i32>();
    assert_eq!(unchanged.value(0).as_string::<i32>().value(0), "tags");
    assert!(unchanged.is_null(1) && flat.column_by_name("tags").unwrap().is_null(0));
}

#[test]
fn a_column_named_like_one_of_flats_own_is_refused() {
    let columns = vec![column("_SEQ", (20, "bigint"), DataType::Int64)];
    let schema = TableSchema::new(TableName::new("public", "odd"), 1, 1, ReplicaIdentity::Default, columns);
    let schema = Arc::new(schema.with_key(vec![0]));
    let error = Transform::new(Envelope::Flat, &schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("_SEQ") && error.message().contains("public.odd"), "{error}");
    assert!(Transform::new(Envelope::Native, &schema).is_ok());
}

#[test]
fn a_table_without_key_has_no_key_column() {
    let columns = vec![column("id", (20, "bigint"), DataType::Int64)];
    let schema = Arc::new(TableSchema::new(TableName::new("public", "log"), 1, 1, ReplicaIdentity::Nothing, columns));
    let chunk = inserts(&schema, 8, vec![Arc::new(Int64Array::from(vec![1]))]);
    for (envelope, name) in [(Envelope::Flat, "_old_key"), (Envelope::Native, "key")] {
        let batch = Transform::new(envelope, &schema).unwrap().apply(&chunk, 0..1).unwrap();
        assert!(batch.column_by_name(name).is_none());
    }
}

#[test]
fn a_chunk_of_another_table_is_refused() {
    let (orders, other) = (table("public.orders", 1), types_of_one_column());
    let chunk = inserts(&other, 8, vec![Arc::new(Int64Array::from(vec![1]))]);
    let error = Transform::new(Envelope::Flat, &orders).unwrap().apply(&chunk, 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
}

fn types_of_one_column() -> Arc<TableSchema> {
    let columns = vec![column("id", (20, "bigint"), DataType::Int64)];
    Arc::new(TableSchema::new(TableName::new("public", "other"), 1, 1, ReplicaIdentity::Default, columns))
}
