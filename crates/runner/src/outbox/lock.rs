//! One writer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use ductstream_core::{Error, Result};

use super::segment::failed;

/// The file that the writer of an outbox holds locked. The lock ends with the process, whatever its end.
pub(super) const FILE: &str = "lock";

/// How often a lock that somebody holds is tried again: a writer of this process that was given up may still be in its last write.
const TRIES: u32 = 40;

const PAUSE: Duration = Duration::from_millis(50);

/// Locks the outbox in `directory` until the file is dropped.
///
/// # Errors
/// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when another process has it.
pub(super) fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed("open", &path, error))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, error)),
        }
    }
    Err(Error::retry(format!("outbox: another process writes to {}", directory.display()))
        .with_remedy("end it, or give this flow another `ack.outbox.path`"))
}
