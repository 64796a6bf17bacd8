//! A table with a column of every type that the source makes: one row of ordinary values, one of edges, one of nulls.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::types::{Float16Type, Float32Type, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray, PrimitiveArray,
    StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use ductstream_core::{Column, PgType, ReplicaIdentity, TableChunk, TableName, TableSchema};
use ductstream_testkit::batch::{column, inserts};
use half::f16;

/// The table with its three rows.
pub(crate) fn chunk() -> TableChunk {
    let columns = [numbers(), texts(), times(), nested(), ranges(), vectors()].concat();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let columns = columns.into_iter().map(|(column, _)| column).collect();
    let name = TableName::new("public", "types");
    let schema = TableSchema::new(name, 1, 3, ReplicaIdentity::Default, columns).with_key(vec![2]);
    inserts(&Arc::new(schema), 0x16B_3748, arrays)
}

type Typed = (Column, ArrayRef);

fn typed(name: &str, pg: (u32, &str), array: impl arrow_array::Array + 'static) -> Typed {
    (column(name, pg, array.data_type().clone()), Arc::new(array))
}

/// A column whose Arrow type is an extension of `array`'s.
fn extended(name: &str, (oid, pg): (u32, &str), extension: &str, array: impl arrow_array::Array + 'static) -> Typed {
    let tags = [("ARROW:extension:name", extension), ("ARROW:extension:metadata", ""), ("pg.type", pg)];
    let tags: HashMap<String, String> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let field = Field::new(name, array.data_type().clone(), true).with_metadata(tags);
    let pg_type = PgType { oid, typmod: -1, name: pg.to_owned() };
    (Column { pg_type, field: Arc::new(field) }, Arc::new(array))
}

fn numbers() -> Vec<Typed> {
    let decimal = Decimal128Array::from(vec![Some(1250), Some(-5), None]).with_data_type(DataType::Decimal128(12, 2));
    let wide = i256::from_string("-1234567890123456789012345678901234567890").unwrap();
    let wide = Decimal256Array::from(vec![Some(i256::ONE), Some(wide), None]);
    vec![
        typed("b", (16, "boolean"), BooleanArray::from(vec![Some(true), Some(false), None])),
        typed("i2", (21, "smallint"), Int16Array::from(vec![Some(7), Some(i16::MIN), None])),
        typed("i4", (23, "integer"), Int32Array::from(vec![7, i32::MIN, 3])),
        typed("i8", (20, "bigint"), Int64Array::from(vec![Some(7), Some(i64::MIN), None])),
        typed("o", (26, "oid"), UInt32Array::from(vec![Some(7), Some(u32::MAX), None])),
        typed("f4", (700, "real"), Float32Array::from(vec![Some(0.1), Some(f32::NAN), None])),
        typed("f8", (701, "double precision"), Float64Array::from(vec![Some(1e100), Some(f64::NEG_INFINITY), None])),
        typed("n", (1700, "numeric(12,2)"), decimal),
        typed("nn", (1700, "numeric(50,10)"), wide.with_data_type(DataType::Decimal256(50, 10))),
        typed("nt", (1700, "numeric"), StringArray::from(vec![Some("0.10"), Some("NaN"), None])),
    ]
}

fn texts() -> Vec<Typed> {
    let uuid = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
    let uuids = vec![Some(&uuid[..]), Some(&[0; 16][..]), None];
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16).unwrap();
    let json = vec![Some("{\"a\": [1, 2.50],\n \"a\": null}"), Some("\"\\n\""), None];
    vec![
        typed("t", (25, "text"), StringArray::from(vec![Some("żółw \"q\" \\"), Some("\u{1}\n"), None])),
        extended("j", (114, "json"), "arrow.json", StringArray::from(json)),
        typed("by", (17, "bytea"), BinaryArray::from(vec![Some(&b"\x00\xff\x10"[..]), Some(&b""[..]), None])),
        extended("u", (2950, "uuid"), "arrow.uuid", uuids),
    ]
}

fn times() -> Vec<Typed> {
    let timestamps =
        || TimestampMicrosecondArray::from(vec![Some(1_795_433_079_049_237), Some(-62_135_596_800_000_001), None]);
    let intervals = StructArray::new(
        interval_fields(),
        vec![
            Arc::new(Int32Array::from(vec![14, 0, 0])),
            Arc::new(Int32Array::from(vec![3, 0, 0])),
            Arc::new(Int64Array::from(vec![-14_706_789_000, 0, 0])),
        ],
        Some(present()),
    );
    vec![
        typed("d", (1082, "date"), Date32Array::from(vec![Some(20_780), Some(-719_163), None])),
        typed(
            "ti",
            (1083, "time without time zone"),
            Time64MicrosecondArray::from(vec![Some(41_079_049_237), Some(0), None]),
        ),
        typed("ts", (1114, "timestamp without time zone"), timestamps()),
        typed("tz", (1184, "timestamp with time zone"), timestamps().with_timezone("UTC")),
        typed("iv", (1186, "interval"), intervals),
    ]
}

fn interval_fields() -> Fields {
    let field = |name, data_type| Field::new(name, data_type, false);
    Fields::from(vec![
        field("months", DataType::Int32),
        field("days", DataType::Int32),
        field("micros", DataType::Int64),
    ])
}

/// The third row is null.
fn present() -> NullBuffer {
    NullBuffer::from(vec![true, true, false])
}

fn nested() -> Vec<Typed> {
    let lists = vec![Some(vec![Some(1), None]), Some(vec![]), None];
    let point = Fields::from(vec![Field::new("x", DataType::Int32, true), Field::new("la bel", DataType::Utf8, true)]);
    let points = StructArray::new(
        point,
        vec![
            Arc::new(Int32Array::from(vec![Some(1), None, None])),
            Arc::new(StringArray::from(vec![Some("p"), None, None])),
        ],
        Some(present()),
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.keys().append_value("n");
    map.values().append_null();
    map.append(true).unwrap();
    map.append(true).unwrap();
    map.append(false).unwrap();
    vec![
        typed("li", (1007, "integer[]"), ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        typed("co", (90001, "point_with_label"), points),
        typed("h", (90002, "hstore"), map.finish()),
    ]
}

fn range_array(lower: ArrayRef, upper: ArrayRef, flags: [[bool; 3]; 3], nulls: Option<NullBuffer>) -> StructArray {
    let flag = |name| Arc::new(Field::new(name, DataType::Boolean, false));
    let bound = |name| Arc::new(Field::new(name, lower.data_type().clone(), true));
    let fields: Vec<FieldRef> =
        vec![bound("lower"), bound("upper"), flag("lower_inc"), flag("upper_inc"), flag("empty")];
    let flags = flags.map(|flags| Arc::new(BooleanArray::from(flags.to_vec())) as ArrayRef);
    StructArray::new(fields.into(), [vec![lower, upper], flags.to_vec()].concat(), nulls)
}

fn ranges() -> Vec<Typed> {
    let ints = range_array(
        Arc::new(Int32Array::from(vec![Some(1), None, None])),
        Arc::new(Int32Array::from(vec![Some(5), None, None])),
        [[true, false, false], [false; 3], [false, true, false]],
        Some(present()),
    );
    let time =
        |micros: [Option<i64>; 3]| Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC"));
    let times = range_array(
        time([Some(1_795_433_079_500_000), None, None]),
        time([None, Some(-62_135_596_800_000_000 - 1), None]),
        [[true, false, false], [false, true, false], [false; 3]],
        Some(present()),
    );
    let parts = range_array(
        Arc::new(Int32Array::from(vec![Some(1), Some(8), Some(0)])),
        Arc::new(Int32Array::from(vec![Some(3), None, Some(0)])),
        [[true, true, false], [false; 3], [false; 3]],
        None,
    );
    let item = Arc::new(Field::new("item", arrow_array::Array::data_type(&parts).clone(), true));
    let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
    vec![
        typed("r", (3904, "int4range"), ints),
        typed("rt", (3910, "tstzrange"), times),
        typed("mr", (4451, "int4multirange"), ListArray::new(item, offsets, Arc::new(parts), Some(present()))),
    ]
}

fn vectors() -> Vec<Typed> {
    let list = |item: ArrayRef| {
        let field = Arc::new(Field::new("item", item.data_type().clone(), false));
        FixedSizeListArray::new(field, 2, item, Some(present()))
    };
    let floats = PrimitiveArray::<Float32Type>::from(vec![1.5, -2.0, 0.0, 1e10, 0.0, 0.0]);
    let halves = [1.5, -2.0, 0.1, 0.0, 0.0, 0.0].map(f16::from_f32);
    vec![
        typed("v", (90003, "vector(2)"), list(Arc::new(floats))),
        typed("hv", (90004, "halfvec(2)"), list(Arc::new(PrimitiveArray::<Float16Type>::from(halves.to_vec())))),
    ]
}
