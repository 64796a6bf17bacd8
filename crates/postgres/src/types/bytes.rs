//! Reading big-endian values from the bytes of a binary value.

use super::ValueError;

/// A cursor over the bytes of one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ValueError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(|| ended(len, self.0.len()))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(|| ended(N, self.0.len()))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ValueError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ValueError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, ValueError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ValueError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ValueError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, ValueError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, ValueError> {
        self.array().map(f64::from_be_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32, ValueError> {
        self.array().map(f32::from_be_bytes)
    }

    /// The bytes up to a zero byte, which is read too.
    pub(super) fn cstring(&mut self) -> Result<&'a [u8], ValueError> {
        let len = memchr::memchr(0, self.0).ok_or_else(|| ValueError::malformed("a string has no end"))?;
        let string = self.take(len)?;
        self.u8()?;
        Ok(string)
    }

    /// A count of things that take at least `size` bytes each, so that a wrong count allocates nothing.
    pub(super) fn count(&mut self, size: usize) -> Result<usize, ValueError> {
        let count = self.i32()?;
        let count = usize::try_from(count).map_err(|_| ValueError::malformed(format!("a count of {count}")))?;
        self.fits(count, size)?;
        Ok(count)
    }

    /// Makes sure that there may be `count` things of at least `size` bytes each.
    pub(super) fn fits(&self, count: usize, size: usize) -> Result<(), ValueError> {
        if count.saturating_mul(size) <= self.0.len() {
            Ok(())
        } else {
            Err(ValueError::malformed(format!("{count} parts do not fit {} bytes", self.0.len())))
        }
    }

    /// A value behind its length; `None` for a length of -1.
    pub(super) fn sized(&mut self) -> Result<Option<&'a [u8]>, ValueError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| ValueError::malformed(format!("a length of {len}")))?;
                self.take(len).map(Some)
            }
        }
    }

    /// A value behind its length, where null has no meaning.
    pub(super) fn present(&mut self, what: &str) -> Result<&'a [u8], ValueError> {
        self.sized()?.ok_or_else(|| ValueError::malformed(format!("{what} that is null")))
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn finish(self) -> Result<(), ValueError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(ValueError::malformed(format!("{more} bytes more than expected"))),
        }
    }
}

/// The value's bytes, if there are `N`.
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    bytes.try_into().map_err(|_| ValueError::malformed(format!("{} bytes instead of {N}", bytes.len())))
}

/// The value as text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(bytes)
        .map_err(|error| ValueError::malformed(format!("not valid UTF-8 at byte {}", error.valid_up_to())))
}

fn ended(wanted: usize, left: usize) -> ValueError {
    ValueError::malformed(format!("{wanted} bytes expected and {left} left"))
}
