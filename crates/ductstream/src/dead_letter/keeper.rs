//! Who takes what a destination refuses.

use std::path::PathBuf;

use async_trait::async_trait;
use ductstream_core::{Refusals, Refused, Result};
use futures::future::try_join_all;
use tokio::sync::OnceCell;

use super::document::now;
use super::{DeadLetter, Letters};
use crate::flow::Flow;

/// How many are put at once: each waits for a disk or a server.
const AT_ONCE: usize = 8;

/// Keeps refused records as dead letters: with `on_error: dead_letter`.
pub struct Keeper {
    flow: Flow,
    destination: String,
    directory: PathBuf,
    letters: OnceCell<Letters>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Keeps what `destination` of the flow refuses; in `directory` when the flow does not say where.
    pub fn new(flow: Flow, destination: &str, directory: PathBuf) -> Self {
        Self { flow, destination: destination.to_owned(), directory, letters: OnceCell::new() }
    }

    async fn keep(&self, letters: &Letters, record: &Refused<'_>) -> Result<()> {
        let letter = DeadLetter::new(self.flow.name.as_str(), &self.destination, record, now())?;
        letters.put(&letter).await.map_err(|error| error.context("keeping a dead letter"))?;
        tracing::warn!(
            flow = %self.flow.name,
            destination = self.destination,
            id = letter.id,
            "kept apart as a dead letter: {}",
            letter.error.message
        );
        Ok(())
    }
}

#[async_trait]
impl Refusals for Keeper {
    async fn refuse(&self, refused: &[Refused<'_>]) -> Result<()> {
        // Not before the first is refused: most flows never need the place.
        let open = || async { Letters::open(&self.flow, &self.directory) };
        let letters = self.letters.get_or_try_init(open).await?;
        for some in refused.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|record| self.keep(letters, record))).await?;
        }
        Ok(())
    }
}

/// Drops refused records, and says so: with `on_error: skip`.
#[derive(Debug)]
pub struct Skipper {
    /// The flow.
    pub flow: String,
    /// The destination that refuses them.
    pub destination: String,
}

#[async_trait]
impl Refusals for Skipper {
    async fn refuse(&self, refused: &[Refused<'_>]) -> Result<()> {
        for record in refused {
            let (position, error) = (record.position(), &record.error);
            tracing::warn!(flow = self.flow, destination = self.destination, %position, "skipped: {error}");
        }
        Ok(())
    }
}
