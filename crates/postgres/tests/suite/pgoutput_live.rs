//! The parser and the assembler, fed with what real servers send.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use ductstream_core::{Barrier, ChangeBatch, OldImage, Op, Position};
use ductstream_postgres::assemble::{Assembler, AssemblerSettings, Pushed};
use ductstream_postgres::pgoutput::{Message, Parser, Tuple};
use ductstream_postgres::types::{SpecialValues, TypeCatalog};
use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};

/// Every message kind that a server can send.
const EVERY_KIND: [&str; 19] = [
    "Begin",
    "Begin Prepare",
    "Commit",
    "Commit Prepared",
    "Delete",
    "Insert",
    "Message",
    "Origin",
    "Prepare",
    "Relation",
    "Rollback Prepared",
    "Stream Abort",
    "Stream Commit",
    "Stream Prepare",
    "Stream Start",
    "Stream Stop",
    "Truncate",
    "Type",
    "Update",
];

/// Those of them that come with version 15: prepared transactions.
const TWO_PHASE_KINDS: [&str; 5] =
    ["Begin Prepare", "Commit Prepared", "Prepare", "Rollback Prepared", "Stream Prepare"];

/// Protocol and kind of streaming, as far as each version has them.
fn protocols(version: u16) -> &'static [(u8, &'static str)] {
    match version {
        16.. => &[(3, "on"), (4, "parallel")],
        15 => &[(3, "on")],
        _ => &[(2, "on")],
    }
}

/// `{name}` stands for a name that is unique in the cluster.
const HISTORY: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('sad', 'happy')",
    "CREATE TABLE orders (id int PRIMARY KEY, note text, mood mood)",
    "CREATE TABLE whole (id int, note text)",
    "ALTER TABLE whole REPLICA IDENTITY FULL",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "INSERT INTO orders VALUES (1, 'one', 'sad'), (2, NULL, 'happy')",
    "UPDATE orders SET note = 'uno' WHERE id = 1",
    "UPDATE orders SET id = 3 WHERE id = 1",
    "DELETE FROM orders WHERE id = 2",
    "INSERT INTO whole VALUES (1, 'one')",
    "UPDATE whole SET note = 'uno'",
    "DELETE FROM whole",
    "TRUNCATE orders, whole RESTART IDENTITY CASCADE",
    "SELECT pg_logical_emit_message(true, 'inside', 'content')",
    "SELECT pg_logical_emit_message(false, 'outside', 'content')",
    "SELECT pg_replication_origin_create('{name}-upstream')",
    "SELECT pg_replication_origin_session_setup('{name}-upstream')",
    "BEGIN; SELECT pg_replication_origin_xact_setup('0/1234', now()); INSERT INTO orders VALUES (4); COMMIT",
    "SELECT pg_replication_origin_session_reset()",
    "BEGIN; INSERT INTO orders VALUES (5); PREPARE TRANSACTION '{name}-kept'",
    "COMMIT PREPARED '{name}-kept'",
    "BEGIN; INSERT INTO orders VALUES (6); PREPARE TRANSACTION '{name}-dropped'",
    "ROLLBACK PREPARED '{name}-dropped'",
    "BEGIN; INSERT INTO whole SELECT n, repeat('x', 100) FROM generate_series(1, 3000) n; PREPARE TRANSACTION '{name}-large'",
    "COMMIT PREPARED '{name}-large'",
    "BEGIN; INSERT INTO whole SELECT n, repeat('x', 100) FROM generate_series(1, 3000) n; \
     SAVEPOINT s; INSERT INTO orders SELECT n, repeat('y', 100) FROM generate_series(1000, 4000) n; ROLLBACK TO s; \
     INSERT INTO whole SELECT n, repeat('z', 100) FROM generate_series(1, 3000) n; COMMIT",
];

async fn create_slot(database: &TestDatabase, two_phase: bool) {
    let name = database.name();
    database
        .execute(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', false, {two_phase})"))
        .await;
}

/// All messages since the slot was made.
async fn messages(database: &TestDatabase, options: &str) -> Vec<Vec<u8>> {
    let client = database.connect().await;
    client.batch_execute("SET logical_decoding_work_mem = '64kB'").await.expect("a setting");
    let sql = format!(
        "SELECT data FROM pg_logical_slot_peek_binary_changes('{}', NULL, NULL, 'publication_names', 'everything', {options})",
        database.name()
    );
    let rows = client.query(&sql, &[]).await.expect("changes");
    rows.iter().map(|row| row.get(0)).collect()
}

fn read_to_the_end(message: &Message<'_>) {
    let whole = |tuple: Tuple<'_>| {
        let mut values = tuple.values();
        assert!(values.by_ref().all(|value| value.is_ok()), "every value is read");
        values.end().expect("nothing behind the row");
    };
    match message {
        Message::Insert(insert) => whole(insert.new),
        Message::Update(update) => {
            update.old.iter().for_each(|old| whole(old.tuple()));
            whole(update.new);
        }
        Message::Delete(delete) => whole(delete.old.tuple()),
        _ => {}
    }
}

#[tokio::test]
async fn every_kind_of_message_is_read_as_real_servers_send_it() {
    for version in supported_versions() {
        // Given a history that makes the server send everything it can
        let database = Postgres::version(version).await.database().await;
        create_slot(&database, version >= 15).await;
        for sql in HISTORY {
            database.execute(&sql.replace("{name}", database.name())).await;
        }
        for (protocol, streaming) in protocols(version) {
            let options = format!(
                "'proto_version', '{protocol}', 'streaming', '{streaming}', 'binary', 'true', 'messages', 'true'"
            );
            // When its messages are parsed
            let mut parser = Parser::new();
            let mut kinds = BTreeSet::new();
            for frame in messages(&database, &options).await {
                let parsed = parser.parse(&frame).unwrap_or_else(|error| panic!("{version}: {error} in {frame:?}"));
                read_to_the_end(&parsed.message);
                if let Message::StreamAbort(abort) = &parsed.message {
                    assert_eq!(
                        abort.at.is_some(),
                        *protocol == 4,
                        "only parallel streaming tells where it was aborted"
                    );
                }
                kinds.insert(parsed.message.kind().as_str());
            }
            // Then each kind was among them
            let mut expected = BTreeSet::from(EVERY_KIND);
            expected.retain(|kind| version >= 15 || !TWO_PHASE_KINDS.contains(kind));
            assert_eq!(kinds, expected, "version {version}, protocol {protocol}");
        }
    }
}

/// Assembles all messages, with the one primary key of these tests given when it is asked for.
fn assemble(messages: &[Vec<u8>], batch_bytes: usize) -> Vec<ChangeBatch> {
    let settings =
        AssemblerSettings { special_values: SpecialValues::Error, batch_bytes, messages: true, declarations: false };
    let mut assembler = Assembler::new(settings, TypeCatalog::new(), Vec::new(), Position::default());
    for message in messages {
        if let Pushed::NeedRelation(need) = assembler.push(message).expect("a good message") {
            assembler.set_relation_key(need.oid, vec!["id".to_owned()]);
            assert_eq!(assembler.push(message).expect("a good message"), Pushed::Done);
        }
    }
    std::iter::from_fn(|| assembler.take()).collect()
}

fn text(columns: &[arrow_array::ArrayRef], column: usize, row: usize) -> Option<String> {
    use arrow_array::Array;
    let column = columns[column].as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

#[tokio::test]
async fn a_toasted_value_that_did_not_change_is_unchanged_by_default_and_filled_under_full_identity() {
    for version in supported_versions() {
        // Given a row with a value that PostgreSQL stores out of line
        let database = Postgres::version(version).await.database().await;
        let toasted = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n";
        database.execute("CREATE TABLE notes (id int PRIMARY KEY, title text, body text)").await;
        database.execute("CREATE PUBLICATION everything FOR ALL TABLES").await;
        create_slot(&database, false).await;
        database.execute(&format!("INSERT INTO notes VALUES (1, 'a', ({toasted}))")).await;
        let body = database.query_value(toasted).await;
        // When another column is updated, under each identity
        database.execute("UPDATE notes SET title = 'b'").await;
        database.execute("ALTER TABLE notes REPLICA IDENTITY FULL").await;
        database.execute("UPDATE notes SET title = 'c'").await;
        let batches = assemble(&messages(&database, "'proto_version', '1'").await, 1 << 20);
        // Then it is unchanged, and the old row's value
        let records: Vec<_> = batches.iter().flat_map(ChangeBatch::records).collect();
        assert_eq!(records.iter().map(|record| record.op()).collect::<Vec<_>>(), [Op::Insert, Op::Update, Op::Update]);
        let (by_default, full) = (records[1], records[2]);
        let unchanged = by_default.chunk.unchanged.as_ref().expect("a mask");
        assert_eq!(unchanged.columns_of(by_default.row).collect::<Vec<_>>(), [2]);
        assert_eq!(text(&by_default.chunk.after, 2, by_default.row), None);
        assert_eq!(full.chunk.old[full.row], OldImage::Full);
        assert!(full.chunk.unchanged.is_none());
        assert_eq!(text(&full.chunk.after, 2, full.row), Some(body));
        let before = full.chunk.before.as_ref().expect("an old image");
        assert_eq!(text(before, 1, full.row).as_deref(), Some("b"));
        assert_eq!(full.chunk.schema.key, [0]);
        // A new identity with the same key is no new version.
        assert!(records.iter().all(|record| record.chunk.schema.version == 1));
    }
}

#[tokio::test]
async fn schema_changes_in_the_stream_become_versions_where_they_happened() {
    for version in supported_versions() {
        // Given a table that changes between and inside transactions
        let database = Postgres::version(version).await.database().await;
        database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)").await;
        database.execute("CREATE PUBLICATION everything FOR ALL TABLES").await;
        create_slot(&database, false).await;
        for sql in [
            "INSERT INTO t VALUES (1, 'x')",
            "ALTER TABLE t ADD b int",
            "BEGIN; INSERT INTO t VALUES (2, 'x', 1); ALTER TABLE t RENAME a TO c; INSERT INTO t VALUES (3, 'y', 2); COMMIT",
            "ANALYZE t",
            "INSERT INTO t VALUES (4, 'z', 3)",
            "ALTER TABLE t ALTER b TYPE text",
            "UPDATE t SET c = 'w' WHERE id = 4",
            "BEGIN; DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, c text, b text); COMMIT",
            "INSERT INTO t VALUES (5, 'v', 'u')",
            "TRUNCATE t",
        ] {
            database.execute(sql).await;
        }
        // When it is assembled, in binary and in text
        for binary in ["false", "true"] {
            let frames = messages(&database, &format!("'proto_version', '1', 'binary', '{binary}'")).await;
            let batches = assemble(&frames, 1 << 20);
            // Then each record has the version of its time, and each version one barrier
            let records = batches.iter().flat_map(ChangeBatch::records);
            let versions: Vec<_> = records.map(|record| (record.op(), record.chunk.schema.version)).collect();
            let insert = |version| (Op::Insert, version);
            let expected = [insert(1), insert(2), insert(3), insert(3), (Op::Update, 4), insert(4), (Op::Truncate, 4)];
            assert_eq!(versions, expected, "PostgreSQL {version}");
            let barriers: Vec<_> = batches
                .iter()
                .flat_map(|batch| &batch.barriers)
                .map(|barrier| match barrier {
                    Barrier::Schema { record, .. } => format!("version {}", record.version),
                    Barrier::Truncate { tables, .. } => format!("truncate of {}", tables.len()),
                    Barrier::Message(message) => message.prefix.clone(),
                })
                .collect();
            assert_eq!(barriers, ["version 1", "version 2", "version 3", "version 4", "truncate of 1"]);
        }
    }
}
