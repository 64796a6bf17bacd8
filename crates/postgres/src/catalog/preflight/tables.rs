//! The tables that would be streamed: whether their rows can be told apart, and what does not come along.

use ductstream_core::{Finding, ReplicaIdentity};

use super::publication::Sends;
use crate::catalog::table::{Kind, Table, storage};

/// What there is to say about `table`, of all `tables` of the database.
pub(super) fn check(tables: &[Table], table: &Table, sends: &Sends) -> Vec<Finding> {
    let parts = storage(tables, table);
    let subject = format!("table {}", table.name);
    let mut findings = vec![identity(&subject, table, &parts, sends)];
    findings.extend(generated(&subject, table, sends));
    if table.kind == Kind::Partitioned {
        let message = format!("partitioned; the changes of its {} partitions come under its name", parts.len());
        findings.push(Finding::ok(subject, message));
    }
    findings
}

fn identity(subject: &str, table: &Table, parts: &[&Table], sends: &Sends) -> Finding {
    let unidentified: Vec<_> = parts.iter().filter(|part| !part.identifies_rows()).collect();
    match unidentified[..] {
        [] => identified(subject, parts.first().copied().unwrap_or(table)),
        _ if !sends.old_rows => Finding::ok(subject, "has no replica identity, and only inserts are published"),
        [first, ..] => unidentifiable(subject, first, sends),
    }
}

fn identified(subject: &str, table: &Table) -> Finding {
    match table.identity {
        ReplicaIdentity::Full => {
            let message = "REPLICA IDENTITY FULL: every update and delete writes the whole old row to the WAL";
            let remedy = if table.primary_key.is_empty() {
                "add a primary key, unless the old rows are wanted"
            } else {
                "set REPLICA IDENTITY DEFAULT, unless the old rows are wanted"
            };
            Finding::warning(subject, message, remedy)
        }
        ReplicaIdentity::Index => Finding::ok(subject, format!("key ({})", table.identity_index.join(", "))),
        _ => Finding::ok(subject, format!("key ({})", table.primary_key.join(", "))),
    }
}

/// `part` is the table, or the first of its partitions that is concerned.
fn unidentifiable(subject: &str, part: &Table, sends: &Sends) -> Finding {
    let (reason, remedy) = part.identity_problem();
    if sends.from_now_on {
        let message = format!("{reason}: applications could not update or delete rows of {} any more", part.name);
        Finding::error(subject, message, remedy)
    } else {
        let message = format!("{reason}: the server refuses updates and deletes of {}", part.name);
        Finding::warning(subject, message, remedy)
    }
}

fn generated(subject: &str, table: &Table, sends: &Sends) -> Option<Finding> {
    let [stored, computed] = &table.generated;
    let sent = |column: &&String| sends.generated_columns.contains(&(table.name.clone(), column.to_string()));
    let missing: Vec<_> = computed.iter().chain(stored.iter().filter(|column| !sent(column))).cloned().collect();
    (!missing.is_empty()).then(|| {
        let message = format!("generated columns are not published: {}", missing.join(", "));
        Finding::warning(subject, message, "compute them at the destination, or make them ordinary columns")
    })
}
