//! Errors of the assembler, with everything that a reader needs to find the row.

use ductstream_core::{Error, Lsn, TableSchema};

use super::chunk::RowError;
use crate::pgoutput::{Kind, ParseError, Tuple, TupleValue};
use crate::types::ValueError;

/// Longer key values are cut in messages.
const SHOWN_BYTES: usize = 64;

/// A malformed message; `commit_lsn` is of the transaction around it, when there is one.
pub(super) fn malformed(error: &ParseError, commit_lsn: Option<Lsn>) -> Error {
    match commit_lsn {
        Some(lsn) => Error::bug(format!("in the transaction that commits at {lsn}: {error}")),
        None => Error::bug(error.to_string()),
    }
}

/// A message that only comes when it was asked for, by something that this connection does not ask for.
pub(super) fn not_asked_for(kind: Kind) -> Error {
    match kind {
        Kind::BeginPrepare | Kind::Prepare | Kind::CommitPrepared | Kind::RollbackPrepared => Error::configuration(
            format!("the slot decodes prepared transactions ({kind} message), which are not supported"),
        )
        .with_remedy("create the slot anew without two_phase"),
        _ => Error::bug(format!(
            "the server streams transactions in progress ({kind} message) without having been asked to"
        )),
    }
}

/// A message that breaks the order of the protocol.
pub(super) fn out_of_order(kind: Kind, problem: &str) -> Error {
    Error::bug(format!("the server sent a {kind} message {problem}"))
}

/// A row that could not be appended to the columns of `schema`. `row` is where the key is taken from.
pub(super) fn row(error: RowError, schema: &TableSchema, row: Tuple<'_>, commit_lsn: Lsn) -> Error {
    let place = |column: usize| {
        let column = schema.columns.get(column).map_or("?", |column| column.name());
        let key = key_text(schema, row).map(|key| format!(" of the row with key {key}")).unwrap_or_default();
        format!("column {column} of {}{key}, in the transaction that commits at {commit_lsn}", schema.table)
    };
    match error {
        RowError::Parse(error) => malformed(&error, Some(commit_lsn)),
        RowError::Columns { row, relation } => Error::bug(format!(
            "a row of {} has {row} columns where its Relation message has {relation}, in the transaction that commits at {commit_lsn}",
            schema.table
        )),
        RowError::UnchangedInOldImage { column } => {
            Error::bug(format!("{}: the old row leaves the value out", place(column)))
        }
        RowError::Value { column, cause: cause @ ValueError::Malformed(_) } => {
            Error::bug(format!("{}: {cause}", place(column)))
        }
        RowError::Value { column, cause: cause @ ValueError::Changed(_) } => {
            Error::data(format!("{}: {cause}", place(column))).with_remedy(
                "start the flow again, which reads the type anew; when that says the same, give the type its attribute back \
                 until the flow has caught up, or begin anew at the present: run `ductstream cleanup`, then start the flow",
            )
        }
        RowError::Value { column, cause: cause @ ValueError::Special(_) } => Error::data(format!(
            "{}: {cause}",
            place(column)
        ))
        .with_remedy(
            "set special_values of the source to text (the column becomes text) or to null (the value becomes null)",
        ),
    }
}

/// `(id=7, name=x)`; `None` when there is no key.
fn key_text(schema: &TableSchema, row: Tuple<'_>) -> Option<String> {
    let values = row.values().enumerate().filter(|(index, _)| schema.is_key(*index));
    let parts: Vec<String> = values
        .filter_map(|(index, value)| {
            let column = schema.columns.get(index)?;
            Some(format!("{}={}", column.name(), printable(column.pg_type.oid, value.ok()?)))
        })
        .collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join(", ")))
}

fn printable(type_oid: u32, value: TupleValue<'_>) -> String {
    /// OIDs of `pg_type.dat` whose binary form is plain to read.
    const INT8: u32 = 20;
    const INT2: u32 = 21;
    const INT4: u32 = 23;
    const TEXTS: [u32; 4] = [19, 25, 1042, 1043];
    match value {
        TupleValue::Null => "null".to_owned(),
        TupleValue::Unchanged => "unchanged".to_owned(),
        TupleValue::Text(bytes) => shown(bytes),
        TupleValue::Binary(bytes) => match (type_oid, bytes) {
            (INT2, &[a, b]) => i16::from_be_bytes([a, b]).to_string(),
            (INT4, &[a, b, c, d]) => i32::from_be_bytes([a, b, c, d]).to_string(),
            (INT8, bytes) => {
                bytes.try_into().map_or_else(|_| hex(bytes), |bytes| i64::from_be_bytes(bytes).to_string())
            }
            (oid, bytes) if TEXTS.contains(&oid) => shown(bytes),
            (_, bytes) => hex(bytes),
        },
    }
}

fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let more = if cut.len() < bytes.len() { "..." } else { "" };
    format!("{}{more}", String::from_utf8_lossy(cut).escape_debug())
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().take(SHOWN_BYTES / 2).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > SHOWN_BYTES / 2 { "..." } else { "" };
    format!("0x{digits}{more}")
}
