//! Where a change stands in the source's history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte address in PostgreSQL's write-ahead log. Prints and parses as PostgreSQL does: `16/B374D848`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No address: smaller than every address of a real record.
    pub const ZERO: Self = Self(0);

    /// Bytes of WAL from `earlier` to `self`; zero when `earlier` is not earlier.
    pub fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not an address of the form `16/B374D848`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a WAL address; expected two hexadecimal numbers such as 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |part: &str| {
            let plain = (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let (high, low) = text.split_once('/').ok_or_else(|| ParseLsnError(text.to_owned()))?;
        match (half(high), half(low)) {
            (Some(high), Some(low)) => Ok(Self(high << 32 | low)),
            _ => Err(ParseLsnError(text.to_owned())),
        }
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a change stands: the LSN at which its transaction's commit record starts, and the index of the change inside
/// the transaction, from 0, counting every change that the flow carries. Totally ordered, and unique in a flow.
///
/// The same type serves as a *bound*: "durable up to P" means every record with a position smaller than P. The bound
/// after a whole transaction is `(end of its commit record, 0)`; the bound after change `i` inside one is
/// `(commit_lsn, i + 1)`. Either way `commit_lsn` of a bound may be acknowledged to the slot: the server sends again exactly
/// the transactions whose commit record starts at or after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Start of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// Index of the change inside its transaction.
    pub seq: u64,
}

impl Position {
    /// The change `seq` of the transaction that commits at `commit_lsn`.
    pub fn new(commit_lsn: Lsn, seq: u64) -> Self {
        Self { commit_lsn, seq }
    }

    /// The bound that lies before every change of a transaction that commits at or after `lsn`.
    pub fn start_of(lsn: Lsn) -> Self {
        Self { commit_lsn: lsn, seq: 0 }
    }

    /// The bound right after this change.
    pub fn next(self) -> Self {
        Self { commit_lsn: self.commit_lsn, seq: self.seq + 1 }
    }

    /// `{commit_lsn}-{seq}`, both as sixteen hexadecimal digits, so that names sort as positions do.
    pub fn object_name(self) -> String {
        format!("{:016x}-{:016x}", self.commit_lsn.0, self.seq)
    }

    /// Reads what [`Position::object_name`] wrote; `None` for anything else.
    pub fn from_object_name(name: &str) -> Option<Self> {
        let (lsn, seq) = name.split_once('-')?;
        let number = |part: &str| {
            let plain = part.len() == 16 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            plain.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        Some(Self { commit_lsn: Lsn(number(lsn)?), seq: number(seq)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.commit_lsn, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_lsn_refuses_what_postgresql_would_refuse() {
        for text in ["", "/", "1", "1/", "/1", "+1/2", "1/123456789", "g/1", "1/2/3", " 1/2"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_lsn_reads_back_what_it_prints(value: u64) {
            prop_assert_eq!(Lsn(value).to_string().parse(), Ok(Lsn(value)));
        }

        #[test]
        fn object_names_sort_as_positions_do(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (Position::new(Lsn(a.0), a.1), Position::new(Lsn(b.0), b.1));
            prop_assert_eq!(a.cmp(&b), a.object_name().cmp(&b.object_name()));
            prop_assert_eq!(Position::from_object_name(&a.object_name()), Some(a));
        }
    }
}
