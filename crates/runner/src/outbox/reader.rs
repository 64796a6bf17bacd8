//! The reading end of an outbox.

use std::path::{Path, PathBuf};

use ductstream_core::{ChangeBatch, Error, Position, Result};

use super::segment::Frames;
use super::{Synced, format};

/// Reads an outbox from its beginning, batch by batch, while it grows and while what was read is removed behind it.
#[derive(Debug)]
pub struct OutboxReader {
    directory: PathBuf,
    /// The segment that is being read, by where it begins.
    segment: Option<(Position, Frames)>,
    /// The bound after what was read: where the next segment begins.
    end: Position,
}

impl OutboxReader {
    pub(super) fn new(directory: PathBuf, begin: Position) -> Self {
        Self { directory, segment: None, end: begin }
    }

    /// The next batch; `None` when everything that was synced has been read. The first may begin before what the destination already has.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the disk fails, and when what was synced is not there any more: opening the
    /// outbox anew tells whether it is lost.
    pub fn next(&mut self, synced: Synced) -> Result<Option<ChangeBatch>> {
        loop {
            if let Some((begin, frames)) = &mut self.segment {
                // All of an earlier segment is synced.
                let is_last = *begin >= synced.segment;
                if let Some(payload) = frames.next(if is_last { synced.bytes } else { u64::MAX })? {
                    let batch = format::decode(&payload)?;
                    self.end = batch.end;
                    return Ok(Some(batch));
                }
                let is_read = if is_last { frames.has_read(synced.bytes) } else { frames.is_at_end()? };
                if !is_read {
                    return Err(damaged(&self.directory, *begin));
                }
                if is_last {
                    return Ok(None);
                }
            }
            if !self.go_on(synced)? {
                return Ok(None);
            }
        }
    }

    /// Opens the segment that begins where the last one ended, if it may be read.
    fn go_on(&mut self, synced: Synced) -> Result<bool> {
        if self.end > synced.segment || synced.bytes == 0 {
            return Ok(false);
        }
        let mut frames = Frames::open(&self.directory, self.end)?;
        if !frames.begins()? {
            return Err(damaged(&self.directory, self.end));
        }
        self.segment = Some((self.end, frames));
        Ok(true)
    }
}

fn damaged(directory: &Path, begin: Position) -> Error {
    Error::retry(format!("outbox: the segment from {begin} in {} is damaged", directory.display()))
}
