//! `numeric` and `money`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, Float64Array, Int32Array, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use ductstream_core::{Error, Result};

use super::connect::{Connect, DECIMAL, DOC};
use super::convert::{Convert, failed};
use super::settings::DecimalHandling;

/// Connect's `Decimal` of a scale.
pub(super) fn connect(scale: i64) -> Connect {
    Connect::named(DataType::Binary, DECIMAL).parameter("scale", scale.to_string())
}

/// Whether a numeric of this type modifier fits Arrow's decimals, so that a text column of it is one that holds NaN and infinities too.
pub(super) fn fits_arrow(typmod: i32) -> bool {
    let (precision, scale) = ((typmod - 4) >> 16 & 0xffff, (typmod - 4) & 0x7ff);
    typmod >= 4 && precision <= 76 && scale < 0x400
}

/// Numbers as the shortest two's complement, the highest byte first.
pub(super) fn bytes<const N: usize>(rows: impl Iterator<Item = Option<[u8; N]>>) -> ArrayRef {
    Arc::new(rows.map(|row| row.map(|bytes| shortest(&bytes).to_vec())).collect::<BinaryArray>())
}

fn shortest(bytes: &[u8]) -> &[u8] {
    let redundant = |pair: &[u8]| matches!((pair[0], pair[1] >> 7), (0, 0) | (0xff, 1));
    &bytes[bytes.windows(2).take_while(|pair| redundant(pair)).count()..]
}

/// Texts of numbers as doubles.
pub(super) fn doubles(texts: &StringArray) -> Result<ArrayRef> {
    let parse = |text: &str| text.parse::<f64>().map_err(|_| Error::bug("a numeric does not read as a number"));
    let values = texts.iter().map(|text| text.map(parse).transpose()).collect::<Result<Float64Array>>()?;
    Ok(Arc::new(values))
}

/// A numeric without scale, or beyond what Arrow's decimals hold.
pub(super) fn variable(mode: DecimalHandling) -> (Connect, Convert) {
    match mode {
        DecimalHandling::String => (Connect::plain(DataType::Utf8), Arc::new(|array| Ok(array.clone()))),
        DecimalHandling::Double => {
            (Connect::plain(DataType::Float64), Arc::new(|array| doubles(array.as_string::<i32>())))
        }
        DecimalHandling::Precise => {
            let fields = Fields::from(vec![
                Field::new("scale", DataType::Int32, false),
                Field::new("value", DataType::Binary, false),
            ]);
            let name = "io.debezium.data.VariableScaleDecimal";
            let connect = Connect::named(DataType::Struct(fields.clone()), name).with(DOC, "Variable scaled decimal");
            (connect, Arc::new(move |array| variable_scale(array.as_string(), &fields)))
        }
    }
}

fn variable_scale(texts: &StringArray, fields: &Fields) -> Result<ArrayRef> {
    let parse = |text: Option<&str>| text.map_or_else(|| Ok(Unscaled::default()), Unscaled::parse);
    let values = texts.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let scales = values.iter().map(|value| value.scale).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(scales)),
        Arc::new(BinaryArray::from_iter_values(values.iter().map(|value| &value.bytes))),
    ];
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, texts.nulls().cloned()).map_err(failed)?))
}

/// A decimal number: an integer and how many of its digits stand after the point.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unscaled {
    scale: i32,
    bytes: Vec<u8>,
}

impl Unscaled {
    /// Reads what PostgreSQL prints of a numeric. Zeros at the end of the fraction do not count.
    fn parse(text: &str) -> Result<Self> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let fraction = fraction.trim_end_matches('0');
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            let message = format!("numeric {text} has no place in decimal.handling.mode precise");
            return Err(Error::configuration(message)
                .with_remedy("set decimal.handling.mode to string or double, which hold NaN and infinities"));
        }
        let scale = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        Ok(Self { scale, bytes: twos_complement(whole.bytes().chain(fraction.bytes()), negative) })
    }
}

/// The integer of decimal digits as the shortest two's complement, the highest byte first.
fn twos_complement(digits: impl Iterator<Item = u8>, negative: bool) -> Vec<u8> {
    // The lowest byte first while the number grows.
    let mut number: Vec<u8> = vec![0];
    for digit in digits {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut number {
            carry += u16::from(*byte) * 10;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            number.push(carry as u8);
        }
    }
    number.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut number {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, overflow);
        }
    }
    number.reverse();
    shortest(&number).to_vec()
}

/// `money`, whose text is that of the server's `lc_monetary`.
pub(super) fn money(mode: DecimalHandling, fraction_digits: u8) -> (Connect, Convert) {
    let plain = move |array: &ArrayRef| -> Result<StringArray> {
        let texts = array.as_string::<i32>();
        texts.iter().map(|text| text.map(|text| amount(text, fraction_digits)).transpose()).collect()
    };
    match mode {
        DecimalHandling::String => {
            (Connect::plain(DataType::Utf8), Arc::new(move |array| Ok(Arc::new(plain(array)?) as ArrayRef)))
        }
        DecimalHandling::Double => (Connect::plain(DataType::Float64), Arc::new(move |array| doubles(&plain(array)?))),
        DecimalHandling::Precise => {
            let unscaled = |text: &str| {
                let negative = text.starts_with('-');
                twos_complement(text.bytes().filter(u8::is_ascii_digit), negative)
            };
            let convert = move |array: &ArrayRef| -> Result<ArrayRef> {
                Ok(Arc::new(plain(array)?.iter().map(|text| text.map(unscaled)).collect::<BinaryArray>()))
            };
            (connect(i64::from(fraction_digits)), Arc::new(convert))
        }
    }
}

/// The number in an amount of money: `-$1,234.50` is `-1234.50`.
fn amount(text: &str, fraction_digits: u8) -> Result<String> {
    let negative = text.contains('-') || text.contains('(');
    let fraction = usize::from(fraction_digits);
    let point = text.rfind(['.', ',']).filter(|at| {
        let digits = text[at + 1..].bytes().filter(u8::is_ascii_digit).count();
        fraction > 0 && digits == fraction
    });
    if fraction > 0 && point.is_none() {
        let message = format!(
            "an amount of money does not have money.fraction.digits ({fraction_digits}) digits after the point"
        );
        return Err(Error::configuration(message)
            .with_remedy("set money.fraction.digits to the digits of the server's lc_monetary"));
    }
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let sign = if negative { "-" } else { "" };
    Ok(match point {
        Some(at) => format!("{sign}{}.{}", digits(&text[..at]), digits(&text[at..])),
        None => format!("{sign}{}", digits(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_an_integer_and_a_scale() {
        let parse = |text| Unscaled::parse(text).unwrap();
        assert_eq!(parse("123.456"), Unscaled { scale: 3, bytes: vec![0x01, 0xe2, 0x40] });
        assert_eq!(parse("1.500"), Unscaled { scale: 1, bytes: vec![15] });
        assert_eq!(parse("1200"), Unscaled { scale: 0, bytes: vec![0x04, 0xb0] });
        assert_eq!(parse("-1"), Unscaled { scale: 0, bytes: vec![0xff] });
        assert_eq!(parse("-128"), Unscaled { scale: 0, bytes: vec![0x80] });
        assert_eq!(parse("128"), Unscaled { scale: 0, bytes: vec![0x00, 0x80] });
        assert_eq!(parse("0.000"), Unscaled { scale: 0, bytes: vec![0] });
        assert_eq!(parse("-0.1"), Unscaled { scale: 1, bytes: vec![0xff] });
        let error = Unscaled::parse("NaN").unwrap_err();
        assert!(error.remedy().unwrap().contains("decimal.handling.mode"));
    }

    #[test]
    fn amounts_of_money_lose_their_signs_and_separators() {
        assert_eq!(amount("$9.99", 2).unwrap(), "9.99");
        assert_eq!(amount("-$1,234.50", 2).unwrap(), "-1234.50");
        assert_eq!(amount("1.234,50 €", 2).unwrap(), "1234.50");
        assert_eq!(amount("¥1,234", 0).unwrap(), "1234");
        assert!(amount("¥1,234", 2).is_err());
    }

    #[test]
    fn a_type_modifier_tells_whether_a_numeric_fits() {
        assert!(fits_arrow((12 << 16 | 2) + 4));
        assert!(!fits_arrow(-1));
        assert!(!fits_arrow((77 << 16 | 2) + 4));
        assert!(!fits_arrow((5 << 16 | (-2 & 0x7ff)) + 4));
    }
}
