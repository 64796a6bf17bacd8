//! Rows on the wire.

use super::reader::{Problem, Reader, Result};

/// One column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleValue<'a> {
    /// NULL.
    Null,
    /// A TOASTed value that did not change; the message does not carry it.
    Unchanged,
    /// The type's text output.
    Text(&'a [u8]),
    /// The type's binary output.
    Binary(&'a [u8]),
}

/// A row: a cheap, copyable cursor. Its values are checked while they are read, in one pass over the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Tuple<'a> {
    reader: Reader<'a>,
    columns: u16,
    /// Whether the message ends with this row.
    last: bool,
}

impl<'a> Tuple<'a> {
    /// The row that fills the rest of the message.
    pub(super) fn last(reader: &mut Reader<'a>) -> Result<Self> {
        let columns = reader.u16()?;
        reader.fits(usize::from(columns), 1)?;
        Ok(Self { reader: *reader, columns, last: true })
    }

    /// A row with more behind it: steps over its values.
    pub(super) fn inner(reader: &mut Reader<'a>) -> Result<Self> {
        let tuple = Self { last: false, ..Self::last(reader)? };
        let mut values = tuple.values();
        while values.next().transpose()?.is_some() {}
        *reader = values.reader;
        Ok(tuple)
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    /// Number of bytes of the values with their tags and lengths, up to the end of the message.
    pub fn wire_bytes(&self) -> usize {
        self.reader.left()
    }

    /// The values, in the order of the relation's columns.
    pub fn values(&self) -> TupleValues<'a> {
        TupleValues { reader: self.reader, left: self.columns, last: self.last }
    }
}

/// The values of a [`Tuple`]. Nothing is to be read after an error.
#[derive(Debug, Clone)]
pub struct TupleValues<'a> {
    reader: Reader<'a>,
    left: u16,
    last: bool,
}

impl<'a> TupleValues<'a> {
    #[inline]
    fn value(&mut self) -> Result<TupleValue<'a>> {
        self.left -= 1;
        match self.reader.u8()? {
            b'b' => self.reader.sized().map(TupleValue::Binary),
            b't' => self.reader.sized().map(TupleValue::Text),
            b'n' => Ok(TupleValue::Null),
            b'u' => Ok(TupleValue::Unchanged),
            byte => Err(self.reader.unknown("kind of value", byte)),
        }
    }

    /// Checks that every value was read and nothing follows the row that should not.
    ///
    /// # Errors
    /// When values are left, or bytes after the message's last row.
    #[inline]
    pub fn end(&self) -> Result<()> {
        if self.left > 0 {
            return Err(self.reader.error(Problem::Trailing(self.reader.left())));
        }
        if self.last { self.reader.end() } else { Ok(()) }
    }
}

impl<'a> Iterator for TupleValues<'a> {
    type Item = Result<TupleValue<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let value = self.value();
        if value.is_err() {
            self.left = 0;
        }
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}
