//! From a value in JSON to a literal that the server reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::columns::Kind;

/// The literal of `value`; `None` for null. Panics when the value does not look as `kind` says.
pub(super) fn literal(kind: Kind, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = || value.as_str().unwrap_or_else(|| panic!("{kind:?} is {value}")).to_owned();
    Some(match kind {
        Kind::Text | Kind::Range | Kind::Other => text(),
        Kind::Bare => {
            assert!(value.is_i64() || value.is_u64() || value.is_boolean(), "{kind:?} is {value}");
            value.to_string()
        }
        Kind::Float if value.is_string() => {
            assert!(["NaN", "Infinity", "-Infinity"].contains(&text().as_str()), "{kind:?} is {value}");
            text()
        }
        Kind::Float => {
            assert!(value.is_number(), "{kind:?} is {value}");
            value.to_string()
        }
        Kind::Json => value.to_string(),
        Kind::Bytes => {
            let bytes = BASE64.decode(text()).unwrap_or_else(|error| panic!("{kind:?} is {value}: {error}"));
            bytes.iter().fold("\\x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
        }
        Kind::Date => era(&text()),
        Kind::Timestamp | Kind::Instant => {
            let text = text();
            let time = text.split_once('T').unwrap_or_else(|| panic!("{kind:?} is {value}")).1;
            let shape = if matches!(kind, Kind::Instant) { "00:00:00.000000Z" } else { "00:00:00.000000" };
            assert_eq!(time.replace(|c: char| c.is_ascii_digit(), "0"), shape, "{kind:?} is {value}");
            era(&text)
        }
        Kind::Array(item, delimiter) => {
            let items =
                list(value).iter().map(|value| literal(*item, value).map_or("NULL".to_owned(), |it| quoted(&it)));
            format!("{{{}}}", items.collect::<Vec<_>>().join(&delimiter.to_string()))
        }
        Kind::Multirange => {
            let ranges: Vec<String> = list(value).iter().map(|range| range.as_str().unwrap().to_owned()).collect();
            format!("{{{}}}", ranges.join(","))
        }
        Kind::Composite(fields) => {
            let object = value.as_object().unwrap_or_else(|| panic!("{kind:?} is {value}"));
            assert_eq!(object.len(), fields.len(), "{kind:?} is {value}");
            let fields = fields.iter().zip(object.values());
            let fields = fields.map(|(field, value)| literal(*field, value).map_or(String::new(), |it| quoted(&it)));
            format!("({})", fields.collect::<Vec<_>>().join(","))
        }
        Kind::Hstore => {
            let object = value.as_object().unwrap_or_else(|| panic!("{kind:?} is {value}"));
            let value = |value: &Value| value.as_str().map_or("NULL".to_owned(), quoted);
            object.iter().map(|(key, it)| format!("{}=>{}", quoted(key), value(it))).collect::<Vec<_>>().join(",")
        }
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("an array is {value}"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A date of ISO 8601 with an expanded year, whose year 0 is 1 BC, as PostgreSQL reads it.
fn era(text: &str) -> String {
    let (sign, unsigned) = match text.as_bytes()[0] {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => (1, text),
    };
    let (year, rest) = unsigned.split_once('-').unwrap();
    assert!(year.len() == if unsigned.len() == text.len() { 4 } else { year.len().max(6) }, "the year of {text}");
    match sign * year.parse::<i64>().unwrap() {
        year if year > 0 => format!("{year:04}-{rest}"),
        year => format!("{:04}-{rest} BC", 1 - year),
    }
}
