//! JSON values as literals that PostgreSQL reads.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::Kind;

/// The literal of `value`; `None` for null. Panics when the value does not look as `kind` says.
pub(super) fn literal(kind: Kind, value: &RawValue) -> Option<String> {
    let raw = value.get();
    if raw == "null" {
        return None;
    }
    let nested = |kind: Kind, value: &RawValue| literal(kind, value).map(|it| quoted(&it));
    Some(match kind {
        Kind::Json => raw.to_owned(),
        Kind::Array(item, delimiter) => {
            let items = read::<Vec<Box<RawValue>>>(raw);
            let items = items.iter().map(|value| nested(*item, value).unwrap_or("NULL".to_owned()));
            format!("{{{}}}", items.collect::<Vec<_>>().join(&delimiter.to_string()))
        }
        Kind::Multirange => format!("{{{}}}", read::<Vec<String>>(raw).join(",")),
        Kind::Composite(fields) => {
            let Object(members) = read(raw);
            assert_eq!(members.len(), fields.len(), "{kind:?} is {raw}");
            let fields =
                fields.iter().zip(&members).map(|(field, (_, value))| nested(*field, value).unwrap_or_default());
            format!("({})", fields.collect::<Vec<_>>().join(","))
        }
        Kind::Hstore => {
            let Object(members) = read(raw);
            let value = |value: &RawValue| nested(Kind::Text, value).unwrap_or("NULL".to_owned());
            let pairs = members.iter().map(|(key, it)| format!("{}=>{}", quoted(key), value(it)));
            pairs.collect::<Vec<_>>().join(",")
        }
        flat => of_scalar(flat, &read(raw)),
    })
}

fn of_scalar(kind: Kind, value: &Value) -> String {
    let text = || value.as_str().unwrap_or_else(|| panic!("{kind:?} is {value}")).to_owned();
    match kind {
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
        _ => text(),
    }
}

/// Reads JSON; panics with it when it is not what is wanted.
pub(super) fn read<T: DeserializeOwned>(raw: &str) -> T {
    serde_json::from_str(raw).unwrap_or_else(|error| panic!("{error}: {raw}"))
}

/// An object's members in order.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
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
