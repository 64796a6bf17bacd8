//! From settings to a session: hosts in order, what to try with each, and the start of the session.

use std::sync::Arc;

use ductstream_core::{Error, ErrorKind, Result};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use rand::seq::SliceRandom;

use super::authenticate::Authentication;
use super::connection::{Connection, Mode, out_of_order};
use super::dial::{self, Dial, Encryption, TlsFailed};
use super::server_error::{ServerError, sqlstate};
use super::settings::{ConnectionSettings, Host, TargetSession};
use super::ssl::SslMode;
use super::tls;
use super::transport::{Reply, Transport};

/// Settings of every session, whatever the role's and the database's are: values print the same way everywhere, and
/// names in queries mean what they say.
const SESSION: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    // Nobody's table or function can stand in for the catalog's, and printed names carry their schema.
    ("search_path", ""),
];

/// Connects to the first host that answers and is of the wanted kind.
pub(super) async fn connect(settings: &ConnectionSettings, mode: Mode) -> Result<Connection> {
    let attempt = Attempt { settings, mode, tls: tls_config(settings)? };
    let mut hosts: Vec<_> = settings.hosts.iter().collect();
    if settings.shuffle_hosts {
        hosts.shuffle(&mut rand::rng());
    }
    let passes: &[_] = match settings.target {
        TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
        other => &[other],
    };
    let mut failures = Vec::new();
    for target in passes {
        for host in &hosts {
            match attempt.host(host, *target).await {
                Ok(connection) => return Ok(connection),
                Err(error) if !may_try_next(&error) => return Err(error),
                Err(error) => failures.push(error),
            }
        }
    }
    Err(combine(settings, failures))
}

/// TLS as every host's tries share it; `None` where no host is tried with TLS.
fn tls_config(settings: &ConnectionSettings) -> Result<Option<Arc<rustls::ClientConfig>>> {
    let uses_tls = |host: &Host| Encryption::tries(settings.ssl.mode, host) != [Encryption::Never];
    if settings.ssl.mode == SslMode::Disable || !settings.hosts.iter().any(uses_tls) {
        return Ok(None);
    }
    tls::client_config(&settings.ssl).map(|config| Some(Arc::new(config)))
}

/// As in libpq: the next host is tried when this one cannot be reached, is starting up, or is of the wrong kind; not
/// when it refuses.
fn may_try_next(error: &Error) -> bool {
    error.kind() == ErrorKind::Retry && matches!(sqlstate(error), None | Some("57P03"))
}

fn combine(settings: &ConnectionSettings, mut failures: Vec<Error>) -> Error {
    if failures.len() <= 1 {
        return failures.pop().unwrap_or_else(|| Error::bug("there is no host to connect to"));
    }
    let reports: Vec<_> = failures.iter().map(Error::message).collect();
    let error = Error::retry(format!("no host of {settings} can be used: {}", reports.join("; ")));
    match failures.pop().as_ref().and_then(Error::remedy) {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

/// One call of `connect`.
struct Attempt<'a> {
    settings: &'a ConnectionSettings,
    mode: Mode,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Attempt<'_> {
    /// Tries every address of `host`.
    async fn host(&self, host: &Host, target: TargetSession) -> Result<Connection> {
        let lookup = self.limited(host, async {
            dial::addresses(host).await.map_err(|error| dial::unreachable(self.settings, host, error))
        });
        let mut failure = Error::retry(format!("{}: the name has no address", dial::doing(self.settings, host)));
        for address in lookup.await? {
            let dial = Dial { settings: self.settings, host, address, tls: self.tls.as_ref() };
            match self.address(&dial, target).await {
                Err(error) if may_try_next(&error) => failure = error,
                result => return result,
            }
        }
        Err(failure)
    }

    /// Tries one address, encrypted and in clear as `sslmode` says.
    async fn address(&self, dial: &Dial<'_>, target: TargetSession) -> Result<Connection> {
        let (last, others) = match Encryption::tries(self.settings.ssl.mode, dial.host) {
            [others @ .., last] => (*last, others),
            [] => (Encryption::Never, [].as_slice()),
        };
        for encryption in others {
            match self.limited(dial.host, self.session(dial, *encryption, target)).await {
                Err(error) if depends_on_encryption(&error) => {
                    tracing::debug!(
                        error = error.report(),
                        "trying again with the other encryption that sslmode allows"
                    );
                }
                result => return result,
            }
        }
        self.limited(dial.host, self.session(dial, last, target)).await
    }

    async fn session(&self, dial: &Dial<'_>, encryption: Encryption, target: TargetSession) -> Result<Connection> {
        let (stream, binding) = dial.open(encryption).await?;
        let mut transport = Transport::new(stream);
        let startup = self.startup();
        let parameters = startup.iter().map(|(name, value)| (*name, value.as_str()));
        let sent = transport.send(|buffer| frontend::startup_message(parameters, buffer)).await;
        sent.map_err(|error| dial.unreachable(error))?;
        Authentication::new(dial, &mut transport, binding).run().await?;
        let address = self.settings.address_of(dial.host);
        let mut connection = Connection::begin(transport, address);
        connection.until_ready(dial).await?;
        connection.check_target(target)?;
        Ok(connection)
    }

    fn startup(&self) -> Vec<(&'static str, String)> {
        let settings = self.settings;
        let mut startup = vec![
            ("user", settings.user.clone()),
            ("database", settings.database.clone()),
            ("application_name", settings.application_name.clone()),
        ];
        startup.extend(SESSION.map(|(name, value)| (name, value.to_owned())));
        startup.extend(settings.options.clone().map(|options| ("options", options)));
        if self.mode == Mode::Replication {
            startup.push(("replication", "database".to_owned()));
        }
        startup
    }

    async fn limited<T>(&self, host: &Host, doing: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(limit) = self.settings.connect_timeout else { return doing.await };
        tokio::time::timeout(limit, doing).await.unwrap_or_else(|_| {
            let message = format!("{}: no answer in {} s", dial::doing(self.settings, host), limit.as_secs());
            Err(Error::retry(message).with_remedy("check the host and the port, or raise connect_timeout"))
        })
    }
}

/// Whether the other encryption that `sslmode` allows may work: TLS failed, or the server has a rule against this one.
fn depends_on_encryption(error: &Error) -> bool {
    let tls_failed = std::error::Error::source(error).is_some_and(|source| source.is::<TlsFailed>());
    tls_failed || sqlstate(error) == Some("28000")
}

impl Connection {
    /// Reads the server's parameters until it takes queries.
    async fn until_ready(&mut self, dial: &Dial<'_>) -> Result<()> {
        loop {
            let reply = self.transport.receive().await.map_err(|error| dial.unreachable(error))?;
            let done = match reply {
                Reply::Message(Message::ReadyForQuery(_)) => {
                    self.transport.trust();
                    return Ok(());
                }
                Reply::Message(Message::ErrorResponse(body)) => {
                    let error = ServerError::read(body.fields()).map_err(|error| dial.unreachable(error))?;
                    return Err(error.into_error(&dial.doing()));
                }
                Reply::Message(message) => self.aside(message),
                Reply::CopyBoth => Err(out_of_order()),
            };
            done.map_err(|error| dial.unreachable(error))?;
        }
    }

    /// Refuses a server of the wrong kind. Servers from 14 on report what is asked for here.
    fn check_target(&self, target: TargetSession) -> Result<()> {
        let standby = self.parameter("in_hot_standby") == Some("on");
        let read_only = standby || self.parameter("default_transaction_read_only") == Some("on");
        let (fits, wanted) = match target {
            TargetSession::Any => (true, ""),
            TargetSession::ReadWrite => (!read_only, "takes no writes"),
            TargetSession::ReadOnly => (read_only, "takes writes"),
            TargetSession::Primary => (!standby, "is a standby"),
            TargetSession::Standby | TargetSession::PreferStandby => (standby, "is not a standby"),
        };
        if fits {
            return Ok(());
        }
        Err(Error::retry(format!("{} {wanted}, and target_session_attrs asks for another server", self.address()))
            .with_remedy("add the server that is wanted to host=, or leave target_session_attrs out"))
    }
}
