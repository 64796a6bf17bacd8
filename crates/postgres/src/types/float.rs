//! Floats as the server prints them with `extra_float_digits` above zero: the shortest digits that read back the same.

use std::fmt::{LowerExp, Write};

/// Appends a `double precision`.
pub(super) fn write_f64(value: f64, out: &mut String) {
    if value.is_finite() { write_finite(value, 15, out) } else { write_special(value.is_nan(), value > 0.0, out) }
}

/// Appends a `real`.
pub(super) fn write_f32(value: f32, out: &mut String) {
    if value.is_finite() { write_finite(value, 6, out) } else { write_special(value.is_nan(), value > 0.0, out) }
}

fn write_special(nan: bool, positive: bool, out: &mut String) {
    out.push_str(match (nan, positive) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
}

/// Lays the digits out as `%g` of C does: with an exponent below 10^-4 and from 10^`fixed_below` on
/// (`double_to_shortest_decimal_bufn` in `src/common/d2s.c`).
fn write_finite<F: LowerExp>(value: F, fixed_below: i32, out: &mut String) {
    let start = out.len();
    // Writing to a string cannot fail.
    let _ = write!(out, "{value:e}");
    let scientific = out.split_off(start);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    out.push_str(sign);
    if (-4..fixed_below).contains(&exponent) {
        write_fixed(mantissa, exponent, out);
    } else {
        let _ = write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
    }
}

fn write_fixed(mantissa: &str, exponent: i32, out: &mut String) {
    let mut digits = mantissa.bytes().filter(|byte| *byte != b'.').map(char::from);
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
    } else {
        out.extend((0..=exponent).map(|_| digits.next().unwrap_or('0')));
        let mut digits = digits.peekable();
        if digits.peek().is_some() {
            out.push('.');
            out.extend(digits);
        }
        return;
    }
    out.extend(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_the_server_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.2345e16, "1.2345e+16"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            let mut out = String::new();
            write_f64(value, &mut out);
            assert_eq!(out, text);
        }
        for (value, text) in [(123_456.0, "123456"), (1e6, "1e+06"), (0.1, "0.1"), (1.5e-5, "1.5e-05")] {
            let mut out = String::new();
            write_f32(value, &mut out);
            assert_eq!(out, text);
        }
    }
}
