//! What the server is to the flow: a primary whose standbys keep the slot, or a standby itself.

use ductstream_core::{Finding, Result};

use super::Look;
use crate::catalog::slot;
use crate::connect::Connection;
use crate::role::{FAILOVER_SLOTS, FILTERS_ORIGIN, STANDBY_DECODES};
use crate::settings::Origin;

pub(super) async fn check(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(origin(look));
    if look.settings.failover {
        findings.extend(failover(look).await?);
    }
    if look.server.in_recovery {
        findings.extend(standby(look).await?);
    }
    Ok(findings)
}

fn origin(look: &Look<'_>) -> Option<Finding> {
    (look.settings.origin == Origin::None && look.server.version < FILTERS_ORIGIN).then(|| {
        let message = format!("none needs PostgreSQL 16 or later, and this is {}", look.server.version_text);
        Finding::error("origin", message, "take `source.origin` out, or upgrade the server")
    })
}

/// Whether the flow would go on from a standby that is promoted, and without a gap.
async fn failover(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    const SUBJECT: &str = "failover";
    if look.server.version < FAILOVER_SLOTS {
        let message =
            format!("slots are kept on standbys from PostgreSQL 17 on, and this is {}", look.server.version_text);
        return Ok(vec![Finding::error(SUBJECT, message, "take `source.failover` out, or upgrade the server")]);
    }
    if look.server.in_recovery {
        let message = "the server is a standby, and a flow with `source.failover` reads from the primary";
        return Ok(vec![Finding::error(SUBJECT, message, "point `source.url` at the primary")]);
    }
    let name = look.slot_name();
    let kept = slot::load(&mut look.sql, &name).await?.is_some_and(|slot| slot.failover);
    let message = if kept { "standbys keep the slot" } else { "the next start has standbys keep the slot" };
    let mut findings = vec![Finding::ok(SUBJECT, message)];
    if setting(&mut look.sql, "synchronized_standby_slots").await?.is_empty() {
        findings.push(Finding::warning(
            "synchronized_standby_slots",
            "is empty: the flow may deliver changes that no standby has, and refuses to go on after a failover that loses them",
            "set it to the physical slot of the standby that would be promoted",
        ));
    }
    Ok(findings)
}

/// What a standby needs to keep a slot usable.
async fn standby(look: &mut Look<'_>) -> Result<Vec<Finding>> {
    const SUBJECT: &str = "standby";
    if look.server.version < STANDBY_DECODES {
        let message = "the server is a standby, and decodes only from version 16 on";
        return Ok(vec![Finding::error(SUBJECT, message, "connect to the primary")]);
    }
    let mut findings = vec![Finding::ok(SUBJECT, "the server is a standby, from which changes can be read")];
    let lost = "the primary may remove catalog rows that the slot needs, and the slot is lost then";
    if setting(&mut look.sql, "hot_standby_feedback").await? != "on" {
        let remedy = "run ALTER SYSTEM SET hot_standby_feedback = on on the standby, and reload it";
        findings.push(Finding::warning("hot_standby_feedback", format!("is off: {lost}"), remedy));
    }
    if setting(&mut look.sql, "primary_slot_name").await?.is_empty() {
        let message = format!("is empty: while the standby is disconnected, {lost}");
        let remedy = "create a physical slot on the primary, and name it in primary_slot_name on the standby";
        findings.push(Finding::warning("primary_slot_name", message, remedy));
    }
    Ok(findings)
}

async fn setting(connection: &mut Connection, name: &str) -> Result<String> {
    let rows = connection.simple_query(&format!("SELECT current_setting('{name}', true)")).await?;
    Ok(rows.first().and_then(|row| row.get(0)).unwrap_or_default().to_owned())
}
