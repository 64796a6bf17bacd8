//! The slot, as it is or as it would be created.

use ductstream_core::{ByteSize, Finding, Result};

use super::Look;
use crate::catalog::slot::{self, SlotState};
use crate::open::default_slot;

const OTHER_NAME: &str = "choose another name with `source.slot`";
/// A transaction that runs for longer than this is worth a word: creating a slot waits for it.
const LONG_TRANSACTION_SECONDS: u64 = 60;

impl Look<'_> {
    pub(super) fn slot_name(&self) -> String {
        self.settings.slot.clone().unwrap_or_else(|| default_slot(self.flow))
    }
}

pub(super) async fn check(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    let name = look.slot_name();
    let subject = format!("slot {name}");
    if !is_valid(&name) {
        let message = "a slot's name has 1 to 63 of the characters a-z, 0-9 and _";
        return Ok(vec![Finding::error(subject, message, OTHER_NAME)]);
    }
    match slot::load(&mut look.sql, &name).await? {
        Some(slot) => Ok(vec![existing(subject, &slot, &look.server.database)]),
        None => {
            let message = if look.server.in_recovery {
                "does not exist; the first start creates it, and waits for SELECT pg_log_standby_snapshot() on the primary when that is idle"
            } else {
                "does not exist; the first start creates it"
            };
            let mut findings = vec![Finding::ok(subject, message)];
            findings.extend(creation_waits(look).await?);
            Ok(findings)
        }
    }
}

fn is_valid(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn existing(subject: String, slot: &SlotState, database: &str) -> Finding {
    let name = &slot.name;
    let gone = "run `ductstream cleanup`, start the flow anew, and bring the destination up to date from the tables themselves";
    if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("physical replication");
        return Finding::error(subject, format!("is for {plugin}, not for pgoutput"), OTHER_NAME);
    }
    if slot.database.as_deref() != Some(database) {
        let other = slot.database.as_deref().unwrap_or("no database");
        return Finding::error(subject, format!("belongs to the database {other}, not to {database}"), OTHER_NAME);
    }
    if slot.two_phase {
        return Finding::error(subject, "sends prepared transactions (two_phase), which is not supported", OTHER_NAME);
    }
    if let Some(reason) = &slot.invalidation_reason {
        return Finding::error(subject, format!("the server has invalidated it: {reason}"), gone);
    }
    if slot.wal_status.as_deref() == Some("lost") {
        return Finding::error(subject, "the server has removed WAL that it needs", gone);
    }
    if slot.active {
        let pid = slot.active_pid.map_or_else(|| "another session".to_owned(), |pid| format!("process {pid}"));
        let remedy = format!(
            "stop what uses it, or run SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{name}'"
        );
        return Finding::error(subject, format!("is in use by {pid}"), remedy);
    }
    let retained = ByteSize(slot.retained_bytes.unwrap_or_default());
    match slot.wal_status.as_deref() {
        Some("unreserved") => {
            let message = format!("keeps {retained} of WAL, more than the server allows; it will soon be lost");
            Finding::warning(subject, message, "start the flow at once, and raise max_slot_wal_keep_size")
        }
        _ => Finding::ok(subject, format!("exists, and keeps {retained} of WAL")),
    }
}

/// Transactions that were there before the slot, which its creation waits for.
async fn creation_waits(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT count(*), max(extract(epoch FROM now() - since))::bigint FROM ( \
           SELECT xact_start AS since FROM pg_stat_activity WHERE backend_xid IS NOT NULL \
           UNION ALL SELECT prepared FROM pg_prepared_xacts) AS running \
         WHERE since < now() - interval '{LONG_TRANSACTION_SECONDS} s'"
    );
    let rows = look.sql.simple_query(&sql).await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let (count, longest): (u64, Option<u64>) = (row.require(0)?, row.parse(1)?);
    Ok(match longest {
        Some(seconds) if count > 0 => vec![Finding::warning(
            "long transactions",
            format!("creating the slot waits for {count} transactions that run already, the longest for {seconds} s"),
            "end them (pg_stat_activity, pg_prepared_xacts) before the first start",
        )],
        _ => Vec::new(),
    })
}
