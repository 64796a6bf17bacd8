//! What is read from and created in the source's catalog, by simple queries on a [`Connection`](crate::connect::Connection).
//!
//! - [`server`]: version, `wal_level`, identity, where the WAL ends.
//! - [`slot`]: replication slots.
//! - [`publication`]: publications, and which tables a pattern means.
//! - [`relation`]: keys and column types of published tables.

pub mod publication;
pub mod relation;
pub mod server;
pub mod slot;
