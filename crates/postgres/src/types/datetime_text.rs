//! Dates and times as the server prints them with `DateStyle` of `ISO`, and back.

use std::fmt::Write;

use super::ValueError;
use super::bytes::fixed;
use super::datetime::{DAY_MICROS, EPOCH_DAYS, INFINITY, NEGATIVE_INFINITY};

const SECOND_MICROS: i64 = 1_000_000;
const MINUTE_MICROS: i64 = 60 * SECOND_MICROS;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar, in which year 0 is 1 BC. After Howard Hinnant,
/// "chrono-compatible low-level date algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Reads digits and separators from the front of a printed value.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let count = self.0.iter().take(*digits.end()).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(count);
        self.0 = rest;
        digits.contains(&count).then(|| number.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn expect(&mut self, separator: u8) -> Option<()> {
        self.accept(separator).then_some(())
    }

    fn accept(&mut self, separator: u8) -> bool {
        let rest = self.0.strip_prefix(&[separator]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn date(&mut self, before_christ: bool) -> Option<i64> {
        let year = self.number(4..=7)?;
        self.expect(b'-')?;
        let month = self.number(2..=2).filter(|month| (1..=12).contains(month))?;
        self.expect(b'-')?;
        let day = self.number(2..=2).filter(|day| (1..=31).contains(day))?;
        Some(days_from_civil(if before_christ { 1 - year } else { year }, month, day))
    }

    fn time(&mut self) -> Option<i64> {
        let hours = self.number(2..=2)?;
        self.expect(b':')?;
        let minutes = self.number(2..=2).filter(|minutes| *minutes < 60)?;
        self.expect(b':')?;
        // A time of 23:59:60 is printed for what rounds up to it.
        let seconds = self.number(2..=2).filter(|seconds| *seconds <= 60)?;
        Some(hours * HOUR_MICROS + minutes * MINUTE_MICROS + seconds * SECOND_MICROS + self.fraction()?)
    }

    fn fraction(&mut self) -> Option<i64> {
        if !self.accept(b'.') {
            return Some(0);
        }
        let before = self.0.len();
        let value = self.number(1..=6)?;
        let digits = u32::try_from(before - self.0.len()).ok()?;
        Some(value * 10_i64.pow(6 - digits))
    }

    /// An offset from UTC, such as `+05:30`, in microseconds east.
    fn offset(&mut self) -> Option<i64> {
        let east = self.accept(b'+');
        if !east {
            self.expect(b'-')?;
        }
        let mut offset = self.number(2..=2)? * HOUR_MICROS;
        if self.accept(b':') {
            offset += self.number(2..=2)? * MINUTE_MICROS;
        }
        if self.accept(b':') {
            offset += self.number(2..=2)? * SECOND_MICROS;
        }
        Some(if east { offset } else { -offset })
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn strip_era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |rest| (rest, true))
}

/// Days since 1970-01-01 of a printed date.
pub(super) fn parse_date(text: &[u8]) -> Option<i32> {
    let (text, before_christ) = strip_era(text);
    let mut scanner = Scanner(text);
    let days = scanner.date(before_christ)?;
    scanner.end()?;
    i32::try_from(days).ok()
}

/// Microseconds since midnight of a printed time.
pub(super) fn parse_time(text: &[u8]) -> Option<i64> {
    let mut scanner = Scanner(text);
    let micros = scanner.time()?;
    scanner.end()?;
    Some(micros)
}

/// Microseconds since 1970-01-01, UTC when it has an offset (`zone`), of a printed timestamp. PostgreSQL's timestamps
/// count from 2000: the last 30 years before their end do not fit 64 bits here.
pub(super) fn parse_timestamp(text: &[u8], zone: bool) -> Option<i128> {
    let (text, before_christ) = strip_era(text);
    let mut scanner = Scanner(text);
    let days = scanner.date(before_christ)?;
    scanner.expect(b' ')?;
    let time = scanner.time()?;
    let offset = if zone { scanner.offset()? } else { 0 };
    scanner.end()?;
    Some(i128::from(days) * i128::from(DAY_MICROS) + i128::from(time - offset))
}

// Writing to a string cannot fail.

fn write_date(year: i64, month: i64, day: i64, out: &mut String) {
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
}

fn write_era(year: i64, out: &mut String) {
    if year <= 0 {
        out.push_str(" BC");
    }
}

/// Hours, minutes and seconds, with as many decimals as it takes.
pub(super) fn write_time(micros: i64, out: &mut String) {
    let (hours, minutes) = (micros / HOUR_MICROS, micros / MINUTE_MICROS % 60);
    let seconds = micros / SECOND_MICROS % 60;
    let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}");
    let fraction = micros % SECOND_MICROS;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn infinity(positive: bool) -> &'static str {
    if positive { INFINITY } else { NEGATIVE_INFINITY }
}

/// Appends a binary `date` as the server prints it.
pub(super) fn render_date(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    match i32::from_be_bytes(fixed(bytes)?) {
        days @ (i32::MIN | i32::MAX) => out.push_str(infinity(days > 0)),
        days => {
            let (year, month, day) = civil_from_days(i64::from(days) + i64::from(EPOCH_DAYS));
            write_date(year, month, day, out);
            write_era(year, out);
        }
    }
    Ok(())
}

/// Appends a binary `time` as the server prints it.
pub(super) fn render_time(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let micros = i64::from_be_bytes(fixed(bytes)?);
    if !(0..=DAY_MICROS).contains(&micros) {
        return Err(ValueError::malformed("a binary value of type time is out of the type's range"));
    }
    write_time(micros, out);
    Ok(())
}

/// Appends a binary `timetz` as the server prints it: the time, then its own offset.
pub(super) fn render_timetz(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let bytes = fixed::<12>(bytes)?;
    let (time, zone) = bytes.split_at(8);
    render_time(time, out)?;
    // The wire counts seconds west of UTC.
    let west = i64::from(i32::from_be_bytes(fixed(zone)?));
    let seconds = west.abs();
    let _ = write!(out, "{}{:02}", if west > 0 { '-' } else { '+' }, seconds / 3600);
    if seconds % 3600 != 0 {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
    Ok(())
}

/// Appends a binary `timestamp` or, with `zone`, `timestamptz` as the server prints it in a session in UTC.
pub(super) fn render_timestamp(bytes: &[u8], zone: bool, out: &mut String) -> Result<(), ValueError> {
    match i64::from_be_bytes(fixed(bytes)?) {
        micros @ (i64::MIN | i64::MAX) => out.push_str(infinity(micros > 0)),
        micros => {
            let days = micros.div_euclid(DAY_MICROS) + i64::from(EPOCH_DAYS);
            let (year, month, day) = civil_from_days(days);
            write_date(year, month, day, out);
            out.push(' ');
            write_time(micros.rem_euclid(DAY_MICROS), out);
            if zone {
                out.push_str("+00");
            }
            write_era(year, out);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(days: i32) -> String {
        let mut out = String::new();
        render_date(&days.to_be_bytes(), &mut out).unwrap();
        out
    }

    fn timestamp(micros: i64) -> String {
        let mut out = String::new();
        render_timestamp(&micros.to_be_bytes(), true, &mut out).unwrap();
        out
    }

    #[test]
    fn dates_print_before_christ_and_after_9999() {
        let cases = [(0, "2000-01-01"), (-730_119, "0001-01-01"), (-730_120, "0001-12-31 BC"), (8825, "2024-02-29")];
        for (days, text) in cases {
            assert_eq!(date(days), text);
            assert_eq!(parse_date(text.as_bytes()), Some(days + EPOCH_DAYS));
        }
        assert_eq!(date(i32::MAX), "infinity");
        assert_eq!(parse_date(b"5874897-12-31"), Some(2_147_483_493 - 2_451_545 + EPOCH_DAYS));
        assert_eq!(parse_date(b"4713-01-01 BC"), Some(-2_451_507 + EPOCH_DAYS));
    }

    #[test]
    fn offsets_are_taken_off() {
        let utc = parse_timestamp(b"2024-02-29 13:14:15.5+00", true);
        assert_eq!(parse_timestamp(b"2024-02-29 18:44:15.5+05:30", true), utc);
        assert_eq!(parse_timestamp(b"2024-02-29 09:58:59.5-03:15:16", true), utc);
        assert_eq!(parse_timestamp(b"2024-02-29 13:14:15.5", true), None);
    }

    #[test]
    fn times_with_zones_print_their_own_offset() {
        for (zone, text) in
            [(0, "00:00:01+00"), (-7200, "00:00:01+02"), (19_800, "00:00:01-05:30"), (-3_661, "00:00:01+01:01:01")]
        {
            let bytes = [&1_000_000_i64.to_be_bytes()[..], &i32::to_be_bytes(zone)].concat();
            let mut out = String::new();
            render_timetz(&bytes, &mut out).unwrap();
            assert_eq!(out, text);
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_reads_back(micros in -211_813_488_000_000_000_i64..9_223_371_331_200_000_000) {
            let shift = i128::from(EPOCH_DAYS) * i128::from(DAY_MICROS);
            prop_assert_eq!(parse_timestamp(timestamp(micros).as_bytes(), true), Some(i128::from(micros) + shift));
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = (parse_date(&text), parse_time(&text), parse_timestamp(&text, true));
        }
    }
}
