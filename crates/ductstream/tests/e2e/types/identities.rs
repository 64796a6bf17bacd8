//! Every replica identity with every change of small, large and out-of-line values, keys included.

use ductstream_testkit::postgres::{Postgres, supported_versions};
use serde_json::{Value, json};

use super::table::{Identity, Layout, Table};
use super::{BINARY, Column, Flow, Kind, SHAPES, Shape, flow_of_every_shape};

static TEXT: Column = Column { sql_type: "text", kind: Kind::Text, values: &[], since: 14 };
static INT: Column = Column { sql_type: "int", kind: Kind::Bare, values: &[], since: 14 };

/// SQL for a text that is stored out of line: large enough, and stored as it is. An index holds up to 2,700 bytes.
fn long(bytes: usize, salt: &str) -> String {
    format!("(select left(string_agg(md5(n::text || '{salt}'), ''), {bytes}) from generate_series(1, {bytes}) n)")
}

/// Inserts, updates and deletes that change, keep and null the out-of-line columns `k` (of the key) and `c0`, and the small `c1`.
fn changes(table: &str, with_key: bool) -> Vec<String> {
    let (one, two) = (long(2500, "one"), long(2600, "two"));
    let (big, other) = (long(20_000, "big"), long(9_000, "other"));
    let k = |value: &str| if with_key { format!(", {value}") } else { String::new() };
    let mut changes = vec![
        format!(
            "insert into {table} values (1{}, {big}, 1), (2{}, null, null), (3{}, {other}, 3)",
            k(&one),
            k(&two),
            k("'short'")
        ),
        format!("update {table} set c1 = c1 + 1"),
        format!("update {table} set id = id"),
        format!("update {table} set c0 = {other} where id = 1"),
        format!("update {table} set c0 = c0 || 'x', c1 = null where id = 3"),
        format!("update {table} set c0 = null where id = 3"),
        format!("update {table} set c0 = {big} where id < 3"),
        format!("update {table} set id = id + 10"),
        format!("update {table} set id = id + 10, c0 = {other}, c1 = 7 where id = 12"),
    ];
    if with_key {
        changes.extend([
            format!("update {table} set k = {two} where id = 11"),
            format!("update {table} set k = 'short' where id = 11"),
            format!("update {table} set k = {one}, id = 1, c0 = null where id = 11"),
            format!("update {table} set k = k || '' where id = 22"),
        ]);
    }
    changes.push(format!("delete from {table}"));
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_identity_each_change_carries_its_images_and_never_null_for_what_is_out_of_line() {
    let identities = [Identity::Default, Identity::Full, Identity::FullWithoutKey, Identity::Index];
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        let mut tables = Vec::new();
        for (index, identity) in identities.into_iter().enumerate() {
            for (name, key) in [("small", None), ("long", Some(&TEXT))] {
                let name = format!("{name}_{index}");
                let layout = Layout { name: name.clone(), columns: vec![&TEXT, &INT], identity, key };
                tables.push(Table::create(&database, layout).await);
                let external = |column: &str| format!("alter table {name} alter {column} set storage external");
                database.execute(&external("c0")).await;
                if key.is_some() {
                    database.execute(&external("k")).await;
                }
            }
        }
        let sources = BINARY.map(str::to_owned);
        let flows = flow_of_every_shape(&database, &sources).await;
        for table in &mut tables {
            for change in changes(&table.name, table.name.starts_with("long")) {
                database.execute(&change).await;
            }
            table.read_log().await;
        }
        for (flow, shape) in &flows {
            flow.drain().await;
            for table in &mut tables {
                table.agrees(flow, shape, "").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_identity_inserts_and_truncates_arrive_and_the_rest_is_not_for_the_publication() {
    for version in supported_versions() {
        let database = Postgres::version(version).await.database().await;
        database
            .execute(
                "create table bare (id int, big text); alter table bare alter big set storage external;
                 create table nothing (id int primary key, big text); alter table nothing replica identity nothing;
                 alter table nothing alter big set storage external;
                 create publication appended for table bare, nothing with (publish = 'insert, truncate')",
            )
            .await;
        let mut flows = Vec::new();
        for (format, envelope) in SHAPES.into_iter().filter(|(format, _)| *format == "json") {
            let name = format!("{}_{envelope}", database.name());
            let mut flow = Flow::at(&database.url(), &name, &Shape { format, envelope, ..Shape::default() });
            flow.edit("tables: [\"public.*\"]", "publication: appended");
            flow.create().await;
            flows.push((flow, envelope));
        }
        for table in ["bare", "nothing"] {
            database
                .execute(&format!(
                    "insert into {table} select 1, repeat('x', 20000); insert into {table} values (2, null); update {table} set id = id + 2;
                     delete from {table} where id = 3; insert into {table} values (5, '')"
                ))
                .await;
            database.execute(&format!("truncate {table}")).await;
        }
        for (flow, envelope) in flows {
            flow.drain().await;
            for table in ["public.bare", "public.nothing"] {
                let records = flow.records(table);
                let flat = envelope == "flat";
                let row = |record: &Value| if flat { record.clone() } else { record["after"].clone() };
                let op = |record: &Value| record[if flat { "_op" } else { "op" }].clone();
                let shown: Vec<Value> = records
                    .iter()
                    .map(|record| {
                        json!([
                            op(record),
                            row(record).get("id"),
                            row(record).get("big"),
                            record.get("key"),
                            record.get("_old_key")
                        ])
                    })
                    .collect();
                let expected = [
                    json!(["insert", 1, "x".repeat(20_000), null, null]),
                    json!(["insert", 2, null, null, null]),
                    json!(["insert", 5, "", null, null]),
                    json!(["truncate", null, null, null, null]),
                ];
                assert_eq!(shown, expected, "{table}, {envelope}");
            }
        }
    }
}
