//! Whole columns as text, for envelopes that hold them so.

use arrow_array::{Array, ArrayRef, MapArray, StringArray};
use arrow_schema::Field;
use std::sync::Arc;

use ductstream_core::Result;

use super::kind::Kind;
use super::text::push_decimal;
use super::values::Values;
use crate::NumericJson;

/// Writes values as PostgreSQL prints them.
#[derive(Debug, Clone)]
pub(crate) struct PostgresText {
    kind: Kind,
}

impl PostgresText {
    pub(crate) fn compile(field: &Field) -> Result<Self> {
        Ok(Self { kind: Kind::of(field, NumericJson::String)? })
    }

    /// The texts of `array`.
    pub(crate) fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let values = Values::bind(&self.kind, array)?;
        let text = |row| {
            let mut out = Vec::new();
            values.push_postgres(row, &mut out);
            // Made of the values' text and ASCII.
            String::from_utf8_lossy(&out).into_owned()
        };
        let rows = (0..array.len()).map(|row| array.is_valid(row).then(|| text(row)));
        Ok(Arc::new(rows.collect::<StringArray>()))
    }
}

/// Writes an hstore as a JSON document.
pub(crate) struct HstoreText<'a> {
    values: Result<Values<'a>>,
}

impl<'a> HstoreText<'a> {
    pub(crate) fn new(map: &'a MapArray) -> Self {
        Self { values: Values::bind(&Kind::Map, map) }
    }

    pub(crate) fn json(&self, row: usize) -> String {
        let mut out = Vec::new();
        if let Ok(values) = &self.values {
            values.push(row, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The decimal number of an integer's digits, `scale` of them after the point.
pub(crate) fn decimal_text(digits: &str, scale: i8) -> String {
    let mut out = Vec::new();
    push_decimal(digits, scale, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
