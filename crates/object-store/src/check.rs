//! Preflight: would this destination work?

use std::path::Path;

use bytes::Bytes;
use ductstream_core::{Error, Finding, Result, Span};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::cut::Manifest;
use crate::failure::explain_io;
use crate::limits;
use crate::names::Names;
use crate::settings::{FileSettings, Settings};
use crate::store::Target;
use crate::writer::blocking;

/// Looks whether the flow named `flow` could write to this destination: settings, reachable and listable, not another flow's, writable.
///
/// Leaves nothing behind. In a remote store an object named `_ductstream_check` is put under the prefix and deleted again.
pub async fn check(settings: &Settings, flow: &str) -> Vec<Finding> {
    let subject = format!("destination {}", settings.url());
    let found = match refuse_other_flow(settings, flow).await {
        Ok(()) => probe(settings).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => found.into_iter().map(|message| Finding::ok(&subject, message)).collect(),
        Err(error) => vec![finding(&subject, error)],
    }
}

/// Finds out whether objects can be written, and leaves nothing behind. Returns what is in order.
pub(crate) async fn probe(settings: &Settings) -> Result<Vec<&'static str>> {
    settings.validate()?;
    match settings {
        Settings::File(file) => probe_directory(file, settings.url()).await.map(|found| vec![found]),
        remote => probe_remote(remote).await,
    }
}

fn finding(subject: &str, error: Error) -> Finding {
    let remedy = error.remedy().unwrap_or("look at the cause").to_owned();
    let report = error.report();
    let message = report.split(". To go on: ").next().unwrap_or_default();
    Finding::error(subject, message, remedy)
}

async fn probe_remote(settings: &Settings) -> Result<Vec<&'static str>> {
    let target = Target::connect(&hasty(settings))?;
    let names = Names::new(&settings.common().prefix, "")?;
    let listed = target.store.list(Some(&names.cuts()?)).next().await.transpose();
    listed.map_err(|error| target.explain(error, "list the objects in"))?;
    let probe = names.probe()?;
    let put = target.store.put(&probe, Bytes::from_static(b"ductstream").into()).await;
    put.map_err(|error| target.explain(error, "write to"))?;
    target.store.delete(&probe).await.map_err(|error| target.explain(error, "delete objects in"))?;
    Ok(vec!["reachable and listable", "objects can be put and deleted"])
}

/// A check is waited for by a person: it gives up sooner than a flow.
fn hasty(settings: &Settings) -> Settings {
    let limit = |span: &mut Span| span.0 = span.0.min(limits::CHECK_RETRY_FOR);
    let mut settings = settings.clone();
    match &mut settings {
        Settings::S3(s3) => [&mut s3.retry_for, &mut s3.request_timeout].map(limit),
        Settings::Gcs(gcs) => [&mut gcs.retry_for, &mut gcs.request_timeout].map(limit),
        Settings::Azure(azure) => [&mut azure.retry_for, &mut azure.request_timeout].map(limit),
        Settings::File(_) => [(), ()],
    };
    settings
}

/// Any manifest tells whose the prefix is: all below one prefix are of one flow.
pub(crate) async fn refuse_other_flow(settings: &Settings, flow: &str) -> Result<()> {
    settings.validate()?;
    if let Settings::File(file) = settings
        && !file.path.is_dir()
    {
        return Ok(());
    }
    let target = Target::connect(&hasty(settings))?;
    let names = Names::new(&settings.common().prefix, "")?;
    let explain = |error| target.explain(error, "list the objects in");
    let mut listing = target.store.list(Some(&names.cuts()?));
    while let Some(meta) = listing.next().await.transpose().map_err(explain)? {
        if names.manifest_position(&meta.location).is_none() {
            continue;
        }
        let bytes = target.store.get(&meta.location).await.map_err(explain)?.bytes().await.map_err(explain)?;
        let owner = serde_json::from_slice::<Manifest>(&bytes).ok().map(|manifest| manifest.flow);
        return match owner.filter(|owner| owner != flow) {
            Some(owner) => Err(belongs_to(&target.url, &owner, flow)),
            None => Ok(()),
        };
    }
    Ok(())
}

/// The error of a flow whose prefix is another's.
pub(crate) fn belongs_to(url: &str, owner: &str, flow: &str) -> Error {
    Error::configuration(format!("{url} belongs to flow {owner:?}, so flow {flow:?} cannot write there"))
        .with_remedy("set `prefix` to one that no other flow uses")
}

/// Writes a file where the directory is, or would be created, and removes it.
async fn probe_directory(settings: &FileSettings, url: String) -> Result<&'static str> {
    let path = settings.path.clone();
    blocking(move || try_directory(&path).map_err(|error| explain_io(error, "write to", &url))).await
}

fn try_directory(path: &Path) -> std::io::Result<&'static str> {
    let path = std::path::absolute(path)?;
    let Some(existing) = path.ancestors().find(|ancestor| ancestor.exists()) else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    if !existing.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    let probe = existing.join(format!("._ductstream_check_{}", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)?;
    Ok(if existing == path { "the directory is writable" } else { "the directory can be created" })
}
