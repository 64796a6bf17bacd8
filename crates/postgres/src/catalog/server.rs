//! The server as a whole.

use ductstream_core::{Lsn, Result};

use crate::connect::Connection;

/// Facts about a server and the database that is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`, such as 180001.
    pub version: u32,
    /// `server_version`, such as `18.1`.
    pub version_text: String,
    /// Differs for every cluster ever initialised.
    pub system_identifier: String,
    /// Grows when a standby is promoted.
    pub timeline: u32,
    /// The database.
    pub database: String,
    /// `wal_level`.
    pub wal_level: String,
    /// Whether this is a standby.
    pub in_recovery: bool,
}

const SERVER: &str = "SELECT system_identifier::text, \
    CASE WHEN pg_is_in_recovery() THEN (pg_control_checkpoint()).timeline_id \
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, \
    current_database(), current_setting('wal_level'), pg_is_in_recovery() FROM pg_control_system()";

/// Looks at the server.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load(connection: &mut Connection) -> Result<Server> {
    let rows = connection.simple_query(SERVER).await?;
    let row = rows.first().ok_or_else(|| ductstream_core::Error::bug("the server does not describe itself"))?;
    Ok(Server {
        version: connection.server_version_num(),
        version_text: connection.parameter("server_version").unwrap_or("of unknown version").to_owned(),
        system_identifier: row.require(0)?,
        timeline: row.require(1)?,
        database: row.require(2)?,
        wal_level: row.require(3)?,
        in_recovery: row.get(4) == Some("t"),
    })
}

/// The end of the WAL that is safe on the server's disk; on a standby, of what it has replayed.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn wal_end(connection: &mut Connection) -> Result<Lsn> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";
    let rows = connection.simple_query(sql).await?;
    let row = rows.first().ok_or_else(|| ductstream_core::Error::bug("the server does not tell where its WAL ends"))?;
    row.require(0)
}
