//! The server: version, settings, room for one more.

use ductstream_core::{ByteSize, Finding, Result};

use super::Look;
use crate::catalog::server::Server;
use crate::catalog::slot;
use crate::role::OLDEST_SERVER;

/// The first version that is not known.
const BEYOND: u32 = 190_000;

pub(super) fn version(server: &Server) -> Vec<Finding> {
    let subject = "version";
    let text = format!("PostgreSQL {}", server.version_text);
    vec![match server.version {
        version if version < OLDEST_SERVER => {
            Finding::error(subject, format!("{text} is too old"), "use PostgreSQL 14 or later")
        }
        version if version >= BEYOND => Finding::warning(
            subject,
            format!("{text} is newer than any that was tested"),
            "try it out before relying on it",
        ),
        _ => Finding::ok(subject, text),
    }]
}

pub(super) fn wal_level(server: &Server) -> Vec<Finding> {
    let level = &server.wal_level;
    vec![if level == "logical" {
        Finding::ok("wal_level", "logical")
    } else {
        let message = format!("wal_level is {level}, and logical replication needs logical");
        Finding::error("wal_level", message, "run ALTER SYSTEM SET wal_level = logical, and restart the server")
    }]
}

const LIMITS: &str = "SELECT \
    current_setting('max_replication_slots')::bigint - (SELECT count(*) FROM pg_replication_slots), \
    current_setting('max_wal_senders')::bigint - (SELECT count(*) FROM pg_stat_replication), \
    (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), \
    (SELECT nullif(setting::bigint, 0)::text || unit FROM pg_settings WHERE name = 'idle_replication_slot_timeout')";

/// Free slots and senders, and what the server does with a slot that falls behind.
pub(super) async fn limits(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    let name = look.slot_name();
    let slot_exists = slot::load(&mut look.sql, &name).await?.is_some();
    let rows = look.sql.simple_query(LIMITS).await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let (slots, senders): (i64, i64) = (row.require(0)?, row.require(1)?);
    let mut findings = vec![
        if slots > 0 || slot_exists {
            Finding::ok("max_replication_slots", format!("{slots} replication slots are free"))
        } else {
            let remedy = "drop a slot that nobody needs (`ductstream slot list`), or raise max_replication_slots and restart the server";
            Finding::error("max_replication_slots", "every replication slot is in use", remedy)
        },
        if senders > 0 {
            Finding::ok("max_wal_senders", format!("{senders} WAL senders are free"))
        } else {
            let remedy = "stop another consumer, or raise max_wal_senders and restart the server";
            Finding::error("max_wal_senders", "every WAL sender is in use", remedy)
        },
        match row.parse::<i64>(2)? {
            Some(megabytes) if megabytes >= 0 => {
                let limit = ByteSize(megabytes.unsigned_abs() << 20);
                let message = format!("the slot is lost when the flow falls behind by more than {limit}");
                Finding::warning("max_slot_wal_keep_size", message, "raise it as far as the server's disk allows")
            }
            _ => {
                let message = "no limit: while the flow is stopped, its slot keeps WAL on the server's disk";
                Finding::ok("max_slot_wal_keep_size", message)
            }
        },
    ];
    if let Some(timeout) = row.get(3) {
        let message = format!("the slot is lost when the flow is stopped for longer than {timeout}");
        findings.push(Finding::warning("idle_replication_slot_timeout", message, "raise it, or set it to 0"));
    }
    Ok(findings)
}
