//! `hstore`: maps from text to text or NULL.
//!
//! The binary form is a count, and keys and values behind their lengths (`hstore_send` in
//! `contrib/hstore/hstore_io.c`).

use std::sync::Arc;

use arrow_array::{ArrayRef, MapArray, StructArray};

use super::buffers::{ByteStrings, Nulls, Offsets};
use super::builder::Column;
use super::bytes::{Reader, utf8};
use super::literal::Literal;
use super::{Format, ValueError, layout};

/// A column of `hstore`.
#[derive(Debug)]
pub(super) struct Hstores {
    offsets: Offsets,
    keys: ByteStrings,
    values: ByteStrings,
    nulls: Nulls,
    scratch: Vec<u8>,
}

impl Hstores {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            offsets: Offsets::new(capacity),
            keys: ByteStrings::new(capacity),
            values: ByteStrings::new(capacity),
            nulls: Nulls::new(capacity),
            scratch: Vec::new(),
        }
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let mut reader = Reader::new(bytes);
        for _ in 0..reader.count(8)? {
            self.keys.push(utf8(reader.present("an hstore has a key")?)?.as_bytes())?;
            match reader.sized()? {
                Some(value) => self.values.push(utf8(value)?.as_bytes())?,
                None => self.values.push_null(),
            }
        }
        reader.finish()
    }

    /// Reads what `hstore_out` prints: `"a"=>"1", "b"=>NULL`.
    fn append_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        let mut literal = Literal::new(text);
        while literal.peek().is_some() {
            literal.quoted(&mut self.scratch)?;
            self.keys.push(utf8(&self.scratch)?.as_bytes())?;
            literal.expect(b'=')?;
            literal.expect(b'>')?;
            if literal.accept_all(b"NULL") {
                self.values.push_null();
            } else {
                literal.quoted(&mut self.scratch)?;
                self.values.push(utf8(&self.scratch)?.as_bytes())?;
            }
            if literal.peek().is_some() {
                literal.expect(b',')?;
                literal.expect(b' ')?;
            }
        }
        Ok(())
    }
}

impl Column for Hstores {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let before = self.keys.len();
        let appended = match format {
            Format::Binary => self.append_binary(bytes),
            Format::Text => self.append_text(bytes),
        };
        let appended = appended.and_then(|()| self.offsets.push(self.keys.len()));
        match appended {
            Ok(()) => self.nulls.push(true),
            Err(_) => {
                self.keys.truncate(before);
                self.values.truncate(before);
            }
        }
        appended
    }

    fn append_null(&mut self) {
        self.offsets.push_empty();
        self.nulls.push(false);
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let entries = self.offsets.truncate(len);
            self.keys.truncate(entries);
            self.values.truncate(entries);
            self.nulls.truncate(len);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.offsets.memory_bytes() + self.keys.memory_bytes() + self.values.memory_bytes() + self.nulls.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish_text()), Arc::new(self.values.finish_text())];
        let entries = StructArray::new(layout::entry_fields(), columns, None);
        Arc::new(MapArray::new(layout::entries(), self.offsets.finish(), entries, self.nulls.finish(), false))
    }
}

/// Appends a binary value as the server prints it.
pub(super) fn render(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    for index in 0..reader.count(8)? {
        if index > 0 {
            out.push_str(", ");
        }
        write_quoted(utf8(reader.present("an hstore has a key")?)?, out);
        out.push_str("=>");
        match reader.sized()? {
            Some(value) => write_quoted(utf8(value)?, out),
            None => out.push_str("NULL"),
        }
    }
    reader.finish()
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}
