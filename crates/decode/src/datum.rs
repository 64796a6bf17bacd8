//! Values that were read one by one, before they become columns.

/// A value. Dates, times and timestamps are `Int`, as in the formats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// The members in the order of the fields.
    Record(Vec<Option<Datum>>),
    List(Vec<Option<Datum>>),
    Map(Vec<(String, Option<Datum>)>),
}

impl Datum {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Unsigned(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(crate) fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Unsigned(value) => Some(*value),
            _ => None,
        }
    }
}
