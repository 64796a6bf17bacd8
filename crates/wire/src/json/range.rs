//! Ranges as PostgreSQL prints them.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};
use ductstream_core::Result;

use super::kind::Kind;
use super::pg_text::push_quoted;
use super::text::push_string;
use super::values::Values;

/// The values of a column of ranges.
pub(super) struct RangeValues<'a> {
    lower: Values<'a>,
    upper: Values<'a>,
    lower_inclusive: &'a BooleanArray,
    upper_inclusive: &'a BooleanArray,
    empty: &'a BooleanArray,
}

impl<'a> RangeValues<'a> {
    /// The ranges of `array`, whose bounds are written as `bound`; `None` when it does not hold ranges.
    pub(super) fn bind(bound: &'a Kind, array: &'a dyn Array) -> Result<Option<Self>> {
        let Some(array) = array.as_struct_opt().filter(|array| array.num_columns() == 5) else { return Ok(None) };
        let flag = |index: usize| array.column(index).as_boolean_opt();
        let (Some(lower_inclusive), Some(upper_inclusive), Some(empty)) = (flag(2), flag(3), flag(4)) else {
            return Ok(None);
        };
        let (lower, upper) = (Values::bind(bound, array.column(0))?, Values::bind(bound, array.column(1))?);
        Ok(Some(Self { lower, upper, lower_inclusive, upper_inclusive, empty }))
    }

    /// Appends the range as a JSON string.
    pub(super) fn push_json(&self, row: usize, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.push_postgres(row, &mut text);
        // Made of the values' text and ASCII.
        push_string(&String::from_utf8_lossy(&text), out);
    }

    /// Appends the range as PostgreSQL prints it: `[1,5)`, `(,"2026-11-23 11:24:39+00"]`, `empty`.
    pub(super) fn push_postgres(&self, row: usize, out: &mut Vec<u8>) {
        if self.empty.value(row) {
            return out.extend_from_slice(b"empty");
        }
        out.push(if self.lower_inclusive.value(row) { b'[' } else { b'(' });
        push_bound(&self.lower, row, out);
        out.push(b',');
        push_bound(&self.upper, row, out);
        out.push(if self.upper_inclusive.value(row) { b']' } else { b')' });
    }
}

/// A bound that is null is infinite, and printed as nothing.
fn push_bound(bound: &Values<'_>, row: usize, out: &mut Vec<u8>) {
    if !bound.is_null(row) {
        push_quoted(bound, row, b"()[],", out);
    }
}
