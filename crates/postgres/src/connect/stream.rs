//! A connection's bytes: over TCP, a unix socket or TLS.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockAddr, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP in clear.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The reading half of a [`Stream`].
#[derive(Debug)]
pub enum ReadHalf {
    /// TCP or a unix socket, in clear.
    Plain(PlainRead),
    /// TLS over TCP.
    Tls(tokio::io::ReadHalf<TlsStream<TcpStream>>),
}

/// The writing half of a [`Stream`].
#[derive(Debug)]
pub enum WriteHalf {
    /// TCP or a unix socket, in clear.
    Plain(Socket),
    /// TLS over TCP.
    Tls(tokio::io::WriteHalf<TlsStream<TcpStream>>),
}

/// A socket that the event loop watches only while somebody waits for bytes: a reader that lets bytes pile up is not woken by each of
/// them.
#[derive(Debug)]
pub struct PlainRead {
    socket: Socket,
    is_unix: bool,
    scratch: Box<[u8]>,
}

/// Most that one read of a plain socket takes.
const READ_BYTES: usize = 256 << 10;
/// Between two tries to write into a full send buffer, which only a peer that reads nothing at all can cause.
const WRITE_PAUSE: Duration = Duration::from_millis(10);

impl Stream {
    /// Halves that two tasks can own. Without TLS they are two descriptors of one socket; with TLS they share a lock that is held only
    /// for the time of one call, never while waiting.
    ///
    /// # Errors
    /// What the system answers.
    pub fn into_split(self) -> io::Result<(ReadHalf, WriteHalf)> {
        let (socket, is_unix) = match self {
            Self::Tcp(stream) => (Socket::from(stream.into_std()?), false),
            Self::Unix(stream) => (Socket::from(stream.into_std()?), true),
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                return Ok((ReadHalf::Tls(read), WriteHalf::Tls(write)));
            }
        };
        let write = WriteHalf::Plain(socket.try_clone()?);
        let scratch = vec![0; READ_BYTES].into_boxed_slice();
        Ok((ReadHalf::Plain(PlainRead { socket, is_unix, scratch }), write))
    }
}

impl ReadHalf {
    /// Waits for bytes and appends them to `buffer`; 0 at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// What the system or TLS answers.
    pub async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            if let Some(bytes) = self.try_read_buf(buffer)? {
                return Ok(bytes);
            }
            match self {
                Self::Tls(half) => return half.read_buf(buffer).await,
                Self::Plain(plain) => plain.readable().await?,
            }
        }
    }

    /// Appends what is there to `buffer`, without waiting. `None` when nothing is there; `Some(0)` at the end of the stream.
    ///
    /// # Errors
    /// What the system or TLS answers.
    pub fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let read = match self {
            Self::Plain(plain) => plain.receive(buffer),
            Self::Tls(half) => {
                buffer.reserve(READ_BYTES);
                let mut context = Context::from_waker(Waker::noop());
                // Dropping the future loses nothing: `read_buf` is cancel-safe.
                match pin!(half.read_buf(buffer)).poll(&mut context) {
                    Poll::Ready(result) => result,
                    Poll::Pending => return Ok(None),
                }
            }
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks the system for a receive buffer of `bytes` (Linux doubles the number), instead of one that grows under load. Over TLS nothing
    /// changes.
    ///
    /// # Errors
    /// What the system answers.
    pub fn set_receive_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.socket.set_recv_buffer_size(bytes),
            Self::Tls(_) => Ok(()),
        }
    }

    /// Whether this is TCP in clear between two processes of one machine.
    pub fn is_local_tcp(&self) -> bool {
        matches!(self, Self::Plain(plain) if plain.is_local_tcp())
    }

    /// Whether this is a unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Plain(plain) if plain.is_unix)
    }
}

impl PlainRead {
    fn is_local_tcp(&self) -> bool {
        let address = |address: io::Result<SockAddr>| address.ok().and_then(|it| it.as_socket()).map(|it| it.ip());
        let peer = address(self.socket.peer_addr());
        !self.is_unix && peer.is_some() && peer == address(self.socket.local_addr())
    }

    fn receive(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            match self.socket.read(&mut self.scratch) {
                Ok(bytes) => {
                    buffer.extend_from_slice(&self.scratch[..bytes]);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Registers the socket with the event loop for the time of one wait.
    async fn readable(&self) -> io::Result<()> {
        let socket = self.socket.try_clone()?;
        if self.is_unix {
            UnixStream::from_std(socket.into())?.readable().await
        } else {
            TcpStream::from_std(socket.into())?.readable().await
        }
    }
}

impl WriteHalf {
    /// Writes all of `bytes`. Not cancel-safe.
    ///
    /// # Errors
    /// What the system or TLS answers.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let socket = match self {
            Self::Tls(half) => {
                half.write_all(bytes).await?;
                return half.flush().await;
            }
            Self::Plain(socket) => socket,
        };
        while !bytes.is_empty() {
            match socket.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(WRITE_PAUSE).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

macro_rules! each {
    ($self:expr, $half:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($half) => $call,
            Self::Unix($half) => $call,
            Self::Tls($half) => $call,
        }
    };
}

macro_rules! delegate_read {
    ($type:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self, inner => Pin::new(inner).poll_read(context, buffer))
            }
        }
    };
}

macro_rules! delegate_write {
    ($type:ident) => {
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                each!(self, inner => Pin::new(inner).poll_write(context, bytes))
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, inner => Pin::new(inner).poll_flush(context))
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, inner => Pin::new(inner).poll_shutdown(context))
            }
        }
    };
}

delegate_read!(Stream);
delegate_write!(Stream);
