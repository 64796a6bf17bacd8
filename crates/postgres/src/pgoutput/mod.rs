//! A sans-I/O parser of `pgoutput`, the logical decoding plugin's protocol, versions 1 to 4.
//!
//! - [`Parser`] turns the bytes of one message into a [`Message`] that borrows from them. A row is a [`Tuple`], a
//!   cursor over its values; reading one allocates nothing.
//! - [`Replication`] and [`StatusUpdate`] are the framing around it on a replication connection.
//!
//! No input makes it panic, nor allocate more than the message is long. What is malformed is a [`ParseError`] that
//! names the message and the byte.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

mod framing;
mod message;
mod parse;
mod reader;
#[cfg(test)]
mod tests;
mod tuple;

pub use framing::{Replication, StatusUpdate};
pub use message::{
    Begin, Commit, Delete, Insert, Kind, Logical, Message, OldTuple, Origin, Prepared, Relation, RelationColumn,
    RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate, Type, Update,
};
pub use parse::{Parsed, Parser};
pub use reader::{ParseError, Problem};
pub use tuple::{Tuple, TupleValue, TupleValues};

/// PostgreSQL counts time from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

fn unix_micros(postgres: i64) -> i64 {
    postgres.saturating_add(EPOCH_MICROS)
}

fn postgres_micros(unix: i64) -> i64 {
    unix.saturating_sub(EPOCH_MICROS)
}
