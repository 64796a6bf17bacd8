use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream::destination::{NullDestination, SharedOutput, StdoutDestination};
use ductstream_core::{ChangeBatch, Destination, DestinationStart, Envelope, ErrorKind, Position, SourceIdentity};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_testkit::conformance::destination::{self, Place};
use ductstream_wire::{JsonLines, JsonSettings};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A file that takes what standard output would.
struct Redirected {
    _directory: tempfile::TempDir,
    path: PathBuf,
    output: SharedOutput,
}

impl Redirected {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout");
        let file = std::fs::File::create(&path).unwrap();
        Self { _directory: directory, path, output: Arc::new(Mutex::new(file)) }
    }

    fn stdout(&self) -> StdoutDestination {
        let lines = JsonLines::new(Envelope::Native, JsonSettings::default()).unwrap();
        StdoutDestination::new(self.output.clone(), lines, CancellationToken::new())
    }

    fn lines(&self) -> Vec<Value> {
        // Whoever still prints holds the output.
        let _turn = self.output.lock();
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[async_trait]
impl Place for Redirected {
    fn destination(&self) -> Box<dyn Destination> {
        Box::new(self.stdout())
    }

    async fn read(&self) -> Vec<Position> {
        self.lines().iter().map(|line| serde_json::from_value(line["position"].clone()).unwrap()).collect()
    }
}

fn start() -> DestinationStart {
    let source = SourceIdentity { system_identifier: "1".into(), timeline: 1, database: "d".into(), slot: "s".into() };
    DestinationStart {
        flow: "f".into(),
        source,
        ancestors: Default::default(),
        position: Position::default(),
        stored: None,
    }
}

fn batch() -> Arc<ChangeBatch> {
    let (orders, notes) = (table("public.orders", 1), table("public.notes", 1));
    let batch = BatchBuilder::new().begin(10, 7, 1).insert(&orders, 1, "a").insert(&notes, 2, "b").delete(&orders, 1);
    Arc::new(batch.commit(20).build())
}

#[tokio::test]
async fn stdout_keeps_the_contract_of_destinations() {
    destination::run(Redirected::new).await;
}

#[tokio::test]
async fn stdout_prints_one_line_per_change_in_commit_order_across_tables() {
    let place = Redirected::new();
    let mut stdout = place.stdout();
    stdout.open(&start()).await.unwrap();
    stdout.write(batch()).await.unwrap();
    let durable = stdout.progress().await.unwrap();
    assert_eq!(durable.position(), batch().end);
    let printed: Vec<_> = place.lines().iter().map(|line| format!("{} {}", line["op"], line["table"])).collect();
    let expected = [r#""insert" "public.orders""#, r#""insert" "public.notes""#, r#""delete" "public.orders""#];
    assert_eq!(printed, expected);
    assert_eq!(stdout.status().records, 3);
    assert_eq!(stdout.status().bytes, std::fs::metadata(&place.path).unwrap().len());
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_flow_and_is_told_apart_from_a_failure() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let closed = CancellationToken::new();
    let lines = JsonLines::new(Envelope::Flat, JsonSettings::default()).unwrap();
    let mut stdout = StdoutDestination::new(Arc::new(Mutex::new(writer)), lines, closed.clone());
    stdout.open(&start()).await.unwrap();
    stdout.write(batch()).await.unwrap();
    reader.read_exact(&mut [0; 1]).unwrap();
    assert!(!closed.is_cancelled());
    drop(reader);
    let error = stdout.write(batch()).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Retry);
    assert!(closed.is_cancelled());
}

#[tokio::test]
async fn an_output_that_is_full_is_a_failure() {
    let full: Box<dyn Write + Send> = Box::new(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let closed = CancellationToken::new();
    let lines = JsonLines::new(Envelope::Flat, JsonSettings::default()).unwrap();
    let mut stdout = StdoutDestination::new(Arc::new(Mutex::new(full)), lines, closed.clone());
    stdout.open(&start()).await.unwrap();
    let error = stdout.write(batch()).await.unwrap_err();
    assert!(error.message().contains("standard output") && !closed.is_cancelled(), "{error}");
}

#[tokio::test]
async fn null_takes_everything_at_once_and_counts_it() {
    let mut null = NullDestination::default();
    null.open(&start()).await.unwrap();
    null.write(batch()).await.unwrap();
    assert_eq!(null.progress().await.unwrap().position(), batch().end);
    assert_eq!((null.status().records, null.status().bytes), (3, 0));
}
