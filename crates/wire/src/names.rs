//! Names in formats that do not take every name.
//!
//! Avro and Protobuf take letters, digits and underscores, and no digit in front. Every other character of a name becomes `_xHHHH_`, its
//! code point in four to six upper-case hexadecimal digits: `la bel` is `la_x0020_bel`. An underscore that would be read as the
//! beginning of such an escape (one that `x` and four such digits follow) is escaped itself. So every name can be got
//! back, and two names never become one.

use std::fmt::Write;

/// `name` in characters that Avro and Protobuf take.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, character) in name.char_indices() {
        let plain = match character {
            'a'..='z' | 'A'..='Z' => true,
            '0'..='9' => at > 0,
            '_' => escape_at(&name[at..]).is_none() && !begins_escape(&name[at..]),
            _ => false,
        };
        if plain {
            escaped.push(character);
        } else {
            // Writing to memory does not fail.
            let _ = write!(escaped, "_x{:04X}_", u32::from(character));
        }
    }
    escaped
}

/// A name of several parts with points between them, each part [escaped](escape).
pub(crate) fn escape_path(name: &str) -> String {
    name.split('.').map(escape).collect::<Vec<_>>().join(".")
}

/// The name that [`escape`] made `escaped` of.
#[cfg(test)]
pub(crate) fn unescape(escaped: &str) -> String {
    let (mut name, mut rest) = (String::with_capacity(escaped.len()), escaped);
    while let Some(first) = rest.chars().next() {
        let (character, length) = escape_at(rest).unwrap_or((first, first.len_utf8()));
        name.push(character);
        rest = &rest[length..];
    }
    name
}

/// Whether `_x` and four digits stand in front; what follows them may become an underscore.
fn begins_escape(text: &str) -> bool {
    text.strip_prefix("_x").is_some_and(|rest| digits(rest) >= 4)
}

/// The character of the escape in front of `text`, and the escape's length.
fn escape_at(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix("_x")?;
    let digits = digits(rest);
    let complete = (4..=6).contains(&digits) && rest[digits..].starts_with('_');
    let code = u32::from_str_radix(&rest[..digits], 16).ok().filter(|_| complete)?;
    Some((char::from_u32(code)?, digits + 3))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_name_cannot_have_is_escaped() {
        for (name, escaped) in [
            ("order_id", "order_id"),
            ("_op", "_op"),
            ("position_x", "position_x"),
            ("la bel", "la_x0020_bel"),
            ("2nd", "_x0032_nd"),
            ("żółw", "_x017C__x00F3__x0142_w"),
            ("😀", "_x1F600_"),
            ("_x0041_", "_x005F_x0041_"),
            ("_x0041é", "_x005F_x0041_x00E9_"),
        ] {
            assert_eq!(escape(name), escaped);
            assert_eq!(unescape(escaped), name);
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "([_xA-F0-9é .]|\\PC){0,12}") {
            let escaped = escape(&name);
            prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            prop_assert!(!escaped.starts_with(|first: char| first.is_ascii_digit()));
            prop_assert_eq!(unescape(&escaped), name);
        }
    }
}
