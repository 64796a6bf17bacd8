//! Replication slots.

use ductstream_core::{Error, Lsn, Result};

use crate::connect::{Connection, Row, quote_identifier, quote_literal};

/// A slot as `pg_replication_slots` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct SlotState {
    /// Its name, unique in the cluster.
    pub name: String,
    /// The output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// The database; `None` for a physical slot.
    pub database: Option<String>,
    /// Whether a walsender uses it.
    pub active: bool,
    /// That walsender's process.
    pub active_pid: Option<u32>,
    /// Whether it goes with its session.
    pub temporary: bool,
    /// Whether it sends prepared transactions.
    pub two_phase: bool,
    /// What its consumer confirmed; `None` while it is being created.
    pub confirmed_flush: Option<Lsn>,
    /// The oldest WAL that it keeps.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Bytes of WAL that it keeps on disk.
    pub retained_bytes: Option<u64>,
    /// Why the server will not use it any more (version 16 and later).
    pub invalidation_reason: Option<String>,
    /// Whether it is kept on standbys for a failover (version 17 and later).
    pub failover: bool,
    /// On a standby: whether it is one that is kept there for a failover, which nobody can read before the standby is promoted. On a
    /// primary it says nothing (version 17 and later).
    pub synced: bool,
}

/// What kind of slot to create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotOptions {
    /// Whether it goes with its connection.
    pub temporary: bool,
    /// Whether standbys keep it for a failover (version 17 and later).
    pub failover: bool,
}

fn slots(connection: &Connection) -> String {
    // Version 16 tells of one reason why a slot was invalidated, 17 of all; failover slots came with 17.
    let newer = match connection.server_version_num() {
        170_000.. => "invalidation_reason, failover, synced",
        160_000.. => "CASE WHEN conflicting THEN 'conflict with recovery' END, false, false",
        _ => "NULL, false, false",
    };
    format!(
        "SELECT slot_name, plugin, database, active, active_pid, temporary, two_phase, \
         confirmed_flush_lsn, restart_lsn, wal_status, \
         greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
         ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint, {newer} FROM pg_replication_slots"
    )
}

/// The slot of this name.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn load(connection: &mut Connection, name: &str) -> Result<Option<SlotState>> {
    let sql = format!("{} WHERE slot_name = {}", slots(connection), quote_literal(name));
    let rows = connection.simple_query(&sql).await?;
    rows.first().map(state).transpose()
}

/// All slots of the cluster, by name.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn list(connection: &mut Connection) -> Result<Vec<SlotState>> {
    let sql = format!("{} ORDER BY slot_name", slots(connection));
    connection.simple_query(&sql).await?.iter().map(state).collect()
}

fn state(row: &Row) -> Result<SlotState> {
    let text = |index| row.get(index).map(str::to_owned);
    let flag = |index| row.get(index) == Some("t");
    Ok(SlotState {
        name: row.require(0)?,
        plugin: text(1),
        database: text(2),
        active: flag(3),
        active_pid: row.parse(4)?,
        temporary: flag(5),
        two_phase: flag(6),
        confirmed_flush: row.parse(7)?,
        restart_lsn: row.parse(8)?,
        wal_status: text(9),
        retained_bytes: row.parse(10)?,
        invalidation_reason: text(11),
        failover: flag(12),
        synced: flag(13),
    })
}

/// Creates a logical slot for pgoutput on a replication connection, and returns its consistent point: it has everything
/// that commits there or later. Waits until every transaction that runs now has ended; on a standby, besides, until the primary has
/// written a record of what runs there.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn create(replication: &mut Connection, name: &str, options: SlotOptions) -> Result<Lsn> {
    let temporary = if options.temporary { " TEMPORARY" } else { "" };
    // Options in parentheses came with version 15.
    let options = match replication.server_version_num() {
        150_000.. if options.failover => "(SNAPSHOT 'nothing', FAILOVER)",
        150_000.. => "(SNAPSHOT 'nothing')",
        _ => "NOEXPORT_SNAPSHOT",
    };
    let slot = quote_identifier(name);
    let rows = replication
        .simple_query(&format!("CREATE_REPLICATION_SLOT {slot}{temporary} LOGICAL pgoutput {options}"))
        .await
        .map_err(|error| error.context(format_args!("creating replication slot {name:?}")))?;
    let row = rows.first().ok_or_else(|| Error::bug("the server created a slot and did not describe it"))?;
    row.require(1)
}

/// Has standbys keep a slot that nobody uses for a failover, on a replication connection (version 17 and later).
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn keep_on_standbys(replication: &mut Connection, name: &str) -> Result<()> {
    replication
        .simple_query(&format!("ALTER_REPLICATION_SLOT {} (FAILOVER)", quote_identifier(name)))
        .await
        .map_err(|error| error.context(format_args!("altering replication slot {name:?}")))?;
    Ok(())
}

/// Drops a slot that nobody uses.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn drop(connection: &mut Connection, name: &str) -> Result<()> {
    connection
        .simple_query(&format!("SELECT pg_drop_replication_slot({})", quote_literal(name)))
        .await
        .map_err(|error| error.context(format_args!("dropping replication slot {name:?}")))?;
    Ok(())
}
