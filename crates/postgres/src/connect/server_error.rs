//! What the server answers when it refuses.

use std::fmt;

use ductstream_core::{Error, ErrorKind};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// An ErrorResponse. <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, in English.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The message, in the server's language.
    pub message: String,
    /// What the server adds to it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
    /// The function of the server's source that reported it, which no language changes; empty when it does not say.
    pub routine: String,
}

impl ServerError {
    pub(super) fn read(mut fields: ErrorFields<'_>) -> std::io::Result<Self> {
        let mut error = Self::default();
        while let Some(field) = fields.next()? {
            // Before the session's encoding is agreed, the server may answer in any.
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' if error.severity.is_empty() => error.severity = value,
                // The same as `S`, never translated.
                b'V' => error.severity = value,
                b'C' => error.code = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'R' => error.routine = value,
                _ => {}
            }
        }
        Ok(error)
    }

    /// Reads a whole ErrorResponse message, tag and length included, as it arrives in the middle of a stream.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn parse(message: &[u8]) -> std::io::Result<Self> {
        match postgres_protocol::message::backend::Message::parse(&mut bytes::BytesMut::from(message))? {
            Some(postgres_protocol::message::backend::Message::ErrorResponse(body)) => Self::read(body.fields()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::InvalidData)),
        }
    }

    /// As an error of `doing`, such as `connecting to db:5432/shop as app`.
    pub fn into_error(self, doing: &str) -> Error {
        let error = Error::new(self.kind(), format!("{doing}: {self}"));
        let remedy = self.remedy();
        let error = error.with_source(self);
        match remedy {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }

    /// What the caller does next, by SQLSTATE. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub fn kind(&self) -> ErrorKind {
        match self.code.as_str() {
            // Every replication slot is in use: nobody frees one by itself.
            "53400" => ErrorKind::Configuration,
            // The database was dropped.
            "57P04" => ErrorKind::Configuration,
            "55006" | "55P03" => ErrorKind::Retry,
            // A stored value is no text in the database's encoding, or has no counterpart in UTF-8.
            "22021" | "22P05" => ErrorKind::Data,
            code => match code.get(..2).unwrap_or_default() {
                // Connections, transaction rollbacks, resources, operator intervention, system and internal errors.
                "08" | "40" | "53" | "57" | "58" | "XX" => ErrorKind::Retry,
                _ => ErrorKind::Configuration,
            },
        }
    }

    fn remedy(&self) -> Option<String> {
        let own = match self.code.as_str() {
            "28P01" => "check the user and its password: in the URL, PGPASSWORD or the password file",
            "28000" => "check the user, and let it in by a line of the server's pg_hba.conf",
            "3D000" => "check the database's name in the URL, or create the database",
            "53300" => "close other connections, or raise max_connections (max_wal_senders for replication)",
            "53400" => "drop a replication slot that nobody needs, or raise max_replication_slots",
            "42501" => "grant the privilege to the role, or use another role",
            "22021" | "22P05" => {
                "find the value that is no text in the database's encoding and mend it, or take its column out of the publication; \
                 what was written before cannot be sent, so begin anew at the present: run `ductstream cleanup`, then start the flow"
            }
            "55006" => "wait, or stop the other process that uses it",
            _ => return self.hint.as_deref().map(|hint| hint.trim_end_matches('.').to_owned()),
        };
        Some(own.to_owned())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for ServerError {}

/// The SQLSTATE of the server's answer behind `error`, if that is what it came from.
pub fn sqlstate(error: &Error) -> Option<&str> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<ServerError>() {
            return Some(&server.code);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlstate_decides_what_the_caller_does() {
        use ErrorKind::{Configuration, Data, Retry};
        let table = [
            ("57P01", Retry),
            ("57P03", Retry),
            ("57P04", Configuration),
            ("53300", Retry),
            ("53400", Configuration),
            ("08006", Retry),
            ("28P01", Configuration),
            ("3D000", Configuration),
            ("42501", Configuration),
            ("55000", Configuration),
            ("55006", Retry),
            ("42704", Configuration),
            ("XX000", Retry),
            ("22021", Data),
            ("", Configuration),
        ];
        for (code, kind) in table {
            let error = ServerError { code: code.into(), message: "no".into(), ..ServerError::default() };
            let error = error.into_error("trying");
            assert_eq!((error.kind(), sqlstate(&error)), (kind, Some(code)));
        }
        assert_eq!(sqlstate(&Error::retry("away")), None);
    }
}
