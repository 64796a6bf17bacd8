//! From records to events: one record may be several.

use ductstream_core::{Op, TableChunk};

use super::settings::DebeziumSettings;
use crate::envelope::KeyChanges;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// The record, counted from the first of the range.
    pub(crate) row: usize,
    /// What it says.
    pub(crate) kind: Kind,
    /// Whether it comes of an update that changed the key.
    pub(crate) key_change: bool,
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Update,
    Delete,
    Read,
    Truncate,
    Tombstone,
    /// A logical message.
    Message,
}

impl Event {
    /// The value of `op`; `None` of a tombstone.
    pub(crate) fn op(self) -> Option<&'static str> {
        match self.kind {
            Kind::Create => Some("c"),
            Kind::Update => Some("u"),
            Kind::Delete => Some("d"),
            Kind::Read => Some("r"),
            Kind::Truncate => Some("t"),
            Kind::Message => Some("m"),
            Kind::Tombstone => None,
        }
    }

    pub(crate) fn is_load(self) -> bool {
        self.kind == Kind::Read
    }

    /// Whether the key is that of the old row.
    pub(crate) fn has_old_key(self) -> bool {
        matches!(self.kind, Kind::Delete | Kind::Tombstone)
    }

    /// Whether the new row is told.
    pub(crate) fn has_after(self) -> bool {
        matches!(self.kind, Kind::Create | Kind::Update | Kind::Read)
    }

    /// Whether the old row may be told.
    pub(crate) fn has_before(self) -> bool {
        matches!(self.kind, Kind::Update | Kind::Delete)
    }
}

/// The events of `rows` of `chunk`, in order. Without keys, every update is one event, and no delete has a tombstone.
pub(super) fn of(
    chunk: &TableChunk,
    rows: std::ops::Range<usize>,
    has_keys: bool,
    settings: &DebeziumSettings,
) -> Vec<Event> {
    let changes = KeyChanges::of(chunk);
    let skipped = settings.skipped_operations;
    let mut events = Vec::with_capacity(rows.len());
    let start = rows.start;
    for at in rows {
        let key_change = has_keys && changes.changed(at);
        let mut push = |kind| events.push(Event { row: at - start, kind, key_change });
        match chunk.ops[at] {
            Op::Insert if !skipped.create => push(Kind::Create),
            Op::Load => push(Kind::Read),
            Op::Truncate if !skipped.truncate => push(Kind::Truncate),
            Op::Update if skipped.update => {}
            // Two rows to a topic that is compacted by key: the old one ends, a new one begins.
            Op::Update if key_change => {
                push(Kind::Delete);
                if settings.tombstones_on_delete {
                    push(Kind::Tombstone);
                }
                push(Kind::Create);
            }
            Op::Update => push(Kind::Update),
            Op::Delete if !skipped.delete => {
                push(Kind::Delete);
                if settings.tombstones_on_delete && has_keys {
                    push(Kind::Tombstone);
                }
            }
            _ => {}
        }
    }
    events
}
