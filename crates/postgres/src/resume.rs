//! Whether a flow can go on from its checkpoint without a gap.
//!
//! PostgreSQL does not refuse to start before a slot's confirmed position: it silently starts later, and the changes in between are
//! missing. So everything that could open a gap is found here, before streaming begins, and refused.

use ductstream_core::{Ancestors, Checkpoint, Error, Lsn, Position, Result, SourceIdentity};

use crate::catalog::slot::SlotState;

/// Where a flow begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// The slot is to be created; the flow begins where it becomes consistent.
    CreateSlot,
    /// The slot exists, and has everything from here on.
    At(Position),
}

/// Decides from the stored checkpoint, the server's identity and past, and the slot as the server shows it.
pub(crate) fn resume(
    checkpoint: Option<&Checkpoint>,
    server: &SourceIdentity,
    ancestors: &Ancestors,
    slot: Option<&SlotState>,
) -> Result<Resume> {
    if let Some(checkpoint) = checkpoint {
        same_source(&checkpoint.source, server, checkpoint.position)?;
        same_past(checkpoint, server.timeline, ancestors)?;
    }
    let name = &server.slot;
    match (checkpoint, slot) {
        (None, None) => Ok(Resume::CreateSlot),
        (Some(checkpoint), None) => Err(lost(
            format!(
                "replication slot {name:?} does not exist any more; changes after {} are gone",
                checkpoint.position
            ),
            name,
        )),
        (checkpoint, Some(slot)) => {
            usable(slot, server, checkpoint)?;
            at_slot(checkpoint, slot)
        }
    }
}

fn same_source(known: &SourceIdentity, server: &SourceIdentity, position: Position) -> Result<()> {
    let differs = |what: &str, known: &str, found: &str| {
        Err(Error::resync(format!(
            "this is another source: the checkpoint at {position} belongs to {what} {known}, the server has {found}"
        ))
        .with_remedy("point the flow at the server it was started on, or give the flow another `name` and its destinations another `prefix`"))
    };
    if known.system_identifier != server.system_identifier {
        return differs("system identifier", &known.system_identifier, &server.system_identifier);
    }
    if known.database != server.database {
        return differs("database", &known.database, &server.database);
    }
    if known.slot != server.slot {
        return differs("slot", &known.slot, &server.slot);
    }
    Ok(())
}

/// Refuses a server whose past is not what the flow has delivered. A standby that was promoted has everything up to where it left the
/// former timeline; beyond, it lost what its primary had written, and writes something else.
fn same_past(checkpoint: &Checkpoint, now: u32, ancestors: &Ancestors) -> Result<()> {
    let (known, position) = (checkpoint.source.timeline, checkpoint.position);
    if known == now || ancestors.share(known, position) {
        return Ok(());
    }
    let anew =
        "start the flow anew under another `name` and `prefix`, and compare the former destination with the tables";
    let (message, remedy) = match ancestors.left(known) {
        Some(end) => (
            format!(
                "the flow has delivered changes of timeline {known} up to {position}, and the server, on timeline {now} now, has \
                 that timeline only up to {end}: it lost the changes between"
            ),
            anew,
        ),
        None if now < known => (
            format!("the server is on timeline {now}, and the flow has gone on to timeline {known}, at {position}"),
            "point the flow at the server that was promoted",
        ),
        None => (
            format!(
                "the server is on timeline {now}, which is not known to descend from timeline {known} of the checkpoint at {position}"
            ),
            anew,
        ),
    };
    Err(Error::resync(message).with_remedy(remedy))
}

/// Refuses a checkpoint that lies beyond the end of the server's WAL: the server was set back (to a snapshot of its disk, say), and what it
/// writes there now is not what the flow has read.
pub(crate) fn within_history(checkpoint: Option<&Checkpoint>, wal_end: Lsn, in_recovery: bool) -> Result<()> {
    let Some(position) = checkpoint.map(|checkpoint| checkpoint.position).filter(|at| at.commit_lsn > wal_end) else {
        return Ok(());
    };
    let message = format!("the checkpoint at {position} lies beyond the end of the server's WAL at {wal_end}");
    if in_recovery {
        return Err(Error::retry(format!("{message}: the standby has not replayed it yet")));
    }
    Err(Error::resync(format!("{message}: the server was set back, and has another history now")).with_remedy(
        "start the flow anew under another `name` and `prefix`, and compare the destination with the tables",
    ))
}

/// Stands among the publications of a checkpoint when logical messages are counted, too. Longer than the name of a publication can be.
pub(crate) const MESSAGES: &str = "logical messages (pg_logical_emit_message), which are of no publication";

/// Refuses to go on inside a transaction with logical messages where they were not counted, or without them where they were.
pub(crate) fn same_messages(checkpoint: Option<&Checkpoint>, wanted: bool) -> Result<()> {
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    let inside = checkpoint.position.seq > 0 && !checkpoint.publications.is_empty();
    let counted = checkpoint.publications.iter().any(|name| name == MESSAGES);
    if !inside || counted == wanted {
        return Ok(());
    }
    let (before, now) = if counted { ("with", "without") } else { ("without", "with") };
    Err(Error::configuration(format!(
        "the checkpoint at {} lies inside a transaction that was read {before} its logical messages, and the flow now asks for it {now} them",
        checkpoint.position,
    ))
    .with_remedy("run the flow once more with the former envelopes of its destinations and --until-idle, then change them"))
}

/// Refuses to go on inside a transaction under other publications than those whose changes were counted.
pub(crate) fn same_publications(checkpoint: Option<&Checkpoint>, wanted: &[String]) -> Result<()> {
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    let inside = checkpoint.position.seq > 0 && !checkpoint.publications.is_empty();
    let counted: Vec<&str> =
        checkpoint.publications.iter().map(String::as_str).filter(|name| *name != MESSAGES).collect();
    if !inside || counted == wanted {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "the checkpoint at {} lies inside a transaction as the publications {} send it, and the flow now asks for {}",
        checkpoint.position,
        counted.join(", "),
        wanted.join(", ")
    ))
    .with_remedy("run the flow once more with the former `source.publication` or `source.tables` and --until-idle, then change it"))
}

fn usable(slot: &SlotState, server: &SourceIdentity, checkpoint: Option<&Checkpoint>) -> Result<()> {
    let name = &slot.name;
    let other = "choose another name with `source.slot`";
    if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("physical replication");
        return Err(Error::configuration(format!("slot {name:?} is for {plugin}, not for pgoutput")).with_remedy(other));
    }
    if slot.database.as_deref() != Some(server.database.as_str()) {
        let database = slot.database.as_deref().unwrap_or("no database");
        return Err(Error::configuration(format!("slot {name:?} belongs to {database}, not to {}", server.database))
            .with_remedy(other));
    }
    if slot.two_phase {
        return Err(Error::configuration(format!(
            "slot {name:?} sends prepared transactions (two_phase), which is not supported"
        ))
        .with_remedy(other));
    }
    if slot.wal_status.as_deref() == Some("lost") || slot.invalidation_reason.is_some() {
        let after = checkpoint.map(|checkpoint| format!(" after {}", checkpoint.position)).unwrap_or_default();
        let why = slot.invalidation_reason.as_deref().unwrap_or("wal_removed");
        return Err(lost(format!("the server has invalidated slot {name:?} ({why}); changes{after} are gone"), name));
    }
    if slot.active {
        // Perhaps our own last connection, which the server has not noticed to be gone.
        let by = slot.active_pid.map_or_else(|| "another session".to_owned(), |pid| format!("process {pid}"));
        return Err(Error::retry(format!("replication slot {name:?} is in use by {by}")).with_remedy(format!(
            "stop what uses it ({by} in pg_stat_replication), or choose another slot with `source.slot`"
        )));
    }
    Ok(())
}

fn at_slot(checkpoint: Option<&Checkpoint>, slot: &SlotState) -> Result<Resume> {
    let confirmed = slot.confirmed_flush.ok_or_else(|| {
        Error::retry(format!("slot {:?} has no consistent point yet: another session is still creating it", slot.name))
    })?;
    let Some(checkpoint) = checkpoint else { return Ok(Resume::At(Position::start_of(confirmed))) };
    if checkpoint.position.commit_lsn < confirmed {
        let from = checkpoint.position.commit_lsn;
        return Err(lost(
            format!(
                "slot {:?} was advanced to {confirmed}, beyond the checkpoint at {from}; the changes between are gone",
                slot.name
            ),
            &slot.name,
        ));
    }
    Ok(Resume::At(checkpoint.position))
}

/// A publication that did not exist all the time leaves a gap, also when it is made anew: what is written meanwhile is never sent.
pub(crate) fn publication_gone(name: &str) -> Error {
    Error::resync(format!(
        "publication {name} did not exist all the time since the flow's position; changes made without it are gone"
    ))
    .with_remedy(
        "run `ductstream cleanup` (and drop the slot, if the flow did not create it), start the flow anew, and bring the \
         destination up to date from the tables themselves; a publication that is new to the flow is best created while the flow \
         runs without it, and added when the flow has caught up",
    )
}

fn lost(message: String, slot: &str) -> Error {
    Error::resync(message).with_remedy(format!(
        "run `ductstream cleanup` (which also drops slot {slot}, if the flow created it), start the flow anew, and bring the \
         destination up to date from the tables themselves"
    ))
}

#[cfg(test)]
mod tests {
    use ductstream_core::ErrorKind;

    use super::*;

    fn identity() -> SourceIdentity {
        SourceIdentity { system_identifier: "7".into(), timeline: 1, database: "shop".into(), slot: "s".into() }
    }

    fn slot(confirmed: u64) -> SlotState {
        SlotState {
            name: "s".into(),
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            confirmed_flush: Some(Lsn(confirmed)),
            wal_status: Some("reserved".into()),
            ..SlotState::default()
        }
    }

    fn checkpoint(lsn: u64, seq: u64) -> Checkpoint {
        Checkpoint::begin(identity(), Position::new(Lsn(lsn), seq), [])
    }

    #[test]
    fn a_flow_begins_with_a_new_slot_or_where_an_existing_slot_stands() {
        assert_eq!(resume(None, &identity(), &Ancestors::default(), None).unwrap(), Resume::CreateSlot);
        assert_eq!(
            resume(None, &identity(), &Ancestors::default(), Some(&slot(9))).unwrap(),
            Resume::At(Position::start_of(Lsn(9)))
        );
    }

    #[test]
    fn a_checkpoint_at_or_after_the_slot_goes_on_from_the_checkpoint_even_inside_a_transaction() {
        for (lsn, seq) in [(9, 0), (9, 5), (12, 3)] {
            let at = resume(Some(&checkpoint(lsn, seq)), &identity(), &Ancestors::default(), Some(&slot(9))).unwrap();
            assert_eq!(at, Resume::At(Position::new(Lsn(lsn), seq)));
        }
    }

    #[test]
    fn what_would_leave_a_gap_is_refused_and_named() {
        let refused = |checkpoint: &Checkpoint, server: &SourceIdentity, slot: Option<&SlotState>| {
            let error = resume(Some(checkpoint), server, &Ancestors::default(), slot).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resync);
            assert!(error.remedy().is_some());
            error.message().to_owned()
        };
        let at = checkpoint(8, 0);
        assert!(refused(&at, &identity(), None).contains("does not exist any more"));
        assert!(refused(&at, &identity(), Some(&slot(9))).contains("beyond the checkpoint at 0/8"));
        let lost = SlotState { wal_status: Some("lost".into()), ..slot(8) };
        assert!(refused(&at, &identity(), Some(&lost)).contains("invalidated slot"));
        let others = [
            SourceIdentity { system_identifier: "8".into(), ..identity() },
            SourceIdentity { database: "other".into(), ..identity() },
            SourceIdentity { slot: "t".into(), ..identity() },
        ];
        for other in others {
            assert!(refused(&at, &other, Some(&slot(8))).contains("another source"));
        }
    }

    #[test]
    fn a_promoted_server_is_gone_on_with_when_it_has_all_that_was_delivered() {
        let promoted = SourceIdentity { timeline: 3, ..identity() };
        let ancestors = Ancestors::new([(1, Lsn(90)), (2, Lsn(120))]);
        let resumed = |lsn, seq| resume(Some(&checkpoint(lsn, seq)), &promoted, &ancestors, Some(&slot(80)));
        assert_eq!(resumed(90, 0).unwrap(), Resume::At(Position::start_of(Lsn(90))));
        assert_eq!(resumed(89, 4).unwrap(), Resume::At(Position::new(Lsn(89), 4)));
        for (lsn, seq) in [(91, 0), (90, 1)] {
            let error = resumed(lsn, seq).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resync);
            let position = Position::new(Lsn(lsn), seq).to_string();
            assert!(error.message().contains(&position) && error.message().contains("0/5A"), "{}", error.report());
        }
    }

    #[test]
    fn a_server_on_an_older_or_unrelated_timeline_is_refused() {
        let on = |timeline| SourceIdentity { timeline, ..identity() };
        let known = Checkpoint { source: on(2), ..checkpoint(8, 0) };
        let refused = |timeline, ancestors: &Ancestors| {
            let error = resume(Some(&known), &on(timeline), ancestors, Some(&slot(8))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resync);
            error.report()
        };
        let former = refused(1, &Ancestors::default());
        assert!(former.contains("point the flow at the server that was promoted"), "{former}");
        let unrelated = refused(3, &Ancestors::new([(1, Lsn(90))]));
        assert!(unrelated.contains("not known to descend from timeline 2"), "{unrelated}");
    }

    #[test]
    fn a_slot_that_another_process_uses_is_waited_for() {
        let taken = SlotState { active: true, active_pid: Some(42), ..slot(9) };
        for known in [None, Some(&checkpoint(9, 0))] {
            let error = resume(known, &identity(), &Ancestors::default(), Some(&taken)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Retry);
            assert!(error.message().contains("in use by process 42"), "{error:?}");
        }
    }

    #[test]
    fn a_checkpoint_beyond_the_servers_wal_is_refused_and_a_standby_is_waited_for() {
        let at = checkpoint(100, 0);
        assert!(within_history(Some(&at), Lsn(100), false).is_ok());
        assert_eq!(within_history(Some(&at), Lsn(99), false).unwrap_err().kind(), ErrorKind::Resync);
        assert_eq!(within_history(Some(&at), Lsn(99), true).unwrap_err().kind(), ErrorKind::Retry);
    }

    #[test]
    fn logical_messages_come_and_go_between_transactions_only() {
        let counted = |seq, names: &[&str]| Checkpoint {
            publications: names.iter().map(|name| (*name).to_owned()).collect(),
            ..checkpoint(8, seq)
        };
        let (with, without) = (["a", MESSAGES], ["a"]);
        assert!(same_messages(Some(&counted(3, &with)), true).is_ok());
        assert!(same_messages(Some(&counted(0, &with)), false).is_ok());
        assert!(same_messages(Some(&counted(3, &without)), false).is_ok());
        assert!(same_messages(Some(&counted(3, &with)), false).unwrap_err().message().contains("with its logical"));
        assert!(
            same_messages(Some(&counted(3, &without)), true).unwrap_err().message().contains("without its logical")
        );
        assert!(same_publications(Some(&counted(3, &with)), &["a".into()]).is_ok());
    }

    #[test]
    fn publications_change_between_transactions_only() {
        let counted = |seq| Checkpoint { publications: vec!["a".into(), "b".into()], ..checkpoint(8, seq) };
        assert!(same_publications(Some(&counted(3)), &["a".into(), "b".into()]).is_ok());
        assert!(same_publications(Some(&counted(0)), &["a".into()]).is_ok());
        let error = same_publications(Some(&counted(3)), &["a".into()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn a_slot_of_another_kind_is_a_wrong_setting() {
        let physical = SlotState { plugin: None, ..slot(9) };
        let elsewhere = SlotState { database: Some("other".into()), ..slot(9) };
        let two_phase = SlotState { two_phase: true, ..slot(9) };
        for wrong in [physical, elsewhere, two_phase] {
            assert_eq!(
                resume(None, &identity(), &Ancestors::default(), Some(&wrong)).unwrap_err().kind(),
                ErrorKind::Configuration
            );
        }
    }
}
