//! Cuts: all open objects closed at one position, committed by a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use ductstream_core::{DestinationStatus, Error, Position, Result, SourceIdentity, TableName};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::writer::{Context, ObjectPlace, OpenObject, OpenObjects};

/// The version of the manifest's shape that this crate writes.
const MANIFEST_VERSION: u32 = 1;

/// What commits a cut: `{prefix}/_cuts/{position}.json`.
///
/// A reader that takes the objects of the manifests, and of nothing else, sees each record of the flow exactly once, and all tables
/// at one position of the source's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The flow that writes below this prefix.
    pub flow: String,
    /// The version of this shape: 1.
    pub version: u32,
    /// The source that the positions belong to.
    pub source: SourceIdentity,
    /// The cut: every record before it is in this cut's objects or in those of an earlier one.
    pub position: Position,
    /// Position of the cut before; null in the first one.
    pub previous: Option<Position>,
    /// This cut's objects hold the records from here on. Equals `previous`, unless the flow did not go on where that cut ended.
    pub from: Position,
    /// When the manifest was written: ISO 8601, UTC.
    pub created_at: String,
    /// The objects of this cut.
    pub objects: Vec<ManifestObject>,
}

/// One object of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// The object's name, without the prefix.
    pub path: String,
    /// The table.
    pub table: TableName,
    /// The version of the table's schema; every record of the object has it.
    pub schema_version: u32,
    /// Number of records.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Position of the first record.
    pub first: Position,
    /// Position of the last record.
    pub last: Position,
    /// The partition, such as `date=2026-11-23/hour=11`; null when the table is not partitioned.
    pub partition: Option<String>,
}

/// Where a cut stands in the chain of cuts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) position: Position,
    pub(crate) previous: Option<Position>,
    pub(crate) from: Position,
}

/// A cut that is durable.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) position: Position,
    tables: BTreeMap<TableName, (u64, u64)>,
    objects: u64,
}

impl Committed {
    /// Adds what this cut made durable to the destination's counters.
    pub(crate) fn count(self, status: &mut DestinationStatus) {
        status.objects += self.objects;
        for (table, (rows, bytes)) in self.tables {
            status.records += rows;
            status.bytes += bytes;
            let counted = status.tables.entry(table).or_default();
            counted.0 += rows;
            counted.1 += bytes;
        }
    }
}

/// Makes everything in `open` durable: the objects first, then the manifest that commits them. Dropped half done, it leaves objects that
/// no manifest names.
pub(crate) async fn commit(open: OpenObjects, link: Link, context: Arc<Context>) -> Result<Committed> {
    let objects: Vec<ManifestObject> = stream::iter(open.into_objects())
        .map(|(place, object)| put_object(place, object, &context))
        .buffered(limits::OBJECTS_IN_FLIGHT)
        .try_collect()
        .await?;
    failpoint_before_manifest()?;
    let committed = Committed { position: link.position, tables: count(&objects), objects: objects.len() as u64 };
    let manifest = Manifest {
        flow: context.flow.clone(),
        version: MANIFEST_VERSION,
        source: context.source.clone(),
        position: link.position,
        previous: link.previous,
        from: link.from,
        created_at: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        objects,
    };
    put_manifest(&manifest, &context).await?;
    failpoint_after_manifest()?;
    Ok(committed)
}

async fn put_object(place: ObjectPlace, object: OpenObject, context: &Context) -> Result<ManifestObject> {
    failpoint_before_object()?;
    let (rows, first, last) = (object.rows, object.first, object.last);
    let path = context.names.relative(&object.path);
    let bytes = object.finish(context).await.map_err(|error| error.context(format!("table {}", place.table)))?;
    let ObjectPlace { table, schema_version, partition } = place;
    Ok(ManifestObject { path, table, schema_version, rows, bytes, first, last, partition })
}

async fn put_manifest(manifest: &Manifest, context: &Context) -> Result<()> {
    let path = context.names.manifest(manifest.position)?;
    let json = serde_json::to_vec_pretty(manifest)
        .map_err(|error| Error::bug("a manifest cannot be written as JSON").with_source(error))?;
    let put = context.target.store.put(&path, json.into()).await;
    put.map_err(|error| context.target.explain(error, &format!("put manifest {path} into")))?;
    Ok(())
}

fn count(objects: &[ManifestObject]) -> BTreeMap<TableName, (u64, u64)> {
    let mut tables: BTreeMap<TableName, (u64, u64)> = BTreeMap::new();
    for object in objects {
        let counted = tables.entry(object.table.clone()).or_default();
        counted.0 += object.rows;
        counted.1 += object.bytes;
    }
    tables
}

macro_rules! failpoint {
    ($function:ident, $name:literal) => {
        fn $function() -> Result<()> {
            fail::fail_point!($name, |_| Err(Error::retry(concat!("failpoint ", $name))));
            Ok(())
        }
    };
}

failpoint!(failpoint_before_object, "object_store::before_object");
failpoint!(failpoint_before_manifest, "object_store::before_manifest");
failpoint!(failpoint_after_manifest, "object_store::after_manifest");
