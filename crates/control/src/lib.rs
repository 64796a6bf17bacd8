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

use ductstream_core::{Checkpoint, CheckpointStore, Error, Finding, Result};

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
    match Address::parse(address)? {
        Address::Postgres(url) => Ok(Arc::new(PostgresStore::open(url).await?)),
        Address::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
    }
}

/// Whether [`open`] would succeed, and what it would create; creates nothing.
pub async fn check(address: &str) -> Finding {
    let found = match Address::parse(address) {
        Ok(Address::Postgres(url)) => postgres::check(url).await,
        Ok(Address::Sqlite(path)) => sqlite::check(path),
        Err(error) => Err(error),
    };
    found.unwrap_or_else(|error| {
        let remedy = error.remedy().unwrap_or("make the store reachable").to_owned();
        Finding::error(SUBJECT, error.message(), remedy)
    })
}

/// The flow's checkpoint, if the store exists and has one. Creates nothing.
///
/// # Errors
/// What the store answers.
pub async fn peek(address: &str, flow: &str) -> Result<Option<Checkpoint>> {
    let exists = match Address::parse(address)? {
        Address::Postgres(url) => postgres::exists(url).await?,
        Address::Sqlite(path) => path.exists(),
    };
    if exists { open(address).await?.load(flow).await } else { Ok(None) }
}

/// What a finding about a store is about.
const SUBJECT: &str = "checkpoint store";

enum Address<'a> {
    Postgres(&'a str),
    Sqlite(&'a Path),
}

impl<'a> Address<'a> {
    fn parse(address: &'a str) -> Result<Self> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            return Ok(Self::Postgres(address));
        }
        if let Some(path) = address.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))));
        }
        match address.split_once("://") {
            None => Ok(Self::Sqlite(Path::new(address))),
            Some((scheme, _)) => {
                let message = format!("{scheme}:// is not a kind of checkpoint store that DuctStream has");
                Err(Error::configuration(message).with_remedy("give a URL that begins with postgresql:// or sqlite:"))
            }
        }
    }
}
