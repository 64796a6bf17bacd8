//! JSON: lines, compressed or not, and single documents.

use std::io::{self, Read};

use bytes::Bytes;
use ductstream_core::{Result, WireFormat};
use serde_json::value::RawValue;

use crate::document::{Document, Rows, damaged};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Bytes that are decompressed at once.
const PORTION: usize = 64 << 10;

/// Whether these are lines or a document, perhaps compressed.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|first| matches!(first, b'{' | b'[')) || bytes.starts_with(GZIP) || bytes.starts_with(ZSTD)
}

/// Opens lines or a document.
pub(crate) fn open(bytes: Bytes) -> Result<Document> {
    let (text, failure, layout) = match () {
        () if bytes.starts_with(GZIP) => {
            let (text, failure) = drain(flate2::bufread::MultiGzDecoder::new(&bytes[..]));
            (text, failure, "lines, gzip")
        }
        () if bytes.starts_with(ZSTD) => {
            let (text, failure) = match zstd::stream::read::Decoder::with_buffer(&bytes[..]) {
                Ok(decoder) => drain(decoder),
                Err(error) => (Vec::new(), Some(error)),
            };
            (text, failure, "lines, zstd")
        }
        () => (bytes.to_vec(), None, "lines"),
    };
    let schema = connect_schema(&text);
    let layout = match schema {
        Some(_) => "document with a Connect schema",
        None => layout,
    };
    let rows = Lines { text, at: 0, failure, with_schema: schema.is_some() };
    Ok(Document {
        format: WireFormat::Json,
        layout,
        properties: Vec::new(),
        columns: None,
        definition: schema,
        rows: Box::new(rows),
    })
}

/// What can be read, and what ended it early.
fn drain(mut reader: impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut text = Vec::new();
    let mut portion = vec![0; PORTION];
    loop {
        match reader.read(&mut portion) {
            Ok(0) => return (text, None),
            Ok(read) => text.extend_from_slice(&portion[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (text, Some(error)),
        }
    }
}

/// A document as Connect's `JsonConverter` writes it with schemas.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WithSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// The schema that the first document carries.
fn connect_schema(text: &[u8]) -> Option<String> {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<WithSchema<'_>>();
    let first = documents.next()?.ok()?;
    first.payload?;
    let schema = first.schema?.get();
    let says: serde_json::Value = serde_json::from_str(schema).ok()?;
    // A row may have columns of these names.
    (says.get("type")?.is_string() && says.get("optional")?.is_boolean()).then(|| schema.to_owned())
}

struct Lines {
    text: Vec<u8>,
    at: usize,
    /// What ended the decompression.
    failure: Option<io::Error>,
    with_schema: bool,
}

impl Rows for Lines {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let rest = &self.text[self.at..];
        let mut documents = serde_json::Deserializer::from_slice(rest).into_iter::<Box<RawValue>>();
        match documents.next() {
            Some(Ok(document)) => {
                self.at += documents.byte_offset();
                push(document.get(), self.with_schema, out);
                Ok(true)
            }
            Some(Err(error)) => {
                let before = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let (at, line) =
                    (self.at + before, 1 + self.text[..self.at + before].iter().filter(|it| **it == b'\n').count());
                match self.failure.take() {
                    Some(failure) if error.is_eof() => Err(cut_short(&self.text, &failure)),
                    _ => Err(damaged(at, format_args!("line {line} is not JSON: {}", without_place(&error)))),
                }
            }
            None => self.failure.take().map_or(Ok(false), |failure| Err(cut_short(&self.text, &failure))),
        }
    }
}

/// The position that the error itself knows is counted from the line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn cut_short(text: &[u8], failure: &io::Error) -> ductstream_core::Error {
    damaged(text.len(), format_args!("of the text, the compressed rest cannot be read: {failure}"))
}

/// Appends a document on one line: a line break stands between tokens, where a space means the same.
fn push(document: &str, with_schema: bool, out: &mut Vec<u8>) {
    let payload = with_schema.then(|| serde_json::from_str::<WithSchema<'_>>(document).ok()).flatten();
    let text = payload.and_then(|it| it.payload).map_or(document, RawValue::get);
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    out[start..].iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    out.push(b'\n');
}
