//! The server asks who we are.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use std::io;

use ductstream_core::{Error, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::dial::{Dial, TlsBinding};
use super::server_error::ServerError;
use super::transport::{Reply, Transport};
use super::values::{AuthMethod, ChannelBinding};

/// One authentication exchange.
pub(super) struct Authentication<'a> {
    dial: &'a Dial<'a>,
    transport: &'a mut Transport,
    binding: TlsBinding,
    /// The method that the server asked for.
    method: AuthMethod,
    /// Whether SCRAM was bound to the TLS channel.
    bound: bool,
    /// A SCRAM exchange that is not finished.
    scram: Option<sasl::ScramSha256>,
}

impl<'a> Authentication<'a> {
    pub(super) fn new(dial: &'a Dial<'a>, transport: &'a mut Transport, binding: TlsBinding) -> Self {
        Self { dial, transport, binding, method: AuthMethod::None, bound: false, scram: None }
    }

    /// Answers the server until it lets us in.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            let reply = self.transport.receive().await.map_err(|error| self.broken(error))?;
            let Reply::Message(message) = reply else { return Err(self.unexpected()) };
            match message {
                Message::AuthenticationOk => return self.accepted(),
                Message::AuthenticationCleartextPassword => self.cleartext().await?,
                Message::AuthenticationMd5Password(body) => self.md5(body.salt()).await?,
                Message::AuthenticationSasl(body) => self.begin_scram(&body).await?,
                Message::AuthenticationSaslContinue(body) => self.continue_scram(body.data()).await?,
                Message::AuthenticationSaslFinal(body) => self.finish_scram(body.data())?,
                Message::AuthenticationGss => self.allow(AuthMethod::Gss)?,
                Message::AuthenticationSspi => self.allow(AuthMethod::Sspi)?,
                Message::ErrorResponse(body) => {
                    let error = ServerError::read(body.fields()).map_err(|error| self.broken(error))?;
                    return Err(error.into_error(&self.dial.doing()));
                }
                Message::NoticeResponse(_) => {}
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Refuses `method` unless the settings take it, before anything that depends on the password is sent.
    fn allow(&mut self, method: AuthMethod) -> Result<()> {
        self.method = method;
        let name = method.as_str();
        let doing = self.dial.doing();
        if matches!(method, AuthMethod::Gss | AuthMethod::Sspi) {
            return Err(Error::configuration(format!(
                "{doing}: the server asks for {name} authentication, which is not supported"
            ))
            .with_remedy("let the user in by scram-sha-256 in the server's pg_hba.conf"));
        }
        if self.dial.settings.channel_binding == ChannelBinding::Require && method != AuthMethod::ScramSha256 {
            return Err(Error::configuration(format!(
                "{doing}: channel_binding=require, and the server asks for {name} authentication"
            ))
            .with_remedy("let the user in by scram-sha-256 over TLS, or leave channel_binding out"));
        }
        if self.dial.settings.require_auth.allows(method) {
            return Ok(());
        }
        let remedy = match method {
            AuthMethod::Md5 => {
                "change the user's password under password_encryption=scram-sha-256, or add require_auth=md5 to the URL to accept the risk"
            }
            AuthMethod::Password => {
                "let the user in by scram-sha-256 in the server's pg_hba.conf, or add require_auth=password to the URL to accept that the password is shown to the server"
            }
            _ => "change require_auth, or the server's pg_hba.conf",
        };
        Err(Error::configuration(format!(
            "{doing}: the server asks for {name} authentication, which require_auth does not take"
        ))
        .with_remedy(remedy))
    }

    fn accepted(&mut self) -> Result<()> {
        if self.method == AuthMethod::None {
            self.allow(AuthMethod::None)?;
        }
        if self.scram.is_some() {
            let message = format!(
                "{}: the server ended authentication without proving that it knows the password",
                self.dial.doing()
            );
            return Err(Error::configuration(message).with_remedy("make sure that it is the right server"));
        }
        Ok(())
    }

    fn password(&self) -> Result<&'a str> {
        let password = self.dial.host.password.as_ref().map(super::settings::Secret::expose);
        password.ok_or_else(|| {
            Error::configuration(format!("{}: the server asks for a password, and there is none", self.dial.doing()))
                .with_remedy("give the password by PGPASSWORD, the password file (~/.pgpass, readable by its owner only) or the URL")
        })
    }

    async fn cleartext(&mut self) -> Result<()> {
        self.allow(AuthMethod::Password)?;
        let password = self.password()?;
        self.send(|buffer| frontend::password_message(password.as_bytes(), buffer)).await
    }

    async fn md5(&mut self, salt: [u8; 4]) -> Result<()> {
        self.allow(AuthMethod::Md5)?;
        let hash = md5_hash(self.dial.settings.user.as_bytes(), self.password()?.as_bytes(), salt);
        self.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await
    }

    async fn begin_scram(&mut self, body: &AuthenticationSaslBody) -> Result<()> {
        let offered: Vec<&str> = body.mechanisms().collect().map_err(|error| self.broken(error))?;
        if !offered.contains(&sasl::SCRAM_SHA_256) && !offered.contains(&sasl::SCRAM_SHA_256_PLUS) {
            let message = format!("{}: the server offers only the methods {}", self.dial.doing(), offered.join(", "));
            return Err(Error::configuration(message)
                .with_remedy("let the user in by scram-sha-256 in the server's pg_hba.conf"));
        }
        self.allow(AuthMethod::ScramSha256)?;
        let (mechanism, binding) = self.choose(offered.contains(&sasl::SCRAM_SHA_256_PLUS));
        self.bound = mechanism == sasl::SCRAM_SHA_256_PLUS;
        if self.dial.settings.channel_binding == ChannelBinding::Require && !self.bound {
            let message = format!(
                "{}: channel_binding=require, and the server does not offer it on this connection",
                self.dial.doing()
            );
            return Err(Error::configuration(message)
                .with_remedy("set sslmode=require or a stronger one, or leave channel_binding out"));
        }
        let scram = sasl::ScramSha256::new(self.password()?.as_bytes(), binding);
        let first = scram.message().to_vec();
        self.scram = Some(scram);
        self.send(|buffer| frontend::sasl_initial_response(mechanism, &first, buffer)).await
    }

    /// The mechanism, and what the server is told of channel binding: used, possible but not offered (which exposes a
    /// downgrade on the way), or not possible.
    fn choose(&self, offers_binding: bool) -> (&'static str, sasl::ChannelBinding) {
        match &self.binding {
            TlsBinding::Tls(Some(hash)) if self.dial.settings.channel_binding != ChannelBinding::Disable => {
                if offers_binding {
                    (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash.clone()))
                } else {
                    (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested())
                }
            }
            _ => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        }
    }

    async fn continue_scram(&mut self, data: &[u8]) -> Result<()> {
        let Some(mut scram) = self.scram.take() else { return Err(self.unexpected()) };
        scram.update(data).map_err(|error| self.broken(error))?;
        let answer = scram.message().to_vec();
        self.scram = Some(scram);
        self.send(|buffer| frontend::sasl_response(&answer, buffer)).await
    }

    fn finish_scram(&mut self, data: &[u8]) -> Result<()> {
        let Some(mut scram) = self.scram.take() else { return Err(self.unexpected()) };
        scram.finish(data).map_err(|error| {
            Error::configuration(format!("{}: the server does not prove that it knows the password", self.dial.doing()))
                .with_source(error)
                .with_remedy("make sure that it is the right server")
        })
    }

    async fn send(&mut self, build: impl FnOnce(&mut bytes::BytesMut) -> io::Result<()>) -> Result<()> {
        self.transport.send(build).await.map_err(|error| self.broken(error))
    }

    fn broken(&self, error: io::Error) -> Error {
        self.dial.unreachable(error)
    }

    fn unexpected(&self) -> Error {
        Error::bug(format!("{}: the server sent a message out of order during authentication", self.dial.doing()))
    }
}
