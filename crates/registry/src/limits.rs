//! All limits of the client.

use std::time::Duration;

/// A registry that does not take the connection in this time is down.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A registry that has not answered in this time is down.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How often all registries are tried for one request.
pub(crate) const ROUNDS: u32 = 4;

/// Pause after the first round; it doubles with each. Three pauses, less than a second in all: the flow's own retries do the rest.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Most of a registry's message that an error shows.
pub(crate) const MESSAGE_CHARS: usize = 1000;

const _: () = assert!(CONNECT_TIMEOUT.as_secs() < REQUEST_TIMEOUT.as_secs());
