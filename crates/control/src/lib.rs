//! The control plane's stores: where checkpoints and schema versions are kept.
//!
//! - [`SqliteStore`]: a file in the state directory; the default.
//! - [`PostgresStore`]: tables of its own in a PostgreSQL database, for flows that move between machines.
//!
//! Both keep the contract of [`CheckpointStore`], and pass the same public conformance suite. [`open`] chooses by
//! the form of the address.
//!
//! Not here: destinations and sources. This crate knows nothing of what a checkpoint is about.

use std::path::Path;
use std::sync::Arc;

use ductstream_core::{CheckpointStore, Error, Result};

mod database;
mod document;
mod postgres;
mod sqlite;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

/// Opens the store at `address`: a PostgreSQL URL, `sqlite:PATH`, or the path of a SQLite file. Creates what is missing: the
/// file with its directory, the tables.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the address, a privilege or a password is wrong;
/// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the store cannot be reached now. Never with a password in the message.
pub async fn open(address: &str) -> Result<Arc<dyn CheckpointStore>> {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        return Ok(Arc::new(PostgresStore::open(address).await?));
    }
    if let Some(path) = address.strip_prefix("sqlite:") {
        return Ok(Arc::new(SqliteStore::open(Path::new(path.strip_prefix("//").unwrap_or(path))).await?));
    }
    if let Some((scheme, _)) = address.split_once("://") {
        let message =
            format!("cannot open the checkpoint store: {scheme}:// is not a kind of store that DuctStream has");
        return Err(Error::configuration(message).with_remedy("give a URL that begins with postgresql:// or sqlite:"));
    }
    Ok(Arc::new(SqliteStore::open(Path::new(address)).await?))
}
