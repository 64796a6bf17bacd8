//! Exit codes.

use std::process::ExitCode;

use ductstream_core::{Error, ErrorKind};

/// How a command ended. The numbers are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    CheckFailed = 3,
}

impl Exit {
    /// What the user has to correct is wrong usage or settings; everything else is a failure.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Configuration => Self::Usage,
            ErrorKind::Retry | ErrorKind::Resync | ErrorKind::Data | ErrorKind::Fenced | ErrorKind::Bug => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_and_failures_exit_differently() {
        assert_eq!(Exit::of(&Error::configuration("x")), Exit::Usage);
        assert_eq!(Exit::of(&Error::resync("x")), Exit::Failed);
        assert_eq!(Exit::of(&Error::retry("x")), Exit::Failed);
    }
}
