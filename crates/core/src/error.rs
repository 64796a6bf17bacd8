//! Errors, named by what the caller does next.

use std::fmt;

/// A boxed cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of an operation of the data plane.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same thing may work later: build the pipeline again from the last checkpoint, after a pause.
    Retry,
    /// The user changes a setting, a privilege or an environment; trying again changes nothing.
    Configuration,
    /// Going on would leave a gap: the flow has to be loaded anew, or pointed at the right source or slot.
    Resync,
    /// A value cannot be represented as the flow's settings ask; the user chooses a policy. Nothing is lost meanwhile.
    Data,
    /// Another worker owns the flow: stop, and touch nothing.
    Fenced,
    /// A contract inside DuctStream, or of the server's protocol, was broken.
    Bug,
}

impl ErrorKind {
    /// The kind's name in messages, JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Configuration => "configuration",
            Self::Resync => "resync",
            Self::Data => "data",
            Self::Fenced => "fenced",
            Self::Bug => "bug",
        }
    }
}

/// What was being done, to what, what went wrong, and what to do about it.
///
/// The message never carries a secret: no password, no key, no connection string.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` whose message says what was being done, to what, and what went wrong.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), remedy: None, source: None }))
    }

    /// See [`ErrorKind::Retry`].
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// See [`ErrorKind::Configuration`].
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// See [`ErrorKind::Resync`].
    pub fn resync(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Resync, message)
    }

    /// See [`ErrorKind::Data`].
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// See [`ErrorKind::Fenced`].
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// See [`ErrorKind::Bug`].
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// Adds what the user can do about it, as an imperative sentence without a full stop.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without its causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// The message, its chain of causes and the remedy, on one line for a terminal or a log.
    pub fn report(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            // Many libraries repeat their cause in their own message; once is enough.
            if !text.contains(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        match self.remedy() {
            Some(remedy) => format!("{text}. To go on: {remedy}."),
            None => text,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_chains_causes_once_and_ends_with_the_remedy() {
        let cause = Error::retry("connection refused");
        let error = Error::retry("cannot reach db:5432").with_source(cause).with_remedy("start the server");
        assert_eq!(error.report(), "cannot reach db:5432: connection refused. To go on: start the server.");
        assert_eq!(error.to_string(), "cannot reach db:5432");
    }
}
