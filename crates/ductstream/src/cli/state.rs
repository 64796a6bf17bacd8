//! Where checkpoints are kept when the flow file does not say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ductstream_control::SqliteStore;
use ductstream_core::{CheckpointStore, Error, Result};

use super::Global;
use crate::flow::{Ack, Flow};

impl Global {
    /// The address of the flow's checkpoint store, for [`ductstream_control::open`].
    pub(crate) fn store_address(&self, flow: &Flow) -> Result<String> {
        if let Some(url) = &flow.checkpoint.url {
            return Ok(url.clone());
        }
        Ok(format!("sqlite:{}", self.state_directory()?.join(SqliteStore::FILE_NAME).display()))
    }

    /// Where a flow holds transactions in progress: below the state directory, or the system's for temporary files.
    pub(crate) fn spill_directory(&self) -> PathBuf {
        self.state_directory().unwrap_or_else(|_| std::env::temp_dir()).join("in-progress")
    }

    /// Where the flow's outboxes lie. A flow without any may leave some from earlier, so it has a place, too.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when there is no state directory for a flow that needs it.
    pub(crate) fn outbox_directory(&self, flow: &Flow) -> Result<PathBuf> {
        let root = match (flow.ack.outbox().path, self.state_directory()) {
            (Some(path), _) => path,
            (None, Ok(state)) => state.join("outbox"),
            (None, Err(_)) if flow.ack == Ack::All => std::env::temp_dir().join("ductstream-outbox"),
            (None, Err(error)) => return Err(error),
        };
        Ok(root.join(flow.name.as_str()))
    }

    /// Where dead letters are kept when a flow does not say.
    pub(crate) fn dead_letter_directory(&self) -> PathBuf {
        self.state_directory().unwrap_or_else(|_| std::env::temp_dir()).join("dead-letters")
    }

    fn state_directory(&self) -> Result<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        state_directory(self.state.as_deref(), variable)
    }

    /// The flow's checkpoint store, made when missing.
    pub(crate) async fn open_store(&self, flow: &Flow) -> Result<Arc<dyn CheckpointStore>> {
        ductstream_control::open(&self.store_address(flow)?).await
    }
}

/// `given`, else the user's state directory by the XDG base directory specification.
fn state_directory(given: Option<&Path>, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    // The specification says to ignore relative paths.
    let xdg = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").filter(|path| path.is_absolute()).map(|home| home.join(".local/state"));
    xdg.or_else(home).map(|directory| directory.join("ductstream")).ok_or_else(|| {
        Error::configuration("there is no directory for checkpoints: neither XDG_STATE_HOME nor HOME is set")
            .with_remedy("give one with --state, or set DUCTSTREAM_STATE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_the_given_one_or_the_users() {
        let both = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/a" } else { "/xdg" }));
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/a"));
        assert_eq!(state_directory(Some(Path::new("here")), both).unwrap(), Path::new("here"));
        assert_eq!(state_directory(None, both).unwrap(), Path::new("/xdg/ductstream"));
        assert_eq!(state_directory(None, home).unwrap(), Path::new("/home/a/.local/state/ductstream"));
        assert!(state_directory(None, |_| None).unwrap_err().remedy().unwrap().contains("--state"));
        assert!(state_directory(None, |_| Some(PathBuf::from("relative"))).is_err());
    }
}
