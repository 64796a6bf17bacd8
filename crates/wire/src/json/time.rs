//! Dates, times and intervals as text: ISO 8601 for JSON, and as PostgreSQL prints them inside ranges.

use super::text::push_int;

const DAY_MICROS: i64 = 86_400_000_000;

/// How dates and times are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// ISO 8601: `T` between date and time, always six digits of a second, expanded years, `Z`.
    Iso,
    /// PostgreSQL with `DateStyle` ISO and `TimeZone` UTC: a space, no trailing zeros of a second, `BC`, `+00`.
    Postgres,
}

/// Appends the date of the day `days` after 1970-01-01.
pub(crate) fn push_date(days: i32, style: Style, out: &mut Vec<u8>) {
    let bc = push_civil(i64::from(days), style, out);
    if bc {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a time of day; `24:00:00` is a time of PostgreSQL.
pub(crate) fn push_time(micros: i64, style: Style, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    push_two(seconds / 3600, out);
    out.push(b':');
    push_two(seconds / 60 % 60, out);
    out.push(b':');
    push_two(seconds % 60, out);
    push_fraction(fraction, style == Style::Iso, out);
}

/// Appends a timestamp of `micros` since 1970-01-01; `utc` marks one with time zone.
pub(crate) fn push_timestamp(micros: i64, utc: bool, style: Style, out: &mut Vec<u8>) {
    let bc = push_civil(micros.div_euclid(DAY_MICROS), style, out);
    out.push(if style == Style::Iso { b'T' } else { b' ' });
    push_time(micros.rem_euclid(DAY_MICROS), style, out);
    match (utc, style) {
        (false, _) => {}
        (true, Style::Iso) => out.push(b'Z'),
        (true, Style::Postgres) => out.extend_from_slice(b"+00"),
    }
    if bc {
        out.extend_from_slice(b" BC");
    }
}

/// Appends year, month and day; returns whether ` BC` has to follow.
fn push_civil(days: i64, style: Style, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let bc = style == Style::Postgres && year <= 0;
    match style {
        Style::Iso if !(0..=9999).contains(&year) => {
            out.push(if year < 0 { b'-' } else { b'+' });
            push_padded(year.unsigned_abs(), 6, out);
        }
        _ => push_padded(if bc { 1 - year } else { year }.unsigned_abs(), 4, out),
    }
    out.push(b'-');
    push_two(month, out);
    out.push(b'-');
    push_two(day, out);
    bc
}

/// The proleptic Gregorian date of a day since 1970-01-01, with 1 BC as year 0.
///
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An interval as PostgreSQL keeps it: three numbers that do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Interval {
    /// Appends it as PostgreSQL does with `IntervalStyle` `iso_8601`: every part carries its own sign.
    pub(super) fn push_iso(self, out: &mut Vec<u8>) {
        if self == (Self { months: 0, days: 0, micros: 0 }) {
            return out.extend_from_slice(b"PT0S");
        }
        let (months, micros) = (i64::from(self.months), self.micros);
        out.push(b'P');
        push_parts([(months / 12, b'Y'), (months % 12, b'M'), (i64::from(self.days), b'D')], out);
        if micros != 0 {
            out.push(b'T');
            push_iso_time(micros, out);
        }
    }

    /// Appends it as PostgreSQL does with `IntervalStyle` `postgres`: `1 year 2 mons -3 days +04:05:06`.
    pub(super) fn push_postgres(self, out: &mut Vec<u8>) {
        let months = i64::from(self.months);
        let parts = [(months / 12, "year"), (months % 12, "mon"), (i64::from(self.days), "day")];
        let (mut first, mut after_negative) = (true, false);
        for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
            out.extend_from_slice(if first { b"" } else { b" " });
            out.extend_from_slice(if after_negative && value > 0 { b"+" } else { b"" });
            push_int(value, out);
            out.push(b' ');
            out.extend_from_slice(unit.as_bytes());
            out.extend_from_slice(if value == 1 { b"" } else { b"s" });
            (first, after_negative) = (false, value < 0);
        }
        if first || self.micros != 0 {
            out.extend_from_slice(if first { b"" } else { b" " });
            let plus: &[u8] = if after_negative { b"+" } else { b"" };
            out.extend_from_slice(if self.micros < 0 { b"-" } else { plus });
            push_clock(self.micros.unsigned_abs(), out);
        }
    }
}

fn push_iso_time(micros: i64, out: &mut Vec<u8>) {
    let (hours, minutes, rest) = (micros / 3_600_000_000, micros / 60_000_000 % 60, micros % 60_000_000);
    push_parts([(hours, b'H'), (minutes, b'M')], out);
    if rest != 0 {
        out.extend_from_slice(if rest < 0 { b"-" } else { b"" });
        push_int(rest.abs() / 1_000_000, out);
        push_fraction(rest.abs() % 1_000_000, false, out);
        out.push(b'S');
    }
}

/// Appends the parts that are not zero.
fn push_parts(parts: impl IntoIterator<Item = (i64, u8)>, out: &mut Vec<u8>) {
    for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
        push_int(value, out);
        out.push(unit);
    }
}

/// Appends a number of microseconds as hours, minutes and seconds; the hours have at least two digits.
fn push_clock(micros: u64, out: &mut Vec<u8>) {
    push_padded(micros / 3_600_000_000, 2, out);
    // Less than an hour.
    let rest = i64::try_from(micros % 3_600_000_000).unwrap_or(0);
    out.push(b':');
    push_two(rest / 60_000_000, out);
    out.push(b':');
    push_two(rest / 1_000_000 % 60, out);
    push_fraction(rest % 1_000_000, false, out);
}

/// Appends a point and the digits of `micros`, all six or without trailing zeros (and then nothing for zero).
fn push_fraction(micros: i64, all: bool, out: &mut Vec<u8>) {
    if micros == 0 && !all {
        return;
    }
    let mut digits = [b'0'; 6];
    let mut rest = micros;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let trailing = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    out.push(b'.');
    out.extend_from_slice(&digits[..if all { 6 } else { 6 - trailing }]);
}

/// Appends a number from 0 to 99 with two digits.
fn push_two(value: i64, out: &mut Vec<u8>) {
    out.extend([b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

fn push_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.resize(out.len() + width.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_before_year_1_and_after_9999_are_expanded_in_iso_and_bc_in_postgresql() {
        let date = |days, style| written(|out| push_date(days, style, out));
        for (days, iso, postgres) in [
            (0, "1970-01-01", "1970-01-01"),
            (20_780, "2026-11-23", "2026-11-23"),
            (-719_162, "0001-01-01", "0001-01-01"),
            (-719_163, "0000-12-31", "0001-12-31 BC"),
            (-719_529, "-000001-12-31", "0002-12-31 BC"),
            (-2_440_588, "-004713-11-24", "4714-11-24 BC"),
            (2_932_897, "+010000-01-01", "10000-01-01"),
            (2_145_042_905, "+5874897-12-31", "5874897-12-31"),
        ] {
            assert_eq!((date(days, Style::Iso).as_str(), date(days, Style::Postgres).as_str()), (iso, postgres));
        }
    }

    #[test]
    fn timestamps_have_six_digits_in_iso_and_as_many_as_needed_in_postgresql() {
        let at = |micros, utc, style| written(|out| push_timestamp(micros, utc, style, out));
        assert_eq!(at(1_795_433_079_049_237, true, Style::Iso), "2026-11-23T11:24:39.049237Z");
        assert_eq!(at(1_795_433_079_500_000, false, Style::Iso), "2026-11-23T11:24:39.500000");
        assert_eq!(at(1_795_433_079_500_000, true, Style::Postgres), "2026-11-23 11:24:39.5+00");
        assert_eq!(at(-1, false, Style::Postgres), "1969-12-31 23:59:59.999999");
        assert_eq!(at(-719_163 * DAY_MICROS, true, Style::Postgres), "0001-12-31 00:00:00+00 BC");
        assert_eq!(written(|out| push_time(DAY_MICROS, Style::Postgres, out)), "24:00:00");
    }

    #[test]
    fn intervals_carry_the_sign_of_every_part() {
        for (months, days, micros, iso, postgres) in [
            (0, 0, 0, "PT0S", "00:00:00"),
            (14, 3, 14_706_789_000, "P1Y2M3DT4H5M6.789S", "1 year 2 mons 3 days 04:05:06.789"),
            (-14, 3, -14_706_000_000, "P-1Y-2M3DT-4H-5M-6S", "-1 years -2 mons +3 days -04:05:06"),
            (0, -1, 3_600_000_000, "P-1DT1H", "-1 days +01:00:00"),
            (0, 0, -500_000, "PT-0.5S", "-00:00:00.5"),
            (1, 0, 0, "P1M", "1 mon"),
        ] {
            let interval = Interval { months, days, micros };
            assert_eq!(written(|out| interval.push_iso(out)), iso);
            assert_eq!(written(|out| interval.push_postgres(out)), postgres);
        }
    }
}
