//! Preflight: would this destination work?

use bytes::Bytes;
use ductstream_core::{Error, Finding, Result, Span};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::cut::Manifest;
use crate::limits;
use crate::names::Names;
use crate::settings::{FileSettings, Settings};
use crate::store::Target;

/// Looks whether the flow named `flow` could write to this destination: settings, reachable and listable, not another flow's, writable.
///
/// Leaves nothing behind. In a remote store an object named `_ductstream_check` is put under the prefix and deleted again.
pub async fn check(settings: &Settings, flow: &str) -> Vec<Finding> {
    let subject = format!("destination {}", settings.url());
    let found = match settings.validate() {
        Err(error) => Err(error),
        Ok(()) => match settings {
            Settings::FileSettings(file) => check_directory(file, flow).await,
            remote => check_remote(remote, flow).await,
        },
    };
    match found {
        Ok(found) => found.into_iter().map(|message| Finding::ok(&subject, message)).collect(),
        Err(error) => vec![finding(&subject, error)],
    }
}

fn finding(subject: &str, error: Error) -> Finding {
    let remedy = error.remedy().unwrap_or("look at the cause").to_owned();
    let report = error.report();
    let message = report.split(". To go on: ").next().unwrap_or_default();
    Finding::error(subject, message, remedy)
}

async fn check_remote(settings: &Settings, flow: &str) -> Result<Vec<String>> {
    let target = Target::connect(&hasty(settings))?;
    let names = Names::new(&settings.common().prefix, "")?;
    refuse_other_flow(&target, &names, flow).await?;
    let probe = names.probe()?;
    let put = target.store.put(&probe, Bytes::from_static(b"ductstream").into()).await;
    put.map_err(|error| target.explain(error, "write to"))?;
    target.store.delete(&probe).await.map_err(|error| target.explain(error, "delete objects in"))?;
    Ok(vec!["reachable and listable".into(), "objects can be put and deleted".into()])
}

/// A check is waited for by a person: it gives up sooner than a flow.
fn hasty(settings: &Settings) -> Settings {
    let limit = |span: &mut Span| span.0 = span.0.min(limits::CHECK_RETRY_FOR);
    let mut settings = settings.clone();
    match &mut settings {
        Settings::S3Settings(s3) => [&mut s3.retry_for, &mut s3.request_timeout].map(limit),
        Settings::GcsSettings(gcs) => [&mut gcs.retry_for, &mut gcs.request_timeout].map(limit),
        Settings::AzureSettings(azure) => [&mut azure.retry_for, &mut azure.request_timeout].map(limit),
        Settings::FileSettings(_) => [(), ()],
    };
    settings
}

/// Any manifest tells whose the prefix is: all below one prefix are of one flow.
async fn refuse_other_flow(target: &Target, names: &Names, flow: &str) -> Result<()> {
    let explain = |error| target.explain(error, "list the objects in");
    let mut listing = target.store.list(Some(&names.cuts()?));
    while let Some(meta) = listing.next().await.transpose().map_err(explain)? {
        if names.manifest_position(&meta.location).is_none() {
            continue;
        }
        let bytes = target.store.get(&meta.location).await.map_err(explain)?.bytes().await.map_err(explain)?;
        let owner = serde_json::from_slice::<Manifest>(&bytes).ok().map(|manifest| manifest.flow);
        if let Some(owner) = owner.filter(|owner| owner != flow) {
            let message = format!("{} belongs to flow {owner:?}, so flow {flow:?} cannot write there", target.url);
            return Err(Error::configuration(message).with_remedy("set `prefix` to one that no other flow uses"));
        }
        break;
    }
    Ok(())
}

async fn check_directory(settings: &FileSettings, flow: &str) -> Result<Vec<String>> {
    let all = Settings::from(settings.clone());
    let names = Names::new(&settings.prefix, "")?;
    if settings.path.is_dir() {
        refuse_other_flow(&Target::connect(&all)?, &names, flow).await?;
    }
    let (path, url) = (settings.path.clone(), all.url());
    crate::writer::blocking(move || {
        probe_directory(&path).map_err(|error| crate::failure::explain_io(error, "write to", &url))
    })
    .await
    .map(|found| vec![found])
}

/// Writes a file where the directory is, or would be created, and removes it.
fn probe_directory(path: &std::path::Path) -> std::io::Result<String> {
    let path = std::path::absolute(path)?;
    let Some(existing) = path.ancestors().find(|ancestor| ancestor.exists()) else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    if !existing.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    let probe = existing.join(format!("._ductstream_check_{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    std::fs::remove_file(&probe)?;
    Ok(if existing == path { "the directory is writable" } else { "the directory can be created" }.into())
}
