//! Logical messages (`pg_logical_emit_message`) as events of a topic of their own.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray, StructArray, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};
use ductstream_core::{
    Column, Error, LogicalMessage, OldImage, Op, PgType, ReplicaIdentity, Result, TableChunk, TableName, TableSchema,
};

use super::connect::Connect;
use super::convert::{Convert, bytes_column, failed};
use super::events::{Event, Kind};
use super::source::{Origin, source_field, transaction_field};
use super::{Debezium, Events, now};
use crate::envelope::rows::Rows;

/// The last part of the topic's name.
const TOPIC: &str = "message";

/// The version of tables that no source has: those have versions from 1 on.
pub(super) const NO_VERSION: u32 = 0;

/// The table whose records messages are. Its name is that of the topic.
pub(super) fn table(debezium: &Debezium) -> Arc<TableSchema> {
    let column = |name: &str, (oid, pg_type): (u32, &str), data_type| Column {
        pg_type: PgType { oid, typmod: -1, name: pg_type.to_owned() },
        field: Arc::new(Field::new(name, data_type, true)),
    };
    let columns =
        vec![column("prefix", (25, "text"), DataType::Utf8), column("content", (17, "bytea"), DataType::Binary)];
    let name = TableName::new(debezium.prefix(), TOPIC);
    Arc::new(TableSchema::new(name, 0, NO_VERSION, ReplicaIdentity::Nothing, columns))
}

/// Messages as records. One that stands outside of a transaction has the time `at`.
pub(super) fn chunk(table: &Arc<TableSchema>, messages: &[&LogicalMessage], at: i64) -> TableChunk {
    let bytes = |message: &&LogicalMessage| (message.prefix.len() + message.content.len()) as u64;
    TableChunk {
        schema: table.clone(),
        ops: vec![Op::Message; messages.len()],
        positions: messages.iter().map(|message| message.position).collect(),
        xids: messages.iter().map(|message| message.xid.unwrap_or(0)).collect(),
        commit_times: messages.iter().map(|message| message.commit_time.unwrap_or(at)).collect(),
        after: vec![
            Arc::new(StringArray::from_iter_values(messages.iter().map(|message| &message.prefix))),
            Arc::new(BinaryArray::from_iter_values(messages.iter().map(|message| &message.content))),
        ],
        before: None,
        old: vec![OldImage::None; messages.len()],
        unchanged: None,
        wire_bytes: messages.iter().map(bytes).sum(),
    }
}

/// Makes the events of messages.
#[derive(Clone)]
pub(crate) struct MessageTransform {
    pub(super) table: Arc<TableSchema>,
    origin: Origin,
    content: Convert,
    pub(super) key_field: FieldRef,
    pub(super) value_field: FieldRef,
}

impl MessageTransform {
    pub(super) fn new(debezium: &Debezium, table: &Arc<TableSchema>) -> Self {
        let (content_type, content) = bytes_column(debezium.settings.binary);
        let named = |fields: Vec<FieldRef>, name: &str| {
            Connect::named(DataType::Struct(fields.into()), &format!("io.debezium.connector.postgresql.{name}"))
        };
        let prefix = || Connect::plain(DataType::Utf8).field("prefix", true);
        let message = named(vec![prefix(), content_type.field("content", true)], "Message").field("message", false);
        let value = vec![
            Connect::plain(DataType::Utf8).field("op", false),
            Connect::plain(DataType::Int64).field("ts_ms", true),
            source_field(),
            transaction_field(),
            message,
        ];
        Self {
            table: table.clone(),
            origin: Origin::of(debezium),
            content,
            key_field: named(vec![prefix()], "MessageKey").field("key", false),
            value_field: named(value, "MessageValue").field("value", false),
        }
    }

    /// The events of `rows` of `chunk`.
    pub(super) fn apply(&self, chunk: &TableChunk, range: Range<usize>) -> Result<Events> {
        let [prefixes, contents] = &chunk.after[..] else { return Err(Error::bug("a logical message has two parts")) };
        let slice = |array: &ArrayRef| array.slice(range.start, range.len());
        let (prefixes, contents) = (slice(prefixes), (self.content)(&slice(contents))?);
        let event = |row| Event { row, kind: Kind::Message, key_change: false };
        let events: Vec<Event> = (0..range.len()).map(event).collect();
        let keys: ArrayRef = structs(&self.key_field, vec![prefixes.clone()]).map_err(failed)?;
        let rows = Rows::new(chunk, range);
        let values = self.values(&rows, &events, vec![prefixes, contents]).map_err(failed)?;
        Ok(Events { events, keys: Some(keys), values })
    }

    fn values(
        &self,
        rows: &Rows<'_>,
        events: &[Event],
        message: Vec<ArrayRef>,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        let fields = members(&self.value_field);
        let ops = events.iter().map(|event| event.op().unwrap_or("m"));
        let columns = vec![
            Arc::new(StringArray::from_iter_values(ops)) as ArrayRef,
            Arc::new(Int64Array::from_value(i64::try_from(now().as_millis()).unwrap_or(i64::MAX), events.len())),
            // No table is named.
            self.origin.column(("", ""), rows, events, &fields[2])?,
            new_null_array(fields[3].data_type(), events.len()),
            structs(&fields[4], message)?,
        ];
        structs(&self.value_field, columns)
    }
}

/// The fields of structs.
pub(super) fn members(field: &Field) -> Fields {
    match field.data_type() {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}

pub(super) fn structs(field: &Field, columns: Vec<ArrayRef>) -> std::result::Result<ArrayRef, ArrowError> {
    Ok(Arc::new(StructArray::try_new(members(field), columns, None)?))
}
