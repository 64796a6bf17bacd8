//! The destinations that need no crate of their own.

pub(crate) mod null;
pub(crate) mod stdout;

pub use null::NullDestination;
pub use stdout::{SharedOutput, StdoutDestination};
