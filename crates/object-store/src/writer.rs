//! Open objects: everything that was accepted since the last cut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ductstream_core::{
    ChangeBatch, Codec, Error, ObjectEncoder, Position, Result, SourceIdentity, TableChunk, TableName,
};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::names::{Names, Partition};
use crate::settings::{Common, PartitionBy};
use crate::store::Target;
use crate::upload::PartsUpload;

/// What open objects need to know of their destination.
pub(crate) struct Context {
    pub(crate) flow: String,
    pub(crate) source: SourceIdentity,
    pub(crate) target: Target,
    pub(crate) names: Names,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) common: Common,
    /// One permit per part on its way.
    pub(crate) parts_in_flight: Arc<Semaphore>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ObjectKey {
    table: TableName,
    schema_version: u32,
    partition: Option<Partition>,
}

/// The open objects of all tables.
#[derive(Default)]
pub(crate) struct OpenObjects {
    objects: BTreeMap<ObjectKey, OpenObject>,
    rows: u64,
    since: Option<Instant>,
}

impl OpenObjects {
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// When the first record came.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Encodes a batch. Takes processor time in proportion to it: not for a task that others wait for.
    pub(crate) fn append(&mut self, batch: &ChangeBatch, context: &Context) -> Result<()> {
        for chunk in batch.chunks.iter().filter(|chunk| !chunk.is_empty()) {
            for (partition, rows) in partitions(chunk, context.common.partition) {
                self.append_rows(chunk, partition, rows, context)?;
            }
        }
        self.rows += batch.len() as u64;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn append_rows(
        &mut self,
        chunk: &TableChunk,
        partition: Option<Partition>,
        rows: Range<usize>,
        context: &Context,
    ) -> Result<()> {
        let (first, last) = (chunk.positions[rows.start], chunk.positions[rows.end - 1]);
        let key = ObjectKey { table: chunk.schema.table.clone(), schema_version: chunk.schema.version, partition };
        let object = match self.objects.entry(key) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => vacant.insert(OpenObject {
                path: context.names.object(&chunk.schema.table, partition, first)?,
                encoder: context.codec.encoder(&chunk.schema)?,
                tail: BytesMut::new(),
                sent_bytes: 0,
                upload: None,
                rows: 0,
                first,
                last,
            }),
        };
        object.rows += rows.len() as u64;
        object.last = last;
        object.encoder.append(chunk, rows)
    }

    /// Sends what is complete of large objects, in parts.
    pub(crate) async fn send_parts(&mut self, context: &Context) -> Result<()> {
        for object in self.objects.values_mut() {
            object.send_parts(context).await?;
        }
        Ok(())
    }

    /// Whether an object's size, the number of records or the memory in use calls for a cut. Age is a matter of timers.
    pub(crate) fn is_full(&self, common: &Common) -> bool {
        let objects = || self.objects.values();
        // The other half of the memory belongs to the cut that is being uploaded meanwhile.
        let memory: usize = objects().map(OpenObject::memory_bytes).sum();
        memory as u64 > common.memory_limit_bytes / 2
            || common.roll.rows.is_some_and(|rows| self.rows >= rows)
            || objects().any(|object| object.encoder.size_bytes() >= common.roll.bytes.0)
    }

    /// The objects, to be finished.
    pub(crate) fn into_objects(self) -> impl Iterator<Item = (ObjectPlace, OpenObject)> {
        self.objects.into_iter().map(|(key, object)| {
            let ObjectKey { table, schema_version, partition } = key;
            (ObjectPlace { table, schema_version, partition: partition.map(Partition::label) }, object)
        })
    }
}

/// What an object holds.
#[derive(Debug, Clone)]
pub(crate) struct ObjectPlace {
    pub(crate) table: TableName,
    pub(crate) schema_version: u32,
    pub(crate) partition: Option<String>,
}

/// An object that is being written.
pub(crate) struct OpenObject {
    pub(crate) path: Path,
    pub(crate) rows: u64,
    pub(crate) first: Position,
    pub(crate) last: Position,
    encoder: Box<dyn ObjectEncoder>,
    /// Encoded, and too little for a part.
    tail: BytesMut,
    sent_bytes: u64,
    upload: Option<PartsUpload>,
}

impl OpenObject {
    fn memory_bytes(&self) -> usize {
        self.encoder.memory_bytes() + self.tail.len()
    }

    async fn send_parts(&mut self, context: &Context) -> Result<()> {
        let part_bytes = context.part_len();
        if self.tail.len() + self.encoder.ready_bytes() < part_bytes {
            return Ok(());
        }
        // Not copied but for what fills the part that was begun, and what is left for the next: a row group is large.
        let mut taken = Bytes::from(self.encoder.take());
        // Some stores want all parts but the last to be of the same size.
        while self.tail.len() + taken.len() >= part_bytes {
            let rest = taken.split_to(part_bytes - self.tail.len());
            let part = joined(&mut self.tail, rest);
            self.send(part, context).await?;
        }
        self.tail.extend_from_slice(&taken);
        Ok(())
    }

    async fn send(&mut self, part: Bytes, context: &Context) -> Result<()> {
        self.sent_bytes += part.len() as u64;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                none.insert(PartsUpload::begin(&context.target, &self.path, context.parts_in_flight.clone()).await?)
            }
        };
        upload.send(part).await
    }

    /// Completes the object; when this returns, it is in the store under its name, whole. Returns its size.
    pub(crate) async fn finish(mut self, context: &Context) -> Result<u64> {
        let encoder = self.encoder;
        let rest = blocking(move || encoder.finish()).await?;
        let bytes = self.sent_bytes + (self.tail.len() + rest.len()) as u64;
        if self.upload.is_none() && bytes <= context.common.part_bytes {
            let payload = PutPayload::from_iter([self.tail.freeze(), Bytes::from(rest)]);
            let put = context.target.store.put(&self.path, payload).await;
            put.map_err(|error| context.target.explain(error, &format!("put object {} into", self.path)))?;
            return Ok(bytes);
        }
        let mut upload = match self.upload {
            Some(upload) => upload,
            None => PartsUpload::begin(&context.target, &self.path, context.parts_in_flight.clone()).await?,
        };
        let mut rest = Bytes::from(rest);
        while self.tail.len() + rest.len() > 0 {
            let next = rest.split_to(rest.len().min(context.part_len() - self.tail.len()));
            upload.send(joined(&mut self.tail, next)).await?;
        }
        upload.complete().await?;
        Ok(bytes)
    }
}

/// The part that was begun, and what completes it.
fn joined(begun: &mut BytesMut, rest: Bytes) -> Bytes {
    if begun.is_empty() {
        return rest;
    }
    begun.extend_from_slice(&rest);
    begun.split().freeze()
}

impl Context {
    fn part_len(&self) -> usize {
        usize::try_from(self.common.part_bytes).unwrap_or(usize::MAX)
    }
}

/// Runs of rows that belong to the same partition.
fn partitions(chunk: &TableChunk, by: PartitionBy) -> Vec<(Option<Partition>, Range<usize>)> {
    let mut runs: Vec<(Option<Partition>, Range<usize>)> = Vec::new();
    for (row, commit_time) in chunk.commit_times.iter().enumerate() {
        let partition = Partition::of(*commit_time, by);
        match runs.last_mut() {
            Some((of, rows)) if *of == partition => rows.end = row + 1,
            _ => runs.push((partition, row..row + 1)),
        }
    }
    runs
}

/// Runs what takes processor time away from the tasks that wait for sockets.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::bug("encoding a batch died").with_source(error)),
    }
}
