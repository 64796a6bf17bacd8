//! Messages over a stream.

use std::io;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;

/// The answer that switches to streaming; `postgres-protocol` does not know it.
const COPY_BOTH_RESPONSE: u8 = b'W';
/// Nothing that a server says before the session is ready is larger. libpq has the same limit, for the same reason:
/// what answers may not be PostgreSQL.
const GREETING_LIMIT_BYTES: usize = 30_000;
/// PostgreSQL's own limit of a message.
const MESSAGE_LIMIT_BYTES: usize = 1 << 30;
const READ_BYTES: usize = 16 << 10;

/// A message from the server.
pub(super) enum Reply {
    Message(Message),
    CopyBoth,
}

/// A stream, and what was read from it and not taken yet.
pub(super) struct Transport {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    /// The largest message that is taken, in bytes.
    limit: usize,
}

impl Transport {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES), limit: GREETING_LIMIT_BYTES }
    }

    /// From now on the server is known to be one.
    pub(super) fn trust(&mut self) {
        self.limit = MESSAGE_LIMIT_BYTES;
    }

    /// Sends what `build` writes.
    pub(super) async fn send(&mut self, build: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        let mut message = BytesMut::new();
        build(&mut message)?;
        self.stream.write_all(&message).await?;
        self.stream.flush().await
    }

    /// The next message.
    pub(super) async fn receive(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(reply) = self.take()? {
                return Ok(reply);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Reply>> {
        let Some(header) = Header::parse(&self.buffer)? else { return Ok(None) };
        let length = usize::try_from(header.len()).unwrap_or(usize::MAX).saturating_add(1);
        if length > self.limit {
            let message = format!("a message of {length} bytes is not PostgreSQL's protocol");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        if header.tag() == COPY_BOTH_RESPONSE {
            self.buffer.advance(length);
            return Ok(Some(Reply::CopyBoth));
        }
        Ok(Message::parse(&mut self.buffer)?.map(Reply::Message))
    }
}
