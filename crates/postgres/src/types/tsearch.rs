//! Text search types as the server prints them.

use std::fmt::Write;

use super::ValueError;
use super::bytes::{Reader, utf8};

// Writing to a string cannot fail.

fn write_lexeme(lexeme: &str, out: &mut String) {
    out.push('\'');
    for char in lexeme.chars() {
        if matches!(char, '\'' | '\\') {
            out.push(char);
        }
        out.push(char);
    }
    out.push('\'');
}

/// Appends a binary `tsvector` (`tsvectorsend`): a count, and per lexeme its text, the number of its positions and the
/// positions, each with its weight in the upper two bits.
pub(super) fn render_vector(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    for index in 0..reader.count(3)? {
        if index > 0 {
            out.push(' ');
        }
        write_lexeme(utf8(reader.cstring()?)?, out);
        for position in 0..reader.u16()? {
            out.push(if position == 0 { ':' } else { ',' });
            let entry = reader.u16()?;
            let _ = write!(out, "{}", entry & 0x3fff);
            out.push_str(["", "C", "B", "A"][usize::from(entry >> 14)]);
        }
    }
    reader.finish()
}

const VALUE: u8 = 1;
const OPERATOR: u8 = 2;
const NOT: u8 = 1;
const AND: u8 = 2;
const OR: u8 = 3;
const PHRASE: u8 = 4;

/// One item of a query; the texts of values are still as they were on the wire.
enum Item<'a> {
    Value { weights: u8, prefix: bool, lexeme: &'a [u8] },
    Operator { operator: u8, distance: i16 },
}

fn read_item<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, ValueError> {
    match reader.u8()? {
        VALUE => Ok(Item::Value { weights: reader.u8()?, prefix: reader.u8()? != 0, lexeme: reader.cstring()? }),
        OPERATOR => match reader.u8()? {
            PHRASE => Ok(Item::Operator { operator: PHRASE, distance: reader.i16()? }),
            operator @ (NOT | AND | OR) => Ok(Item::Operator { operator, distance: 0 }),
            other => Err(ValueError::malformed(format!("a tsquery has the operator {other}"))),
        },
        other => Err(ValueError::malformed(format!("a tsquery has an item of kind {other}"))),
    }
}

/// For each item, the index of what follows it and everything below it.
///
/// Items stand in prefix order, an operator's right side before its left.
fn ends(items: &[Item<'_>]) -> Result<Vec<usize>, ValueError> {
    let mut ends = vec![0; items.len()];
    for (index, item) in items.iter().enumerate().rev() {
        let end_of = |start: usize| ends.get(start).copied().ok_or_else(unfinished);
        ends[index] = match item {
            Item::Value { .. } => index + 1,
            Item::Operator { operator: NOT, .. } => end_of(index + 1)?,
            Item::Operator { .. } => end_of(end_of(index + 1)?)?,
        };
    }
    if ends.first().is_some_and(|end| *end != items.len()) { Err(unfinished()) } else { Ok(ends) }
}

fn unfinished() -> ValueError {
    ValueError::malformed("a tsquery has operators and operands that do not match")
}

/// How tightly an operator binds (`tsearch_op_priority`).
fn priority(operator: u8) -> u8 {
    match operator {
        NOT => 4,
        PHRASE => 3,
        AND => 2,
        _ => 1,
    }
}

/// What an operand stands below.
#[derive(Clone, Copy)]
struct Parent {
    priority: u8,
    /// Whether the operand is the right side of a phrase operator, which does not associate.
    right_of_phrase: bool,
}

impl Parent {
    /// Whether an operand of this operator needs parentheses.
    fn encloses(self, operator: u8) -> bool {
        priority(operator) < self.priority || (operator == PHRASE && self.right_of_phrase)
    }
}

/// What is left to print; the last comes next. A stack of its own, because queries of thousands of words nest as deep.
enum Pending {
    Item { index: usize, parent: Parent },
    Operator { operator: u8, distance: i16 },
    Close,
}

/// Appends a binary `tsquery` (`tsquerysend`): a count of items, then the items. After `infix` in
/// `src/backend/utils/adt/tsquery.c`.
pub(super) fn render_query(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(2)?;
    let items = (0..count).map(|_| read_item(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    let ends = ends(&items)?;
    let mut pending = Vec::new();
    if !items.is_empty() {
        pending.push(Pending::Item { index: 0, parent: Parent { priority: 0, right_of_phrase: false } });
    }
    while let Some(next) = pending.pop() {
        match next {
            Pending::Close => out.push_str(" )"),
            Pending::Operator { operator, distance } => write_operator(operator, distance, out),
            Pending::Item { index, parent } => match items[index] {
                Item::Value { weights, prefix, lexeme } => write_value(weights, prefix, utf8(lexeme)?, out),
                Item::Operator { operator, distance } => {
                    if parent.encloses(operator) {
                        out.push_str("( ");
                        pending.push(Pending::Close);
                    }
                    let below = Parent { priority: priority(operator), right_of_phrase: false };
                    let right = Parent { right_of_phrase: operator == PHRASE, ..below };
                    pending.push(Pending::Item { index: index + 1, parent: right });
                    pending.push(Pending::Operator { operator, distance });
                    if operator != NOT {
                        pending.push(Pending::Item { index: ends[index + 1], parent: below });
                    }
                }
            },
        }
    }
    Ok(())
}

fn write_value(weights: u8, prefix: bool, lexeme: &str, out: &mut String) {
    write_lexeme(lexeme, out);
    if prefix || weights != 0 {
        out.push(':');
    }
    if prefix {
        out.push('*');
    }
    let letters = [(8, 'A'), (4, 'B'), (2, 'C'), (1, 'D')];
    out.extend(letters.iter().filter(|(bit, _)| weights & bit != 0).map(|(_, letter)| letter));
}

fn write_operator(operator: u8, distance: i16, out: &mut String) {
    let _ = match (operator, distance) {
        (NOT, _) => write!(out, "!"),
        (OR, _) => write!(out, " | "),
        (AND, _) => write!(out, " & "),
        (_, 1) => write!(out, " <-> "),
        (_, distance) => write!(out, " <{distance}> "),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_many_words_is_printed_however_deep_it_nests() {
        let value = [VALUE, 0, 0, b'a', 0];
        let mut bytes = 200_001_i32.to_be_bytes().to_vec();
        for _ in 0..100_000 {
            bytes.extend([OPERATOR, AND]);
            bytes.extend(value);
        }
        bytes.extend(value);
        let mut out = String::new();
        render_query(&bytes, &mut out).unwrap();
        assert_eq!(out, ["'a'"; 100_001].join(" & "));
    }

    #[test]
    fn operators_without_operands_are_malformed() {
        for items in [&[OPERATOR, NOT][..], &[OPERATOR, AND, VALUE, 0, 0, b'a', 0], &[OPERATOR, 9], &[9, 9]] {
            let bytes = [&1_i32.to_be_bytes()[..], items].concat();
            assert!(render_query(&bytes, &mut String::new()).is_err());
        }
        let two_values = [&2_i32.to_be_bytes()[..], &[VALUE, 0, 0, b'a', 0, VALUE, 0, 0, b'b', 0]].concat();
        assert!(render_query(&two_values, &mut String::new()).is_err());
    }
}
