//! The PostgreSQL source: transport, `pgoutput` decoding, slots and publications.
//!
//! - [`connect`]: connection settings as libpq takes them, TLS, authentication, simple queries, replication commands.
//! - [`pgoutput`]: the sans-I/O parser of every message of protocols 1 to 4.
//! - [`types`]: PostgreSQL's type system; column programs that append wire values to Arrow builders.
//! - [`assemble`]: from `pgoutput` messages to change batches; relation cache, positions, schema versions.
//! - [`catalog`]: what is read from and created in the source's catalog: tables, publications, slots; preflight checks.
//! - `in_progress`: transactions that arrive while they run, held until they commit ([`Spill`] is where).
//! - [`source`]: all of it together, as a [`Source`](ductstream_core::Source).
//!
//! Not here: delivery, checkpoints, wire formats.

pub mod assemble;
pub mod catalog;
pub mod connect;
mod feedback;
mod in_progress;
mod inbound;
mod monitor;
mod open;
mod pace;
pub mod pgoutput;
mod resume;
mod role;
pub mod settings;
pub mod source;
mod standby;
pub mod types;

pub use in_progress::Spill;
pub use open::{default_publication, default_slot};
