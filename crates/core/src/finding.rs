//! What a preflight check finds.

use serde::Serialize;

use crate::Error;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// In order.
    Ok,
    /// Works, at a cost or a risk that the user should know.
    Warning,
    /// The flow would fail.
    Error,
}

/// One thing that a check looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at, such as `wal_level` or `table public.orders`.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// `subject` is in order.
    pub fn ok(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, subject: subject.into(), message: message.into(), remedy: None }
    }

    /// `subject` works, but the user should know `message`, and may do `remedy`.
    pub fn warning(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, remedy: Some(remedy.into()), ..Self::ok(subject, message) }
    }

    /// What `error` says of `subject`.
    pub fn failed(subject: impl Into<String>, error: &Error) -> Self {
        let report = error.report();
        let message = report.split(". To go on: ").next().unwrap_or_default();
        Self::error(subject, message, error.remedy().unwrap_or("look at the cause"))
    }

    /// The flow would fail because of `subject`, until the user does `remedy`.
    pub fn error(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, remedy: Some(remedy.into()), ..Self::ok(subject, message) }
    }
}
