//! One session: simple queries, and the start of replication.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use bytes::BytesMut;
use ductstream_core::{Error, ErrorKind, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message, NoticeResponseBody, ParameterStatusBody};
use postgres_protocol::message::frontend;
use rand::seq::SliceRandom;

use super::authenticate::Authentication;
use super::dial::{self, Dial, Encryption, TlsFailed};
use super::server_error::{ServerError, sqlstate};
use super::settings::{ConnectionSettings, Host, TargetSession};
use super::ssl::SslMode;
use super::stream::Stream;
use super::tls;
use super::transport::{Reply, Transport};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SQL.
    Sql,
    /// Logical replication, and SQL by simple queries.
    Replication,
}

/// Settings of every session, whatever the role's and the database's are: values print the same way everywhere, and names in
/// queries mean what they say.
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

/// A session with the server. Not shared: one query at a time.
pub struct Connection {
    transport: Transport,
    parameters: BTreeMap<String, String>,
    address: String,
    /// A query's answer was not read to its end, so that the next message is not the next query's.
    out_of_step: bool,
}

/// A row of text values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

/// A stream that carries replication messages in both directions.
pub struct ReplicationStream {
    /// The stream.
    pub stream: Stream,
    /// What was already read from it: the first bytes to look at.
    pub buffered: BytesMut,
    /// The server in messages: `db.example:5432/shop as app`.
    pub address: String,
}

impl Connection {
    /// Connects to the first host that answers and is of the wanted kind.
    ///
    /// Every session runs with ISO dates, UTC, full float digits, hexadecimal bytea and an empty `search_path`: qualify names.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`] when no server can be reached or is ready, [`ErrorKind::Configuration`] when one refuses, or when what it asks for
    /// is not what the settings allow.
    pub async fn connect(settings: &ConnectionSettings, mode: Mode) -> Result<Self> {
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

    /// Runs `sql`, which may hold several statements, and returns the rows of all of them.
    ///
    /// # Errors
    /// What the server answers ([`sqlstate`] finds the code), or [`ErrorKind::Retry`] when the connection is lost. After an error of the
    /// server's the session goes on; after any other it does not.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<Row>> {
        if self.out_of_step {
            return Err(Error::retry(format!("the session with {} was left inside a query", self.address)));
        }
        self.out_of_step = true;
        let answer = self.run(sql).await.map_err(|error| self.lost(error))?;
        self.out_of_step = false;
        answer.map_err(|error| error.into_error(&format!("{} refuses", self.address)))
    }

    /// Sends a replication command that starts streaming (`START_REPLICATION ...`) and hands the stream over.
    ///
    /// # Errors
    /// As [`simple_query`](Self::simple_query).
    pub async fn start_replication(mut self, command: &str) -> Result<ReplicationStream> {
        match self.begin_copy(command).await.map_err(|error| self.lost(error))? {
            Ok(()) => {
                let Transport { stream, buffer, .. } = self.transport;
                Ok(ReplicationStream { stream, buffered: buffer, address: self.address })
            }
            Err(error) => Err(error.into_error(&format!("{} refuses to start replication", self.address))),
        }
    }

    /// Ends the session in order. Dropping it ends it as well; the server then notices by the closed socket.
    pub async fn close(mut self) {
        let terminate = self.transport.send(|buffer| {
            frontend::terminate(buffer);
            Ok(())
        });
        // There is nobody left to tell that the server was gone before.
        let _ = terminate.await;
    }

    /// A parameter that the server reported, such as `server_version` or `in_hot_standby`, as it is now.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's version as a number: 150004 for 15.4, 180000 for 18beta1; 0 when the server does not say.
    pub fn server_version_num(&self) -> u32 {
        self.parameter("server_version").map_or(0, version_num)
    }

    /// The server in messages: `db.example:5432/shop as app`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The socket, to set its options.
    pub fn stream(&self) -> &Stream {
        &self.transport.stream
    }

    async fn run(&mut self, sql: &str) -> io::Result<Result<Vec<Row>, ServerError>> {
        self.transport.send(|buffer| frontend::query(sql, buffer)).await?;
        let (mut rows, mut failure) = (Vec::new(), None);
        loop {
            match self.transport.receive().await? {
                Reply::Message(Message::DataRow(body)) => rows.push(Row::read(&body)?),
                Reply::Message(Message::ErrorResponse(body)) => failure = Some(ServerError::read(body.fields())?),
                Reply::Message(Message::ReadyForQuery(_)) => return Ok(failure.map_or(Ok(rows), Err)),
                Reply::Message(
                    Message::RowDescription(_) | Message::CommandComplete(_) | Message::EmptyQueryResponse,
                ) => {}
                Reply::Message(message) => self.aside(message)?,
                Reply::CopyBoth => return Err(out_of_order()),
            }
            // A fatal error ends the session: no ReadyForQuery follows.
            if let Some(fatal) = failure.take_if(|error| error.severity != "ERROR") {
                return Ok(Err(fatal));
            }
        }
    }

    async fn begin_copy(&mut self, command: &str) -> io::Result<Result<(), ServerError>> {
        self.transport.send(|buffer| frontend::query(command, buffer)).await?;
        loop {
            match self.transport.receive().await? {
                Reply::CopyBoth => return Ok(Ok(())),
                Reply::Message(Message::ErrorResponse(body)) => return Ok(Err(ServerError::read(body.fields())?)),
                Reply::Message(message) => self.aside(message)?,
            }
        }
    }

    /// Messages that may come at any time.
    fn aside(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::ParameterStatus(body) => self.remember(&body),
            Message::NoticeResponse(body) => note(&body),
            Message::NotificationResponse(_) | Message::BackendKeyData(_) => Ok(()),
            _ => Err(out_of_order()),
        }
    }

    fn remember(&mut self, body: &ParameterStatusBody) -> io::Result<()> {
        self.parameters.insert(body.name()?.to_owned(), body.value()?.to_owned());
        Ok(())
    }

    fn lost(&self, error: io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::InvalidData { ErrorKind::Bug } else { ErrorKind::Retry };
        Error::new(kind, format!("the connection to {} was lost", self.address)).with_source(error)
    }
}

fn out_of_order() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent a message out of order")
}

fn note(body: &NoticeResponseBody) -> io::Result<()> {
    let notice = ServerError::read(body.fields())?;
    tracing::debug!(severity = notice.severity, code = notice.code, "{}", notice.message);
    Ok(())
}

/// `15.4 (Debian 15.4-1)`, `18beta1`, `16devel`.
fn version_num(text: &str) -> u32 {
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits].parse::<u32>().unwrap_or(0)
    };
    let minor = text.split_once('.').filter(|(major, _)| major.bytes().all(|byte| byte.is_ascii_digit()));
    number(text) * 10_000 + minor.map_or(0, |(_, minor)| number(minor))
}

impl Row {
    fn read(body: &DataRowBody) -> io::Result<Self> {
        let value = |range: Option<std::ops::Range<usize>>| {
            let Some(range) = range else { return Ok(None) };
            let bytes = body.buffer().get(range).ok_or_else(out_of_order)?;
            let text = std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Some(text.to_owned()))
        };
        body.ranges().map(value).collect().map(Self)
    }

    /// All values, in the order of the query.
    pub fn values(&self) -> Vec<Option<&str>> {
        self.0.iter().map(Option::as_deref).collect()
    }

    /// The value at `index`; `None` when it is NULL, or when there is no such column.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index)?.as_deref()
    }

    /// The value at `index`, read as a `T`; `None` when it is NULL.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the text is no `T`.
    pub fn parse<T: FromStr>(&self, index: usize) -> Result<Option<T>> {
        let Some(text) = self.get(index) else { return Ok(None) };
        let unreadable = || {
            let wanted = std::any::type_name::<T>();
            Error::bug(format!("the server answered {text:?} in column {index}, where a {wanted} was asked for"))
        };
        text.parse().map(Some).map_err(|_| unreadable())
    }

    /// The value at `index`, read as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when it is NULL or no `T`.
    pub fn require<T: FromStr>(&self, index: usize) -> Result<T> {
        self.parse(index)?
            .ok_or_else(|| Error::bug(format!("the server answered NULL in column {index}, which is never NULL")))
    }
}

/// TLS as every host's tries share it; `None` where no host is tried with TLS.
fn tls_config(settings: &ConnectionSettings) -> Result<Option<Arc<rustls::ClientConfig>>> {
    let uses_tls = |host: &Host| Encryption::tries(settings.ssl.mode, host) != [Encryption::Never];
    if settings.ssl.mode == SslMode::Disable || !settings.hosts.iter().any(uses_tls) {
        return Ok(None);
    }
    tls::client_config(&settings.ssl).map(|config| Some(Arc::new(config)))
}

/// As in libpq: the next host is tried when this one cannot be reached, is starting up, or is of the wrong kind; not when it refuses.
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
        let mut connection = Connection { transport, parameters: BTreeMap::new(), address, out_of_step: false };
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
        Err(Error::retry(format!("{} {wanted}, and target_session_attrs asks for another server", self.address))
            .with_remedy("add the server that is wanted to host=, or leave target_session_attrs out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_numbers() {
        let table = [
            ("15.4 (Debian 15.4-1)", 150_004),
            ("18beta1", 180_000),
            ("16devel", 160_000),
            ("18.0", 180_000),
            ("x", 0),
        ];
        for (text, number) in table {
            assert_eq!(version_num(text), number, "{text}");
        }
    }
}
