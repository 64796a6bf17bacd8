//! A bounds-checked cursor over one message, and the error that says where it stopped.

use super::Kind;

/// A message that is not what its protocol page says: which message, at which byte, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {kind} message at byte {offset}: {problem}")]
pub struct ParseError {
    /// The message that was read.
    pub kind: Kind,
    /// Byte offset in the message, counted from its tag.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Box<Problem>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The message ends too early.
    #[error("{wanted} bytes expected, {left} left")]
    Short {
        /// How many bytes the next field takes.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// The message goes on after its last field.
    #[error("{0} bytes after the last field")]
    Trailing(usize),
    /// A string without its terminating zero.
    #[error("string without an end")]
    OpenString,
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
    /// A length below zero.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// A count of items that cannot fit in the rest of the message.
    #[error("{count} items do not fit in {left} bytes")]
    TooMany {
        /// How many items the message claims.
        count: usize,
        /// How many bytes are left for them.
        left: usize,
    },
    /// A byte that the protocol does not define at this place.
    #[error("unknown {what} {byte:#04x}")]
    Unknown {
        /// What the byte stands for.
        what: &'static str,
        /// The byte.
        byte: u8,
    },
}

/// The result of reading a message.
pub(super) type Result<T, E = ParseError> = std::result::Result<T, E>;

/// A cursor that never reads past its frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    kind: Kind,
}

impl<'a> Reader<'a> {
    /// Reads `frame` after its tag.
    pub(super) fn after_tag(frame: &'a [u8], kind: Kind) -> Self {
        Self { frame, at: 1, kind }
    }

    pub(super) fn left(&self) -> usize {
        self.frame.len().saturating_sub(self.at)
    }

    #[cold]
    pub(super) fn error(&self, problem: Problem) -> ParseError {
        self.error_at(self.at, problem)
    }

    #[cold]
    pub(super) fn error_at(&self, offset: usize, problem: Problem) -> ParseError {
        ParseError { kind: self.kind, offset, problem: Box::new(problem) }
    }

    /// An error about the byte that was just read.
    #[cold]
    pub(super) fn unknown(&self, what: &'static str, byte: u8) -> ParseError {
        self.error_at(self.at.saturating_sub(1), Problem::Unknown { what, byte })
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        match self.frame.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(self.error(Problem::Short { wanted: count, left: self.left() })),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.frame.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.error(Problem::Short { wanted: N, left: self.left() })),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A length and as many bytes.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8]> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(length) => self.bytes(length),
            Err(_) => Err(self.error_at(self.at - 4, Problem::NegativeLength(length))),
        }
    }

    /// A string that ends with a zero byte.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(0, rest).ok_or_else(|| self.error(Problem::OpenString))?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|_| self.error(Problem::NotUtf8))?;
        self.at += end + 1;
        Ok(text)
    }

    /// Refuses a count whose items cannot fit in what is left, so that nothing is allocated for them.
    pub(super) fn fits(&self, count: usize, item_bytes: usize) -> Result<usize> {
        let left = self.left();
        if count.saturating_mul(item_bytes) > left {
            return Err(self.error(Problem::TooMany { count, left }));
        }
        Ok(count)
    }

    /// Checks that the message ends here.
    #[inline]
    pub(super) fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(Problem::Trailing(left))),
        }
    }

    /// `value`, when the message ends here.
    pub(super) fn ending<T>(&self, value: T) -> Result<T> {
        self.end().map(|()| value)
    }
}
