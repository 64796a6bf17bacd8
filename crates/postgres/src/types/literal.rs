//! The quoting that array, composite and range literals share.

use super::ValueError;

/// Reads a literal from its front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal<'a>(&'a [u8]);

impl<'a> Literal<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) fn next(&mut self) -> Result<u8, ValueError> {
        let (byte, rest) = self.0.split_first().ok_or_else(ended)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), ValueError> {
        match self.next()? {
            byte if byte == wanted => Ok(()),
            byte => Err(ValueError::malformed(format!(
                "a literal has {:?} where {:?} was expected",
                char::from(byte),
                char::from(wanted)
            ))),
        }
    }

    pub(super) fn accept_all(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Reads a part up to one of the bytes in `stops`, which stays, and puts it unquoted into `part`. Says whether it
    /// was quoted.
    ///
    /// Inside quotes, a backslash escapes the next byte and two quotes are one.
    pub(super) fn part(&mut self, stops: &[u8], part: &mut Vec<u8>) -> Result<bool, ValueError> {
        part.clear();
        let (mut quoted, mut inside) = (false, false);
        loop {
            match self.peek().ok_or_else(ended)? {
                byte if !inside && stops.contains(&byte) => return Ok(quoted),
                b'\\' => {
                    self.next()?;
                    part.push(self.next()?);
                }
                b'"' => {
                    self.next()?;
                    if inside && self.peek() == Some(b'"') {
                        part.push(self.next()?);
                    } else {
                        inside = !inside;
                        quoted = true;
                    }
                }
                _ => part.push(self.next()?),
            }
        }
    }

    /// Reads a quoted part, up to and with its closing quote, into `part`. A backslash escapes the next byte.
    pub(super) fn quoted(&mut self, part: &mut Vec<u8>) -> Result<(), ValueError> {
        part.clear();
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => part.push(self.next()?),
                byte => part.push(byte),
            }
        }
    }

    /// The text between here and `later`, which was read from here.
    pub(super) fn until(self, later: &Self) -> &'a [u8] {
        &self.0[..self.0.len().saturating_sub(later.0.len())]
    }

    pub(super) fn finish(self) -> Result<(), ValueError> {
        if self.0.is_empty() { Ok(()) } else { Err(ValueError::malformed("a literal goes on after its end")) }
    }
}

fn ended() -> ValueError {
    ValueError::malformed("a literal ends early")
}

/// Whitespace as the server's literal functions know it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Appends an element of an array (`array_out`).
pub(super) fn write_element(text: &str, delimiter: u8, out: &mut String) {
    let special = |byte| matches!(byte, b'"' | b'\\' | b'{' | b'}') || byte == delimiter || is_space(byte);
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.bytes().any(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

/// Appends a field of a composite (`record_out`).
pub(super) fn write_field(text: &str, out: &mut String) {
    write_doubled(text, |byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',') || is_space(byte), out);
}

/// Appends a bound of a range (`range_bound_escape`).
pub(super) fn write_bound(text: &str, out: &mut String) {
    let special = |byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',') || is_space(byte);
    write_doubled(text, special, out);
}

fn write_doubled(text: &str, special: impl Fn(u8) -> bool, out: &mut String) {
    if !text.is_empty() && !text.bytes().any(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push(char);
        }
        out.push(char);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(text in "[a-z \\\\\"{}(),;]{0,8}|NULL|.{0,4}") {
            let mut part = Vec::new();
            let mut quote = |write: &dyn Fn(&str, &mut String), stop: u8| {
                let mut out = String::new();
                write(&text, &mut out);
                out.push(char::from(stop));
                let mut literal = Literal::new(out.as_bytes());
                let quoted = literal.part(&[b',', stop], &mut part).unwrap();
                assert_eq!(literal.next().unwrap(), stop);
                literal.finish().unwrap();
                assert_eq!(part, text.as_bytes());
                quoted
            };
            let quoted = quote(&|text, out| write_element(text, b',', out), b'}');
            prop_assert!(quoted || !text.eq_ignore_ascii_case("null"));
            prop_assert!(quote(&write_field, b')') || !text.is_empty());
            prop_assert!(quote(&write_bound, b']') || !text.is_empty());
        }
    }
}
