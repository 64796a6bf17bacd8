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

/// Appends a binary `tsvector` (`tsvectorsend`): a count, and per lexeme its text, the number of its positions and the positions, each with
/// its weight in the upper two bits.
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

/// How deep operators may be nested; printing one more would risk the stack. The server limits it by its own stack's depth.
const DEPTH_MAX: usize = 2_000;

/// How tightly an operator binds (`tsearch_op_priority`).
fn priority(operator: u8) -> u8 {
    match operator {
        NOT => 4,
        PHRASE => 3,
        AND => 2,
        _ => 1,
    }
}

/// Where an operand stands.
#[derive(Clone, Copy)]
struct Parent {
    priority: u8,
    /// Whether it is the right side of a phrase operator, which does not associate.
    right_of_phrase: bool,
    depth: usize,
}

/// Appends a binary `tsquery` (`tsquerysend`): a count of items in prefix order, an operator's right side before its left.
pub(super) fn render_query(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    if reader.count(2)? > 0 {
        item(&mut reader, Parent { priority: 0, right_of_phrase: false, depth: 0 }, out)?;
    }
    reader.finish()
}

/// After `infix` in `src/backend/utils/adt/tsquery.c`.
fn item(reader: &mut Reader<'_>, parent: Parent, out: &mut String) -> Result<(), ValueError> {
    if parent.depth > DEPTH_MAX {
        return Err(ValueError::malformed("a tsquery is nested too deep"));
    }
    match reader.u8()? {
        VALUE => value(reader, out),
        OPERATOR => match reader.u8()? {
            NOT => not(reader, parent, out),
            operator @ (AND | OR | PHRASE) => binary(operator, reader, parent, out),
            other => Err(ValueError::malformed(format!("a tsquery has the operator {other}"))),
        },
        other => Err(ValueError::malformed(format!("a tsquery has an item of kind {other}"))),
    }
}

fn value(reader: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    let (weights, prefix) = (reader.u8()?, reader.u8()? != 0);
    write_lexeme(utf8(reader.cstring()?)?, out);
    if prefix || weights != 0 {
        out.push(':');
    }
    if prefix {
        out.push('*');
    }
    let letters = [(8, 'A'), (4, 'B'), (2, 'C'), (1, 'D')];
    out.extend(letters.iter().filter(|(bit, _)| weights & bit != 0).map(|(_, letter)| letter));
    Ok(())
}

fn not(reader: &mut Reader<'_>, parent: Parent, out: &mut String) -> Result<(), ValueError> {
    let own = priority(NOT);
    let enclosed = own < parent.priority;
    out.push_str(if enclosed { "( !" } else { "!" });
    item(reader, Parent { priority: own, right_of_phrase: false, depth: parent.depth + 1 }, out)?;
    out.push_str(if enclosed { " )" } else { "" });
    Ok(())
}

fn binary(operator: u8, reader: &mut Reader<'_>, parent: Parent, out: &mut String) -> Result<(), ValueError> {
    let distance = if operator == PHRASE { reader.i16()? } else { 0 };
    let own = priority(operator);
    let phrase = operator == PHRASE;
    let enclosed = own < parent.priority || (phrase && parent.right_of_phrase);
    let depth = parent.depth + 1;
    let mut right = String::new();
    item(reader, Parent { priority: own, right_of_phrase: phrase, depth }, &mut right)?;
    out.push_str(if enclosed { "( " } else { "" });
    item(reader, Parent { priority: own, right_of_phrase: false, depth }, out)?;
    let _ = match (operator, distance) {
        (OR, _) => write!(out, " | {right}"),
        (AND, _) => write!(out, " & {right}"),
        (_, 1) => write!(out, " <-> {right}"),
        (_, distance) => write!(out, " <{distance}> {right}"),
    };
    out.push_str(if enclosed { " )" } else { "" });
    Ok(())
}
