//! Avro's binary encoding.

use super::schema::Type;
use crate::datum::Datum;

type Outcome<T> = Result<T, String>;

/// Reads values from the front of bytes, and knows where it stands.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let left = &self.bytes[self.at..];
        let taken =
            left.get(..count).ok_or_else(|| format!("{count} bytes are needed, and {} are left", left.len()))?;
        self.at += count;
        Ok(taken)
    }

    /// A number in groups of seven bits, zigzag.
    pub(super) fn long(&mut self) -> Outcome<i64> {
        let (mut value, start) = (0u64, self.at);
        for shift in (0..70).step_by(7) {
            let byte = self.take(1).map_err(|_| "a number is cut off".to_owned())?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        self.at = start;
        Err("a number is longer than 64 bits".to_owned())
    }

    pub(super) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let start = self.at;
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| format!("a length is {length}"));
        let taken = length.and_then(|length| self.take(length));
        if taken.is_err() {
            self.at = start;
        }
        taken
    }

    pub(super) fn text(&mut self) -> Outcome<String> {
        let start = self.at;
        let bytes = self.bytes()?;
        let text =
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| format!("a text is not UTF-8: {error}"));
        if text.is_err() {
            self.at = start;
        }
        text
    }

    pub(super) fn value(&mut self, kind: &Type) -> Outcome<Option<Datum>> {
        if let Type::Nullable(null, kind) = kind {
            let start = self.at;
            return match self.long()? {
                branch if branch == *null => Ok(None),
                0 | 1 => self.value(kind),
                other => {
                    self.at = start;
                    Err(format!("a union has no branch {other}"))
                }
            };
        }
        Ok(Some(match kind {
            Type::Boolean => match self.take(1)?[0] {
                byte @ (0 | 1) => Datum::Bool(byte == 1),
                other => return Err(format!("{other} is no boolean")),
            },
            Type::Long => Datum::Int(self.long()?),
            Type::Float => Datum::Float(f32::from_le_bytes(array(self.take(4)?))),
            Type::Double => Datum::Double(f64::from_le_bytes(array(self.take(8)?))),
            Type::Bytes => Datum::Bytes(self.bytes()?.to_vec()),
            Type::Fixed(size) => Datum::Bytes(self.take(*size)?.to_vec()),
            Type::Text => Datum::Text(self.text()?),
            Type::Enum(symbols) => Datum::Text(self.symbol(symbols)?),
            Type::Record(members) => {
                Datum::Record(members.iter().map(|member| self.value(member)).collect::<Outcome<_>>()?)
            }
            Type::Array(item) => Datum::List(self.blocks(|reader| reader.value(item))?),
            Type::Map(value) => Datum::Map(self.blocks(|reader| Ok((reader.text()?, reader.value(value)?)))?),
            Type::Nullable(..) => return Err("a union is directly in a union".to_owned()),
        }))
    }

    fn symbol(&mut self, symbols: &[String]) -> Outcome<String> {
        let index = self.long()?;
        let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
        symbol.cloned().ok_or_else(|| format!("an enum has no symbol {index}"))
    }

    /// Items in blocks, the last of which is empty.
    fn blocks<T>(&mut self, mut item: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let count = match self.long()? {
                0 => return Ok(items),
                // Then the block's size in bytes follows.
                count if count < 0 => self.long().map(|_| count.unsigned_abs())?,
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let before = self.at;
                items.push(item(self)?);
                if self.at == before {
                    return Err(format!("{count} items take no bytes"));
                }
            }
        }
    }
}

/// As many bytes as were asked for.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_and_end() {
        for (bytes, number) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x80, 1], 64),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MIN),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MAX),
        ] {
            assert_eq!(Reader::new(bytes).long(), Ok(number));
        }
        assert!(Reader::new(&[0xff; 11]).long().is_err());
        assert!(Reader::new(&[0x80]).long().is_err());
    }

    #[test]
    fn a_length_is_held_against_what_is_there() {
        let mut reader = Reader::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7]);
        assert!(reader.bytes().is_err());
        assert_eq!(reader.at(), 0, "where the damage is");
        assert!(Reader::new(&[1]).bytes().is_err());
    }
}
