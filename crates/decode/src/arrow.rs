//! Arrow IPC: files and streams.
//!
//! A file is a stream with a footer behind it and a magic in front, and is read as one: so what lies before damage is read, whatever became of
//! the footer.

use std::io::Cursor;

use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use ductstream_core::{Error, Result, WireFormat};
use ductstream_wire::RowLines;

use crate::document::{Document, Rows, damaged, guarded, own_properties};

const MAGIC: &[u8] = b"ARROW1";
const CONTINUATION: &[u8] = &[0xff; 4];

/// The most bytes that an array's buffer has: its offsets are numbers of 32 bits.
const BUFFER_BYTES: i64 = 1 << 31;

/// Whether these bytes begin as a file or a stream does.
pub(crate) fn is_arrow(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(CONTINUATION)
}

/// Opens a file or a stream.
pub(crate) fn open(bytes: Bytes) -> Result<Document> {
    let is_file = bytes.starts_with(MAGIC);
    // The magic is padded.
    let start =
        if is_file { MAGIC.len() + bytes[MAGIC.len()..].iter().take_while(|byte| **byte == 0).count() } else { 0 };
    let stream = bytes.slice(start..);
    let frame = Frame::at(&stream, 0).map_err(|what| damaged(start, what))?;
    if frame.is_none() {
        return Err(damaged(start, "the schema is missing"));
    }
    let reader = guarded(|| StreamReader::try_new(Cursor::new(stream), None));
    let reader = reader.map_err(|error| damaged(start, format_args!("the schema: {error}")))?;
    let columns = reader.schema();
    let lines = RowLines::new(&columns)?;
    Ok(Document {
        format: WireFormat::Arrow,
        layout: if is_file { "IPC file" } else { "IPC stream" },
        properties: own_properties(columns.metadata().iter()),
        columns: Some(columns),
        definition: None,
        rows: Box::new(Batches { reader, lines, start, is_file, count: 0 }),
    })
}

/// A message of a stream: its metadata and the buffers that belong to it.
struct Frame;

impl Frame {
    /// Whether a whole message begins at `at`; `None` where the stream ends in order.
    fn at(stream: &[u8], at: usize) -> Result<Option<Self>, String> {
        let rest = stream.get(at..).unwrap_or_default();
        let number = |from: usize| {
            rest.get(from..from + 4).and_then(|it| it.first_chunk::<4>()).map(|it| i32::from_le_bytes(*it))
        };
        if rest.is_empty() {
            return Err("the end mark is missing: it is cut off between record batches".to_owned());
        }
        if !rest.starts_with(CONTINUATION) {
            return Err("a message begins with other bytes".to_owned());
        }
        let length = match number(4) {
            Some(0) => return Ok(None),
            Some(length) => {
                usize::try_from(length).map_err(|_| format!("the length of a message's head is {length}"))?
            }
            None => return Err("the length of a message's head is cut off".to_owned()),
        };
        let head = rest.get(8..8 + length).ok_or("a message's head is cut off")?;
        let message = arrow_ipc::root_as_message(head).map_err(|error| format!("a message's head: {error}"))?;
        let body = &rest[8 + length..];
        let size = message.bodyLength();
        let Some(body) = usize::try_from(size).ok().and_then(|size| body.get(..size)) else {
            let left = body.len();
            return Err(format!("a record batch has {size} bytes, and {left} are left: it is cut off"));
        };
        match message.header_as_record_batch() {
            Some(batch) => buffers(&batch, body).map(|()| Some(Self)),
            None => Ok(Some(Self)),
        }
    }
}

/// Refuses buffers that say of themselves that they are larger than arrays can be: the reader reserves the memory before it looks.
fn buffers(batch: &arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), String> {
    if batch.compression().is_none() {
        return Ok(());
    }
    for buffer in batch.buffers().into_iter().flatten() {
        let start = usize::try_from(buffer.offset()).map_err(|_| "a buffer is nowhere".to_owned())?;
        let size = body.get(start..).and_then(|rest| rest.first_chunk::<8>()).map(|it| i64::from_le_bytes(*it));
        if let Some(size) = size.filter(|size| buffer.length() > 0 && *size > BUFFER_BYTES) {
            return Err(format!("a buffer says that it has {size} bytes"));
        }
    }
    Ok(())
}

struct Batches {
    reader: StreamReader<Cursor<Bytes>>,
    lines: RowLines,
    /// Where the stream begins in what was given.
    start: usize,
    is_file: bool,
    count: usize,
}

impl Rows for Batches {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let at = usize::try_from(self.reader.get_ref().position()).unwrap_or(usize::MAX);
        let stream = self.reader.get_ref().get_ref();
        let (place, count) = (self.start + at, self.count);
        let wrong = |what: &dyn std::fmt::Display| damaged(place, format_args!("record batch {count}: {what}"));
        if Frame::at(stream, at).map_err(|what| wrong(&what))?.is_none() {
            return self.end(at + 8).map(|()| false);
        }
        let reader = &mut self.reader;
        let batch = guarded(|| reader.next().transpose()).map_err(|error| wrong(&error))?;
        let batch = batch.ok_or_else(|| Error::bug("an Arrow stream ended before its end"))?;
        self.lines.append(&batch, out)?;
        self.count += 1;
        Ok(true)
    }
}

impl Batches {
    /// Behind the stream of a file there is a footer with its length and the magic.
    fn end(&self, at: usize) -> Result<()> {
        let rest = self.reader.get_ref().get_ref().get(at..).unwrap_or_default();
        match self.is_file {
            true if !rest.ends_with(MAGIC) => {
                Err(damaged(self.start + at, "the footer is cut off; every record batch before it was read"))
            }
            false if !rest.is_empty() => {
                Err(damaged(self.start + at, format_args!("{} bytes follow the end of the stream", rest.len())))
            }
            _ => Ok(()),
        }
    }
}
