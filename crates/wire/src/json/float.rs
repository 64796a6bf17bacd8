//! Floating point numbers as text.

/// Appends a number, or the string `"NaN"`, `"Infinity"` or `"-Infinity"`.
pub(super) fn push_json<F: Float>(value: F, out: &mut Vec<u8>) {
    match value.special() {
        None => out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
        Some(name) => {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
    }
}

/// Appends the shortest text that reads back the same, as PostgreSQL prints it: `1`, `0.5`, `1e+20`, `1e-07`.
pub(super) fn push_postgres<F: Float>(value: F, out: &mut Vec<u8>) {
    if let Some(name) = value.special() {
        return out.extend_from_slice(name.as_bytes());
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    out.extend_from_slice(if unsigned.len() < text.len() { b"-" } else { b"" });
    let Decimal { digits, exponent } = Decimal::read(unsigned);
    if (-4..F::FIXED_BELOW).contains(&exponent) {
        push_fixed(&digits, exponent, out);
    } else {
        push_exponent(&digits, exponent, out);
    }
}

/// `digits` with the point behind the first, times ten to the power of `exponent`.
struct Decimal {
    digits: Vec<u8>,
    exponent: i32,
}

impl Decimal {
    /// Reads what ryu writes: digits with at most one point, and an exponent or not.
    fn read(text: &str) -> Self {
        let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        let leading = all().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = all().skip(leading).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self { digits: vec![b'0'], exponent: 0 };
        }
        // Texts are at most a few dozen bytes.
        let places = whole.len() as i32 - 1 - leading as i32;
        Self { digits, exponent: places + power.parse::<i32>().unwrap_or(0) }
    }
}

fn push_fixed(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let Some(whole) = usize::try_from(exponent + 1).ok().filter(|whole| *whole > 0) else {
        return push_fraction_only(digits, exponent, out);
    };
    out.extend_from_slice(&digits[..whole.min(digits.len())]);
    out.resize(out.len() + whole.saturating_sub(digits.len()), b'0');
    if whole < digits.len() {
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

fn push_fraction_only(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0.");
    let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
    out.resize(out.len() + zeros, b'0');
    out.extend_from_slice(digits);
}

fn push_exponent(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.push(b'e');
    out.push(if exponent < 0 { b'-' } else { b'+' });
    out.extend_from_slice(format!("{:02}", exponent.unsigned_abs()).as_bytes());
}

/// `f32` and `f64`.
pub(super) trait Float: ryu::Float {
    /// PostgreSQL writes numbers with an exponent from this power of ten on.
    const FIXED_BELOW: i32;

    /// The name of a value that is not a number of JSON.
    fn special(self) -> Option<&'static str>;
}

macro_rules! float {
    ($type:ty, $fixed_below:literal) => {
        impl Float for $type {
            const FIXED_BELOW: i32 = $fixed_below;

            fn special(self) -> Option<&'static str> {
                match self {
                    value if value.is_nan() => Some("NaN"),
                    <$type>::INFINITY => Some("Infinity"),
                    <$type>::NEG_INFINITY => Some("-Infinity"),
                    _ => None,
                }
            }
        }
    };
}

float!(f32, 6);
float!(f64, 15);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn postgres<F: Float>(value: F) -> String {
        let mut out = Vec::new();
        push_postgres(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_inside_ranges_look_as_postgresql_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(postgres(value), text);
        }
        assert_eq!(
            (postgres(100_000.0f32), postgres(1e6f32), postgres(0.1f32)),
            ("100000".into(), "1e+06".into(), "0.1".into())
        );
    }

    proptest! {
        #[test]
        fn a_float_reads_back_as_it_was(value: f64) {
            prop_assert_eq!(postgres(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
