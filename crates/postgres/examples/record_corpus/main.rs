//! Records the corpus of the decoder's fuzz targets and property tests: what PostgreSQL 14 to 18 send, in every protocol
//! version, in text and in binary.
//!
//! `cargo run --example record_corpus`, after `cargo xtask servers --all-postgres`. It writes to `tests/corpus`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which stops at what goes wrong"
)]

#[path = "../../tests/suite/types/cases.rs"]
#[expect(dead_code, reason = "shared with the tests, which also say how to check each value")]
mod cases;
mod columns;
#[path = "../../tests/decoder/format.rs"]
#[expect(dead_code, reason = "shared with the tests, which read what is written here")]
mod format;
mod history;
mod transactions;

use std::path::{Path, PathBuf};

use ductstream_core::Lsn;
use ductstream_postgres::connect::{Connection, ConnectionSettings, Environment, Mode};
use ductstream_postgres::pgoutput::Replication;
use ductstream_postgres::types::{SpecialValues, TypeCatalog};
use ductstream_testkit::postgres::{Postgres, TestDatabase};

use format::{Described, OLDEST, VERSIONS, options_byte, push_frame};

/// What is asked of the server.
struct Recording {
    name: &'static str,
    /// The first version that can do it.
    since: u8,
    publication: &'static str,
    two_phase: bool,
    options: &'static str,
}

const RECORDINGS: [Recording; 4] = [
    Recording { name: "plain", since: 14, publication: "everything", two_phase: false, options: "proto_version '1'" },
    Recording {
        name: "streamed",
        since: 14,
        publication: "kinds",
        two_phase: false,
        options: "proto_version '2', streaming 'on'",
    },
    Recording {
        name: "two-phase",
        since: 15,
        publication: "kinds",
        two_phase: true,
        options: "proto_version '3', streaming 'on'",
    },
    Recording {
        name: "parallel",
        since: 16,
        publication: "kinds",
        two_phase: true,
        options: "proto_version '4', streaming 'parallel'",
    },
];

#[tokio::main]
async fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for part in ["values", "transactions"] {
        std::fs::create_dir_all(corpus.join(part)).unwrap();
    }
    for version in (OLDEST..).take(VERSIONS) {
        let database = Postgres::version(version.into()).await.database().await;
        history::make(&database, version).await;
        for recording in RECORDINGS.iter().filter(|recording| recording.since <= version) {
            create_slot(&database, recording).await;
        }
        history::run(&database, version).await;
        for recording in RECORDINGS.iter().filter(|recording| recording.since <= version) {
            record(&corpus, &database, version, recording).await;
        }
        describe(&corpus, &database, version).await;
    }
}

fn slot(database: &TestDatabase, recording: &Recording) -> String {
    format!("{}_{}", database.name(), recording.name.replace('-', "_"))
}

async fn create_slot(database: &TestDatabase, recording: &Recording) {
    let (slot, two_phase) = (slot(database, recording), recording.two_phase);
    let create = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', false, {two_phase})");
    database.execute(&create).await;
}

async fn record(corpus: &Path, database: &TestDatabase, version: u8, recording: &Recording) {
    for (format, policy) in [("text", SpecialValues::Text), ("binary", SpecialValues::Null)] {
        let frames = frames(database, recording, format == "binary").await;
        let mut input = vec![version - OLDEST, options_byte(policy)];
        frames.iter().for_each(|frame| push_frame(&mut input, frame));
        let name = format!("{version}-{}-{format}", recording.name);
        write(corpus.join(format!("{name}.frames")), &input);
        println!("{name}: {} frames, {} bytes", frames.len(), input.len());
        if recording.name == "plain" && usize::from(version - OLDEST) == VERSIONS - 1 {
            write_parts(corpus, version - OLDEST, format, &frames);
        }
    }
}

/// What is recorded of the newest version, column by column and transaction by transaction.
fn write_parts(corpus: &Path, version: u8, format: &str, frames: &[Vec<u8>]) {
    let policy = SpecialValues::Text;
    for (column, input) in columns::inputs(version, policy, frames) {
        write(corpus.join(format!("values/{column}-{format}")), &input);
    }
    // Every other one in each format, to keep the corpus small.
    let parity = usize::from(format == "binary");
    let transactions = transactions::inputs(version, policy, frames).into_iter().enumerate();
    for (index, input) in transactions.filter(|(index, _)| index % 2 == parity) {
        write(corpus.join(format!("transactions/{index:03}-{format}")), &input);
    }
}

fn write(path: PathBuf, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}

/// The content of every CopyData message up to the present.
async fn frames(database: &TestDatabase, recording: &Recording, binary: bool) -> Vec<Vec<u8>> {
    let settings = ConnectionSettings::resolve_in(&database.url(), &Environment::default()).unwrap();
    let mut connection = Connection::connect(&settings, Mode::Replication).await.unwrap();
    let now: Lsn = connection.simple_query("SELECT pg_current_wal_lsn()").await.unwrap()[0].require(0).unwrap();
    let slot = slot(database, recording);
    // The connection before this one read from the slot, and the server may not have noticed yet that it is gone.
    let free = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active");
    while connection.simple_query(&free).await.unwrap()[0].require::<u32>(0).unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let Recording { publication, options, .. } = recording;
    let start = format!(
        "START_REPLICATION SLOT {slot} LOGICAL 0/0 \
         ({options}, publication_names '{publication}', binary '{binary}', messages 'true')"
    );
    let stream = connection.start_replication(&start).await.unwrap();
    let mut received = stream.buffered;
    let (mut read, _write) = stream.stream.into_split().unwrap();
    let mut frames = Vec::new();
    loop {
        while let Some(header) = received.first_chunk::<5>() {
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            if received.len() < 1 + length {
                break;
            }
            assert_eq!(header[0], b'd', "the server streams");
            frames.push(received.split_to(1 + length)[5..].to_vec());
            let last = frames.last().unwrap();
            if matches!(Replication::parse(last), Ok(Replication::Keepalive { wal_end, .. }) if wal_end >= now) {
                return frames;
            }
        }
        assert!(read.read_buf(&mut received).await.unwrap() > 0, "the server closed the stream");
    }
}

/// Writes what the catalog says of the types that the built-in ones do not explain, and of the tables under FULL.
async fn describe(corpus: &Path, database: &TestDatabase, version: u8) {
    let client = database.connect().await;
    let oids = client.query("SELECT oid FROM pg_type WHERE oid >= 16384", &[]).await.unwrap();
    let oids: Vec<u32> = oids.iter().map(|row| row.get(0)).collect();
    let rows = client.simple_query(&TypeCatalog::query(&oids)).await.unwrap();
    let types = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
        }
        _ => None,
    });
    let full = "SELECT c.oid, coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{}') \
                FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) \
                WHERE c.relreplident = 'f' GROUP BY c.oid ORDER BY c.oid";
    let keys = client.query(full, &[]).await.unwrap();
    let keys = keys.iter().map(|row| (row.get(0), row.get(1))).collect();
    let described = Described { types: types.collect(), keys };
    write(corpus.join(format!("catalog-{version}.json")), &serde_json::to_vec(&described).unwrap());
}
