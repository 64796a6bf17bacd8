//! A connection's bytes: over TCP, a unix socket or TLS.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
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
    /// TCP in clear.
    Tcp(tcp::OwnedReadHalf),
    /// A unix socket.
    Unix(unix::OwnedReadHalf),
    /// TLS over TCP.
    Tls(tokio::io::ReadHalf<TlsStream<TcpStream>>),
}

/// The writing half of a [`Stream`].
#[derive(Debug)]
pub enum WriteHalf {
    /// TCP in clear.
    Tcp(tcp::OwnedWriteHalf),
    /// A unix socket.
    Unix(unix::OwnedWriteHalf),
    /// TLS over TCP.
    Tls(tokio::io::WriteHalf<TlsStream<TcpStream>>),
}

impl Stream {
    /// Halves that two tasks can own. Without TLS they share nothing but the socket; with TLS they share a lock that is
    /// held only for the time of one call, never while waiting.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
        }
    }

    /// Asks the system for a receive buffer of `bytes`, and returns what it granted (Linux doubles the number, and caps
    /// it by
    /// `net.core.rmem_max`). Turns the system's own tuning of the buffer off.
    ///
    /// # Errors
    /// What the system answers.
    pub fn set_receive_buffer_bytes(&self, bytes: usize) -> io::Result<usize> {
        let socket = match self {
            Self::Tcp(stream) => socket2::SockRef::from(stream),
            Self::Unix(stream) => socket2::SockRef::from(stream),
            Self::Tls(stream) => socket2::SockRef::from(stream.get_ref().0),
        };
        socket.set_recv_buffer_size(bytes)?;
        socket.recv_buffer_size()
    }
}

impl ReadHalf {
    /// Waits until a read may find something. May return early. Over TLS it returns at once, for what is decrypted
    /// already does not show at the socket: wait by [`AsyncReadExt::read_buf`] there.
    ///
    /// # Errors
    /// What the system answers.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.readable().await,
            Self::Unix(half) => half.readable().await,
            Self::Tls(_) => Ok(()),
        }
    }

    /// Reads what is there into the spare capacity of `buffer`, without waiting. `None` when nothing is there;
    /// `Some(0)` at the end of the stream. Reserve capacity first: a full buffer grows by a few bytes only.
    ///
    /// # Errors
    /// What the system or TLS answers.
    pub fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let read = match self {
            Self::Tcp(half) => half.try_read_buf(buffer),
            Self::Unix(half) => half.try_read_buf(buffer),
            Self::Tls(half) => {
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
delegate_read!(ReadHalf);
delegate_write!(Stream);
delegate_write!(WriteHalf);
