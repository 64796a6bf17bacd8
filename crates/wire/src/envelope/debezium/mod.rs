//! The envelope `debezium`: the events that Debezium's PostgreSQL connector emits, as Arrow structs.
//!
//! A record becomes events: an insert `c`, an update `u`, a delete `d` and a tombstone, a row of a snapshot `r`, a truncate `t`; an update
//! that changes the key a delete of the old key, a tombstone and a create of the new one. Logical messages are events `m` of a topic of
//! their own: what comes as barriers becomes records of a table that no source has.
//!
//! [`DebeziumTransform`] makes a key and a value for each event. Their Arrow fields carry their Connect types (see [`connect`]), so that
//! an encoder of any format can write the schema that Debezium's users know.
//!
//! Debezium leaves out what it has no type for. Here, composites, multiranges, geometric types but `point`, `tsquery`, `pg_lsn` and
//! every other type are strings, as PostgreSQL prints them.

mod announce;
mod bits;
pub mod connect;
mod convert;
mod decimal;
mod default;
mod events;
mod fill;
mod geometry;
mod messages;
mod prefixes;
mod settings;
mod source;
mod temporal;
mod text;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, Scalar, StringArray, StructArray, UInt32Array,
    new_null_array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use arrow_select::zip::zip;
use ductstream_core::{Column, Error, ReplicaIdentity, Result, TableChunk, TableSchema, metadata};

pub use settings::{
    BinaryHandling, DebeziumSettings, DecimalHandling, HstoreHandling, IntervalHandling, NameAdjustment,
    SkippedOperations, TimePrecision,
};

use super::KeyChanges;
use super::rows::Rows;
use connect::{Connect, NAME, VERSION};
use convert::{Converted, failed};
use events::Event;
use source::Origin;

pub(crate) use announce::{Announcer, EventTransform, topic};
pub(crate) use events::Kind;

/// The `debezium` section of a flow, and what the flow's other sections say that belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debezium {
    /// The section.
    pub settings: DebeziumSettings,
    /// The first part of names when the section has none: the flow's name.
    pub flow: String,
    /// `source.db`.
    pub database: String,
}

impl Debezium {
    /// The first part of topic and schema names.
    pub fn prefix(&self) -> &str {
        self.settings.topic_prefix.as_deref().unwrap_or(&self.flow)
    }
}

/// Makes the events of one table at one schema version.
#[derive(Clone)]
pub struct DebeziumTransform {
    table: Arc<TableSchema>,
    settings: DebeziumSettings,
    origin: Origin,
    columns: Vec<Converted>,
    /// Indexes of the key's columns; empty when events have no key.
    key: Vec<usize>,
    key_field: FieldRef,
    value_field: FieldRef,
}

/// The events of a range of rows, in order. Arrays have one entry per event.
pub(crate) struct Events {
    pub(crate) events: Vec<Event>,
    /// The keys; `None` of a table without primary key. That of a truncate means nothing.
    pub(crate) keys: Option<ArrayRef>,
    /// The values; that of a tombstone means nothing.
    pub(crate) values: ArrayRef,
}

impl Events {
    /// The values as rows, without those of tombstones.
    pub(crate) fn value_rows(&self) -> Result<RecordBatch> {
        let rows = RecordBatch::from(self.values.as_struct());
        let is_value = |index: usize| self.events[index].kind != Kind::Tombstone;
        let values = BooleanBuffer::collect_bool(self.events.len(), is_value);
        if values.count_set_bits() == self.events.len() {
            return Ok(rows);
        }
        filter_record_batch(&rows, &BooleanArray::new(values, None)).map_err(failed)
    }

    /// The keys as rows; `None` of a table without primary key.
    pub(crate) fn key_rows(&self) -> Option<RecordBatch> {
        self.keys.as_ref().map(|keys| RecordBatch::from(keys.as_struct()))
    }

    /// Of the event `index`, which comes of an update that changed the key: the event of the same record that has the other key.
    pub(crate) fn counterpart(&self, index: usize) -> Option<usize> {
        let event = self.events.get(index).filter(|event| event.key_change)?;
        let wanted = if event.kind == Kind::Create { Kind::Delete } else { Kind::Create };
        let is_it = |other: &usize| self.events[*other].row == event.row && self.events[*other].kind == wanted;
        // A delete, a tombstone and a create stand together.
        (index.saturating_sub(2)..self.events.len().min(index + 3)).find(is_it)
    }
}

impl DebeziumTransform {
    /// The transform of `table`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a column has no place in the envelope.
    pub fn new(debezium: &Debezium, table: &Arc<TableSchema>) -> Result<Self> {
        let settings = debezium.settings.clone();
        let key = if has_primary_key(table) { table.key.clone() } else { Vec::new() };
        let compile = |(index, column): (usize, &Column)| {
            let optional = !(key.binary_search(&index).is_ok() || is_declared(column, metadata::PG_NOT_NULL));
            Converted::compile(&column.field, optional, &settings)
                .map_err(|error| error.context(format_args!("column {} of table {}", column.name(), table.table)))
        };
        let columns = table.columns.iter().enumerate().map(compile).collect::<Result<Vec<_>>>()?;
        let base = format!("{}.{}", debezium.prefix(), table.table);
        let name = |part: &str| settings.schema_name_adjustment.apply(&format!("{base}.{part}"));
        let fields = |indexes: &mut dyn Iterator<Item = usize>| -> DataType {
            DataType::Struct(indexes.map(|index| columns[index].field.clone()).collect())
        };
        let key_type = Connect::plain(fields(&mut key.iter().copied())).with(NAME, name("Key"));
        let row = Connect::plain(fields(&mut (0..columns.len()))).with(NAME, name("Value"));
        let value =
            Connect::plain(DataType::Struct(value_fields(&row))).with(NAME, name("Envelope")).with(VERSION, "2");
        let origin = Origin::of(debezium);
        let (key_field, value_field) = (key_type.field("key", false), value.field("value", false));
        Ok(Self { table: table.clone(), settings, origin, columns, key, key_field, value_field })
    }

    /// The table.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// The key as a struct with its Connect types; `None` when events have no key.
    pub fn key_field(&self) -> Option<&FieldRef> {
        (!self.key.is_empty()).then_some(&self.key_field)
    }

    /// The value as a struct with its Connect types.
    pub fn value_field(&self) -> &FieldRef {
        &self.value_field
    }

    /// The events of `rows` of `chunk`.
    pub(crate) fn apply(&self, chunk: &TableChunk, range: Range<usize>) -> Result<Events> {
        if range.end > chunk.len() || chunk.after.len() != self.columns.len() {
            let (table, version) = (&self.table.table, self.table.version);
            return Err(Error::bug(format!(
                "making events: the chunk does not fit version {version} of table {table}"
            )));
        }
        let events = events::of(chunk, range.clone(), !self.key.is_empty(), &self.settings);
        let rows = Rows::new(chunk, range.clone());
        let after = self.convert(rows.after(), Some((chunk, &range)))?;
        let before = rows.before().map(|before| self.convert(before, None)).transpose()?;
        let keys = (!self.key.is_empty()).then(|| self.keys(&events, &after, before.as_deref())).transpose()?;
        let values = self.values(&events, &rows, (after, before), chunk).map_err(failed)?;
        Ok(Events { events, keys, values })
    }

    fn convert(&self, arrays: Vec<ArrayRef>, chunk: Option<(&TableChunk, &Range<usize>)>) -> Result<Vec<ArrayRef>> {
        let unchanged = chunk.and_then(|(chunk, range)| Some((chunk.unchanged.as_ref()?, range)));
        let convert = |(index, (column, array)): (usize, (&Converted, ArrayRef))| {
            let of_column = |error: Error| {
                error.context(format_args!("column {} of table {}", column.field.name(), self.table.table))
            };
            let array = (column.convert)(&array).map_err(of_column)?;
            let Some((unchanged, range)) = unchanged else { return Ok(array) };
            let bit = |row: usize| unchanged.is_unchanged(range.start + row, index);
            let mask = BooleanBuffer::collect_bool(range.len(), bit);
            if mask.count_set_bits() == 0 {
                return Ok(array);
            }
            let placeholder = Scalar::new(column.placeholder.clone());
            zip(&BooleanArray::new(mask, None), &placeholder, &array).map_err(failed)
        };
        self.columns.iter().zip(arrays).enumerate().map(convert).collect()
    }

    /// The key of every event: that of the old row for a delete and its tombstone.
    fn keys(&self, events: &[Event], after: &[ArrayRef], before: Option<&[ArrayRef]>) -> Result<ArrayRef> {
        let choices: Vec<(usize, usize)> =
            events.iter().map(|event| (usize::from(event.has_old_key()), event.row)).collect();
        let column = |index: &usize| {
            let (new, old) = (&*after[*index], before.map_or(&*after[*index], |before| &*before[*index]));
            let keys = interleave(&[new, old], &choices).map_err(failed)?;
            self.filled(*index, keys)
        };
        let columns = self.key.iter().map(column).collect::<Result<Vec<_>>>()?;
        let DataType::Struct(fields) = self.key_field.data_type() else { return Err(Error::bug("a key is no struct")) };
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None).map_err(failed)?))
    }

    /// A column that cannot be null has something where nothing is known.
    fn filled(&self, index: usize, array: ArrayRef) -> Result<ArrayRef> {
        let column = &self.columns[index];
        if column.field.is_nullable() || array.null_count() == 0 {
            return Ok(array);
        }
        let known = BooleanArray::new(
            array.nulls().map_or_else(|| BooleanBuffer::new_set(array.len()), |it| it.inner().clone()),
            None,
        );
        zip(&known, &array, &Scalar::new(column.fallback.clone())).map_err(failed)
    }

    fn values(
        &self,
        events: &[Event],
        rows: &Rows<'_>,
        (after, before): (Vec<ArrayRef>, Option<Vec<ArrayRef>>),
        chunk: &TableChunk,
    ) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
        let DataType::Struct(fields) = self.value_field.data_type() else {
            return Ok(new_null_array(self.value_field.data_type(), events.len()));
        };
        let changes = KeyChanges::of(chunk);
        let start = rows.start();
        let has_before = |event: &Event| event.has_before() && changes.tells_old(start + event.row);
        let before = match before {
            Some(before) => self.image(before, events, rows.len(), &has_before)?,
            None => new_null_array(fields[0].data_type(), events.len()),
        };
        let (now, table) = (now(), &self.table.table);
        let time = |value: u128| -> ArrayRef {
            Arc::new(Int64Array::from_value(i64::try_from(value).unwrap_or(i64::MAX), events.len()))
        };
        let ops = events.iter().map(|event| event.op().unwrap_or("d"));
        let columns: Vec<ArrayRef> = vec![
            before,
            self.image(after, events, rows.len(), &|event| event.has_after())?,
            self.origin.column((&table.namespace, &table.name), rows, events, &fields[2])?,
            new_null_array(fields[3].data_type(), events.len()),
            Arc::new(StringArray::from_iter_values(ops)),
            time(now.as_millis()),
            time(now.as_micros()),
            time(now.as_nanos()),
        ];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
    }

    /// The rows of events as structs, null where `present` says so.
    fn image(
        &self,
        columns: Vec<ArrayRef>,
        events: &[Event],
        rows: usize,
        present: &dyn Fn(&Event) -> bool,
    ) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
        let fields: Fields = self.columns.iter().map(|column| column.field.clone()).collect();
        let one_by_one = events.len() == rows && events.iter().enumerate().all(|(index, event)| event.row == index);
        let columns = if one_by_one {
            columns
        } else {
            let indexes: UInt32Array = events.iter().map(|event| Some(event.row as u32)).collect();
            columns.iter().map(|column| take(column, &indexes, None)).collect::<std::result::Result<_, _>>()?
        };
        let filled = |(index, array): (usize, ArrayRef)| {
            self.filled(index, array).map_err(|error| arrow_schema::ArrowError::ExternalError(Box::new(error)))
        };
        let columns = columns.into_iter().enumerate().map(filled).collect::<std::result::Result<Vec<_>, _>>()?;
        let present = NullBuffer::new(BooleanBuffer::collect_bool(events.len(), |index| present(&events[index])));
        Ok(Arc::new(StructArray::try_new(fields, columns, Some(present))?))
    }
}

/// The time since 1970-01-01 UTC.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The members of a value; `row` is the table's own.
fn value_fields(row: &Connect) -> Fields {
    let long = |name| Connect::plain(DataType::Int64).field(name, true);
    Fields::from(vec![
        row.clone().field("before", true),
        row.clone().field("after", true),
        source::source_field(),
        source::transaction_field(),
        Connect::plain(DataType::Utf8).field("op", false),
        long("ts_ms"),
        long("ts_us"),
        long("ts_ns"),
    ])
}

fn is_declared(column: &Column, key: &str) -> bool {
    column.field.metadata().get(key).is_some_and(|it| it == "true")
}

/// Whether the record key is one of the table's own. Under `REPLICA IDENTITY FULL` without primary key it is every column, and events
/// have no key, as in Debezium.
fn has_primary_key(table: &TableSchema) -> bool {
    let every = table.identity == ReplicaIdentity::Full && table.key.len() == table.columns.len();
    let declared = || table.columns.iter().all(|column| is_declared(column, metadata::PG_PRIMARY_KEY));
    !table.key.is_empty() && (!every || declared())
}
