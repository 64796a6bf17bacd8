//! Where transactions in progress are kept, and how much of them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ductstream_core::{ByteSize, Error, Result};

/// A directory and a budget for transactions in progress, shared by all attempts of a flow.
///
/// When the budget or the disk is used up, the flow connects anew without asking for transactions in progress: the server
/// holds them itself then, as it would have anyhow. It stays so until the process ends.
#[derive(Debug)]
pub struct Spill {
    directory: PathBuf,
    limit: ByteSize,
    used: AtomicU64,
    exhausted: AtomicBool,
}

impl Spill {
    /// A budget of `limit` bytes in `directory`, which is made when it is first needed.
    pub fn new(directory: impl Into<PathBuf>, limit: ByteSize) -> Arc<Self> {
        Arc::new(Self {
            directory: directory.into(),
            limit,
            used: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
        })
    }

    /// Bytes of transactions in progress that are held now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether transactions in progress may be asked for.
    pub(crate) fn is_open(&self) -> bool {
        !self.exhausted.load(Ordering::Relaxed)
    }

    /// Takes `bytes` out of the budget.
    pub(super) fn take(&self, bytes: u64) -> Result<()> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used <= self.limit.0 {
            return Ok(());
        }
        self.give_back(bytes);
        Err(self.exhaust(Error::retry(format!(
            "transactions in progress take more than the spill_limit of {}; from now on the server holds them until they commit",
            self.limit
        ))))
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A file that has no name: whatever ends the process, nothing is left behind.
    pub(super) fn file(&self) -> Result<File> {
        std::fs::create_dir_all(&self.directory)
            .and_then(|()| tempfile::tempfile_in(&self.directory))
            .map_err(|error| self.broken(error))
    }

    /// The disk does not take, or give back, what is held.
    pub(super) fn broken(&self, error: std::io::Error) -> Error {
        self.exhaust(
            Error::retry(format!(
                "transactions in progress cannot be kept in {}; from now on the server holds them until they commit",
                self.directory.display()
            ))
            .with_source(error),
        )
    }

    fn exhaust(&self, error: Error) -> Error {
        self.exhausted.store(true, Ordering::Relaxed);
        error.with_remedy("make room, or raise source.spill_limit, and start the flow again to receive them early")
    }
}
