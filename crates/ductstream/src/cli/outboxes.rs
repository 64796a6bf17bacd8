//! The outboxes of a flow, as `check` and `cleanup` see them.

use std::path::{Path, PathBuf};

use ductstream_core::{Checkpoint, Finding, Result};
use ductstream_runner::outbox::{OutboxStart, inspect, remove};

use super::status::bytes;
use crate::flow::Flow;

/// Looks at the outbox of every destination that has one, or has left something in one.
pub(crate) fn check(flow: &Flow, directory: &Path, checkpoint: Option<&Checkpoint>) -> Vec<Finding> {
    let names = flow.destinations.iter().map(|destination| &destination.name);
    let known = |name: &str| checkpoint.and_then(|checkpoint| checkpoint.destinations.get(name));
    let has_outbox = |name: &str| known(name).is_some_and(|known| known.held() > known.position);
    names
        .filter(|name| flow.ack.follows(name) || has_outbox(name.as_str()))
        .map(|name| {
            let position = known(name.as_str()).map(|known| known.position).unwrap_or_default();
            let held = known(name.as_str()).map(|known| known.held()).unwrap_or_default();
            let start = OutboxStart { durable: position, queued: held };
            one(name.as_str(), &directory.join(name.as_str()), start, flow.ack.outbox().budget.0)
        })
        .collect()
}

fn one(name: &str, directory: &Path, start: OutboxStart, budget_bytes: u64) -> Finding {
    let subject = format!("outbox of {name}");
    let held = match inspect(directory, start) {
        Ok(held) => held,
        Err(error) => return Finding::failed(subject, &error),
    };
    if let Some(above) = read_only(directory) {
        let message = format!("{} cannot be written to", above.display());
        return Finding::error(
            subject,
            message,
            "give the user that runs the flow the right to write there, or set `ack.outbox.path`",
        );
    }
    let message = format!("{} of {} in {}", bytes(held), bytes(budget_bytes), directory.display());
    if held >= budget_bytes / 10 * 8 {
        let remedy = "bring the destination back, or raise `ack.outbox.budget`";
        return Finding::warning(
            subject,
            format!("{message}: when it is full, the flow waits for the destination"),
            remedy,
        );
    }
    Finding::ok(subject, message)
}

/// The directory itself, or the first above it that is there, when nobody may write to it.
fn read_only(directory: &Path) -> Option<PathBuf> {
    let directory = std::path::absolute(directory).ok()?;
    let there = directory.ancestors().find(|above| above.exists())?;
    let is_read_only = there.metadata().is_ok_and(|metadata| metadata.permissions().readonly() || !metadata.is_dir());
    is_read_only.then(|| there.to_owned())
}

/// The outboxes in `directory`, each with its bytes on disk.
pub(crate) fn list(directory: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .map(|path| (path.clone(), size(&path)))
        .collect();
    found.sort();
    found
}

fn size(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Removes every outbox in `directory`, and the directory when nothing else is in it.
pub(crate) fn remove_all(directory: &Path) -> Result<()> {
    for (outbox, _) in list(directory) {
        remove(&outbox)?;
    }
    // What is not an outbox stays, and so does the directory that holds it.
    let _ = std::fs::remove_dir(directory);
    Ok(())
}
