//! What a destination does before the first batch: finds the last cut, and removes what a crash left beyond it.

use std::path::{Path as FilePath, PathBuf};

use chrono::Days;
use ductstream_core::{DestinationStart, Error, Position, Result, SourceIdentity};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::check::belongs_to;
use crate::cut::Manifest;
use crate::failure::explain_io;
use crate::limits;
use crate::names::{Names, date_directory, parse_date};
use crate::store::{Target, sync_directory};
use crate::writer::blocking;

/// The store at the end of the last run.
pub(crate) struct Recovery<'a> {
    pub(crate) target: &'a Target,
    pub(crate) names: &'a Names,
    pub(crate) start: &'a DestinationStart,
}

impl Recovery<'_> {
    /// Finds the last cut and removes everything of this destination's beyond it. Returns the cut's position.
    pub(crate) async fn run(&self) -> Result<Option<Position>> {
        let last = self.last_cut().await?;
        // Not before it is known that what lies here is this flow's.
        if let Some(root) = &self.target.directory {
            self.tidy_directory(root).await?;
        }
        let cut = last.as_ref().map(|manifest| manifest.position);
        if let Some(stored) = self.start.stored.filter(|stored| cut < Some(*stored)) {
            return Err(self.lost(stored).await?);
        }
        self.probe().await?;
        let removed = self.remove_beyond(last.as_ref()).await?;
        if removed > 0 {
            tracing::info!(destination = self.target.url, removed, "removed objects that no cut had committed");
        }
        Ok(cut)
    }

    /// Puts and deletes an object, so that a destination that cannot be written to says so before the first record.
    async fn probe(&self) -> Result<()> {
        let path = self.names.probe()?;
        let store = &self.target.store;
        let put = store.put(&path, bytes::Bytes::from_static(b"ductstream").into()).await;
        put.map_err(|error| self.target.explain(error, "write to"))?;
        store.delete(&path).await.map_err(|error| self.target.explain(error, "delete objects in"))
    }

    /// The last manifest whose cut is whole.
    async fn last_cut(&self) -> Result<Option<Manifest>> {
        let mut cuts = self.cuts(self.start.stored).await?;
        cuts.sort_unstable();
        while let Some(position) = cuts.pop() {
            let manifest = self.read_manifest(position).await?;
            if manifest.flow != self.start.flow {
                return Err(belongs_to(&self.target.url, &manifest.flow, &self.start.flow));
            }
            if !same_history(&manifest.source, &self.start.source) {
                return Err(self.other_source(&manifest));
            }
            // Before the flow's own position, a checkpoint vouches for it.
            if position > self.start.position && !self.in_the_past(&manifest) {
                return Err(self.other_timeline(&manifest));
            }
            // A checkpoint vouches for the cuts before its position, whatever became of their objects since then.
            if position <= self.start.position || self.is_whole(&manifest).await? {
                return Ok(Some(manifest));
            }
            // The manifest arrived after the process that had sent it was given up, and the objects that it names were removed or
            // written anew by the next one. No checkpoint counts on it, so the records come again.
            tracing::warn!(destination = self.target.url, %position, "removing a manifest whose objects are gone");
            self.delete_all(vec![self.names.manifest(position)?]).await?;
        }
        Ok(None)
    }

    /// Whether the changes before the cut are in the past of the server that the flow reads now.
    fn in_the_past(&self, manifest: &Manifest) -> bool {
        let timeline = manifest.source.timeline;
        timeline == self.start.source.timeline || self.start.ancestors.share(timeline, manifest.position)
    }

    /// Positions of the cuts from `from` on.
    async fn cuts(&self, from: Option<Position>) -> Result<Vec<Position>> {
        let store = &self.target.store;
        let directory = self.names.cuts()?;
        let listing = match from {
            Some(from) => store.list_with_offset(Some(&directory), &self.names.manifests_from(from)?),
            None => store.list(Some(&directory)),
        };
        listing
            .try_filter_map(|meta| future::ready(Ok(self.names.manifest_position(&meta.location))))
            .try_filter(|position| future::ready(Some(*position) >= from))
            .try_collect()
            .await
            .map_err(|error| self.target.explain(error, "list the manifests in"))
    }

    async fn read_manifest(&self, position: Position) -> Result<Manifest> {
        let path = self.names.manifest(position)?;
        let explain = |error| self.target.explain(error, &format!("read manifest {path} of"));
        let bytes = self.target.store.get(&path).await.map_err(explain)?.bytes().await.map_err(explain)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::configuration(format!("{path} in {} is not a manifest", self.target.url))
                .with_source(error)
                .with_remedy("restore the manifest, or set `prefix` to one that is not in use")
        })
    }

    /// Whether every object that the manifest names is there, with the size that it names.
    async fn is_whole(&self, manifest: &Manifest) -> Result<bool> {
        let mut lookups = Vec::with_capacity(manifest.objects.len());
        for object in &manifest.objects {
            lookups.push(self.has(self.names.below(&object.path)?, object.bytes));
        }
        let mut found = stream::iter(lookups).buffer_unordered(limits::REQUESTS_IN_FLIGHT);
        while let Some(found) = found.try_next().await? {
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has(&self, path: Path, bytes: u64) -> Result<bool> {
        match self.target.store.head(&path).await {
            Ok(meta) => Ok(meta.size == bytes),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.target.explain(error, &format!("look up {path} in"))),
        }
    }

    /// Removes this destination's objects from where the flow goes on. Objects before that are never touched: nobody would send their
    /// records again.
    async fn remove_beyond(&self, last: Option<&Manifest>) -> Result<u64> {
        let from = last.map_or(self.start.position, |manifest| manifest.position.max(self.start.position));
        let tables = self.target.store.list_with_delimiter(Some(self.names.prefix())).await;
        let tables = tables.map_err(|error| self.target.explain(error, "list the tables in"))?.common_prefixes;
        let mut removed = 0;
        for table in tables.iter().filter(|table| self.names.is_table_directory(table)) {
            let leftovers = self.leftovers(table, from, last).await;
            let leftovers = leftovers.map_err(|error| self.target.explain(error, "list the objects in"))?;
            removed += leftovers.len() as u64;
            self.delete_all(leftovers).await?;
        }
        Ok(removed)
    }

    async fn leftovers(
        &self,
        table: &Path,
        from: Position,
        last: Option<&Manifest>,
    ) -> object_store::Result<Vec<Path>> {
        let mut listing = self.listing(table, from, last)?;
        let mut leftovers = Vec::new();
        while let Some(meta) = listing.try_next().await? {
            if self.names.object_position(&meta.location).is_some_and(|position| position >= from) {
                leftovers.push(meta.location);
            }
        }
        Ok(leftovers)
    }

    /// A listing of a table's directory that misses no leftover, and is as short as the store allows.
    fn listing(
        &self,
        table: &Path,
        from: Position,
        last: Option<&Manifest>,
    ) -> object_store::Result<BoxStream<'static, object_store::Result<ObjectMeta>>> {
        let store = &self.target.store;
        let offset = |name: String| Path::parse(format!("{table}/{name}"));
        let direct = store.list_with_offset(Some(table), &offset(from.object_name())?);
        // Directories of partitions sort behind every object that lies beside them, so that listing runs through all of them.
        let oldest =
            last.and_then(|manifest| manifest.objects.iter().filter_map(|o| parse_date(o.partition.as_deref()?)).min());
        // The server's clock may be set back; a day is more than that.
        let Some(date) = oldest.and_then(|date| date.checked_sub_days(Days::new(1))) else { return Ok(direct) };
        if self.target.directory.is_some() {
            return Ok(direct);
        }
        let partitions_begin = offset("date=".into())?;
        let direct = direct.try_take_while(move |meta| future::ready(Ok(meta.location < partitions_begin)));
        let partitions = store.list_with_offset(Some(table), &offset(date_directory(date))?);
        Ok(direct.chain(partitions).boxed())
    }

    async fn delete_all(&self, paths: Vec<Path>) -> Result<()> {
        let mut deleted = self.target.store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.target.explain(error, "remove uncommitted objects from")),
            }
        }
        Ok(())
    }

    async fn tidy_directory(&self, root: &FilePath) -> Result<()> {
        let (root, names, url) = (root.to_path_buf(), self.names.clone(), self.target.url.clone());
        blocking(move || tidy(&root, &names).map_err(|error| explain_io(error, "clean up", &url))).await
    }

    async fn lost(&self, stored: Position) -> Result<Error> {
        let last = self.cuts(None).await?.into_iter().max();
        let found = last.map_or("there is no cut at all".to_owned(), |last| format!("its last cut is at {last}"));
        let message = format!("{} had committed a cut at {stored}, and now {found}: data is missing", self.target.url);
        Ok(Error::resync(message)
            .with_remedy("restore the manifests under `_cuts`, or load the flow anew into another prefix"))
    }

    /// The cut holds what the promoted or restored server never had, and skipping up to it would skip what that server writes now.
    fn other_timeline(&self, manifest: &Manifest) -> Error {
        let (timeline, own) = (manifest.source.timeline, self.start.source.timeline);
        let why = match self.start.ancestors.left(timeline) {
            Some(end) => format!("the server, on timeline {own} now, has timeline {timeline} only up to {end}"),
            None => format!("the server is on timeline {own}, which does not descend from timeline {timeline}"),
        };
        Error::resync(format!(
            "{} holds a cut at {} of timeline {timeline}, beyond the flow's position {}, and {why}",
            self.target.url, manifest.position, self.start.position,
        ))
        .with_remedy("set `prefix` to an empty one, and compare the former one with the tables")
    }

    fn other_source(&self, manifest: &Manifest) -> Error {
        let name =
            |source: &SourceIdentity| format!("database {:?} of system {}", source.database, source.system_identifier);
        Error::resync(format!(
            "{} holds cuts of {}, and flow {:?} now reads {}: positions of the two cannot be compared",
            self.target.url,
            name(&manifest.source),
            self.start.flow,
            name(&self.start.source),
        ))
        .with_remedy("point the flow at the source that it had before, or set `prefix` to an empty one")
    }
}

/// Whether positions of the two sources belong to one history. A promotion or another slot does not begin a new one.
fn same_history(one: &SourceIdentity, other: &SourceIdentity) -> bool {
    one.system_identifier == other.system_identifier && one.database == other.database
}

/// Removes the half-written files of a process that was killed (`name#1`), and syncs the directories: the process may have been
/// killed between creating one and syncing it.
fn tidy(root: &FilePath, names: &Names) -> std::io::Result<()> {
    let base = root.join(names.prefix().as_ref());
    let mut directories: Vec<(PathBuf, String, u8)> = vec![(base, names.prefix().to_string(), 0)];
    while let Some((directory, path, depth)) = directories.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < 3 && is_own_directory(&name, depth) {
                directories.push((entry.path(), below, depth + 1));
            } else if kind.is_file() && is_half_written(&below, names) {
                std::fs::remove_file(entry.path())?;
            }
        }
        sync_directory(&directory)?;
    }
    Ok(())
}

fn is_own_directory(name: &str, depth: u8) -> bool {
    if depth == 0 { name.contains('.') || name == "_cuts" } else { name.contains('=') }
}

fn is_half_written(path: &str, names: &Names) -> bool {
    let Some((whole, attempt)) = path.rsplit_once('#') else { return false };
    let numbered = !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_digit());
    let Ok(whole) = Path::parse(whole) else { return false };
    let ours = names.object_position(&whole).is_some()
        || names.manifest_position(&whole).is_some()
        || names.probe().is_ok_and(|probe| probe == whole);
    numbered && ours
}
