//! From sqlx's errors to what the caller does next.

use ductstream_core::{Error, ErrorKind};
use sqlx::error::DatabaseError;

/// What was being done, and to which store, for messages. Neither carries a secret.
pub(crate) struct Doing<'a> {
    pub(crate) action: &'a str,
    pub(crate) place: &'a str,
}

impl Doing<'_> {
    pub(crate) fn error(&self, error: sqlx::Error) -> Error {
        let start = format!("cannot {} the checkpoint store {}", self.action, self.place);
        match error {
            // Not chained: it may quote the connection string.
            sqlx::Error::Configuration(_) => Error::configuration(format!("{start}: its URL is malformed"))
                .with_remedy("write it as postgresql://user@host:5432/database"),
            sqlx::Error::Database(error) => from_database(&start, &*error),
            sqlx::Error::Tls(error) => Error::configuration(format!("{start}: TLS failed"))
                .with_source(error)
                .with_remedy("check sslmode and sslrootcert in the store's URL"),
            sqlx::Error::PoolTimedOut => Error::retry(format!("{start}: it did not answer in time")),
            sqlx::Error::Io(error) => Error::retry(format!("{start}: {error}")),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                Error::retry(start).with_source(error)
            }
            error => Error::bug(start).with_source(error),
        }
    }
}

fn from_database(start: &str, error: &dyn DatabaseError) -> Error {
    let code = error.code().unwrap_or_default();
    let (kind, remedy) = match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        Some(_) => sqlite_kind(code.parse().unwrap_or_default()),
        None => postgres_kind(&code),
    };
    let error = Error::new(kind, format!("{start}: {} (code {code})", error.message()));
    match remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

type Kind = (ErrorKind, Option<&'static str>);

/// By the classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres_kind(code: &str) -> Kind {
    match code {
        "42501" => (
            ErrorKind::Configuration,
            Some("let the role create a schema there (GRANT CREATE ON DATABASE), or grant it the schema ductstream"),
        ),
        "25006" => (ErrorKind::Configuration, Some("give the URL of a primary server, not of a standby")),
        "3D000" => (ErrorKind::Configuration, Some("create the database, or correct its name in the URL")),
        "58000" | "58030" => (ErrorKind::Retry, None),
        _ if code.starts_with("28") => (ErrorKind::Configuration, Some("correct the user or the password in the URL")),
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "55" | "57") => (ErrorKind::Retry, None),
            _ => (ErrorKind::Bug, None),
        },
    }
}

/// By the result codes of <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
fn sqlite_kind(code: i32) -> Kind {
    match code & 0xFF {
        // BUSY, LOCKED, IOERR, FULL, PROTOCOL
        5 | 6 | 10 | 13 | 15 => (ErrorKind::Retry, None),
        // PERM, READONLY, CANTOPEN, AUTH
        3 | 8 | 14 | 23 => {
            (ErrorKind::Configuration, Some("choose a state directory that you may write to, with --state"))
        }
        // CORRUPT, NOTADB
        11 | 26 => (ErrorKind::Configuration, Some("move the file away, and begin anew or restore it from a backup")),
        _ => (ErrorKind::Bug, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_the_caller_does_next() {
        use ErrorKind::{Bug, Configuration, Retry};
        for (code, kind) in [
            ("28P01", Configuration),
            ("3D000", Configuration),
            ("42501", Configuration),
            ("25006", Configuration),
            ("57P01", Retry),
            ("53300", Retry),
            ("40001", Retry),
            ("42703", Bug),
            ("", Bug),
        ] {
            assert_eq!(postgres_kind(code).0, kind, "PostgreSQL {code}");
        }
        for (code, kind) in
            [(5, Retry), (517, Retry), (14, Configuration), (1032, Configuration), (26, Configuration), (1, Bug)]
        {
            assert_eq!(sqlite_kind(code).0, kind, "SQLite {code}");
        }
    }

    #[test]
    fn a_malformed_url_is_not_quoted() {
        let error = sqlx::Error::Configuration("postgresql://app:hunter2@[".into());
        let error = Doing { action: "open", place: "in PostgreSQL" }.error(error);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!error.report().contains("hunter2"), "{}", error.report());
    }
}
