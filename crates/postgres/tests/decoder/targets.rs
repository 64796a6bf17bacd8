//! What is done with an input, and what must hold whatever it is: an error or a valid result, never a panic, and no more
//! memory than [`Bound`] says. The fuzz targets and the property tests run these.

use std::collections::{HashMap, HashSet};

use arrow_array::Array;
use ductstream_core::{ChangeBatch, Position, Result};
use ductstream_postgres::assemble::{Assembler, AssemblerSettings, Pushed};
use ductstream_postgres::pgoutput::{Message, ParseError, Parser, Replication, Tuple};
use ductstream_postgres::types::{ColumnProgram, ValueError};

use super::allocations::peak;
use super::bounds::Bound;
use super::format::{Value, column, frames};
use super::input::{Database, Options, read_header};

/// A message borrows from its frame; what it allocates is a Relation's columns, 32 bytes for at least ten on the wire,
/// a Truncate's tables, or an error.
const PARSED_PER_BYTE: usize = 4;
const PARSED: usize = 512;

/// Parses the frames of `input` and walks every value; the error of the first frame that is malformed.
pub(crate) fn pgoutput(input: &[u8]) -> Result<usize, ParseError> {
    let (_, rest) = read_header(input);
    let mut parser = Parser::new();
    let (mut parsed, mut failure) = (0, None);
    for frame in frames(rest) {
        let (result, bytes) = peak(|| walk(&mut parser, frame));
        let allowed = PARSED + PARSED_PER_BYTE * frame.len();
        assert!(bytes <= allowed, "{bytes} bytes to parse {} ({allowed} allowed): {frame:?}", frame.len());
        match result {
            Ok(()) => parsed += 1,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(parsed), Err)
}

fn walk(parser: &mut Parser, frame: &[u8]) -> Result<(), ParseError> {
    let Replication::WalData { data, .. } = Replication::parse(frame)? else { return Ok(()) };
    match parser.parse(data)?.message {
        Message::Insert(insert) => walk_tuple(insert.new),
        Message::Update(update) => {
            update.old.map_or(Ok(()), |old| walk_tuple(old.tuple()))?;
            walk_tuple(update.new)
        }
        Message::Delete(delete) => walk_tuple(delete.old.tuple()),
        _ => Ok(()),
    }
}

fn walk_tuple(tuple: Tuple<'_>) -> Result<(), ParseError> {
    let mut values = tuple.values();
    values.by_ref().try_for_each(|value| value.map(|_| ()))?;
    values.end()
}

/// Appends the values of `input` to a column and finishes it: the error of the first value that is refused.
pub(crate) fn values(input: &[u8]) -> Result<usize, ValueError> {
    let (options, rest) = read_header(input);
    let (oid, typmod, values) = column(rest);
    let types = &options.database.types;
    let program = ColumnProgram::compile(types, oid, typmod, options.special_values);
    let bound = Bound::of(types, &program);
    let (mut count, mut wire_bytes) = (0, 0);
    let values = values.inspect(|value| {
        count += 1;
        wire_bytes += wire_length(*value);
    });
    let (result, bytes) = peak(|| append_all(&program, values));
    let allowed = bound.per_batch + bound.per_value * count + bound.per_byte * wire_bytes;
    let name = &program.pg_type().name;
    assert!(bytes <= allowed, "{bytes} bytes for {count} values of {name} in {wire_bytes} bytes ({allowed} allowed)");
    result.map(|()| count)
}

fn wire_length(value: Value<'_>) -> usize {
    match value {
        Value::Null => 1,
        Value::Text(bytes) | Value::Binary(bytes) => 1 + bytes.len(),
    }
}

fn append_all<'a>(program: &ColumnProgram, values: impl Iterator<Item = Value<'a>>) -> Result<(), ValueError> {
    let mut builder = program.builder(0);
    let mut failure = None;
    for value in values {
        let before = builder.len();
        let appended = match value {
            Value::Null => {
                builder.append_null();
                Ok(())
            }
            Value::Text(bytes) => builder.append_text(bytes),
            Value::Binary(bytes) => builder.append_binary(bytes),
        };
        // A value that is refused leaves nothing behind.
        assert_eq!(builder.len(), before + usize::from(appended.is_ok()));
        failure = failure.or(appended.err());
    }
    let len = builder.len();
    let array = builder.finish();
    assert_eq!((array.len(), array.data_type(), builder.len()), (len, program.data_type(), 0));
    array.to_data().validate_full().expect("a valid array");
    failure.map_or(Ok(()), Err)
}

/// Assembles the frames of `input`, hands each batch to `deliver`, and returns the number of records, or the error that
/// ended it.
pub(crate) fn assemble(input: &[u8], mut deliver: impl FnMut(&ChangeBatch)) -> Result<usize> {
    let (options, rest) = read_header(input);
    let allowed = allowed(options, rest);
    let mut assembler = assembler(options);
    let mut delivered = Delivered::default();
    let (result, bytes) = peak(|| {
        let result = frames(rest).try_for_each(|frame| {
            take_in(&mut assembler, options.database, frame)?;
            while assembler.is_full() {
                delivered.take(&mut assembler);
            }
            Ok(())
        });
        // What was complete before an error can still be taken.
        while delivered.take(&mut assembler) {}
        result
    });
    assert!(bytes <= allowed, "{bytes} bytes to assemble {} ({allowed} allowed)", rest.len());
    delivered.batches.iter().for_each(&mut deliver);
    result.map(|()| delivered.records)
}

fn assembler(options: Options) -> Assembler {
    let Options { special_values, batch_bytes, messages, database } = options;
    let settings = AssemblerSettings { special_values, batch_bytes, messages, declarations: false };
    let mut assembler = Assembler::new(settings, database.types.clone(), Vec::new(), Position::default());
    database.keys.iter().for_each(|(oid, key)| assembler.set_relation_key(*oid, key.clone()));
    assembler
}

fn take_in(assembler: &mut Assembler, database: &Database, frame: &[u8]) -> Result<()> {
    let frame = Replication::parse(frame).map_err(|error| ductstream_core::Error::bug(error.to_string()))?;
    match frame {
        Replication::Keepalive { wal_end, server_time, .. } => assembler.keepalive(wal_end, server_time),
        Replication::WalData { data, .. } => {
            let mut asked = HashSet::new();
            while let Pushed::NeedRelation(need) = assembler.push(data)? {
                assert!(asked.insert(need.oid), "the table with OID {} was asked for twice", need.oid);
                let key = database.keys.iter().find(|(oid, _)| *oid == need.oid);
                assembler.set_relation_key(need.oid, key.map(|(_, key)| key.clone()).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// What came out so far.
#[derive(Default)]
struct Delivered {
    batches: Vec<ChangeBatch>,
    records: usize,
    end: Position,
    last: Option<Position>,
}

impl Delivered {
    fn take(&mut self, assembler: &mut Assembler) -> bool {
        let Some(batch) = assembler.take() else { return false };
        self.check(&batch);
        self.records += batch.len();
        self.batches.push(batch);
        true
    }

    fn check(&mut self, batch: &ChangeBatch) {
        assert!(batch.end >= self.end, "the bound went back from {:?} to {:?}", self.end, batch.end);
        self.end = batch.end;
        for record in batch.records() {
            let position = record.position();
            assert!(self.last < Some(position), "{position:?} behind {:?}", self.last);
            assert!(position < batch.end, "{position:?} is not before the bound {:?}", batch.end);
            self.last = Some(position);
        }
        let rows: usize = batch.runs.iter().map(|run| run.rows as usize).sum();
        assert_eq!(rows, batch.len(), "the runs tell of every record");
        for chunk in &batch.chunks {
            let rows = chunk.len();
            let lengths = [chunk.positions.len(), chunk.xids.len(), chunk.commit_times.len(), chunk.old.len()];
            assert_eq!(lengths, [rows; 4]);
            for columns in std::iter::once(&chunk.after).chain(&chunk.before) {
                assert_eq!(columns.len(), chunk.schema.columns.len());
                for (array, column) in columns.iter().zip(&chunk.schema.columns) {
                    assert_eq!((array.len(), array.data_type()), (rows, column.field.data_type()));
                    array.to_data().validate_full().expect("a valid array");
                }
            }
            let unchanged = chunk.unchanged.iter().flat_map(|mask| (0..rows).flat_map(|row| mask.columns_of(row)));
            assert!(unchanged.max() < Some(chunk.schema.columns.len()).max(Some(1)));
        }
    }
}

/// What every row takes beside its columns, and a message or batch at least.
const PER_MESSAGE: usize = 2 << 10;
/// A column's name, type and metadata, in the schema, its text and the barrier that announces it.
const PER_SCHEMA_PART: usize = 8 << 10;
/// A message's bytes in the record of a Relation, a logical message, an error.
const PER_BYTE: usize = 32;

/// What the assembler and its batches may hold after all of these frames.
fn allowed(options: Options, rest: &[u8]) -> usize {
    let mut parser = Parser::new();
    let mut tables: HashMap<u32, Bound> = HashMap::new();
    let mut allowed = 64 << 10;
    for frame in frames(rest) {
        allowed += PER_MESSAGE + PER_BYTE * frame.len();
        let Ok(Replication::WalData { data, .. }) = Replication::parse(frame) else { continue };
        let Ok(parsed) = parser.parse(data) else { continue };
        let table = |oid| tables.get(&oid).copied().unwrap_or(NOTHING);
        match parsed.message {
            Message::Relation(relation) => {
                let types = relation.columns.iter().map(|column| (column.type_oid, column.typmod));
                let bound = table_bound(options, types);
                allowed += bound.per_batch / 2 * 3 + PER_SCHEMA_PART * relation.columns.len();
                tables.insert(relation.oid, bound);
            }
            Message::Insert(insert) => allowed += row(table(insert.relation), data.len()),
            Message::Update(update) => allowed += row(table(update.relation), data.len()),
            Message::Delete(delete) => allowed += row(table(delete.relation), data.len()),
            // A table counts once, however often it is named.
            Message::Truncate(mut truncate) => {
                truncate.relations.sort_unstable();
                truncate.relations.dedup();
                allowed += truncate.relations.iter().map(|oid| row(table(*oid), 4)).sum::<usize>();
            }
            _ => {}
        }
    }
    allowed
}

const NOTHING: Bound = Bound { per_byte: 0, per_value: 0, per_batch: 0 };

/// A row takes its columns' slots in the new row and in the old one.
fn row(table: Bound, wire_bytes: usize) -> usize {
    2 * (table.per_value + table.per_batch) + table.per_byte * wire_bytes
}

fn table_bound(options: Options, types: impl Iterator<Item = (u32, i32)>) -> Bound {
    let types = types.map(|(oid, typmod)| {
        let catalog = &options.database.types;
        Bound::of(catalog, &ColumnProgram::compile(catalog, oid, typmod, options.special_values))
    });
    types.fold(NOTHING, |table, column| Bound {
        per_byte: table.per_byte.max(column.per_byte),
        per_value: table.per_value + column.per_value,
        per_batch: table.per_batch + column.per_batch,
    })
}
