//! What is read from and created in the source's catalog, by simple queries on a
//! [`Connection`](crate::connect::Connection).
//!
//! - [`server`]: version, `wal_level`, identity, where the WAL ends.
//! - [`slot`]: replication slots.
//! - [`timeline`]: the timelines that a server descends from.
//! - [`table`]: a database's tables; [`pattern`]: which of them a pattern means.
//! - [`publication`]: publications, made and kept.
//! - [`relation`]: keys and column types of published tables; [`schema`]: what they look like.
//! - [`preflight`]: what a flow would trip over; [`inspect`]: what a new flow may want to know.

pub mod inspect;
pub mod pattern;
pub mod preflight;
pub mod publication;
pub mod relation;
pub mod schema;
pub mod server;
pub mod slot;
pub mod table;
pub mod timeline;
