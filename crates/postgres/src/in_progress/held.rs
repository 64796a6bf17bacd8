//! One transaction in progress: its messages, in memory up to a small size and in a file beyond.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use ductstream_core::{Error, Result};

use super::Announced;
use super::spill::Spill;

/// What is written to the file at once; a transaction that stays below never gets a file.
const BUFFER_BYTES: usize = 256 << 10;
/// Length and transaction in front of each message.
pub(super) const HEADER: usize = 8;
/// Transaction id behind a message's tag inside a block.
const XID_BYTES: usize = 4;

/// The messages of one transaction in progress.
#[derive(Debug)]
pub(super) struct Held {
    xid: u32,
    spill: Arc<Spill>,
    /// What the file does not have yet.
    buffer: Vec<u8>,
    file: Option<File>,
    bytes: u64,
    /// Subtransactions that were rolled back. None of them can have changes afterwards.
    rolled_back: HashSet<u32>,
    announced: Announced,
}

impl Held {
    pub(super) fn new(xid: u32, spill: Arc<Spill>) -> Self {
        Self {
            xid,
            spill,
            buffer: Vec::new(),
            file: None,
            bytes: 0,
            rolled_back: HashSet::new(),
            announced: Announced::new(),
        }
    }

    pub(super) fn xid(&self) -> u32 {
        self.xid
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn announced(&self) -> &Announced {
        &self.announced
    }

    pub(super) fn is_rolled_back(&self, xid: u32) -> bool {
        self.rolled_back.contains(&xid)
    }

    pub(super) fn roll_back(&mut self, subxid: u32) {
        self.rolled_back.insert(subxid);
    }

    /// Notes the last word on a table.
    pub(super) fn announce(&mut self, oid: u32, number: u64, message: &[u8]) {
        self.announced.insert(oid, (number, without_xid(message)));
    }

    /// Appends a message of the (sub)transaction `xid`, which stands in the message behind its tag and is kept apart.
    pub(super) fn append(&mut self, xid: u32, message: &[u8]) -> Result<()> {
        let [tag, _, _, _, _, rest @ ..] = message else {
            return Err(Error::bug("a message of a transaction in progress is too short"));
        };
        let length = u32::try_from(message.len() - XID_BYTES)
            .map_err(|_| Error::bug("a message of a transaction in progress is longer than any can be"))?;
        let size = HEADER + message.len() - XID_BYTES;
        self.spill.take(size as u64)?;
        self.bytes += size as u64;
        self.buffer.extend_from_slice(&length.to_ne_bytes());
        self.buffer.extend_from_slice(&xid.to_ne_bytes());
        self.buffer.push(*tag);
        self.buffer.extend_from_slice(rest);
        if self.buffer.len() >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    /// Writes to the page cache: nothing has to survive a crash, after which the server sends everything again.
    fn write(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.spill.file()?),
        };
        file.write_all(&self.buffer).map_err(|error| self.spill.broken(error))?;
        self.buffer.clear();
        if self.buffer.capacity() > 2 * BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// The file from its start, and what comes behind it.
    pub(super) fn rewind(&mut self) -> Result<(Option<File>, Vec<u8>)> {
        let file = match self.file.take() {
            Some(mut file) => {
                file.rewind().map_err(|error| self.spill.broken(error))?;
                Some(file)
            }
            None => None,
        };
        Ok((file, std::mem::take(&mut self.buffer)))
    }

    /// What reading the file back failed with.
    pub(super) fn broken(&self, error: std::io::Error) -> Error {
        self.spill.broken(error)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.spill.give_back(self.bytes);
    }
}

/// The message as it is sent outside of a block.
fn without_xid(message: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(message.len());
    plain.extend_from_slice(&message[..message.len().min(1)]);
    plain.extend_from_slice(message.get(1 + XID_BYTES..).unwrap_or_default());
    plain
}
