//! Transactions that arrive while they run (`streaming`, PostgreSQL 14 and later), held until they commit.
//!
//! A server whose `logical_decoding_work_mem` is used up sends the largest transaction as far as it has got, in blocks, and
//! goes on with it later; it has no need to write it to its own disk. Here the blocks wait, in a file beyond a small
//! buffer, until the transaction commits. Then they are replayed as the very messages that the server would have sent of a
//! transaction that it holds until its commit: the same changes in the same order, so that positions do not depend on
//! how a transaction travelled. What was rolled back, whole or by savepoint, is left out.
//!
//! <https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-MESSAGES-FLOW>

mod held;
mod replay;
mod spill;

use std::collections::HashMap;
use std::sync::Arc;

use ductstream_core::{Error, Result};

use self::held::Held;
pub(crate) use self::replay::{Replay, Replayed};
pub use self::spill::Spill;
use crate::pgoutput::{Kind, Message, Parsed, Parser, StreamAbort, StreamCommit, StreamStart};

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It belongs to no transaction in progress: it is the assembler's.
    No,
    /// It is held, or has been dealt with.
    Yes,
    /// It committed a transaction, whose messages are to be replayed before the next one is read.
    Committed(Box<Replay>),
}

/// Relation messages by table, each with the number that tells in which order all of them arrived.
type Announced = HashMap<u32, (u64, Vec<u8>)>;

/// The transactions in progress that the server has sent parts of.
#[derive(Debug)]
pub(crate) struct InProgress {
    spill: Arc<Spill>,
    parser: Parser,
    held: HashMap<u32, Held>,
    /// The transaction whose block is open.
    open: Option<u32>,
    /// Number of Relation messages so far.
    announcements: u64,
    /// What the assembler was told of tables since the oldest of the held transactions began.
    told: Announced,
}

impl InProgress {
    pub(crate) fn new(spill: Arc<Spill>) -> Self {
        Self {
            spill,
            parser: Parser::new(),
            held: HashMap::new(),
            open: None,
            announcements: 0,
            told: Announced::new(),
        }
    }

    /// Takes a `pgoutput` message that is part of a transaction in progress, or ends one.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when there is no room to hold it, otherwise
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) for what breaks the protocol.
    #[inline]
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<Taken> {
        let ends_or_begins = matches!(message.first(), Some(b'S' | b'E' | b'c' | b'A'));
        if self.open.is_none() && !ends_or_begins {
            if !self.held.is_empty() && message.first() == Some(&b'R') {
                self.note_direct(message)?;
            }
            return Ok(Taken::No);
        }
        let Parsed { stream_xid, message: parsed } = self.parser.parse(message).map_err(malformed)?;
        match (parsed, stream_xid) {
            (Message::StreamStart(start), _) => self.start(start)?,
            (Message::StreamStop, _) => self.stop()?,
            (Message::StreamAbort(abort), _) => self.abort(abort)?,
            (Message::StreamCommit(commit), _) => return self.commit(commit, message).map(Taken::Committed),
            (Message::Relation(relation), Some(xid)) => {
                self.announcements += 1;
                let number = self.announcements;
                let held = self.open_transaction(Kind::Relation)?;
                held.announce(relation.oid, number, message);
                held.append(xid, message)?;
            }
            // Of no use to the assembler.
            (Message::Type(_) | Message::Origin(_), _) => {}
            (other, Some(xid)) => self.open_transaction(other.kind())?.append(xid, message)?,
            (other, None) => return Err(out_of_order(other.kind(), "inside a block of a transaction in progress")),
        }
        Ok(Taken::Yes)
    }

    /// A Relation message that goes to the assembler while transactions are held.
    fn note_direct(&mut self, message: &[u8]) -> Result<()> {
        if let Message::Relation(relation) = self.parser.parse(message).map_err(malformed)?.message {
            self.announcements += 1;
            self.told.insert(relation.oid, (self.announcements, message.to_vec()));
        }
        Ok(())
    }

    fn start(&mut self, start: StreamStart) -> Result<()> {
        let StreamStart { xid, first } = start;
        if self.open.is_some() {
            return Err(out_of_order(Kind::StreamStart, "inside a block of another"));
        }
        if first == self.held.contains_key(&xid) {
            let which = if first { "a second first block" } else { "a later block without its first" };
            return Err(out_of_order(Kind::StreamStart, &format!("of transaction {xid}, which is {which}")));
        }
        if first {
            self.held.insert(xid, Held::new(xid, self.spill.clone()));
            tracing::debug!(xid, "a large transaction arrives while it runs");
        }
        self.open = Some(xid);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.open.take().map(drop).ok_or_else(|| out_of_order(Kind::StreamStop, "outside of a block"))
    }

    fn open_transaction(&mut self, kind: Kind) -> Result<&mut Held> {
        let held = self.open.and_then(|xid| self.held.get_mut(&xid));
        held.ok_or_else(|| out_of_order(kind, "of a transaction in progress outside of its block"))
    }

    fn abort(&mut self, abort: StreamAbort) -> Result<()> {
        let StreamAbort { xid, subxid, .. } = abort;
        if self.open.is_some() {
            return Err(out_of_order(Kind::StreamAbort, "inside a block"));
        }
        // Version 18 also reports what it found rolled back before it had streamed any of it: there is nothing to drop then.
        if xid == subxid {
            self.held.remove(&xid);
            self.forget_told();
        } else if let Some(held) = self.held.get_mut(&xid) {
            held.roll_back(subxid);
        }
        Ok(())
    }

    fn commit(&mut self, commit: StreamCommit, message: &[u8]) -> Result<Box<Replay>> {
        let xid = commit.xid;
        if self.open.is_some() {
            return Err(out_of_order(Kind::StreamCommit, "inside a block"));
        }
        let unknown =
            || out_of_order(Kind::StreamCommit, &format!("for transaction {xid}, of which it has sent nothing"));
        let held = self.held.remove(&xid).ok_or_else(unknown)?;
        // The server goes by what it has announced last, in whichever transaction; the replay announces what is older.
        let newer = |(oid, (number, _)): (&u32, &(u64, Vec<u8>))| {
            self.told.get(oid).filter(|(told, _)| told > number).map(|(_, message)| message.clone())
        };
        let restored = held.announced().iter().filter_map(newer).collect();
        for (oid, (number, message)) in held.announced() {
            if self.told.get(oid).is_none_or(|(told, _)| told < number) {
                self.told.insert(*oid, (*number, message.clone()));
            }
        }
        self.forget_told();
        tracing::debug!(xid, bytes = held.bytes(), "a transaction that arrived while it ran has committed");
        Replay::begin(held, restored, message).map(Box::new)
    }

    /// With nothing held, nothing older than what the assembler knows can come.
    fn forget_told(&mut self) {
        if self.held.is_empty() {
            self.told = Announced::new();
        }
    }
}

fn malformed(error: crate::pgoutput::ParseError) -> Error {
    Error::bug("the server sent a message of a transaction in progress that cannot be read").with_source(error)
}

fn out_of_order(kind: Kind, problem: &str) -> Error {
    Error::bug(format!("the server sent a {kind} message {problem}"))
}

#[cfg(test)]
mod tests;
