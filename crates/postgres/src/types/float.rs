//! Floats as the server prints them with `extra_float_digits` above zero: the shortest digits that read back the same.
//!
//! Rust's own shortest digits are almost the same. The server differs in two rare cases (`src/common/d2s.c`): it takes
//! no digits that stand exactly between two floats, though they read back as the even one, and it rounds ties to even.

use std::fmt::{LowerExp, Write};
use std::str::FromStr;

/// A binary float.
trait Float: LowerExp + FromStr + PartialEq + Copy {
    /// Decimal exponent from which on the server prints an exponent.
    const FIXED_BELOW: i32;
    /// Digits that are always enough.
    const DIGITS_MAX: usize;

    fn parts(self) -> Parts;
}

/// A float's magnitude: `mantissa` times two to the power of `exponent`.
struct Parts {
    mantissa: u64,
    exponent: i32,
    /// Whether the next smaller float is half as far as the next larger one.
    power_of_two: bool,
}

fn parts(bits: u64, mantissa_width: u32, exponent_bias: i32) -> Parts {
    let fraction = bits & ((1 << mantissa_width) - 1);
    let biased = i32::try_from(bits >> mantissa_width).unwrap_or_default();
    let hidden = if biased == 0 { 0 } else { 1 << mantissa_width };
    let exponent = biased.max(1) - exponent_bias - mantissa_width.cast_signed();
    Parts { mantissa: fraction | hidden, exponent, power_of_two: fraction == 0 && biased > 1 }
}

impl Float for f64 {
    const FIXED_BELOW: i32 = 15;
    const DIGITS_MAX: usize = 17;

    fn parts(self) -> Parts {
        parts(self.abs().to_bits(), 52, 1023)
    }
}

impl Float for f32 {
    const FIXED_BELOW: i32 = 6;
    const DIGITS_MAX: usize = 9;

    fn parts(self) -> Parts {
        parts(self.abs().to_bits().into(), 23, 127)
    }
}

/// Appends a `double precision`.
pub(super) fn write_f64(value: f64, out: &mut String) {
    if value.is_finite() { write_finite(value, out) } else { write_special(value.is_nan(), value > 0.0, out) }
}

/// Appends a `real`.
pub(super) fn write_f32(value: f32, out: &mut String) {
    if value.is_finite() { write_finite(value, out) } else { write_special(value.is_nan(), value > 0.0, out) }
}

fn write_special(nan: bool, positive: bool, out: &mut String) {
    out.push_str(match (nan, positive) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
}

/// A float in scientific notation, taken apart.
struct Scientific<'a> {
    sign: &'a str,
    mantissa: &'a str,
    exponent: i32,
}

impl<'a> Scientific<'a> {
    fn split(text: &'a str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
        Self { sign, mantissa, exponent: exponent.parse().unwrap_or_default() }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.mantissa.bytes().filter(|byte| *byte != b'.')
    }

    /// Whether the digits stand exactly between a float and one of its neighbours.
    fn is_boundary_of(&self, float: &Parts) -> bool {
        let digits = self.digits().fold(0, |number, digit| number * 10 + u128::from(digit - b'0'));
        let power = self.exponent + 1 - i32::try_from(self.digits().count()).unwrap_or_default();
        let mantissa = u128::from(float.mantissa);
        let above = (2 * mantissa + 1, float.exponent - 1);
        let below = if float.power_of_two {
            (4 * mantissa - 1, float.exponent - 2)
        } else {
            ((2 * mantissa).saturating_sub(1), float.exponent - 1)
        };
        [above, below].into_iter().any(|boundary| same(digits, power, boundary))
    }
}

/// Whether `digits` times ten to the power of `power` is `binary.0` times two to the power of `binary.1`.
fn same(digits: u128, power: i32, (mantissa, exponent): (u128, i32)) -> bool {
    /// Neither a mantissa of 55 bits nor 17 digits have a higher power of five in them.
    const FIVES_MAX: u32 = 25;
    let fives = power.unsigned_abs();
    if fives > FIVES_MAX {
        return false;
    }
    let (decimal, binary) = match power {
        0.. => (digits * 5_u128.pow(fives), mantissa),
        _ => (digits, mantissa * 5_u128.pow(fives)),
    };
    let odd = |number: u128| number >> number.trailing_zeros().min(127);
    let twos = |number: u128| i64::from(number.trailing_zeros());
    odd(decimal) == odd(binary) && twos(decimal) + i64::from(power) == twos(binary) + i64::from(exponent)
}

// Writing to a string cannot fail.

/// The digits that the server prints, in scientific notation.
fn shortest<F: Float>(value: F) -> String {
    let shortest = format!("{value:e}");
    let parts = value.parts();
    let fits =
        |text: &str| text.parse().is_ok_and(|read: F| read == value) && !Scientific::split(text).is_boundary_of(&parts);
    let count = Scientific::split(&shortest).digits().count();
    let nearest = format!("{value:.*e}", count - 1);
    // Next to a power of two, the nearest digits of this length can lie outside where others lie inside.
    if let Some(text) = [nearest, shortest].into_iter().find(|text| parts.mantissa == 0 || fits(text)) {
        return text;
    }
    let mut longer = (count + 1..F::DIGITS_MAX).map(|digits| format!("{value:.*e}", digits - 1));
    longer.find(|text| fits(text)).unwrap_or_else(|| format!("{value:.*e}", F::DIGITS_MAX - 1))
}

/// Lays the digits out as `%g` of C does, with an exponent below 10^-4 and from the type's limit on.
fn write_finite<F: Float>(value: F, out: &mut String) {
    let text = shortest(value);
    let Scientific { sign, mantissa, exponent } = Scientific::split(&text);
    out.push_str(sign);
    if (-4..F::FIXED_BELOW).contains(&exponent) {
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
        out.extend(digits);
        return;
    }
    out.extend((0..=exponent).map(|_| digits.next().unwrap_or('0')));
    let mut decimals = digits.peekable();
    if decimals.peek().is_some() {
        out.push('.');
        out.extend(decimals);
    }
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
            (f64::from_bits(0x42e1_7465_ea51_53c4), "153532989868702.12"),
            (45_882_358_912_511_424.0, "4.5882358912511424e+16"),
            (5e-324, "5e-324"),
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
