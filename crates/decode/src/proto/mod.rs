//! Protobuf: length-delimited files that begin with their descriptors, and single messages.

mod schema;
mod values;

use bytes::Bytes;
use ductstream_core::{Error, Result, WireFormat};
use ductstream_wire::RowLines;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::columns::batch;
use crate::document::{Document, Rows, damaged, guarded};

use schema::Schema;

/// Rows that become columns at once.
const ROWS: usize = 1024;

/// Whether these bytes begin with the length of a `FileDescriptorSet` and the set itself.
pub(crate) fn has_descriptors(bytes: &[u8]) -> bool {
    // The first field of a set is a file.
    let first = delimited(bytes, 0).ok().flatten().map(|(range, _)| &bytes[range]);
    first.is_some_and(|set| {
        set.first() == Some(&0x0a) && FileDescriptorSet::decode(set).is_ok_and(|set| !set.file.is_empty())
    })
}

/// The first message of the schema in the text of a `.proto` file.
pub(crate) fn compile(text: &str) -> Result<MessageDescriptor> {
    const NAME: &str = "schema.proto";
    let wrong = |error: protox::Error| {
        Error::configuration("the Protobuf schema cannot be read")
            .with_source(std::io::Error::other(error.to_string()))
            .with_remedy("give the schema that the data was written with")
    };
    let file = protox::file::File::from_source(NAME, text).map_err(wrong)?;
    let set = FileDescriptorSet { file: vec![file.file_descriptor_proto().clone()] };
    let mut compiler = protox::Compiler::with_file_resolver(protox::file::DescriptorSetFileResolver::new(set));
    compiler.include_source_info(true).include_imports(true).open_file(NAME).map_err(wrong)?;
    first_message(compiler.file_descriptor_set())
}

/// The first message of a `FileDescriptorSet`'s last file: those before it are what it imports.
pub(crate) fn descriptors(set: &[u8]) -> Result<MessageDescriptor> {
    let set = FileDescriptorSet::decode(set).map_err(|error| {
        Error::configuration("this is no schema: neither Avro nor Protobuf").with_source(error).with_remedy(
            "give an Avro schema (JSON), a .proto file, or a FileDescriptorSet as `protoc --descriptor_set_out` writes it",
        )
    })?;
    first_message(set)
}

fn first_message(set: FileDescriptorSet) -> Result<MessageDescriptor> {
    let wrong = |what: &str| {
        Error::configuration(format!("the Protobuf schema {what}"))
            .with_remedy("give the schema that the data was written with")
    };
    let name = set.file.last().map(|file| file.name().to_owned()).ok_or_else(|| wrong("is empty"))?;
    let pool = guarded(|| DescriptorPool::from_file_descriptor_set(set));
    let pool = pool.map_err(|what| wrong(&format!("contradicts itself: {what}")))?;
    let message = pool.get_file_by_name(&name).and_then(|file| file.messages().next());
    message.ok_or_else(|| wrong("has no message"))
}

/// Opens a file.
pub(crate) fn open_file(bytes: Bytes) -> Result<Document> {
    let first = delimited(&bytes, 0)?;
    let (set, at) = first.ok_or_else(|| damaged(0, "the descriptors are missing"))?;
    let start = set.start;
    let message = descriptors(&bytes[set]).map_err(|error| damaged(start, error.message()))?;
    let schema = Schema::of(&message)?;
    document(schema, "length-delimited messages", |schema, lines| Box::new(File { bytes, at, schema, lines, count: 0 }))
}

/// Opens a single message, which begins `offset` bytes behind the beginning; behind a frame, which message of the schema it is
/// comes first.
pub(crate) fn open_message(
    content: Bytes,
    message: &MessageDescriptor,
    (offset, is_framed): (usize, bool),
) -> Result<Document> {
    let content = match (is_framed, content.first()) {
        (false, _) => content,
        (true, Some(0)) => content.slice(1..),
        (true, _) => {
            return Err(Error::configuration(
                "the message is not the first one of its schema, which DuctStream does not write",
            )
            .with_remedy("read it with another tool"));
        }
    };
    let (schema, offset) = (Schema::of(message)?, offset + usize::from(is_framed));
    document(schema, "message", |schema, lines| Box::new(Single { content: Some(content), schema, lines, offset }))
}

fn document(
    schema: Schema,
    layout: &'static str,
    rows: impl FnOnce(Schema, RowLines) -> Box<dyn Rows>,
) -> Result<Document> {
    let lines = RowLines::new(&schema.columns)?;
    let (columns, definition, table) = (Some(schema.columns.clone()), schema.definition(), schema.table());
    Ok(Document {
        format: WireFormat::Proto,
        layout,
        properties: vec![("ductstream.table".to_owned(), table)],
        columns,
        definition: Some(definition),
        rows: rows(schema, lines),
    })
}

/// Where the content of the message lies that begins at `at`, and where the next one begins; `None` at the end.
fn delimited(bytes: &[u8], at: usize) -> Result<Option<(std::ops::Range<usize>, usize)>> {
    let mut rest = &bytes[at..];
    if rest.is_empty() {
        return Ok(None);
    }
    let length = prost_reflect::prost::encoding::decode_varint(&mut rest);
    let length = length.map_err(|_| damaged(at, "the length of a message is cut off, or none"))?;
    let start = bytes.len() - rest.len();
    match usize::try_from(length).ok().filter(|length| *length <= rest.len()) {
        Some(length) => Ok(Some((start..start + length, start + length))),
        None => {
            let left = rest.len();
            Err(damaged(at, format_args!("a message has {length} bytes, and {left} are left: the file is cut off")))
        }
    }
}

struct File {
    bytes: Bytes,
    at: usize,
    schema: Schema,
    lines: RowLines,
    count: u64,
}

impl Rows for File {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let mut rows = Vec::new();
        let mut ended = Ok(false);
        while rows.len() < ROWS {
            match self.next() {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        let is_empty = rows.is_empty();
        self.lines.append(&batch(&self.schema.columns, rows)?, out)?;
        ended.map(|_| !is_empty)
    }
}

impl File {
    fn next(&mut self) -> Result<Option<values::Row>> {
        let Some((range, next)) = delimited(&self.bytes, self.at)? else { return Ok(None) };
        let message = guarded(|| DynamicMessage::decode(self.schema.message.clone(), &self.bytes[range]));
        let message = message.map_err(|error| damaged(self.at, format_args!("message {}: {error}", self.count)))?;
        (self.at, self.count) = (next, self.count + 1);
        Ok(Some(values::row(&self.schema.fields, &message)))
    }
}

struct Single {
    content: Option<Bytes>,
    schema: Schema,
    lines: RowLines,
    offset: usize,
}

impl Rows for Single {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let Some(content) = self.content.take() else { return Ok(false) };
        let message = guarded(|| DynamicMessage::decode(self.schema.message.clone(), &content[..]));
        let message = message.map_err(|error| damaged(self.offset, format_args!("the message: {error}")))?;
        if message.unknown_fields().next().is_some() {
            return Err(damaged(
                self.offset,
                "the message has fields that its schema does not have: it has another schema",
            ));
        }
        let row = values::row(&self.schema.fields, &message);
        self.lines.append(&batch(&self.schema.columns, vec![row])?, out)?;
        Ok(true)
    }
}
