//! The blocks `source` and `transaction`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, StructArray, new_null_array};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use super::Debezium;
use super::connect::{Connect, DEFAULT};
use super::events::Event;
use crate::envelope::rows::Rows;

/// What `source.snapshot` may be.
const SNAPSHOTS: &str = "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";

/// `source.connector`, which consumers tell connectors by.
const CONNECTOR: &str = "postgresql";

fn string(name: &str, optional: bool) -> FieldRef {
    Connect::plain(DataType::Utf8).field(name, optional)
}

fn long(name: &str, optional: bool) -> FieldRef {
    Connect::plain(DataType::Int64).field(name, optional)
}

pub(super) fn source_field() -> FieldRef {
    let snapshot = Connect::named(DataType::Utf8, "io.debezium.data.Enum").parameter("allowed", SNAPSHOTS);
    let fields = Fields::from(vec![
        string("version", false),
        string("connector", false),
        string("name", false),
        long("ts_ms", false),
        snapshot.with(DEFAULT, "\"false\"").field("snapshot", true),
        string("db", false),
        string("sequence", true),
        long("ts_us", true),
        long("ts_ns", true),
        string("schema", false),
        string("table", false),
        long("txId", true),
        long("lsn", true),
        long("xmin", true),
        string("origin", true),
        long("origin_lsn", true),
    ]);
    Connect::named(DataType::Struct(fields), "io.debezium.connector.postgresql.Source").field("source", false)
}

pub(super) fn transaction_field() -> FieldRef {
    let fields =
        Fields::from(vec![string("id", false), long("total_order", false), long("data_collection_order", false)]);
    Connect::named(DataType::Struct(fields), "event.block").field("transaction", true)
}

/// What is the same in the source block of every record.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) prefix: String,
    pub(super) database: String,
}

impl Origin {
    pub(super) fn of(debezium: &Debezium) -> Self {
        Self { prefix: debezium.prefix().to_owned(), database: debezium.database.clone() }
    }

    /// The block of each of `events`. `lsn` is that of the commit, and `sequence` the commit's LSN and the index of the change in its
    /// transaction, which order all changes; a change's own LSN does not.
    pub(super) fn column(
        &self,
        (namespace, table): (&str, &str),
        rows: &Rows<'_>,
        events: &[Event],
        field: &FieldRef,
    ) -> Result<ArrayRef, ArrowError> {
        let DataType::Struct(fields) = field.data_type() else { return Ok(new_null_array(field.data_type(), 0)) };
        let text = |value: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, events.len())))
        };
        let longs = |value: &dyn Fn(&Event) -> i64| -> ArrayRef {
            Arc::new(events.iter().map(|event| Some(value(event))).collect::<Int64Array>())
        };
        let lsn = |event: &Event| rows.position(event.row).commit_lsn.0.cast_signed();
        let sequence = |event: &Event| {
            let position = rows.position(event.row);
            format!("[\"{}\",\"{}\"]", position.commit_lsn.0, position.seq)
        };
        // A message may stand outside of a transaction.
        let xid = |event: &Event| Some(rows.xid(event.row)).filter(|xid| *xid != 0).map(i64::from);
        let snapshot = |event: &Event| if event.is_load() { "true" } else { "false" };
        let columns: Vec<ArrayRef> = vec![
            text(env!("CARGO_PKG_VERSION")),
            text(CONNECTOR),
            text(&self.prefix),
            longs(&|event| rows.commit_time(event.row).div_euclid(1000)),
            Arc::new(StringArray::from_iter_values(events.iter().map(snapshot))),
            text(&self.database),
            Arc::new(StringArray::from_iter_values(events.iter().map(sequence))),
            longs(&|event| rows.commit_time(event.row)),
            longs(&|event| rows.commit_time(event.row).saturating_mul(1000)),
            text(namespace),
            text(table),
            Arc::new(events.iter().map(xid).collect::<Int64Array>()),
            longs(&lsn),
            new_null_array(&DataType::Int64, events.len()),
            new_null_array(&DataType::Utf8, events.len()),
            new_null_array(&DataType::Int64, events.len()),
        ];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
    }
}
