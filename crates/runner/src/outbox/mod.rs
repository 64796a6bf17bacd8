//! A durable queue on disk between the source and one destination, so that a slow destination holds up nobody else.
//!
//! [`Outbox`] is the writing end: it appends batches to segment files, and [`sync`](Outbox::sync) says up to where they survive a crash.
//! [`OutboxReader`] is the reading end: it gives batches back in order, and only those that were synced. Both block on the disk.
//!
//! An outbox is a copy of what the source can no longer be asked for: it is cut back at its start to what the flow's checkpoint
//! counts on, so that the source and the outbox agree about what comes next, and it refuses to start with less.
//!
//! Not here: when to append, what to do with what is read.

mod columns;
mod format;
mod lock;
mod reader;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use ductstream_core::{ChangeBatch, Error, Position, Queued, Result};

pub use reader::OutboxReader;
pub use segment::Frame;

use segment::{Segment, failed, list, sync_directory};

/// Where an outbox lies and how large it may become.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// A directory of its own; made when missing.
    pub directory: PathBuf,
    /// Bytes on disk above which nothing more is appended.
    pub budget_bytes: u64,
    /// Bytes above which a segment is closed and the next begins. Disk is given back by whole segments.
    pub segment_bytes: u64,
}

/// What the flow's checkpoint says about the destination of an outbox.
#[derive(Debug, Clone, Copy)]
pub struct OutboxStart {
    /// Every record before this is durable in the destination.
    pub durable: Position,
    /// Every record before this is durable there or must be in the outbox.
    pub queued: Position,
}

/// Up to where an outbox may be read: the end of what is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synced {
    segment: Position,
    bytes: u64,
}

/// Whether a frame found room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the file; [`Outbox::sync`] makes it durable.
    Written,
    /// The budget is used up: append it again once [`Outbox::release`] has made room.
    Full,
}

/// The writing end of an outbox. After an error of [`append`](Self::append) or [`sync`](Self::sync) it must be opened anew.
#[derive(Debug)]
pub struct Outbox {
    settings: OutboxSettings,
    /// In order; the last one is written to.
    segments: VecDeque<Segment>,
    /// The last segment's file, once something was appended.
    file: Option<File>,
    end: Position,
    synced: Synced,
    _lock: File,
}

impl Outbox {
    /// Opens the outbox, or begins one. What lies beyond `start.queued`, whole or torn, is cut off: the source sends it again.
    ///
    /// # Errors
    /// [`ErrorKind::Resync`](ductstream_core::ErrorKind::Resync) when it holds less than `start.queued`, with the remedy;
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when another process writes to it.
    pub fn open(settings: OutboxSettings, start: OutboxStart) -> Result<Self> {
        let directory = &settings.directory;
        segment::create_directory(directory).map_err(|error| failed("create", directory, error))?;
        let lock = lock::lock(directory)?;
        let (segments, rest, end) = complete(directory, start)?;
        for segment in &segments {
            segment.cut(directory)?;
        }
        for segment in rest {
            segment.remove(directory)?;
        }
        sync_directory(directory).map_err(|error| failed("sync", directory, error))?;
        let synced = segments.back().map_or(Synced { segment: end, bytes: 0 }, synced);
        Ok(Self { settings, segments, file: None, end, synced, _lock: lock })
    }

    /// Every record before this was appended, or is durable in the destination.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Bytes on disk.
    pub fn len_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What of `batch` is not in the outbox yet; `None` when nothing is.
    pub fn missing(&self, batch: &ChangeBatch) -> Option<ChangeBatch> {
        let is_new = batch.end > self.end || (batch.end == self.end && !batch.barriers.is_empty());
        is_new.then(|| batch.since(self.end))
    }

    /// Appends the frame of a batch that follows what was appended before. A frame that is larger than the whole budget is taken by an outbox
    /// that holds nothing else, for it would never find room.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the disk fails or is full.
    pub fn append(&mut self, frame: &Frame) -> Result<Appended> {
        if frame.end() < self.end {
            return Err(Error::bug(format!("outbox: a batch up to {} comes after {}", frame.end(), self.end)));
        }
        let used = self.len_bytes();
        let holds_something = self.segments.iter().any(|segment| !segment.is_empty());
        if holds_something && used.saturating_add(frame.len_bytes()) > self.settings.budget_bytes {
            return Ok(Appended::Full);
        }
        self.roll()?;
        if let (Some(segment), Some(file)) = (self.segments.back_mut(), self.file.as_mut()) {
            segment.append(&self.settings.directory, file, frame)?;
            self.end = frame.end();
        }
        Ok(Appended::Written)
    }

    /// Makes everything that was appended survive a crash.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the disk fails. What was appended since the last sync may be lost.
    pub fn sync(&mut self) -> Result<Queued> {
        if let (Some(segment), Some(file)) = (self.segments.back(), &self.file) {
            file.sync_data().map_err(|error| failed("sync", &self.settings.directory, error))?;
            self.synced = synced(segment);
        }
        Ok(Queued::up_to(self.end))
    }

    /// Up to where readers may read.
    pub fn synced(&self) -> Synced {
        self.synced
    }

    /// Removes the segments that the destination no longer needs, since every record before `durable` is durable there and the
    /// checkpoint that says so is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the disk fails.
    pub fn release(&mut self, durable: Position) -> Result<()> {
        let mut removed = false;
        // A segment that begins where it ends holds barriers only, and the next would have its name.
        while let Some(segment) =
            self.segments.pop_front_if(|segment| segment.end <= durable && segment.begin < segment.end)
        {
            if self.segments.is_empty() {
                // Readers have read all of it; the next segment begins at its end.
                self.file = None;
            }
            segment.remove(&self.settings.directory)?;
            removed = true;
        }
        if removed {
            let directory = &self.settings.directory;
            sync_directory(directory).map_err(|error| failed("sync", directory, error))?;
        }
        Ok(())
    }

    /// A reader from the outbox's beginning.
    pub fn reader(&self) -> OutboxReader {
        let begin = self.segments.front().map_or(self.end, |segment| segment.begin);
        OutboxReader::new(self.settings.directory.clone(), begin)
    }

    /// Begins a segment where there is none to write to, or where the last one is large enough.
    fn roll(&mut self) -> Result<()> {
        let directory = &self.settings.directory;
        // A segment that begins where it ends, for it holds barriers only, goes on: the next would have its name.
        let is_large = |last: &Segment| last.bytes >= self.settings.segment_bytes && last.begin < last.end;
        if let Some(last) = self.segments.back().filter(|last| !is_large(last)) {
            if self.file.is_none() {
                self.file = Some(last.reopen(directory)?);
            }
            return Ok(());
        }
        if let Some(file) = &self.file {
            // What follows must not survive a crash that this does not.
            file.sync_data().map_err(|error| failed("sync", directory, error))?;
        }
        let (segment, file) = Segment::create(directory, self.end)?;
        self.segments.push_back(segment);
        self.file = Some(file);
        Ok(())
    }
}

fn synced(segment: &Segment) -> Synced {
    Synced { segment: segment.begin, bytes: segment.bytes }
}

/// Bytes that the outbox in `directory` holds on disk. Changes nothing; a directory that is missing is an empty outbox.
///
/// # Errors
/// As [`Outbox::open`], but that somebody may be writing to it.
pub fn inspect(directory: &Path, start: OutboxStart) -> Result<u64> {
    let (segments, rest, _) = complete(directory, start)?;
    Ok(segments.iter().chain(&rest).map(|segment| segment.bytes).sum())
}

/// Removes the outbox in `directory` with everything in it; what else lies there stays. One that is missing is removed already.
///
/// # Errors
/// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the disk fails, or a process writes to the outbox.
pub fn remove(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let lock = lock::lock(directory)?;
    segment::remove_all(directory)?;
    let remove = || {
        std::fs::remove_file(directory.join(lock::FILE))?;
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => Err(error),
            _ => Ok(()),
        }
    };
    remove().map_err(|error| failed("remove", directory, error))?;
    drop(lock);
    Ok(())
}

/// What [`scan`] finds, and where it ends.
///
/// # Errors
/// [`ErrorKind::Resync`](ductstream_core::ErrorKind::Resync) when it ends before `start.queued`.
fn complete(directory: &Path, start: OutboxStart) -> Result<(VecDeque<Segment>, Vec<Segment>, Position)> {
    let (segments, rest) = scan(directory, start)?;
    let end = segments.back().map_or(start.durable, |segment| segment.end);
    if end < start.queued {
        return Err(incomplete(directory, start, end));
    }
    Ok((segments, rest, end))
}

/// The segments from `start.durable` to `start.queued`, and the others: not needed any more, not yet, torn, or behind a gap.
fn scan(directory: &Path, start: OutboxStart) -> Result<(VecDeque<Segment>, Vec<Segment>)> {
    let (mut segments, mut rest) = (VecDeque::new(), Vec::new());
    let mut reached = start.durable;
    for begin in list(directory)? {
        let segment = Segment::scan(directory, begin, start.queued)?;
        // The first may begin early, for segments are removed whole; the others begin where the one before ends.
        let follows = if segments.is_empty() { begin <= reached } else { begin == reached };
        if follows && segment.end > start.durable {
            reached = segment.end;
            segments.push_back(segment);
        } else {
            rest.push(segment);
        }
    }
    Ok((segments, rest))
}

fn incomplete(directory: &Path, start: OutboxStart, end: Position) -> Error {
    Error::resync(format!(
        "the outbox in {} holds this flow's changes up to {end}, and the flow counts on it up to {}: those between are gone",
        directory.display(),
        start.queued
    ))
    .with_remedy(
        "put the directory back as it was, or give `ack.outbox.path` or `--state` as they were; if it is lost, take the destination out of \
         the flow and put it back under another name with an empty place, brought up to date from the tables",
    )
}

#[cfg(test)]
mod tests;
