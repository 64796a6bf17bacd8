//! Limits and defaults of this crate, and how they relate.

use std::time::Duration;

/// Size at which an object is rolled, by default.
pub(crate) const ROLL_BYTES: u64 = 128 << 20;

/// Age at which open objects are rolled, by default.
pub(crate) const ROLL_AGE: Duration = Duration::from_secs(60);

/// Size of one part of a large object, by default.
pub(crate) const PART_BYTES: u64 = 8 << 20;

/// The same in a directory: written while the processor's cache still holds it, and half the memory.
pub(crate) const FILE_PART_BYTES: u64 = 1 << 20;

/// The smallest part, but for an object's last, that S3 takes.
pub(crate) const PART_BYTES_MIN: u64 = 5 << 20;

/// Memory of the open objects and of the cut being uploaded together, by default.
pub(crate) const MEMORY_BYTES: u64 = 64 << 20;

/// Parts being sent at the same time.
pub(crate) const PARTS_IN_FLIGHT: usize = 2;

/// Objects of one cut being finished and put at the same time.
pub(crate) const OBJECTS_IN_FLIGHT: usize = 8;

/// Requests of one kind (deletes, lookups) sent at the same time while opening.
pub(crate) const REQUESTS_IN_FLIGHT: usize = 16;

/// How long a request is retried, by default, before the flow's own retry takes over.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(30);

/// How long a preflight check retries a request at most.
pub(crate) const CHECK_RETRY_FOR: Duration = Duration::from_secs(5);

/// How long one attempt of a request may take, by default.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before the first retry of a request; grows from retry to retry.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// Longest pause between two retries of a request.
pub(crate) const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// Retries of a request that fit into any `retry_for`: time ends the retries, not their number.
pub(crate) const RETRIES: usize = 1000;

const _: () = assert!(PART_BYTES >= PART_BYTES_MIN);
// What is on the wire as parts must leave room for the encoders that go on meanwhile.
const _: () = assert!(PARTS_IN_FLIGHT as u64 * PART_BYTES <= MEMORY_BYTES / 2);
const _: () = assert!(BACKOFF_FIRST.as_millis() < BACKOFF_LONGEST.as_millis());
