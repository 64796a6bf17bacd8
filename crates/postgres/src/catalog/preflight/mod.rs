//! What a flow would trip over, found without changing anything.

mod privileges;
mod publication;
mod role;
mod server;
mod slot;
mod tables;

use ductstream_core::{Checkpoint, Error, Finding, Result};

use super::server::{self as catalog_server, Server};
use super::slot as catalog_slot;
use super::table::{self, Table};
use super::timeline;
use crate::connect::{Connection, ConnectionSettings, Mode};
use crate::open::default_slot;
use crate::resume::resume;
use crate::role::promoted;
use crate::settings::SourceSettings;
use crate::source::identity;

/// Looks at everything that the flow `flow` with these settings needs from its source. Creates nothing and changes
/// nothing.
///
/// Never fails: what cannot be looked at is a finding itself.
pub async fn check(settings: &SourceSettings, flow: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sessions = async {
        let target = ConnectionSettings::resolve(&settings.url)?;
        let sql = Connection::connect(&target, Mode::Sql).await?;
        Ok::<_, Error>((target, sql))
    };
    match sessions.await {
        Ok((target, sql)) => {
            findings.push(Finding::ok("connection", target.to_string()));
            if let Err(error) = look(settings, flow, (target, sql), &mut findings).await {
                findings.push(failed("source", &error));
            }
        }
        Err(error) => findings.push(failed("connection", &error)),
    }
    findings
}

/// Whether the flow could go on from `checkpoint` without a gap. Changes nothing.
///
/// Never fails: what cannot be looked at is a finding itself.
pub async fn continuity(settings: &SourceSettings, flow: &str, checkpoint: &Checkpoint) -> Finding {
    const SUBJECT: &str = "checkpoint";
    let resumed = async {
        let target = ConnectionSettings::resolve(&settings.url)?;
        let mut sql = Connection::connect(&target, Mode::Sql).await?;
        let mut server = catalog_server::load(&mut sql).await?;
        let mut replication = Connection::connect(&target.only(sql.address()), Mode::Replication).await?;
        let ancestors = timeline::locate(&mut replication, &mut server).await?;
        let slot = settings.slot.clone().unwrap_or_else(|| default_slot(flow));
        let found = catalog_slot::load(&mut sql, &slot).await?;
        promoted(found.as_ref(), server.in_recovery)?;
        resume(Some(checkpoint), &identity(&server, &slot), &ancestors, found.as_ref())
    };
    match resumed.await {
        Ok(_) => Finding::ok(SUBJECT, format!("the flow goes on from {}", checkpoint.position)),
        Err(error) => failed(SUBJECT, &error),
    }
}

/// What the single checks look at.
struct Look<'a> {
    settings: &'a SourceSettings,
    flow: &'a str,
    sql: Connection,
    server: Server,
    tables: Vec<Table>,
}

async fn look(
    settings: &SourceSettings,
    flow: &str,
    (target, mut sql): (ConnectionSettings, Connection),
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let server = catalog_server::load(&mut sql).await?;
    let tables = table::load_all(&mut sql).await?;
    let mut look = Look { settings, flow, sql, server, tables };
    findings.extend(server::version(&look.server));
    findings.extend(server::wal_level(&look.server));
    findings.extend(role::check(&mut look).await?);
    // Before the next check's own session counts as a WAL sender.
    findings.extend(server::limits(&mut look).await?);
    findings.push(privileges::replication(&target).await);
    findings.extend(slot::check(&mut look).await?);
    let published = publication::check(&mut look).await?;
    findings.extend(published.findings);
    let streamed = look.tables.iter().filter(|table| published.tables.contains(&table.name));
    for table in streamed {
        findings.extend(tables::check(&look.tables, table, &published.sends));
    }
    look.sql.close().await;
    Ok(())
}

/// An error as a finding: its message with its causes, and its remedy.
fn failed(subject: impl Into<String>, error: &Error) -> Finding {
    let mut message = error.message().to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    Finding::error(subject, message, error.remedy().unwrap_or("see the server's log"))
}
