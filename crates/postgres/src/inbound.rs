//! The read half of the replication connection: bytes off the socket at the right pace, cut into frames.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ductstream_core::{Error, Lsn, Result};
use tokio::time::{Instant, sleep_until, timeout};

use crate::connect::{ReadHalf, ServerError};
use crate::feedback::Shared;
use crate::pace::{LOCAL_WINDOW_BYTES, Pace, Pause, UNIX_PAUSE_LEAST};
use crate::resume::publication_gone;

/// A read of less found the socket empty, or all but: what long rows leave of a small window is more. A TLS record, which is what one read
/// yields there, holds up to twice as much.
const SHORT_READ_BYTES: usize = 8 << 10;
/// Most that one drain takes before what arrived is decoded: bounds the buffer, whatever the socket holds.
const DRAIN_BYTES: usize = 2 << 20;
/// A buffer that one huge value has grown beyond this is given back when empty.
const KEEP_BYTES: usize = 8 << 20;
/// Tag and length of a message.
const HEADER: usize = 5;

/// One message of the server inside the copy.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// The content of a CopyData message.
    CopyData(&'a [u8]),
    /// The server ended the copy.
    CopyDone,
    /// Anything that carries no data here: notices, parameter changes.
    Other,
}

pub(crate) struct Inbound {
    read: ReadHalf,
    buffer: BytesMut,
    pace: Pace,
    drained_at: Instant,
    silence_limit: Duration,
    shared: Arc<Shared>,
}

impl Inbound {
    /// Reads from `read`, of which `buffer` was read already.
    pub(crate) fn new(read: ReadHalf, buffer: BytesMut, silence_limit: Duration, shared: Arc<Shared>) -> Self {
        if read.is_local_tcp()
            && let Err(error) = read.set_receive_buffer_bytes(LOCAL_WINDOW_BYTES)
        {
            tracing::debug!("the receive buffer stays as it is: {error}");
        }
        let pace = if read.is_unix() { Pace::unix() } else { Pace::tcp() };
        Self { read, buffer, pace, drained_at: Instant::now(), silence_limit, shared }
    }

    /// Reads until at least one more byte is here, and then all that is. Returns without any once after a load, when the reader has caught up:
    /// what was kept back for more to come must not wait for it any longer. Cancel-safe.
    ///
    /// # Errors
    /// When the connection is lost, or nothing was heard for longer than the silence limit.
    pub(crate) async fn read(&mut self) -> Result<()> {
        match self.pace.pause() {
            None => {}
            Some(Pause::Timer(pause)) => sleep_until(self.drained_at + pause).await,
            Some(Pause::Thread(pause)) => {
                // What waits for this thread goes first: it may be the very task that takes what was read.
                tokio::task::yield_now().await;
                // Never not at all: the sender's rows would be met one by one.
                std::thread::sleep(pause.saturating_sub(self.drained_at.elapsed()).max(UNIX_PAUSE_LEAST));
            }
        }
        let mut drained = self.drain()?;
        if drained == 0 && self.pace.caught_up() {
            return Ok(());
        }
        if drained == 0 {
            let waited = timeout(self.silence_limit, self.read.read_buf(&mut self.buffer)).await;
            let read = waited.map_err(|_| silent(self.silence_limit))?;
            drained = arrived(read)?;
            if drained >= SHORT_READ_BYTES {
                drained += self.drain()?;
            }
        }
        let now = Instant::now();
        self.pace.drained(drained, now - self.drained_at);
        self.drained_at = now;
        self.shared.received_bytes(drained);
        Ok(())
    }

    /// Takes what the socket holds, without waiting. A short read ends it: the socket is empty then, and asking again would only meet the
    /// server's next row, one at a time.
    fn drain(&mut self) -> Result<usize> {
        let mut drained = 0;
        while drained < DRAIN_BYTES {
            match self.read.try_read_buf(&mut self.buffer) {
                Ok(Some(bytes)) => {
                    drained += arrived(Ok(bytes))?;
                    if bytes < SHORT_READ_BYTES {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(drained)
    }

    /// The first complete frame and its length, which [`consume`](Self::consume) takes; `None` when more has to be read.
    ///
    /// # Errors
    /// The error that the server sent, or a length that no message has.
    pub(crate) fn frame(&self) -> Result<Option<(Frame<'_>, usize)>> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length < 4 {
            return Err(Error::bug(format!(
                "the server sent a message of type {:?} and length {length}",
                header[0] as char
            )));
        }
        let Some(content) = self.buffer.get(HEADER..1 + length) else { return Ok(None) };
        let frame = match header[0] {
            b'd' => Frame::CopyData(content),
            b'c' => Frame::CopyDone,
            b'E' => return Err(refused(&self.buffer[..1 + length])),
            b'N' => noticed(content)?,
            _ => Frame::Other,
        };
        Ok(Some((frame, 1 + length)))
    }

    /// Whether the reader is behind: more is on its way.
    pub(crate) fn is_loaded(&self) -> bool {
        self.pace.pause().is_some()
    }

    /// Notes that WAL up to `received` has arrived, of which the server has written `wal_end`.
    pub(crate) fn saw(&self, received: Lsn, wal_end: Lsn) {
        self.shared.received(received);
        self.shared.server_wal_end(wal_end);
    }

    /// Has an answer sent at once.
    pub(crate) fn want_reply(&self) {
        self.shared.want_reply();
    }

    /// Drops the first `length` bytes.
    pub(crate) fn consume(&mut self, length: usize) {
        self.buffer.advance(length);
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_BYTES {
            self.buffer = BytesMut::new();
        }
    }
}

/// The server's function that warns about a publication that was dropped, and the one that refuses it. Messages are translated, and their
/// codes stand for other things as well: that a standby is away which `synchronized_standby_slots` waits for, say.
const WARNS_OF_PUBLICATION: &[u8] = b"LoadPublications";
const REFUSES_PUBLICATION: &str = "get_publication_oid";

/// A notice, which tells nothing that counts but one thing: from version 18 on the server only warns about a publication that was dropped,
/// and sends none of its changes.
fn noticed(content: &[u8]) -> Result<Frame<'_>> {
    let field = |tag: u8| content.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[tag]));
    // ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE <https://www.postgresql.org/docs/current/protocol-error-fields.html>
    match (field(b'C'), field(b'M')) {
        (Some(b"55000"), Some(message)) if field(b'R') == Some(WARNS_OF_PUBLICATION) => {
            Err(publication_gone(quoted(&String::from_utf8_lossy(message))))
        }
        _ => Ok(Frame::Other),
    }
}

/// What stands between the first quotation marks, of any language.
fn quoted(message: &str) -> &str {
    let mut pieces = message.split(['"', '«', '»', '„', '“', '”']);
    pieces.nth(1).unwrap_or(message).trim()
}

fn refused(message: &[u8]) -> Error {
    match ServerError::parse(message) {
        // ERRCODE_UNDEFINED_OBJECT: before version 18 the server gives up when a publication was dropped.
        Ok(error) if error.code == "42704" && error.routine == REFUSES_PUBLICATION => {
            publication_gone(quoted(&error.message))
        }
        // The server's state: what of it can be mended only by hand is found when the source is opened again.
        Ok(error) if matches!(error.code.as_str(), "55000" | "22023") => {
            Error::retry(format!("the server ended replication: {error}")).with_source(error)
        }
        Ok(error) => error.into_error("the server ended replication"),
        Err(error) => Error::retry("the server ended replication with an error that cannot be read").with_source(error),
    }
}

fn arrived(read: std::io::Result<usize>) -> Result<usize> {
    match read {
        Ok(0) => Err(Error::retry("the server closed the replication connection")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::retry("the replication connection broke").with_source(error)
}

fn silent(limit: Duration) -> Error {
    Error::retry(format!("nothing was heard from the server for {} s", limit.as_secs())).with_remedy(
        "if the server was busy with a large rewrite, raise its wal_sender_timeout: twice that is waited for, at least two minutes",
    )
}

#[cfg(test)]
mod tests {
    use ductstream_core::ErrorKind;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::connect::Stream;

    #[tokio::test]
    async fn a_reader_that_catches_up_says_so_before_it_waits_for_more() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let (read, _write) = Stream::Unix(ours).into_split().unwrap();
        let mut inbound = Inbound::new(read, BytesMut::new(), Duration::from_secs(3600), Shared::new());
        theirs.write_all(&[0; 64 << 10]).await.unwrap();
        inbound.read().await.unwrap();
        assert!(inbound.is_loaded(), "a long read is load");
        while inbound.is_loaded() {
            let read = timeout(Duration::from_secs(60), inbound.read()).await;
            read.expect("nothing more comes, and what was kept back has to go on").unwrap();
        }
    }

    #[test]
    fn a_warning_that_a_publication_is_skipped_is_an_error_and_other_notices_are_not() {
        let skipped = b"SWARNING\0VWARNING\0C55000\0Mskipped loading publication \"shop\"\0DIt does not exist.\0RLoadPublications\0\0";
        let error = noticed(skipped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resync);
        assert!(error.message().contains("publication shop "), "{error:?}");
        let away = b"SWARNING\0VWARNING\0C55000\0Mreplication slot \"standby\" does not have active_pid\0RStandbySlotsHaveCaughtup\0\0";
        assert!(matches!(noticed(away), Ok(Frame::Other)));
        assert!(matches!(noticed(b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"), Ok(Frame::Other)));
        assert!(matches!(noticed(b""), Ok(Frame::Other)));
    }
}
