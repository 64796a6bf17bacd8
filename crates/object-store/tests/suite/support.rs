//! Places to write to, a codec whose output is easy to read back, and batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::Int32Array;
use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use ductstream_core::{
    Ancestors, ChangeBatch, Codec, Column, Destination, DestinationStart, Durable, Envelope, Lsn, ObjectEncoder,
    OldImage, Op, PgType, Position, ReplicaIdentity, Result, Run, SourceIdentity, TableChunk, TableName, TableSchema,
    WireFormat,
};
use ductstream_object_store::{FileSettings, Manifest, ObjectStoreDestination, S3Settings, Settings};
use ductstream_testkit::conformance::destination::Place;
use ductstream_testkit::s3::S3Server;
use serde_json::json;

/// 2025-11-23 11:00:00 UTC.
pub(crate) const ELEVEN: i64 = 1_763_895_600_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000;

/// One line per record: its position, then filler. Small objects stay in the encoder; `take` gives whole lines.
pub(crate) struct Lines {
    pub(crate) filler: usize,
}

struct LinesEncoder {
    filler: usize,
    buffer: Vec<u8>,
    taken: u64,
}

impl Codec for Lines {
    fn format(&self) -> WireFormat {
        WireFormat::Json
    }

    fn envelope(&self) -> Envelope {
        Envelope::Flat
    }

    fn extension(&self) -> &'static str {
        "lines"
    }

    fn encoder(&self, _: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        Ok(Box::new(LinesEncoder { filler: self.filler, buffer: Vec::new(), taken: 0 }))
    }
}

impl ObjectEncoder for LinesEncoder {
    fn append(&mut self, chunk: &TableChunk, rows: std::ops::Range<usize>) -> Result<()> {
        for row in rows {
            self.buffer.extend_from_slice(chunk.positions[row].object_name().as_bytes());
            self.buffer.resize(self.buffer.len() + self.filler, b'.');
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        self.taken += self.buffer.len() as u64;
        std::mem::take(&mut self.buffer)
    }

    fn ready_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn memory_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn size_bytes(&self) -> u64 {
        self.taken + self.buffer.len() as u64
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.buffer)
    }
}

/// Reads the positions back from the bytes of an object.
pub(crate) fn read_lines(bytes: &[u8]) -> Vec<Position> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| Position::from_object_name(&line[..33]).expect("a position")).collect()
}

/// A directory, given up when dropped.
pub(crate) struct Directory {
    pub(crate) root: tempfile::TempDir,
    pub(crate) more: serde_json::Value,
    pub(crate) filler: usize,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// A directory with further settings.
    pub(crate) fn with(more: serde_json::Value) -> Self {
        Self { root: tempfile::tempdir().unwrap(), more, filler: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("out")
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut json = json!({"path": self.path(), "prefix": "shop"});
        merge(&mut json, &self.more);
        serde_json::from_value::<FileSettings>(json).unwrap().into()
    }

    pub(crate) fn writer(&self) -> ObjectStoreDestination {
        ObjectStoreDestination::new(self.settings(), Arc::new(Lines { filler: self.filler })).unwrap()
    }

    pub(crate) fn files(&self) -> Vec<String> {
        files_below(&self.path())
    }

    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        manifests_below(&self.path().join("shop"))
    }

    pub(crate) fn read_all(&self) -> Vec<Position> {
        read_below(&self.path())
    }
}

#[async_trait]
impl Place for Directory {
    fn destination(&self) -> Box<dyn Destination> {
        Box::new(self.writer())
    }

    async fn read(&self) -> Vec<Position> {
        self.read_all()
    }
}

/// A prefix of a server's bucket.
pub(crate) struct Bucket {
    pub(crate) server: Arc<S3Server>,
    pub(crate) more: serde_json::Value,
    pub(crate) filler: usize,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    pub(crate) fn with(more: serde_json::Value) -> Self {
        Self { server: Arc::new(S3Server::start()), more, filler: 0 }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = json!({
            "bucket": self.server.bucket(),
            "endpoint": self.server.endpoint(),
            "access_key_id": self.server.access_key(),
            "secret_access_key": self.server.secret_key(),
            "prefix": "shop",
            "retry_for": "2s",
            "request_timeout": "10s",
        });
        merge(&mut json, &self.more);
        json
    }

    pub(crate) fn settings(&self) -> Settings {
        serde_json::from_value::<S3Settings>(self.json()).unwrap().into()
    }

    pub(crate) fn writer(&self) -> ObjectStoreDestination {
        ObjectStoreDestination::new(self.settings(), Arc::new(Lines { filler: self.filler })).unwrap()
    }

    pub(crate) fn files(&self) -> Vec<String> {
        files_below(&self.server.root())
    }

    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        manifests_below(&self.server.root().join("shop"))
    }

    pub(crate) fn read_all(&self) -> Vec<Position> {
        read_below(&self.server.root())
    }
}

#[async_trait]
impl Place for Bucket {
    fn destination(&self) -> Box<dyn Destination> {
        Box::new(self.writer())
    }

    async fn read(&self) -> Vec<Position> {
        self.read_all()
    }
}

fn merge(json: &mut serde_json::Value, more: &serde_json::Value) {
    for (key, value) in more.as_object().unwrap() {
        json[key] = value.clone();
    }
}

/// Every file below a directory, relative to it, in order.
pub(crate) fn files_below(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read_below(root: &Path) -> Vec<Position> {
    let objects = files_below(root).into_iter().filter(|name| name.ends_with(".lines"));
    objects.flat_map(|name| read_lines(&std::fs::read(root.join(name)).unwrap())).collect()
}

fn manifests_below(prefix: &Path) -> Vec<Manifest> {
    let names = files_below(&prefix.join("_cuts")).into_iter();
    names
        .map(|name| serde_json::from_slice(&std::fs::read(prefix.join("_cuts").join(name)).unwrap()).unwrap())
        .collect()
}

pub(crate) fn at(lsn: u64) -> Position {
    Position::start_of(Lsn(lsn))
}

pub(crate) fn source() -> SourceIdentity {
    SourceIdentity { system_identifier: "7301".into(), timeline: 1, database: "shop".into(), slot: "s".into() }
}

pub(crate) fn start(position: Position, stored: Option<Position>) -> DestinationStart {
    DestinationStart { flow: "orders".into(), source: source(), ancestors: Ancestors::default(), position, stored }
}

/// A flow's first start.
pub(crate) fn first() -> DestinationStart {
    start(at(1), None)
}

pub(crate) fn bound(lsn: u64) -> Arc<ChangeBatch> {
    Arc::new(ChangeBatch { end: at(lsn), ..ChangeBatch::default() })
}

/// One transaction that commits at `lsn`, with `rows` records of `public.{table}`; its end is `lsn + 1`.
pub(crate) fn batch(lsn: u64, table: &str, rows: u64) -> Arc<ChangeBatch> {
    batch_at(lsn, table, &vec![ELEVEN; usize::try_from(rows).unwrap()])
}

/// The same, with a commit time for each record.
pub(crate) fn batch_at(lsn: u64, table: &str, commit_times: &[i64]) -> Arc<ChangeBatch> {
    let rows = commit_times.len();
    let pg_type = PgType { oid: 23, typmod: -1, name: "integer".into() };
    let column = Column { pg_type, field: Arc::new(Field::new("id", DataType::Int32, true)) };
    let schema = TableSchema::new(TableName::new("public", table), 1, 1, ReplicaIdentity::Default, vec![column]);
    let chunk = TableChunk {
        schema: Arc::new(schema),
        ops: vec![Op::Insert; rows],
        positions: (0..rows as u64).map(|seq| Position::new(Lsn(lsn), seq)).collect(),
        xids: vec![1; rows],
        commit_times: commit_times.to_vec(),
        after: vec![Arc::new(Int32Array::from(vec![0; rows]))],
        before: None,
        old: vec![OldImage::None; rows],
        unchanged: None,
        wire_bytes: 4 * rows as u64,
    };
    let runs = vec![Run { chunk: 0, rows: u32::try_from(rows).unwrap() }];
    Arc::new(ChangeBatch { chunks: vec![chunk], runs, end: at(lsn + 1), ..ChangeBatch::default() })
}

/// Waits for progress, and not for ever.
pub(crate) async fn progress(destination: &mut ObjectStoreDestination) -> Durable {
    let durable = tokio::time::timeout(Duration::from_secs(60), destination.progress()).await;
    durable.expect("progress within a minute").unwrap()
}

pub(crate) fn name(lsn: u64) -> String {
    at(lsn).object_name()
}
