//! Dates, times and intervals.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array};
use arrow_schema::DataType;
use ductstream_core::{Error, Result};

use super::connect::Connect;
use super::convert::{Convert, Days, TimeMicros, TimestampMicros, numbers};
use super::settings::TimePrecision;
use super::text::texts;
use crate::json::{Style, push_date, push_time, push_timestamp};

const DAY_MICROS: i64 = 86_400_000_000;

/// A month of 30.4375 days.
const MONTH_MICROS: i128 = 2_629_800_000_000;

/// Digits of a second that fit milliseconds.
const MILLIS_DIGITS: i32 = 3;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    // Only ASCII is written.
    String::from_utf8(out).unwrap_or_default()
}

pub(super) fn date(mode: TimePrecision) -> (Connect, Convert) {
    let (data_type, name) = match mode {
        TimePrecision::Isostring => {
            let text = |days| written(|out| push_date(days, Style::Iso, out)) + "Z";
            let convert: Convert = Arc::new(move |array| Ok(texts(numbers::<Days>(array).map(|it| it.map(text)))));
            return (Connect::named(DataType::Utf8, "io.debezium.time.IsoDate"), convert);
        }
        TimePrecision::Connect => (DataType::Int32, "org.apache.kafka.connect.data.Date"),
        _ => (DataType::Int32, "io.debezium.time.Date"),
    };
    let convert: Convert = Arc::new(|array| Ok(Arc::new(numbers::<Days>(array).collect::<Int32Array>())));
    (Connect::named(data_type, name), convert)
}

pub(super) fn time(mode: TimePrecision, typmod: i32) -> (Connect, Convert) {
    let millis = |name| {
        let convert: Convert = Arc::new(|array| {
            // A day has fewer milliseconds than 2^31.
            let millis = |micros: i64| (micros / 1000) as i32;
            Ok(Arc::new(numbers::<TimeMicros>(array).map(|it| it.map(millis)).collect::<Int32Array>()))
        });
        (Connect::named(DataType::Int32, name), convert)
    };
    let long = |name, factor: i64| {
        let convert: Convert = Arc::new(move |array| {
            Ok(Arc::new(numbers::<TimeMicros>(array).map(|it| it.map(|it| it * factor)).collect::<Int64Array>()))
        });
        (Connect::named(DataType::Int64, name), convert)
    };
    match mode {
        TimePrecision::Adaptive if (0..=MILLIS_DIGITS).contains(&typmod) => millis("io.debezium.time.Time"),
        TimePrecision::Connect => millis("org.apache.kafka.connect.data.Time"),
        TimePrecision::Nanoseconds => long("io.debezium.time.NanoTime", 1000),
        TimePrecision::Isostring => {
            let text = |micros| minimal_fraction(written(|out| push_time(micros, Style::Iso, out))) + "Z";
            let convert: Convert =
                Arc::new(move |array| Ok(texts(numbers::<TimeMicros>(array).map(|it| it.map(text)))));
            (Connect::named(DataType::Utf8, "io.debezium.time.IsoTime"), convert)
        }
        _ => long("io.debezium.time.MicroTime", 1),
    }
}

pub(super) fn timestamp(mode: TimePrecision, typmod: i32) -> (Connect, Convert) {
    let millis = |name| {
        let convert: Convert = Arc::new(|array| {
            let millis = |micros: i64| micros.div_euclid(1000);
            Ok(Arc::new(numbers::<TimestampMicros>(array).map(|it| it.map(millis)).collect::<Int64Array>()))
        });
        (Connect::named(DataType::Int64, name), convert)
    };
    match mode {
        TimePrecision::Adaptive | TimePrecision::AdaptiveTimeMicroseconds if (0..=MILLIS_DIGITS).contains(&typmod) => {
            millis("io.debezium.time.Timestamp")
        }
        TimePrecision::Connect => millis("org.apache.kafka.connect.data.Timestamp"),
        TimePrecision::Nanoseconds => {
            (Connect::named(DataType::Int64, "io.debezium.time.NanoTimestamp"), Arc::new(nanoseconds))
        }
        TimePrecision::Isostring => {
            let text = |micros| minimal_fraction(written(|out| push_timestamp(micros, false, Style::Iso, out))) + "Z";
            let convert: Convert =
                Arc::new(move |array| Ok(texts(numbers::<TimestampMicros>(array).map(|it| it.map(text)))));
            (Connect::named(DataType::Utf8, "io.debezium.time.IsoTimestamp"), convert)
        }
        _ => {
            let convert: Convert =
                Arc::new(|array| Ok(Arc::new(numbers::<TimestampMicros>(array).collect::<Int64Array>())));
            (Connect::named(DataType::Int64, "io.debezium.time.MicroTimestamp"), convert)
        }
    }
}

fn nanoseconds(array: &ArrayRef) -> Result<ArrayRef> {
    let nanos = |micros: i64| {
        micros.checked_mul(1000).ok_or_else(|| {
            Error::configuration("a timestamp is too far from 1970 to be counted in nanoseconds")
                .with_remedy("set time.precision.mode to adaptive or microseconds")
        })
    };
    let values = numbers::<TimestampMicros>(array).map(|it| it.map(nanos).transpose());
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

/// `timestamptz`, with as many digits of a second as the column has.
pub(super) fn zoned_timestamp(typmod: i32) -> (Connect, Convert) {
    let digits = usize::try_from(typmod).unwrap_or(6);
    let text = move |micros| {
        let text = written(|out| push_timestamp(micros, false, Style::Iso, out));
        fraction(&text, digits) + "Z"
    };
    let convert: Convert = Arc::new(move |array| Ok(texts(numbers::<TimestampMicros>(array).map(|it| it.map(text)))));
    (Connect::named(DataType::Utf8, "io.debezium.time.ZonedTimestamp"), convert)
}

/// A timestamptz that is text because the column may hold infinities.
pub(super) fn zoned_timestamp_text(typmod: i32) -> (Connect, Convert) {
    let digits = usize::try_from(typmod).unwrap_or(6);
    let convert: Convert = Arc::new(move |array| {
        let text = |text: &str| match text.strip_suffix("+00") {
            Some(local) => fraction(&local.replacen(' ', "T", 1), digits) + "Z",
            None => text.to_owned(),
        };
        Ok(texts(array.as_string::<i32>().iter().map(|it| it.map(text))))
    });
    (Connect::named(DataType::Utf8, "io.debezium.time.ZonedTimestamp"), convert)
}

/// A timestamp that is text because the column may hold infinities.
pub(super) fn timestamp_text() -> (Connect, Convert) {
    let convert: Convert = Arc::new(|array| {
        let text = |text: &str| if text.ends_with(" BC") { text.to_owned() } else { text.replacen(' ', "T", 1) };
        Ok(texts(array.as_string::<i32>().iter().map(|it| it.map(text))))
    });
    (Connect::named(DataType::Utf8, "io.debezium.time.IsoTimestamp"), convert)
}

/// The text with exactly `digits` digits of a second.
fn fraction(text: &str, digits: usize) -> String {
    let (whole, fraction) = text.rsplit_once('.').unwrap_or((text, ""));
    if digits == 0 {
        return whole.to_owned();
    }
    let kept = &fraction[..fraction.len().min(digits)];
    format!("{whole}.{kept:0<digits$}")
}

/// The text without zeros at the end of its seconds.
fn minimal_fraction(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `timetz`, moved to UTC.
pub(super) fn zoned_time() -> (Connect, Convert) {
    let convert: Convert = Arc::new(|array| {
        let times = array.as_string::<i32>().iter().map(|it| it.map(time_in_utc).transpose());
        Ok(texts(times.collect::<Result<Vec<_>>>()?.into_iter()))
    });
    (Connect::named(DataType::Utf8, "io.debezium.time.ZonedTime"), convert)
}

fn time_in_utc(text: &str) -> Result<String> {
    let malformed = || Error::bug("a time with time zone does not read as one");
    let at = text.find(['+', '-']).ok_or_else(malformed)?;
    let micros = clock_micros(&text[..at]).ok_or_else(malformed)?;
    let offset = clock_micros(&text[at + 1..]).ok_or_else(malformed)?;
    let offset = if text.as_bytes()[at] == b'-' { -offset } else { offset };
    // The last moment of the day has a name of its own.
    let utc = if (micros, offset) == (DAY_MICROS, 0) { micros } else { (micros - offset).rem_euclid(DAY_MICROS) };
    Ok(minimal_fraction(written(|out| push_time(utc, Style::Iso, out))) + "Z")
}

/// `HH[:MM[:SS[.ffffff]]]` in microseconds.
fn clock_micros(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds = 0;
    let mut unit = 3600;
    for part in clock.split(':') {
        seconds += part.parse::<i64>().ok()? * unit;
        unit /= 60;
    }
    let micros: i64 = if fraction.is_empty() { 0 } else { format!("{fraction:0<6}").parse().ok()? };
    Some(seconds * 1_000_000 + micros)
}

struct Intervals<'a> {
    months: &'a [i32],
    days: &'a [i32],
    micros: &'a [i64],
}

impl<'a> Intervals<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        let fields = array.as_struct();
        Self {
            months: fields.column(0).as_primitive::<Int32Type>().values(),
            days: fields.column(1).as_primitive::<Int32Type>().values(),
            micros: fields.column(2).as_primitive::<Int64Type>().values(),
        }
    }
}

/// An interval in microseconds.
pub(super) fn interval_micros() -> (Connect, Convert) {
    let convert: Convert = Arc::new(|array| {
        let intervals = Intervals::of(array);
        let micros = |row: usize| {
            let days = i128::from(intervals.days[row]) * i128::from(DAY_MICROS);
            let total = i128::from(intervals.months[row]) * MONTH_MICROS + days + i128::from(intervals.micros[row]);
            i64::try_from(total).map_err(|_| {
                Error::configuration("an interval is too long to be counted in microseconds")
                    .with_remedy("set interval.handling.mode to string")
            })
        };
        let values = (0..array.len()).map(|row| array.is_valid(row).then(|| micros(row)).transpose());
        Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
    });
    (Connect::named(DataType::Int64, "io.debezium.time.MicroDuration"), convert)
}

/// An interval as ISO 8601 text with all its parts.
pub(super) fn interval_text() -> (Connect, Convert) {
    let convert: Convert = Arc::new(|array| {
        let intervals = Intervals::of(array);
        let text = |row: usize| interval_parts(intervals.months[row], intervals.days[row], intervals.micros[row]);
        Ok(texts((0..array.len()).map(|row| array.is_valid(row).then(|| text(row)))))
    });
    (Connect::named(DataType::Utf8, "io.debezium.time.Interval"), convert)
}

fn interval_parts(months: i32, days: i32, micros: i64) -> String {
    let (hours, minutes, rest) = (micros / 3_600_000_000, micros / 60_000_000 % 60, micros % 60_000_000);
    let sign = if rest < 0 { "-" } else { "" };
    let (seconds, fraction) = (rest.abs() / 1_000_000, rest.abs() % 1_000_000);
    let seconds = minimal_fraction(format!("{sign}{seconds}.{fraction:06}"));
    format!("P{}Y{}M{days}DT{hours}H{minutes}M{seconds}S", months / 12, months % 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_time_zone_are_moved_to_utc() {
        for (text, utc) in [
            ("13:14:15+02", "11:14:15Z"),
            ("01:00:00.5+02", "23:00:00.5Z"),
            ("23:30:00-05:30", "05:00:00Z"),
            ("12:00:00.123456+00", "12:00:00.123456Z"),
            ("24:00:00+00", "24:00:00Z"),
        ] {
            assert_eq!(time_in_utc(text).unwrap(), utc);
        }
        assert!(time_in_utc("noon").is_err());
    }

    #[test]
    fn seconds_have_as_many_digits_as_the_column() {
        assert_eq!(fraction("2024-02-29T11:14:15.123456", 6), "2024-02-29T11:14:15.123456");
        assert_eq!(fraction("2024-02-29T11:14:15.123000", 3), "2024-02-29T11:14:15.123");
        assert_eq!(fraction("2024-02-29T11:14:15.000000", 0), "2024-02-29T11:14:15");
        assert_eq!(fraction("2024-02-29T11:14:15", 6), "2024-02-29T11:14:15.000000");
    }

    #[test]
    fn intervals_as_text_tell_all_their_parts() {
        assert_eq!(interval_parts(14, 3, 14_706_789_000), "P1Y2M3DT4H5M6.789S");
        assert_eq!(interval_parts(0, 0, -500_000), "P0Y0M0DT0H0M-0.5S");
    }
}
