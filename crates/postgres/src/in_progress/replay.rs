//! A held transaction on its way to the assembler, once it has committed.

use std::io::{BufReader, Cursor, ErrorKind, Read};

use ductstream_core::{Error, Result};

use super::held::{HEADER, Held};

/// What is read from the file at once.
const READ_BYTES: usize = 256 << 10;
/// A message buffer that one huge row has grown beyond this is given back.
const KEEP_BYTES: usize = 8 << 20;

/// What the assembler gets next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Replayed<'a> {
    /// A message, as if the server had sent it just now.
    Message(&'a [u8]),
    /// A Relation message that counts from the table's next change on, if there is one: it was sent inside a subtransaction
    /// that was rolled back, or stands for the state that a newer message had left.
    Announcement(&'a [u8]),
}

/// The messages of a committed transaction: Begin, its changes without what was rolled back, Commit.
pub(crate) struct Replay {
    held: Held,
    source: Box<dyn Read + Send>,
    /// Relation messages to repeat at the end.
    restored: Vec<Vec<u8>>,
    commit: Vec<u8>,
    current: Vec<u8>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Begin or a change.
    Message,
    /// A Relation message of what was rolled back.
    Announcement,
    /// A Relation message to repeat.
    Restored,
    Commit,
    Done,
}

impl Replay {
    /// `stream_commit` is the message that committed `held`.
    pub(super) fn begin(mut held: Held, restored: Vec<Vec<u8>>, stream_commit: &[u8]) -> Result<Self> {
        // Tag, xid, flags, start and end of the commit record, commit time.
        let (Some(commit_lsn), Some(time)) = (stream_commit.get(6..14), stream_commit.get(22..30)) else {
            return Err(Error::bug("a Stream Commit message is too short"));
        };
        let xid = held.xid().to_be_bytes();
        let begin = [b"B", commit_lsn, time, &xid].concat();
        let commit = [b"C", stream_commit.get(5..).unwrap_or_default()].concat();
        let (file, rest) = held.rewind()?;
        let rest = Cursor::new(rest);
        let source: Box<dyn Read + Send> = match file {
            Some(file) => Box::new(BufReader::with_capacity(READ_BYTES, file).chain(rest)),
            None => Box::new(rest),
        };
        Ok(Self { held, source, restored, commit, current: begin, step: Step::Message })
    }

    /// What is to be pushed now; `None` at the end.
    #[inline]
    pub(crate) fn current(&self) -> Option<Replayed<'_>> {
        match self.step {
            Step::Message | Step::Commit => Some(Replayed::Message(&self.current)),
            Step::Announcement | Step::Restored => Some(Replayed::Announcement(&self.current)),
            Step::Done => None,
        }
    }

    /// Goes on to the next message.
    ///
    /// # Errors
    /// When the file cannot be read back.
    pub(crate) fn advance(&mut self) -> Result<()> {
        match self.step {
            Step::Message | Step::Announcement => {
                while let Some(xid) = self.read()? {
                    if !self.held.is_rolled_back(xid) {
                        self.step = Step::Message;
                        return Ok(());
                    }
                    // What the server has announced it does not repeat, whatever became of the subtransaction.
                    if self.current.first() == Some(&b'R') {
                        self.step = Step::Announcement;
                        return Ok(());
                    }
                }
                self.restore_or_commit();
            }
            Step::Restored => self.restore_or_commit(),
            Step::Commit | Step::Done => self.step = Step::Done,
        }
        Ok(())
    }

    fn restore_or_commit(&mut self) {
        (self.current, self.step) = match self.restored.pop() {
            Some(message) => (message, Step::Restored),
            None => (std::mem::take(&mut self.commit), Step::Commit),
        };
    }

    /// Reads the next message into `current`, and returns its (sub)transaction; `None` when there is none left.
    fn read(&mut self) -> Result<Option<u32>> {
        let mut header = [0; HEADER];
        match self.source.read_exact(&mut header) {
            Ok(()) => {}
            // Messages are written whole, so this is the end and not a torn one.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(self.held.broken(error)),
        }
        let [a, b, c, d, e, f, g, h] = header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if self.current.capacity() > KEEP_BYTES {
            self.current = Vec::new();
        }
        self.current.resize(length, 0);
        self.source.read_exact(&mut self.current).map_err(|error| self.held.broken(error))?;
        Ok(Some(u32::from_ne_bytes([e, f, g, h])))
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("xid", &self.held.xid()).field("step", &self.step).finish_non_exhaustive()
    }
}
