//! The envelope `debezium`: every value of the options that say how columns are written, and what columns are declared to be.

use ductstream_testkit::postgres::{Postgres, TestDatabase};
use serde_json::{Value, json};

use crate::debezium::messages_of;

/// A column, its value, and its Connect type and semantic name.
type Column = (&'static str, Value, &'static str, Option<&'static str>);

/// One value of an option, and what it makes of the row.
struct Mode {
    option: &'static str,
    value: &'static str,
    columns: Vec<Column>,
}

const PLACEHOLDER: &str = "__debezium_unavailable_value";

const SCHEMA: &str = "\
    create extension if not exists hstore; \
    create table modes (id int primary key, n numeric(10,2), v numeric, m money, a numeric(10,2)[], d date, t3 time(3), \
      t6 time, s3 timestamp(3), s6 timestamp, i interval, h hstore, b bytea); \
    create table toasts (id int primary key, n int, t text, b bytea, h hstore, ai int[], al bigint[], at text[]); \
    alter table toasts alter t set storage external, alter b set storage external, alter h set storage external, \
      alter ai set storage external, alter al set storage external, alter at set storage external; \
    create publication types_pub for table modes, toasts";

const CHANGES: &str = "\
    insert into modes values (1, 12.34, 123.4560, '-$1,234.50', '{1.10,NULL}', '2024-02-29', '13:14:15.123', \
      '13:14:15.123456', '2024-02-29 13:14:15.123', '1969-12-31 23:59:59.999999', '-1 year 2 mons 3 days 04:05:06.789', \
      'k=>v, n=>NULL', '\\xfbff00'); \
    insert into toasts select 1, 1, repeat('t', 9000), convert_to(repeat('b', 9000), 'UTF8'), hstore('k', repeat('v', 9000)), \
      array_agg(g), array_agg(g::bigint), array_agg(g::text) from generate_series(1, 3000) g; \
    update toasts set n = 2";

async fn database(schema: &str) -> TestDatabase {
    let database = Postgres::version(18).await.database().await;
    database.execute(schema).await;
    database
}

fn decimal_modes() -> Vec<Mode> {
    let decimal = Some("org.apache.kafka.connect.data.Decimal");
    let mode = |value, columns| Mode { option: "decimal.handling.mode", value, columns };
    vec![
        mode(
            "precise",
            vec![
                ("n", json!("BNI="), "bytes", decimal),
                ("v", json!({"scale": 3, "value": "AeJA"}), "struct", Some("io.debezium.data.VariableScaleDecimal")),
                ("m", json!("/h3G"), "bytes", decimal),
                ("a", json!(["bg==", null]), "array", None),
            ],
        ),
        mode(
            "double",
            vec![
                ("n", json!(12.34), "double", None),
                ("v", json!(123.456), "double", None),
                ("m", json!(-1234.5), "double", None),
                ("a", json!([1.1, null]), "array", None),
            ],
        ),
        mode(
            "string",
            vec![
                ("n", json!("12.34"), "string", None),
                ("v", json!("123.4560"), "string", None),
                ("m", json!("-1234.50"), "string", None),
                ("a", json!(["1.10", null]), "array", None),
            ],
        ),
    ]
}

fn time_modes() -> Vec<Mode> {
    const DAY: i64 = 19_782;
    let date = || ("d", json!(DAY), "int32", Some("io.debezium.time.Date"));
    let micro_time =
        |name, micros: i64| -> Column { (name, json!(micros), "int64", Some("io.debezium.time.MicroTime")) };
    let micro_timestamp =
        |name, micros: i64| -> Column { (name, json!(micros), "int64", Some("io.debezium.time.MicroTimestamp")) };
    let s3 = || ("s3", json!(1_709_212_455_123_i64), "int64", Some("io.debezium.time.Timestamp"));
    let mode = |value, columns| Mode { option: "time.precision.mode", value, columns };
    vec![
        mode(
            "adaptive",
            vec![
                date(),
                ("t3", json!(47_655_123), "int32", Some("io.debezium.time.Time")),
                micro_time("t6", 47_655_123_456),
                s3(),
                micro_timestamp("s6", -1),
            ],
        ),
        mode(
            "adaptive_time_microseconds",
            vec![
                date(),
                micro_time("t3", 47_655_123_000),
                micro_time("t6", 47_655_123_456),
                s3(),
                micro_timestamp("s6", -1),
            ],
        ),
        mode(
            "connect",
            vec![
                ("d", json!(DAY), "int32", Some("org.apache.kafka.connect.data.Date")),
                ("t3", json!(47_655_123), "int32", Some("org.apache.kafka.connect.data.Time")),
                ("t6", json!(47_655_123), "int32", Some("org.apache.kafka.connect.data.Time")),
                ("s3", json!(1_709_212_455_123_i64), "int64", Some("org.apache.kafka.connect.data.Timestamp")),
                ("s6", json!(-1), "int64", Some("org.apache.kafka.connect.data.Timestamp")),
            ],
        ),
        mode(
            "microseconds",
            vec![
                date(),
                micro_time("t3", 47_655_123_000),
                micro_time("t6", 47_655_123_456),
                micro_timestamp("s3", 1_709_212_455_123_000),
                micro_timestamp("s6", -1),
            ],
        ),
        mode(
            "nanoseconds",
            vec![
                date(),
                ("t3", json!(47_655_123_000_000_i64), "int64", Some("io.debezium.time.NanoTime")),
                ("t6", json!(47_655_123_456_000_i64), "int64", Some("io.debezium.time.NanoTime")),
                ("s3", json!(1_709_212_455_123_000_000_i64), "int64", Some("io.debezium.time.NanoTimestamp")),
                ("s6", json!(-1000), "int64", Some("io.debezium.time.NanoTimestamp")),
            ],
        ),
        mode(
            "isostring",
            vec![
                ("d", json!("2024-02-29Z"), "string", Some("io.debezium.time.IsoDate")),
                ("t3", json!("13:14:15.123Z"), "string", Some("io.debezium.time.IsoTime")),
                ("t6", json!("13:14:15.123456Z"), "string", Some("io.debezium.time.IsoTime")),
                ("s3", json!("2024-02-29T13:14:15.123Z"), "string", Some("io.debezium.time.IsoTimestamp")),
                ("s6", json!("1969-12-31T23:59:59.999999Z"), "string", Some("io.debezium.time.IsoTimestamp")),
            ],
        ),
    ]
}

fn other_modes() -> [Vec<Mode>; 3] {
    let one = |option, value, column: Column| Mode { option, value, columns: vec![column] };
    let interval = |value, column| one("interval.handling.mode", value, column);
    let hstore = |value, column| one("hstore.handling.mode", value, column);
    let binary = |value, text, kind| one("binary.handling.mode", value, ("b", json!(text), kind, None));
    [
        vec![
            interval("numeric", ("i", json!(-26_024_093_211_000_i64), "int64", Some("io.debezium.time.MicroDuration"))),
            interval("string", ("i", json!("P0Y-10M3DT4H5M6.789S"), "string", Some("io.debezium.time.Interval"))),
        ],
        vec![
            hstore("json", ("h", json!(r#"{"k":"v","n":null}"#), "string", Some("io.debezium.data.Json"))),
            hstore("map", ("h", json!({"k": "v", "n": null}), "map", None)),
        ],
        vec![
            binary("bytes", "+/8A", "bytes"),
            binary("base64", "+/8A", "string"),
            binary("base64-url-safe", "-_8A", "string"),
            binary("hex", "fbff00", "string"),
        ],
    ]
}

/// The Connect schema of the column `name` of `after`.
fn column<'a>(message: &'a Value, name: &str) -> &'a Value {
    let columns = message["value"]["schema"]["fields"][1]["fields"].as_array().unwrap();
    columns.iter().find(|column| column["field"] == name).unwrap_or_else(|| panic!("no column {name} in {message}"))
}

#[tokio::test]
async fn every_value_of_every_option_writes_columns_in_its_own_way() {
    let [intervals, hstores, binaries] = other_modes();
    let options = [decimal_modes(), time_modes(), intervals, hstores, binaries];
    let most = options.iter().map(Vec::len).max().unwrap();
    for round in 0..most {
        // Given: one value of each option, another one in each round.
        let modes: Vec<&Mode> = options.iter().map(|modes| &modes[round % modes.len()]).collect();
        let section: String = modes.iter().map(|mode| format!("  {}: {}\n", mode.option, mode.value)).collect();
        let database = database(SCHEMA).await;
        // When: a row is inserted.
        let events = messages_of(&database, &[CHANGES], &section, "error").await;
        // Then: its columns are as the option says.
        for mode in modes {
            for (name, value, kind, semantic) in &mode.columns {
                let at = format!("{name} under {}: {}", mode.option, mode.value);
                assert_eq!(&events[0]["value"]["payload"]["after"][name], value, "{at}");
                assert_eq!(column(&events[0], name)["type"], *kind, "{at}");
                assert_eq!(column(&events[0], name)["name"].as_str(), *semantic, "{at}");
            }
        }
        assert_unavailable(&events[2]["value"]["payload"]["after"], &section);
    }
}

/// Values that were stored out of line and did not change are placeholders, in the shape of their columns.
fn assert_unavailable(after: &Value, section: &str) {
    let is = |mode: &str| section.contains(mode);
    let codes: Vec<u8> = PLACEHOLDER.bytes().collect();
    assert_eq!((&after["n"], &after["t"]), (&json!(2), &json!(PLACEHOLDER)));
    // In JSON, bytes are base64.
    let bytes =
        if is("binary.handling.mode: bytes\n") { "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==" } else { PLACEHOLDER };
    assert_eq!(after["b"], bytes, "{section}");
    let entry = json!({PLACEHOLDER: PLACEHOLDER});
    let hstore = if is("hstore.handling.mode: json") { json!(entry.to_string()) } else { entry };
    assert_eq!(after["h"], hstore, "{section}");
    assert_eq!((&after["ai"], &after["al"], &after["at"]), (&json!(codes), &json!(codes), &json!([PLACEHOLDER])));
}

#[tokio::test]
async fn schemas_say_what_columns_are_declared_to_be() {
    // Given: a table with columns of every kind of declaration, and tables under REPLICA IDENTITY FULL with a primary key of every
    // column, and without one.
    let database = database(
        "create type mood as enum ('sad', 'it''s ok'); \
         create table declared (id serial primary key, t text not null default 'it''s', n int default -5, m mood not null, \
           r timestamptz not null default now(), d date not null, h text); \
         create table keyed (a int, b int, primary key (a, b)); alter table keyed replica identity full; \
         create table keyless (a int not null, b int not null); alter table keyless replica identity full; \
         create publication types_pub for table declared, keyed, keyless",
    )
    .await;
    let changes = "insert into declared (m, d) values ('sad', '2024-02-29'); delete from declared; \
        insert into keyed values (1, 2); insert into keyless values (1, 2); \
        create table later (id int primary key, s text not null default 'x'); alter publication types_pub add table later; \
        insert into later values (1)";

    // When: rows come and go.
    let events = messages_of(&database, &[changes], "  topic.prefix: dbz\n", "error").await;

    // Then: columns are optional, have labels and defaults as they are declared; what has to be computed is no default.
    let said = |event: usize, name: &str| {
        let column = column(&events[event], name);
        (column["optional"].clone(), column["default"].clone())
    };
    assert_eq!(said(0, "id"), (json!(false), Value::Null));
    assert_eq!(said(0, "t"), (json!(false), json!("it's")));
    assert_eq!(said(0, "n"), (json!(true), json!(-5)));
    assert_eq!(said(0, "r"), (json!(false), Value::Null));
    assert_eq!(said(0, "h"), (json!(true), Value::Null));
    let mood = column(&events[0], "m");
    assert_eq!((&mood["optional"], &mood["parameters"]["allowed"]), (&json!(false), &json!("sad,it's ok")));
    // The old row of a delete has its key only: what cannot be null says least.
    let before = &events[1]["value"]["payload"]["before"];
    assert_eq!(
        (&before["t"], &before["d"], &before["r"]),
        (&json!(""), &json!(0), &json!("1970-01-01T00:00:00.000000Z"))
    );
    assert_eq!((&before["n"], &before["h"]), (&Value::Null, &Value::Null));
    // The key is the primary key, if there is one.
    assert_eq!(events[3]["key"]["payload"], json!({"a": 1, "b": 2}));
    assert_eq!(events[4]["key"], Value::Null);
    // A table that came later is looked up.
    assert_eq!(said(5, "s"), (json!(false), json!("x")));
}
