//! The destinations that need no crate of their own.

mod null;
mod stdout;

pub use null::NullDestination;
pub use stdout::{SharedOutput, StdoutDestination};
