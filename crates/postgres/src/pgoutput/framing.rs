//! The outer framing of a replication connection: what travels inside CopyData messages.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION>

use ductstream_core::Lsn;

use super::message::Kind;
use super::reader::{ParseError, Problem, Reader, Result};
use super::{postgres_micros, unix_micros};

/// What the server sends inside CopyData. Times are in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication<'a> {
    /// One message of the output plugin.
    WalData {
        /// The address that the message belongs to; zero for those without one.
        wal_start: Lsn,
        /// The end of the server's WAL as it knew it.
        wal_end: Lsn,
        /// The server's clock.
        server_time: i64,
        /// The message.
        data: &'a [u8],
    },
    /// A sign of life, or a demand for one.
    Keepalive {
        /// Everything that commits before this was sent.
        wal_end: Lsn,
        /// The server's clock.
        server_time: i64,
        /// Whether the server drops the connection unless it hears from us soon.
        reply_requested: bool,
    },
}

impl<'a> Replication<'a> {
    /// Reads the content of one CopyData message.
    ///
    /// # Errors
    /// When it is neither of the two.
    #[inline]
    pub fn parse(copy_data: &'a [u8]) -> Result<Self> {
        match copy_data.first() {
            Some(b'w') => {
                let mut reader = Reader::after_tag(copy_data, Kind::WalData);
                let (wal_start, wal_end) = (Lsn(reader.u64()?), Lsn(reader.u64()?));
                let server_time = unix_micros(reader.i64()?);
                let data = reader.bytes(reader.left())?;
                Ok(Self::WalData { wal_start, wal_end, server_time, data })
            }
            Some(b'k') => {
                let mut reader = Reader::after_tag(copy_data, Kind::Keepalive);
                let (wal_end, server_time) = (Lsn(reader.u64()?), unix_micros(reader.i64()?));
                let reply_requested = reader.u8()? != 0;
                reader.ending(Self::Keepalive { wal_end, server_time, reply_requested })
            }
            first => Err(neither(first.copied())),
        }
    }
}

#[cold]
fn neither(first: Option<u8>) -> ParseError {
    let problem = match first {
        Some(byte) => Problem::Unknown { what: "replication message", byte },
        None => Problem::Short { wanted: 1, left: 0 },
    };
    ParseError { kind: Kind::Unknown, offset: 0, problem: Box::new(problem) }
}

/// What the client reports back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusUpdate {
    /// Received up to here.
    pub written: Lsn,
    /// Durable up to here: the server may forget what commits before.
    pub flushed: Lsn,
    /// Applied up to here.
    pub applied: Lsn,
    /// The client's clock, in microseconds since 1970-01-01 UTC.
    pub client_time: i64,
    /// Whether the server should answer at once.
    pub reply_requested: bool,
}

impl StatusUpdate {
    /// Length on the wire.
    pub const LEN: usize = 34;

    /// The content of the CopyData message.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = b'r';
        out[1..9].copy_from_slice(&self.written.0.to_be_bytes());
        out[9..17].copy_from_slice(&self.flushed.0.to_be_bytes());
        out[17..25].copy_from_slice(&self.applied.0.to_be_bytes());
        out[25..33].copy_from_slice(&postgres_micros(self.client_time).to_be_bytes());
        out[33] = u8::from(self.reply_requested);
        out
    }
}
