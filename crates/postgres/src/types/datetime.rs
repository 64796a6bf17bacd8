//! Columns of dates, times and timestamps.
//!
//! The binary forms count days or microseconds since 2000-01-01; the Arrow types count them since 1970-01-01.

use arrow_array::types::{Date32Type, Time64MicrosecondType, TimestampMicrosecondType};
use arrow_schema::{DataType, TimeUnit};

use super::builder::Decode;
use super::bytes::fixed;
use super::datetime_text::{parse_date, parse_time, parse_timestamp, render_timestamp};
use super::scalar::not_a;
use super::{Format, ValueError, layout};

/// 2000-01-01 in days since 1970-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// 2000-01-01 in microseconds since 1970-01-01.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// How the server prints the infinities of dates, timestamps and intervals.
pub(super) const INFINITY: &str = "infinity";
/// See [`INFINITY`].
pub(super) const NEGATIVE_INFINITY: &str = "-infinity";

fn special(text: &str) -> ValueError {
    ValueError::Special(text.to_owned())
}

fn overflow(what: &str) -> ValueError {
    ValueError::malformed(format!("a binary value of type {what} is out of the type's range"))
}

/// A column of `date`.
#[derive(Debug)]
pub(super) struct Date;

impl Decode for Date {
    type Arrow = Date32Type;

    fn decode(&self, format: Format, bytes: &[u8]) -> Result<i32, ValueError> {
        match (format, bytes) {
            (Format::Binary, _) => match i32::from_be_bytes(fixed(bytes)?) {
                i32::MAX => Err(special(INFINITY)),
                i32::MIN => Err(special(NEGATIVE_INFINITY)),
                days => days.checked_add(EPOCH_DAYS).ok_or_else(|| overflow("date")),
            },
            (Format::Text, b"infinity") => Err(special(INFINITY)),
            (Format::Text, b"-infinity") => Err(special(NEGATIVE_INFINITY)),
            (Format::Text, _) => parse_date(bytes).ok_or_else(|| not_a("date", bytes)),
        }
    }

    fn data_type(&self) -> DataType {
        DataType::Date32
    }
}

/// A column of `time`. `24:00:00` is a value of its own, which Arrow's type does not have.
#[derive(Debug)]
pub(super) struct Time;

impl Decode for Time {
    type Arrow = Time64MicrosecondType;

    fn decode(&self, format: Format, bytes: &[u8]) -> Result<i64, ValueError> {
        let micros = match format {
            Format::Binary => i64::from_be_bytes(fixed(bytes)?),
            Format::Text => parse_time(bytes).ok_or_else(|| not_a("time", bytes))?,
        };
        match micros {
            0..DAY_MICROS => Ok(micros),
            DAY_MICROS => Err(special("24:00:00")),
            _ => Err(overflow("time")),
        }
    }

    fn data_type(&self) -> DataType {
        DataType::Time64(TimeUnit::Microsecond)
    }
}

fn timestamp(format: Format, bytes: &[u8], zone: bool) -> Result<i64, ValueError> {
    match (format, bytes) {
        (Format::Binary, _) => match i64::from_be_bytes(fixed(bytes)?) {
            i64::MAX => Err(special(INFINITY)),
            i64::MIN => Err(special(NEGATIVE_INFINITY)),
            micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| out_of_range(bytes, zone)),
        },
        (Format::Text, b"infinity") => Err(special(INFINITY)),
        (Format::Text, b"-infinity") => Err(special(NEGATIVE_INFINITY)),
        (Format::Text, _) => {
            let micros = parse_timestamp(bytes, zone).ok_or_else(|| not_a("timestamp", bytes))?;
            i64::try_from(micros).map_err(|_| special(&String::from_utf8_lossy(bytes)))
        }
    }
}

/// A timestamp after 294247-01-10, which 64 bits of microseconds since 1970 cannot hold.
fn out_of_range(bytes: &[u8], zone: bool) -> ValueError {
    let mut text = String::new();
    render_timestamp(bytes, zone, &mut text).err().unwrap_or(ValueError::Special(text))
}

/// A column of `timestamp`.
#[derive(Debug)]
pub(super) struct Timestamp;

impl Decode for Timestamp {
    type Arrow = TimestampMicrosecondType;

    fn decode(&self, format: Format, bytes: &[u8]) -> Result<i64, ValueError> {
        timestamp(format, bytes, false)
    }

    fn data_type(&self) -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    }
}

/// A column of `timestamptz`.
#[derive(Debug)]
pub(super) struct Timestamptz;

impl Decode for Timestamptz {
    type Arrow = TimestampMicrosecondType;

    fn decode(&self, format: Format, bytes: &[u8]) -> Result<i64, ValueError> {
        timestamp(format, bytes, true)
    }

    fn data_type(&self) -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some(layout::UTC.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_values_are_special_in_both_formats() {
        let cases: [(&str, &[u8]); 2] = [(INFINITY, &[0x7f, 0xff, 0xff, 0xff]), (NEGATIVE_INFINITY, &[0x80, 0, 0, 0])];
        for (text, binary) in cases {
            assert_eq!(Date.decode(Format::Text, text.as_bytes()), Err(special(text)));
            assert_eq!(Date.decode(Format::Binary, binary), Err(special(text)));
        }
        for (text, micros) in [(INFINITY, i64::MAX), (NEGATIVE_INFINITY, i64::MIN)] {
            assert_eq!(Timestamptz.decode(Format::Text, text.as_bytes()), Err(special(text)));
            assert_eq!(Timestamp.decode(Format::Binary, &micros.to_be_bytes()), Err(special(text)));
        }
    }

    #[test]
    fn the_end_of_the_day_is_special() {
        assert_eq!(Time.decode(Format::Text, b"24:00:00"), Err(special("24:00:00")));
        assert_eq!(Time.decode(Format::Binary, &DAY_MICROS.to_be_bytes()), Err(special("24:00:00")));
        assert_eq!(Time.decode(Format::Text, b"23:59:59.999999"), Ok(DAY_MICROS - 1));
    }

    #[test]
    fn days_and_microseconds_count_from_1970() {
        assert_eq!(Date.decode(Format::Binary, &[0, 0, 0, 0]), Ok(EPOCH_DAYS));
        assert_eq!(Timestamp.decode(Format::Binary, &[0; 8]), Ok(EPOCH_MICROS));
        assert_eq!(Timestamp.decode(Format::Text, b"2000-01-01 00:00:00"), Ok(EPOCH_MICROS));
        assert!(Date.decode(Format::Binary, &(i32::MAX - 1).to_be_bytes()).is_err());
    }
}
