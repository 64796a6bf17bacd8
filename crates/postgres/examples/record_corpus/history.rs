//! What happens in the database that is recorded: every kind of message, and values of every type.

use ductstream_testkit::postgres::TestDatabase;

use crate::cases::{Case, Read, SETUP, cases};

/// Values that print longer than this are left out: the corpus is to be small.
const VALUE_CHARACTERS: usize = 250;

/// Rows that no publication has, and enough of them that the server streams the transaction around them.
const FILLER: &str = "INSERT INTO filler SELECT repeat(md5(n::text), 60) FROM generate_series(1, 60) n";

/// `{name}` stands for a name that is unique in the cluster.
const TABLES: &[&str] = &[
    "CREATE TABLE filler (content text)",
    "CREATE TABLE orders (id int PRIMARY KEY, note text, mood mood, pair pair, labels labels, attributes hstore, \
     amount numeric(12,2), doubled int GENERATED ALWAYS AS (id * 2) STORED)",
    "CREATE TABLE whole (id int PRIMARY KEY, note text, at timestamptz)",
    "ALTER TABLE whole REPLICA IDENTITY FULL",
    "CREATE TABLE indexed (a int NOT NULL, b text NOT NULL, c jsonb)",
    "CREATE UNIQUE INDEX by_b ON indexed (b)",
    "ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_b",
    "CREATE TABLE nothing_else (a int)",
    "ALTER TABLE nothing_else REPLICA IDENTITY NOTHING",
    "CREATE TABLE toasted (id int PRIMARY KEY, a text, b text)",
    "CREATE PUBLICATION everything",
    "CREATE PUBLICATION kinds FOR TABLE orders, whole, indexed, toasted",
    "ALTER PUBLICATION everything ADD TABLE orders, whole, indexed, toasted",
    "ALTER TABLE toasted ALTER b SET STORAGE EXTERNAL",
];

const HISTORY: &[&str] = &[
    "INSERT INTO orders VALUES (1, 'one', 'sad', (1, 'a'), '{a,b}', 'a=>1', 12.34), (2, NULL, 'ok', NULL, NULL, NULL, NULL)",
    "UPDATE orders SET note = 'uno' WHERE id = 1",
    "UPDATE orders SET id = 3 WHERE id = 1",
    "DELETE FROM orders WHERE id = 2",
    "INSERT INTO whole VALUES (1, 'one', '2024-02-29 12:00+00'), (2, NULL, NULL)",
    "UPDATE whole SET note = 'uno'",
    "DELETE FROM whole WHERE id = 1",
    "INSERT INTO indexed VALUES (1, 'x', '{\"a\": [1, null]}')",
    "UPDATE indexed SET b = 'y'",
    "DELETE FROM indexed",
    "INSERT INTO toasted VALUES (1, 'short', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 80) n))",
    "UPDATE toasted SET a = 'other'",
    "ALTER TABLE toasted REPLICA IDENTITY FULL",
    "UPDATE toasted SET a = 'third'",
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
    "BEGIN; INSERT INTO whole VALUES (10, 'large'); {filler}; PREPARE TRANSACTION '{name}-large'",
    "COMMIT PREPARED '{name}-large'",
    "BEGIN; INSERT INTO whole VALUES (11, 'kept'); {filler}; SAVEPOINT s; INSERT INTO orders VALUES (11, 'undone'); \
     {filler}; ROLLBACK TO s; UPDATE whole SET note = 'after' WHERE id = 11; {filler}; \
     SELECT pg_logical_emit_message(true, 'streamed', 'content'); SAVEPOINT t; DELETE FROM whole WHERE id = 10; {filler}; \
     RELEASE t; TRUNCATE indexed; COMMIT",
    "BEGIN; INSERT INTO orders VALUES (12, 'never'); {filler}; {filler}; ROLLBACK",
    "BEGIN; INSERT INTO orders VALUES (13); ALTER TABLE orders ADD extra date DEFAULT '2024-01-01'; \
     INSERT INTO orders (id) VALUES (14); {filler}; COMMIT",
    "INSERT INTO nothing_else VALUES (1)",
];

/// Makes the types, tables and publications.
pub(crate) async fn make(database: &TestDatabase, version: u8) {
    database.execute(&format!("ALTER DATABASE {} SET logical_decoding_work_mem = '64kB'", database.name())).await;
    database.execute(SETUP).await;
    for sql in TABLES {
        database.execute(sql).await;
    }
    database.execute("ALTER PUBLICATION everything ADD TABLE nothing_else").await;
    if version >= 18 {
        database.execute("ALTER PUBLICATION kinds SET (publish_generated_columns = stored)").await;
    }
    for (index, case) in known(version) {
        database.execute(&format!("CREATE TABLE t{index} (n int PRIMARY KEY, v {})", case.sql_type)).await;
        if index % 2 == 0 {
            database.execute(&format!("ALTER TABLE t{index} REPLICA IDENTITY FULL")).await;
        }
        database.execute(&format!("ALTER PUBLICATION everything ADD TABLE t{index}")).await;
    }
}

/// Makes everything happen.
pub(crate) async fn run(database: &TestDatabase, version: u8) {
    for (index, case) in known(version) {
        database.execute(&values_of(index, case)).await;
    }
    for sql in HISTORY {
        database.execute(&sql.replace("{name}", database.name()).replace("{filler}", FILLER)).await;
    }
}

fn known(version: u8) -> impl Iterator<Item = (usize, &'static Case)> {
    // The source does not ask for binary values where a type's binary form says too little.
    let supported = move |case: &Case| case.since <= version.into() && case.read != Read::TextOnly;
    cases().enumerate().filter(move |(_, case)| supported(case))
}

/// One transaction that inserts values, and updates and deletes one.
fn values_of(index: usize, case: &Case) -> String {
    let values = case.values.iter().map(|value| format!("INSERT INTO s (v) SELECT {value} LIMIT 5;"));
    let values: String = values.collect();
    format!(
        "CREATE TEMP TABLE s (n serial, v {}); INSERT INTO s (v) SELECT NULL; {values} \
         INSERT INTO t{index} SELECT n, v FROM s WHERE v IS NOT DISTINCT FROM NULL OR length(format('%s', v)) <= {VALUE_CHARACTERS} ORDER BY n; \
         DROP TABLE s; UPDATE t{index} SET n = 1000 WHERE n = 2; DELETE FROM t{index} WHERE n = 1000",
        case.sql_type
    )
}
