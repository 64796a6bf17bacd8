//! JSON strings.

/// Whether a byte has to be escaped inside a JSON string.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends `text` as a JSON string with its quotes.
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| ESCAPED[usize::from(*byte)]) {
        out.extend_from_slice(&rest[..at]);
        push_escaped(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Appends JSON text as it is, on one line: a line break in valid JSON stands between tokens, where a space means the same.
pub(super) fn push_json(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in &mut out[start..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Appends text that is a number as a number, and anything else (`NaN`, infinities) as a string.
pub(super) fn push_number(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) {
        out.extend_from_slice(text.as_bytes());
    } else {
        push_string(text, out);
    }
}

/// Appends a decimal whose digits without the point are `unscaled` (with its sign).
pub(crate) fn push_decimal(unscaled: &str, scale: i8, out: &mut Vec<u8>) {
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        out.extend_from_slice(unscaled.as_bytes());
        return;
    }
    let digits = unscaled.strip_prefix('-').unwrap_or(unscaled);
    if digits.len() < unscaled.len() {
        out.push(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits.as_bytes()[..whole] });
    out.push(b'.');
    out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(&digits.as_bytes()[whole..]);
}

/// Appends a UUID in its canonical form, without quotes.
pub(crate) fn push_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Appends a whole number.
pub(super) fn push_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_their_scale() {
        let decimal = |unscaled, scale| written(|out| push_decimal(unscaled, scale, out));
        assert_eq!(decimal("1250", 2), "12.50");
        assert_eq!(decimal("-5", 2), "-0.05");
        assert_eq!(decimal("0", 3), "0.000");
        assert_eq!(decimal("-125", 2), "-1.25");
        assert_eq!(decimal("7", 0), "7");
    }

    #[test]
    fn json_text_stays_on_one_line_and_otherwise_as_it_is() {
        assert_eq!(
            written(|out| push_json("{ \"a\":\r\n 1e400,\n\"b\": \"x\\ny\"}", out)),
            "{ \"a\":   1e400, \"b\": \"x\\ny\"}"
        );
    }

    #[test]
    fn numeric_text_is_a_number_unless_json_has_no_such_number() {
        assert_eq!(written(|out| push_number("-12345678901234567890.5", out)), "-12345678901234567890.5");
        assert_eq!(written(|out| push_number("NaN", out)), "\"NaN\"");
        assert_eq!(written(|out| push_number("-Infinity", out)), "\"-Infinity\"");
    }

    proptest! {
        #[test]
        fn a_string_reads_back_as_it_was(text: String) {
            let json = written(|out| push_string(&text, out));
            prop_assert!(!json.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
