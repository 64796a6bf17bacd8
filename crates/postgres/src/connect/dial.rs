//! From settings to a stream: addresses, sockets, encryption.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use ductstream_core::{Error, Result};
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::settings::{ConnectionSettings, Endpoint, Host, KeepAlive};
use super::ssl::{SslMode, SslNegotiation};
use super::stream::Stream;
use super::tls;

/// What one try does about encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Never,
    IfOffered,
    Always,
}

impl Encryption {
    /// What to try with `host`, in order. libpq never encrypts on a unix socket.
    pub(super) fn tries(mode: SslMode, host: &Host) -> &'static [Self] {
        match (&host.endpoint, mode) {
            (Endpoint::Unix(_), _) | (_, SslMode::Disable) => &[Self::Never],
            (_, SslMode::Allow) => &[Self::Never, Self::Always],
            (_, SslMode::Prefer) => &[Self::IfOffered, Self::Never],
            _ => &[Self::Always],
        }
    }
}

/// What SCRAM can be bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsBinding {
    /// The stream is in clear.
    NoTls,
    /// TLS; the hash of the server's certificate, where one is defined.
    Tls(Option<Vec<u8>>),
}

/// TLS failed: what makes `prefer` go on in clear.
#[derive(Debug)]
pub(super) struct TlsFailed(io::Error);

impl fmt::Display for TlsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for TlsFailed {}

/// One address to dial.
pub(super) struct Dial<'a> {
    pub(super) settings: &'a ConnectionSettings,
    pub(super) host: &'a Host,
    /// `None` for a unix socket.
    pub(super) address: Option<SocketAddr>,
    pub(super) tls: Option<&'a Arc<rustls::ClientConfig>>,
}

/// The addresses of `host`, in the order of the resolver.
pub(super) async fn addresses(host: &Host) -> io::Result<Vec<Option<SocketAddr>>> {
    match &host.endpoint {
        Endpoint::Unix(_) => Ok(vec![None]),
        Endpoint::Tcp { address: Some(address), .. } => Ok(vec![Some(SocketAddr::new(*address, host.port))]),
        Endpoint::Tcp { name, .. } => {
            let name = name.as_deref().unwrap_or_default();
            Ok(tokio::net::lookup_host((name, host.port)).await?.map(Some).collect())
        }
    }
}

impl Dial<'_> {
    /// A stream that is ready for the startup message.
    pub(super) async fn open(&self, encryption: Encryption) -> Result<(Stream, TlsBinding)> {
        let Some(address) = self.address else { return self.open_unix().await };
        let mut stream = self.open_tcp(address).await.map_err(|error| self.unreachable(error))?;
        if encryption == Encryption::Never {
            return Ok((Stream::Tcp(stream), TlsBinding::NoTls));
        }
        let direct = self.settings.ssl.negotiation == SslNegotiation::Direct;
        if !direct && !self.request_tls(&mut stream, encryption).await? {
            return Ok((Stream::Tcp(stream), TlsBinding::NoTls));
        }
        self.handshake(stream, direct).await
    }

    async fn open_unix(&self) -> Result<(Stream, TlsBinding)> {
        let file = self.host.socket_file().unwrap_or_default();
        let stream = UnixStream::connect(file).await.map_err(|error| self.unreachable(error))?;
        Ok((Stream::Unix(stream), TlsBinding::NoTls))
    }

    async fn open_tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.settings.keepalive.apply(&SockRef::from(&stream))?;
        Ok(stream)
    }

    /// Asks for TLS and returns whether the server agrees.
    async fn request_tls(&self, stream: &mut TcpStream, encryption: Encryption) -> Result<bool> {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(|error| self.unreachable(error))?;
        // Exactly one byte: anything that follows it in clear must reach the TLS handshake and break it there.
        let answer = stream.read_u8().await.map_err(|error| self.unreachable(error))?;
        match answer {
            b'S' => Ok(true),
            b'N' if encryption == Encryption::IfOffered => Ok(false),
            b'N' => {
                let mode = self.settings.ssl.mode.as_str();
                Err(Error::configuration(format!(
                    "{}: the server does not offer TLS, and sslmode={mode} asks for it",
                    self.doing()
                ))
                .with_remedy("turn ssl on in the server, or set sslmode=disable to send everything in clear"))
            }
            b'E' => {
                Err(Error::retry(format!("{}: the server answered the request for TLS with an error", self.doing())))
            }
            _ => Err(Error::configuration(format!("{}: what answers there is not PostgreSQL", self.doing()))
                .with_remedy("check the host and the port")),
        }
    }

    async fn handshake(&self, stream: TcpStream, direct: bool) -> Result<(Stream, TlsBinding)> {
        let config = self.tls.ok_or_else(|| Error::bug("TLS was asked for and not set up"))?;
        let name = self.server_name()?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(|error| self.tls_failed(error))?;
        let (_, session) = stream.get_ref();
        if direct && session.alpn_protocol() != Some(tls::ALPN) {
            let message = format!("{}: the server does not take TLS from the first byte", self.doing());
            return Err(Error::configuration(message).with_remedy("leave sslnegotiation=direct out"));
        }
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let binding = certificate.and_then(tls::channel_binding);
        Ok((Stream::Tls(Box::new(stream)), TlsBinding::Tls(binding)))
    }

    /// The name that the certificate is verified against, and that the server is told.
    fn server_name(&self) -> Result<ServerName<'static>> {
        let name = match &self.host.endpoint {
            Endpoint::Tcp { name, .. } => name.as_deref(),
            Endpoint::Unix(_) => None,
        };
        let parsed = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let by_address = self.address.map(|address| ServerName::from(address.ip()));
        match parsed {
            Some(name) => Ok(name),
            None if self.settings.ssl.mode == SslMode::VerifyFull => {
                let message = format!("{}: sslmode=verify-full needs a host name to verify", self.doing());
                Err(Error::configuration(message).with_remedy("give host= the name in the server's certificate"))
            }
            // Nothing is verified against it; an address is never sent to the server.
            None => by_address.ok_or_else(|| Error::bug("TLS was asked for on a unix socket")),
        }
    }

    fn tls_failed(&self, error: io::Error) -> Error {
        use rustls::{CertificateError as Certificate, Error as Tls};
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>());
        let remedy = match tls {
            None => {
                let remedy = match self.settings.ssl.negotiation {
                    SslNegotiation::Direct => {
                        "leave sslnegotiation=direct out, unless the server is PostgreSQL 17 or later"
                    }
                    SslNegotiation::Postgres => "see the server's log",
                };
                let message = format!("{}: the connection broke while TLS was set up", self.doing());
                return Error::retry(message).with_source(TlsFailed(error)).with_remedy(remedy);
            }
            // An authority with the right name and another key is another authority.
            Some(Tls::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature)) => {
                "set sslrootcert to the certificate of the authority that signed the server's"
            }
            Some(Tls::InvalidCertificate(
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
            )) => "connect by a name that is in the server's certificate, or set sslmode=verify-ca",
            Some(Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. })) => {
                "renew the server's certificate"
            }
            Some(Tls::AlertReceived(_)) => "see the server's log; it may want a client certificate (sslcert, sslkey)",
            Some(_) => "check the server's certificate and the ssl settings",
        };
        Error::configuration(format!("{}: TLS failed", self.doing())).with_source(TlsFailed(error)).with_remedy(remedy)
    }

    /// The socket could not be opened, or broke before the session began.
    pub(super) fn unreachable(&self, error: io::Error) -> Error {
        unreachable(self.settings, self.host, error)
    }

    /// What is being done, in messages.
    pub(super) fn doing(&self) -> String {
        doing(self.settings, self.host)
    }
}

/// What is being done, in messages.
pub(super) fn doing(settings: &ConnectionSettings, host: &Host) -> String {
    format!("cannot connect to {}", settings.address_of(host))
}

/// The server cannot be reached: it may be able to later, unless this user may not use the socket at all.
pub(super) fn unreachable(settings: &ConnectionSettings, host: &Host, error: io::Error) -> Error {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let message = format!("{}: {error}", doing(settings, host));
    let remedy = match &host.endpoint {
        Endpoint::Unix(_) if denied => "let this user into the socket's directory, or connect by host name",
        Endpoint::Unix(_) => {
            "start the server, or give host= the directory of its socket (unix_socket_directories), or its name"
        }
        Endpoint::Tcp { .. } => {
            "check the host and the port, that the server runs, and that listen_addresses and firewalls let this machine in"
        }
    };
    let error = if denied { Error::configuration(message) } else { Error::retry(message) };
    error.with_remedy(remedy)
}

impl KeepAlive {
    fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if self.disabled {
            return Ok(());
        }
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = self.idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = self.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = self.count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_keepalive(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}
