//! `numeric`: exact decimals.
//!
//! The binary form is a count of base-10000 digits, the weight of the first, a sign, the number of decimals to show,
//! and the digits (`numeric_send` in `src/backend/utils/adt/numeric.c`).

use std::fmt::Write;

use arrow_array::types::DecimalType;
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::builder::Decode;
use super::bytes::{Reader, utf8};
use super::scalar::not_a;
use super::{Format, ValueError};

/// Precision and scale as declared: `numeric(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) precision: i32,
    pub(super) scale: i32,
}

impl Declared {
    /// What a type modifier of `numeric` says; `None` when there is none.
    pub(super) fn from_typmod(typmod: i32) -> Option<Self> {
        // The scale is 11 bits wide and signed since PostgreSQL 15; earlier servers had no scale that reads differently
        // so.
        let modifier = typmod.checked_sub(4).filter(|modifier| *modifier >= 0)?;
        Some(Self { precision: (modifier >> 16) & 0xffff, scale: ((modifier & 0x7ff) ^ 1024) - 1024 })
    }

    /// Whether a decimal of this many digits holds every value.
    pub(super) fn fits(self, digits: i32) -> bool {
        self.scale >= 0 && self.precision.max(self.scale) <= digits
    }

    /// Digits of the decimal type. A scale beyond the precision (0.00012 in a `numeric(2,5)`) takes as many digits as
    /// the scale.
    pub(super) fn arrow_precision(self) -> u8 {
        u8::try_from(self.precision.max(self.scale)).unwrap_or(u8::MAX)
    }

    /// Decimals of the decimal type.
    pub(super) fn arrow_scale(self) -> i8 {
        i8::try_from(self.scale).unwrap_or(i8::MAX)
    }
}

/// The integer below a decimal.
pub(super) trait Unscaled: Copy + PartialEq {
    const ZERO: Self;
    /// `self * factor + addend`, if it fits.
    fn mul_add(self, factor: u16, addend: u16) -> Option<Self>;
    fn negate(self) -> Self;
}

impl Unscaled for i128 {
    const ZERO: Self = 0;

    fn mul_add(self, factor: u16, addend: u16) -> Option<Self> {
        self.checked_mul(factor.into())?.checked_add(addend.into())
    }

    fn negate(self) -> Self {
        -self
    }
}

impl Unscaled for i256 {
    const ZERO: Self = i256::ZERO;

    fn mul_add(self, factor: u16, addend: u16) -> Option<Self> {
        self.checked_mul(i256::from_i128(factor.into()))?.checked_add(i256::from_i128(addend.into()))
    }

    fn negate(self) -> Self {
        self.wrapping_neg()
    }
}

/// A column of `numeric(p,s)`.
#[derive(Debug)]
pub(super) struct Decimal<T> {
    declared: Declared,
    decimal: std::marker::PhantomData<T>,
}

impl<T> Decimal<T> {
    pub(super) fn new(declared: Declared) -> Self {
        Self { declared, decimal: std::marker::PhantomData }
    }
}

impl<T: DecimalType + std::fmt::Debug> Decode for Decimal<T>
where
    T::Native: Unscaled,
{
    type Arrow = T;

    fn decode(&self, format: Format, bytes: &[u8]) -> Result<T::Native, ValueError> {
        let value = match format {
            Format::Binary => unscaled_of_binary(&Binary::read(bytes)?, self.declared.scale),
            Format::Text => unscaled_of_text(bytes, self.declared.scale)?,
        };
        match value {
            Some(value) if T::is_valid_decimal_precision(value, self.declared.arrow_precision()) => Ok(value),
            _ => Err(special(format, bytes)),
        }
    }

    fn data_type(&self) -> DataType {
        T::TYPE_CONSTRUCTOR(self.declared.arrow_precision(), self.declared.arrow_scale())
    }
}

fn special(format: Format, bytes: &[u8]) -> ValueError {
    let mut text = String::new();
    let printed = match format {
        Format::Binary => render(bytes, &mut text),
        Format::Text => utf8(bytes).map(|printed| text.push_str(printed)),
    };
    printed.err().unwrap_or(ValueError::Special(text))
}

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// Digits of a base-10000 digit.
const DIGIT_WIDTH: i32 = 4;
const POWERS: [u16; 5] = [1, 10, 100, 1_000, 10_000];

struct Binary<'a> {
    weight: i32,
    sign: u16,
    /// Decimals to show.
    scale: usize,
    digits: &'a [[u8; 2]],
}

impl<'a> Binary<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let (count, weight) = (reader.u16()?, reader.i16()?.into());
        let (sign, scale) = (reader.u16()?, reader.u16()?.into());
        let (digits, rest) = reader.rest().as_chunks();
        let known = matches!(sign, 0 | NEGATIVE | NAN | INFINITY | NEGATIVE_INFINITY);
        let number = Self { weight, sign, scale, digits };
        if known && rest.is_empty() && digits.len() == usize::from(count) && number.digits().all(|digit| digit < 10_000)
        {
            Ok(number)
        } else {
            Err(ValueError::malformed("a binary value of type numeric has a wrong sign, count or digit"))
        }
    }

    fn digits(&self) -> impl Iterator<Item = u16> + '_ {
        self.digits.iter().map(|digit| u16::from_be_bytes(*digit))
    }

    /// The digit that stands for multiples of 10000 to the power of `weight`.
    fn digit(&self, weight: i32) -> u16 {
        let index = usize::try_from(self.weight - weight).ok();
        index.and_then(|index| self.digits.get(index)).map_or(0, |digit| u16::from_be_bytes(*digit))
    }
}

/// The value times 10 to the power of `scale`; `None` when that is not a whole number that fits.
fn unscaled_of_binary<U: Unscaled>(number: &Binary<'_>, scale: i32) -> Option<U> {
    if !matches!(number.sign, 0 | NEGATIVE) {
        return None;
    }
    let mut value = U::ZERO;
    // The power of ten that the next digit counts.
    let mut exponent = number.weight * DIGIT_WIDTH + scale;
    for digit in number.digits() {
        value = push_digit(value, digit, exponent)?;
        exponent -= DIGIT_WIDTH;
    }
    let mut zeros = exponent + DIGIT_WIDTH;
    while zeros > 0 && value != U::ZERO {
        let step = zeros.min(DIGIT_WIDTH);
        value = value.mul_add(POWERS[step as usize], 0)?;
        zeros -= step;
    }
    Some(if number.sign == NEGATIVE { value.negate() } else { value })
}

/// Appends a base-10000 digit that counts 10 to the power of `exponent`, without what it has below one.
fn push_digit<U: Unscaled>(value: U, digit: u16, exponent: i32) -> Option<U> {
    if exponent >= 0 {
        return value.mul_add(10_000, digit);
    }
    let below = POWERS[exponent.unsigned_abs().min(4) as usize];
    let kept = POWERS[(DIGIT_WIDTH + exponent).max(0) as usize];
    if digit.is_multiple_of(below) { value.mul_add(kept, digit / below) } else { None }
}

/// As [`unscaled_of_binary`], from the printed value.
fn unscaled_of_text<U: Unscaled>(text: &[u8], scale: i32) -> Result<Option<U>, ValueError> {
    if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
        return Ok(None);
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let point = memchr::memchr(b'.', digits);
    let (whole, decimals) = point.map_or((digits, &digits[..0]), |point| (&digits[..point], &digits[point + 1..]));
    if whole.len() + decimals.len() == 0 || !whole.iter().chain(decimals).all(u8::is_ascii_digit) {
        return Err(not_a("numeric", text));
    }
    let scale = usize::try_from(scale).unwrap_or_default();
    let (kept, below) = decimals.split_at(decimals.len().min(scale));
    if below.iter().any(|digit| *digit != b'0') {
        return Ok(None);
    }
    let zeros = std::iter::repeat_n(&b'0', scale - kept.len());
    let mut all = whole.iter().chain(kept).chain(zeros);
    let value = all.try_fold(U::ZERO, |value, digit| value.mul_add(10, (digit - b'0').into()));
    Ok(value.map(|value| if negative { value.negate() } else { value }))
}

/// Appends a binary value as the server prints it, with all its decimals.
pub(super) fn render(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let number = Binary::read(bytes)?;
    match number.sign {
        NAN => out.push_str("NaN"),
        INFINITY => out.push_str("Infinity"),
        NEGATIVE_INFINITY => out.push_str("-Infinity"),
        sign => render_finite(&number, sign == NEGATIVE, out),
    }
    Ok(())
}

fn render_finite(number: &Binary<'_>, negative: bool, out: &mut String) {
    if negative {
        out.push('-');
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "{}", if number.weight < 0 { 0 } else { number.digit(number.weight) });
    for weight in (0..number.weight).rev() {
        let _ = write!(out, "{:04}", number.digit(weight));
    }
    if number.scale > 0 {
        out.push('.');
        let end = out.len() + number.scale;
        for weight in 1.. {
            if out.len() >= end {
                break;
            }
            let _ = write!(out, "{:04}", number.digit(-weight));
        }
        out.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::{Decimal128Type, Decimal256Type};
    use proptest::prelude::*;

    use super::*;

    /// What `numeric_send` writes for a printed value.
    fn encode(text: &str) -> Vec<u8> {
        let header = |weight: i16, sign: u16, scale: u16, digits: &[u16]| {
            let count = u16::try_from(digits.len()).unwrap();
            let mut bytes = [count, weight as u16, sign, scale].map(u16::to_be_bytes).concat();
            bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
            bytes
        };
        match text {
            "NaN" => return header(0, NAN, 0, &[]),
            "Infinity" => return header(0, INFINITY, 0, &[]),
            "-Infinity" => return header(0, NEGATIVE_INFINITY, 0, &[]),
            _ => {}
        }
        let sign = if text.starts_with('-') { NEGATIVE } else { 0 };
        let (whole, decimals) =
            text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        let whole = "0".repeat((4 - whole.len() % 4) % 4) + whole;
        let padded = decimals.to_owned() + &"0".repeat((4 - decimals.len() % 4) % 4);
        let mut weight = i16::try_from(whole.len() / 4).unwrap() - 1;
        let all = whole + &padded;
        let mut digits: Vec<u16> = (0..all.len() / 4).map(|i| all[i * 4..i * 4 + 4].parse().unwrap()).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        header(if digits.is_empty() { 0 } else { weight }, sign, u16::try_from(decimals.len()).unwrap(), &digits)
    }

    fn rendered(text: &str) -> String {
        let mut out = String::new();
        render(&encode(text), &mut out).unwrap();
        out
    }

    #[test]
    fn binary_values_print_with_all_their_decimals() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "100000000",
            "123456789.1234500",
            "0.00001",
            "-0.0001000",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            assert_eq!(rendered(text), text);
        }
    }

    fn decimal128(precision: i32, scale: i32, text: &str) -> [Result<i128, ValueError>; 2] {
        let decimal = Decimal::<Decimal128Type>::new(Declared { precision, scale });
        [decimal.decode(Format::Text, text.as_bytes()), decimal.decode(Format::Binary, &encode(text))]
    }

    #[test]
    fn decimals_are_the_same_from_both_formats() {
        let nines = "9".repeat(36) + ".99";
        let cases = [
            (12, 2, "12.34", 1234),
            (12, 2, "-0.05", -5),
            (12, 2, "0.00", 0),
            (5, 0, "10000", 10_000),
            (10, 4, "1.0001", 10_001),
            (10, 3, "100000.1", 100_000_100),
            (2, 5, "0.00012", 12),
            (38, 38, "0.00000000000000000000000000000000000001", 1),
            (38, 2, nines.as_str(), 10i128.pow(38) - 1),
        ];
        for (precision, scale, text, unscaled) in cases {
            assert_eq!(decimal128(precision, scale, text), [Ok(unscaled), Ok(unscaled)], "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_a_decimal_is_special() {
        for text in ["NaN", "Infinity", "-Infinity", "1.234", "12345.0"] {
            let special = Err(ValueError::Special(text.to_owned()));
            assert_eq!(decimal128(4, 2, text), [special.clone(), special]);
        }
    }

    #[test]
    fn garbage_is_malformed() {
        for bytes in
            [&b""[..], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff], &[0, 0, 0, 0, 1, 0, 0, 0]]
        {
            assert!(matches!(render(bytes, &mut String::new()), Err(ValueError::Malformed(_))));
        }
        let decimal = Decimal::<Decimal128Type>::new(Declared { precision: 4, scale: 2 });
        for text in [&b""[..], b"-", b".", b"1e5", b"1.2.3", b"x"] {
            assert!(matches!(decimal.decode(Format::Text, text), Err(ValueError::Malformed(_))));
        }
    }

    proptest! {
        #[test]
        fn every_decimal_survives_both_formats(
            whole in "0|[1-9][0-9]{0,39}",
            decimals in "[0-9]{0,36}",
            negative: bool,
        ) {
            let sign = if negative { "-" } else { "" };
            let zero = whole == "0" && decimals.bytes().all(|digit| digit == b'0');
            let point = if decimals.is_empty() { "" } else { "." };
            let text = format!("{}{whole}{point}{decimals}", if zero { "" } else { sign });
            prop_assert_eq!(rendered(&text), text.clone());

            let decimal = Decimal::<Decimal256Type>::new(Declared { precision: 76, scale: 36 });
            let value = decimal.decode(Format::Binary, &encode(&text)).unwrap();
            prop_assert_eq!(decimal.decode(Format::Text, text.as_bytes()).unwrap(), value);
            let expected: String = format!("{}{whole}{decimals:0<36}", if zero { "" } else { sign });
            prop_assert_eq!(value, i256::from_string(&expected).unwrap());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = render(&bytes, &mut String::new());
            let decimal = Decimal::<Decimal128Type>::new(Declared { precision: 38, scale: 10 });
            let _ = decimal.decode(Format::Binary, &bytes);
            let _ = decimal.decode(Format::Text, &bytes);
        }
    }
}
