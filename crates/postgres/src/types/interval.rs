//! `interval`: months, days and microseconds, which are not the same from day to day.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, StructArray};
use arrow_schema::DataType;

use super::buffers::{Nulls, Primitives};
use super::builder::Column;
use super::bytes::Reader;
use super::datetime::{INFINITY, NEGATIVE_INFINITY};
use super::datetime_text::{parse_time, write_time};
use super::scalar::not_a;
use super::{Format, ValueError, layout};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    months: i32,
    days: i32,
    micros: i64,
}

impl Interval {
    const ZERO: Self = Self { months: 0, days: 0, micros: 0 };
    /// How PostgreSQL 17 and later write their infinities. Earlier versions have no such interval.
    const INFINITY: Self = Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
    const NEGATIVE_INFINITY: Self = Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

    fn read(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
        reader.finish()?;
        Ok(Self { months, days, micros })
    }

    /// Reads what is printed with `IntervalStyle` of `postgres`, such as `1 year 2 mons -3 days +04:05:06.789`.
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"infinity" => return Some(Self::INFINITY),
            b"-infinity" => return Some(Self::NEGATIVE_INFINITY),
            _ => {}
        }
        let mut interval = Self::ZERO;
        let mut words = text.split(|byte| *byte == b' ');
        while let Some(word) = words.next() {
            if word.contains(&b':') {
                interval.micros = parse_signed_time(word)?;
                return words.next().is_none().then_some(interval);
            }
            let count: i32 = std::str::from_utf8(word).ok()?.parse().ok()?;
            match words.next()? {
                b"year" | b"years" => interval.months = count.checked_mul(12)?,
                b"mon" | b"mons" => interval.months = interval.months.checked_add(count)?,
                b"day" | b"days" => interval.days = count,
                _ => return None,
            }
        }
        Some(interval)
    }

    fn infinity(self) -> Option<&'static str> {
        match self {
            Self::INFINITY => Some(INFINITY),
            Self::NEGATIVE_INFINITY => Some(NEGATIVE_INFINITY),
            _ => None,
        }
    }

    /// After `EncodeInterval` in `src/backend/utils/adt/datetime.c`.
    fn write(self, out: &mut String) {
        if let Some(infinity) = self.infinity() {
            out.push_str(infinity);
            return;
        }
        let start = out.len();
        // A positive part behind a negative one carries its sign.
        let mut after_negative = false;
        for (count, unit) in [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")] {
            if count != 0 {
                let space = if out.len() == start { "" } else { " " };
                let sign = if after_negative && count > 0 { "+" } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(out, "{space}{sign}{count} {unit}{}", if count == 1 { "" } else { "s" });
                after_negative = count < 0;
            }
        }
        if out.len() == start || self.micros != 0 {
            let space = if out.len() == start { "" } else { " " };
            let sign = if self.micros < 0 {
                "-"
            } else if after_negative {
                "+"
            } else {
                ""
            };
            let _ = write!(out, "{space}{sign}");
            write_magnitude(self.micros, out);
        }
    }
}

/// A time that may be longer than a day.
fn parse_signed_time(text: &[u8]) -> Option<i64> {
    const HOUR_MICROS: i64 = 3_600_000_000;
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let colon = memchr::memchr(b':', text)?;
    let hours: i64 = std::str::from_utf8(&text[..colon]).ok()?.parse().ok().filter(|hours| *hours >= 0)?;
    let below = parse_time(&[b"00", &text[colon..]].concat())?;
    // Negative all the way: the least interval has no positive counterpart.
    if negative {
        hours.checked_mul(-HOUR_MICROS)?.checked_sub(below)
    } else {
        hours.checked_mul(HOUR_MICROS)?.checked_add(below)
    }
}

fn write_magnitude(micros: i64, out: &mut String) {
    match micros.checked_abs() {
        Some(micros) => write_time(micros, out),
        // The one value whose magnitude does not fit.
        None => out.push_str("2562047788:00:54.775808"),
    }
}

/// Appends a binary value as the server prints it.
pub(super) fn render(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    Interval::read(bytes)?.write(out);
    Ok(())
}

/// A column of `interval`.
#[derive(Debug)]
pub(super) struct Intervals {
    months: Primitives<Int32Type>,
    days: Primitives<Int32Type>,
    micros: Primitives<Int64Type>,
    nulls: Nulls,
}

impl Intervals {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            months: Primitives::new(capacity),
            days: Primitives::new(capacity),
            micros: Primitives::new(capacity),
            nulls: Nulls::new(capacity),
        }
    }

    fn push(&mut self, interval: Interval) {
        self.months.push(Some(interval.months));
        self.days.push(Some(interval.days));
        self.micros.push(Some(interval.micros));
    }
}

impl Column for Intervals {
    fn append(&mut self, format: Format, bytes: &[u8]) -> Result<(), ValueError> {
        let interval = match format {
            Format::Binary => Interval::read(bytes)?,
            Format::Text => Interval::parse(bytes).ok_or_else(|| not_a("interval", bytes))?,
        };
        if let Some(infinity) = interval.infinity() {
            return Err(ValueError::Special(infinity.to_owned()));
        }
        self.push(interval);
        self.nulls.push(true);
        Ok(())
    }

    fn append_null(&mut self) {
        self.push(Interval::ZERO);
        self.nulls.push(false);
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        self.months.truncate(len);
        self.days.truncate(len);
        self.micros.truncate(len);
        self.nulls.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        let parts = self.months.memory_bytes() + self.days.memory_bytes() + self.micros.memory_bytes();
        parts + self.nulls.memory_bytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let parts = vec![
            self.months.finish(DataType::Int32),
            self.days.finish(DataType::Int32),
            self.micros.finish(DataType::Int64),
        ];
        Arc::new(StructArray::new(layout::interval_fields(), parts, self.nulls.finish()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_print_and_read_back() {
        let cases = [
            (0, 0, 0, "00:00:00"),
            (14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789"),
            (-14, 3, 0, "-1 years -2 mons +3 days"),
            (0, -1, 3_600_000_000, "-1 days +01:00:00"),
            (1, 0, -1, "1 mon -00:00:00.000001"),
            (12, 1, 90_000_000_000, "1 year 1 day 25:00:00"),
            (0, 0, i64::MIN, "-2562047788:00:54.775808"),
        ];
        for (months, days, micros, text) in cases {
            let interval = Interval { months, days, micros };
            let mut out = String::new();
            interval.write(&mut out);
            assert_eq!(out, text);
            assert_eq!(Interval::parse(text.as_bytes()), Some(interval), "{text}");
        }
        assert_eq!(Interval::parse(b"P1Y"), None);
        assert_eq!(Interval::parse(b""), None);
    }

    proptest! {
        #[test]
        fn every_interval_reads_back(months: i32, days: i32, micros: i64) {
            let interval = Interval { months, days, micros };
            let mut out = String::new();
            interval.write(&mut out);
            prop_assert_eq!(Interval::parse(out.as_bytes()), Some(interval));
        }
    }
}
