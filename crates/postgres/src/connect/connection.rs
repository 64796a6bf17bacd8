//! One session: simple queries, and the start of replication.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;

use bytes::BytesMut;
use ductstream_core::{Error, ErrorKind, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message, NoticeResponseBody, ParameterStatusBody};
use postgres_protocol::message::frontend;

use super::establish;
use super::server_error::ServerError;
use super::settings::ConnectionSettings;
use super::stream::Stream;
use super::transport::{Reply, Transport};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SQL.
    Sql,
    /// Logical replication, and SQL by simple queries.
    Replication,
}

/// A session with the server. Not shared: one query at a time.
pub struct Connection {
    pub(super) transport: Transport,
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
    /// A session that begins on `transport`.
    pub(super) fn begin(transport: Transport, address: String) -> Self {
        Self { transport, parameters: BTreeMap::new(), address, out_of_step: false }
    }

    /// Connects to the first host that answers and is of the wanted kind.
    ///
    /// Every session runs with ISO dates, UTC, full float digits, hexadecimal bytea and an empty `search_path`: qualify
    /// names.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`] when no server can be reached or is ready, [`ErrorKind::Configuration`] when one refuses,
    /// or when what it asks for is not what the settings allow.
    pub async fn connect(settings: &ConnectionSettings, mode: Mode) -> Result<Self> {
        establish::connect(settings, mode).await
    }

    /// Runs `sql`, which may hold several statements, and returns the rows of all of them.
    ///
    /// # Errors
    /// What the server answers ([`sqlstate`](super::sqlstate) finds the code), or [`ErrorKind::Retry`] when the connection is lost.
    /// After an error of the server's the session goes on; after any other it does not.
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
    pub(super) fn aside(&mut self, message: Message) -> io::Result<()> {
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

pub(super) fn out_of_order() -> io::Error {
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
