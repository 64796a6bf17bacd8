//! What every implementation of a trait must keep, as suites that each implementation's tests run.

pub mod checkpoint_store;
pub mod codec;
pub mod destination;
