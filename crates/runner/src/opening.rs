//! From the stored checkpoint to a pipeline that may begin.

use std::collections::BTreeSet;
use std::path::Path;

use ductstream_core::{
    Ancestors, Checkpoint, Destination, DestinationCheckpoint, DestinationStart, Durable, Error, Position, Result,
    SourceIdentity, SourceOpened,
};

use crate::settings::FlowSettings;
use crate::{Runner, outbox};

/// Where the positions of an attempt come from.
pub(crate) struct Origin {
    flow: String,
    source: SourceIdentity,
    ancestors: Ancestors,
    /// Whether the flow had no checkpoint when the attempt began.
    is_first: bool,
}

impl Origin {
    pub(crate) fn new(flow: &str, opened: &SourceOpened, is_first: bool) -> Self {
        let (source, ancestors) = (opened.identity.clone(), opened.ancestors.clone());
        Self { flow: flow.to_owned(), source, ancestors, is_first }
    }

    /// Opens the destination `name`, of which the checkpoint knows `known`, and returns what is durable there.
    pub(crate) async fn open(
        &self,
        name: &str,
        destination: &mut Box<dyn Destination>,
        known: &DestinationCheckpoint,
    ) -> Result<Durable> {
        let start = DestinationStart {
            flow: self.flow.clone(),
            source: self.source.clone(),
            ancestors: self.ancestors.clone(),
            position: known.position,
            stored: known.stored,
        };
        let resume =
            destination.open(&start).await.map_err(|error| error.context(format_args!("destination {name}")))?;
        if let Some(last) = resume.filter(|last| !self.is_first && known.stored.is_none() && *last < known.position) {
            // It was the flow's before, was taken out, and missed what came meanwhile.
            return Err(Error::resync(format!(
                "destination {name} holds this flow's changes up to {last}, and the flow stands at {}: it missed those between",
                known.position
            ))
            .with_remedy("set its `prefix` to an empty one, and bring it up to date from the tables"));
        }
        // A crash between durable and checkpointed leaves the destination ahead of the store.
        Ok(Durable::up_to(known.position.max(resume.unwrap_or_default())).with_stored(resume))
    }
}

/// The checkpoint to go on from: the stored one with today's destinations, or the first.
///
/// # Errors
/// [`ErrorKind::Resync`](ductstream_core::ErrorKind::Resync) when a destination holds changes that a failover has lost.
pub(crate) fn continue_from(stored: Option<Checkpoint>, opened: &SourceOpened, names: &[String]) -> Result<Checkpoint> {
    let mut checkpoint =
        stored.unwrap_or_else(|| Checkpoint::begin(opened.identity.clone(), opened.position, names.iter().cloned()));
    checkpoint.created = opened.created.clone();
    checkpoint.publications = opened.publications.clone();
    // A destination that is new to the flow begins where the flow stands.
    let begin = DestinationCheckpoint::begin(checkpoint.position);
    checkpoint.destinations.retain(|name, _| names.contains(name));
    for name in names {
        checkpoint.destinations.entry(name.clone()).or_insert_with(|| begin.clone());
    }
    leave_timeline(&mut checkpoint, opened)?;
    Ok(checkpoint)
}

/// After a failover, what a destination or its outbox holds counts only as far as the promoted server has the same past. The source has
/// verified that of the checkpoint's own position, and not of what lies beyond it.
fn leave_timeline(checkpoint: &mut Checkpoint, opened: &SourceOpened) -> Result<()> {
    let (timeline, position) = (checkpoint.source.timeline, checkpoint.position);
    if timeline == opened.identity.timeline {
        return Ok(());
    }
    let is_lost = |at: Position| at > position && !opened.ancestors.share(timeline, at);
    for (name, known) in &mut checkpoint.destinations {
        if is_lost(known.position) {
            return Err(Error::resync(format!(
                "destination {name} holds changes of timeline {timeline} up to {}, and the server, on timeline {} now, lost some of them",
                known.position, opened.identity.timeline
            ))
            .with_remedy("give the flow another `name` and its destinations another `prefix`, and bring them up to date from the tables"));
        }
        // Nobody has got those yet: they are cut off, and what the promoted server has instead is queued.
        known.queued = known.queued.map(|queued| if is_lost(queued) { position } else { queued });
    }
    Ok(())
}

/// What the checkpoint knows of the destination `name`.
pub(crate) fn known(checkpoint: &Checkpoint, name: &str) -> Result<DestinationCheckpoint> {
    let known = checkpoint.destinations.get(name).cloned();
    known.ok_or_else(|| Error::bug(format!("destination {name} has no checkpoint")))
}

/// Removes the outboxes that nobody will read: of destinations that were taken out of the flow, and of those that follow no more and have
/// caught up.
pub(crate) async fn remove_outboxes(runner: &Runner, names: &[String]) -> Result<()> {
    let settings = &runner.settings;
    let kept = names.iter().filter(|name| settings.follows(name)).cloned().collect();
    let directory = settings.outboxes.directory.clone();
    let remove = tokio::task::spawn_blocking(move || remove_others(&directory, &kept));
    remove.await.unwrap_or_else(|error| Err(Error::bug("removing outboxes ended abnormally").with_source(error)))
}

fn remove_others(directory: &Path, kept: &BTreeSet<String>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) && entry.path().is_dir() {
            outbox::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The names of the flow's destinations whose outboxes were left with something in them, though they follow no more.
pub(crate) fn owed(settings: &FlowSettings, checkpoint: &Checkpoint) -> Vec<String> {
    let destinations = checkpoint.destinations.iter();
    let owed = destinations.filter(|(name, known)| !settings.follows(name) && known.held() > known.position);
    owed.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use ductstream_core::{ErrorKind, Lsn, Queued};

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::start_of(Lsn(lsn))
    }

    fn identity(timeline: u32) -> SourceIdentity {
        SourceIdentity { system_identifier: "7".into(), timeline, database: "d".into(), slot: "s".into() }
    }

    /// A flow of timeline 1 that stands at 100, with a follower that is durable and queued up to these.
    fn stored(durable: u64, queued: u64) -> Checkpoint {
        let names = ["primary".to_owned(), "follower".to_owned()];
        let mut checkpoint = Checkpoint::begin(identity(1), at(100), names);
        checkpoint.advance("follower", &Durable::up_to(at(durable)));
        checkpoint.queue("follower", Queued::up_to(at(queued)));
        checkpoint
    }

    /// What is gone on from on a server of this timeline, which left timeline 1 at 150.
    fn continued(timeline: u32, stored: Checkpoint) -> Result<Checkpoint> {
        let opened = SourceOpened {
            identity: identity(timeline),
            ancestors: Ancestors::new([(1, Lsn(150))]),
            position: stored.position,
            wal_end: Lsn(200),
            created: Default::default(),
            publications: Vec::new(),
        };
        continue_from(Some(stored), &opened, &["primary".to_owned(), "follower".to_owned()])
    }

    #[test]
    fn after_a_failover_an_outbox_counts_as_far_as_the_promoted_server_has_the_same_past() {
        for (timeline, queued, expected) in [(1, 180, 180), (2, 150, 150), (2, 151, 100), (2, 100, 100)] {
            let checkpoint = continued(timeline, stored(90, queued)).unwrap();
            assert_eq!(checkpoint.destinations["follower"].queued, Some(at(expected)), "{timeline}, {queued}");
            assert_eq!((checkpoint.position, checkpoint.source.timeline), (at(100), 1));
        }
    }

    #[test]
    fn after_a_failover_a_destination_that_has_what_was_lost_is_refused_by_name() {
        assert!(continued(2, stored(150, 150)).is_ok());
        assert!(continued(1, stored(160, 160)).is_ok());
        let error = continued(2, stored(160, 170)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resync);
        assert!(error.message().contains("destination follower") && error.remedy().is_some(), "{}", error.report());
    }
}
