//! Timelines: the one a server is on, and those that it descends from.

use ductstream_core::{Ancestors, Error, Lsn, Result};

use super::server::Server;
use crate::connect::{Connection, sqlstate};

/// The server has no such file: `undefined_file`.
const MISSING_FILE: &str = "58P01";

/// The timeline that the server is on, on a replication connection: of a standby, that of the WAL that it has replayed.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn current(replication: &mut Connection) -> Result<u32> {
    let rows = replication.simple_query("IDENTIFY_SYSTEM").await?;
    let row = rows.first().ok_or_else(|| Error::bug("the server does not identify itself"))?;
    row.require(1)
}

/// Looks up both on a replication connection, and sets `server`'s timeline: a standby's own tables tell of a new one only later.
///
/// # Errors
/// What the server answers, or the connection's.
pub async fn locate(replication: &mut Connection, server: &mut Server) -> Result<Ancestors> {
    server.timeline = current(replication).await?;
    ancestors(replication, server.timeline).await
}

/// The timelines that `timeline` descends from. None where the server does not have its history any more.
async fn ancestors(replication: &mut Connection, timeline: u32) -> Result<Ancestors> {
    // The first timeline has no ancestors, and no file.
    if timeline <= 1 {
        return Ok(Ancestors::default());
    }
    let rows = match replication.simple_query(&format!("TIMELINE_HISTORY {timeline}")).await {
        Ok(rows) => rows,
        Err(error) if sqlstate(&error) == Some(MISSING_FILE) => return Ok(Ancestors::default()),
        Err(error) => return Err(error.context(format_args!("reading the history of timeline {timeline}"))),
    };
    let content: String = rows.first().map(|row| row.require(1)).transpose()?.unwrap_or_default();
    parse(&content).ok_or_else(|| Error::bug(format!("the history of timeline {timeline} cannot be read: {content:?}")))
}

/// Reads a history file: a timeline, where it was left, and why, per line.
fn parse(content: &str) -> Option<Ancestors> {
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    lines.map(entry).collect::<Option<Vec<(u32, Lsn)>>>().map(Ancestors::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_file_tells_where_each_timeline_was_left() {
        let content =
            "# edited\n1\t0/3000148\tno recovery target specified\n\n2\t1/0A\tbefore 2026-11-23 14:22:57+00\n";
        assert_eq!(parse(content), Some(Ancestors::new([(1, Lsn(0x300_0148)), (2, Lsn(0x1_0000_000A))])));
        assert_eq!(parse(""), Some(Ancestors::default()));
        assert_eq!(parse("1\n"), None);
        assert_eq!(parse("one\t0/1\t"), None);
    }
}
