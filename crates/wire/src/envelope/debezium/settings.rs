//! The `debezium` section of a flow: Debezium's own option names and values.

use ductstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::prefixes::Prefixes;

/// The `debezium` section of a flow, used by the envelope of that name. The options are those of Debezium's PostgreSQL connector, under
/// its names, with its values and its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DebeziumSettings {
    /// The first part of topic and schema names, and `source.name`. By default the flow's name.
    #[serde(rename = "topic.prefix")]
    pub topic_prefix: Option<String>,
    /// Whether each JSON document carries its Connect schema, as with `schemas.enable` of Connect's `JsonConverter`.
    #[serde(rename = "schemas.enable")]
    pub schemas_enable: bool,
    /// How `numeric` and `money` are written.
    #[serde(rename = "decimal.handling.mode")]
    pub decimal: DecimalHandling,
    /// How dates, times and timestamps are written. `timetz` and `timestamptz` are text in every mode.
    #[serde(rename = "time.precision.mode")]
    pub time: TimePrecision,
    /// How `interval` is written.
    #[serde(rename = "interval.handling.mode")]
    pub interval: IntervalHandling,
    /// How `hstore` is written.
    #[serde(rename = "hstore.handling.mode")]
    pub hstore: HstoreHandling,
    /// How `bytea` is written.
    #[serde(rename = "binary.handling.mode")]
    pub binary: BinaryHandling,
    /// Digits after the point of `money`, which are the server's `lc_monetary`.
    #[serde(rename = "money.fraction.digits")]
    pub money_fraction_digits: u8,
    /// Whether a delete is followed by a tombstone: the same key with a null value, by which a compacted topic forgets the key.
    #[serde(rename = "tombstones.on.delete")]
    pub tombstones_on_delete: bool,
    /// Operations to leave out, separated by commas: `c` (create), `u` (update), `d` (delete), `t` (truncate); `none` for nothing.
    #[serde(rename = "skipped.operations")]
    pub skipped_operations: SkippedOperations,
    /// What stands for a value that was stored out of line and did not change, so that the server did not send it. The text itself:
    /// Debezium's `hex:` is refused.
    #[serde(rename = "unavailable.value.placeholder")]
    pub unavailable_value_placeholder: String,
    /// Which logical messages (`pg_logical_emit_message`) are told, by their prefixes: regular expressions, separated by commas, that fit the
    /// whole prefix in upper or lower case. All by default.
    #[serde(rename = "message.prefix.include.list")]
    pub message_prefix_include: Option<String>,
    /// Which logical messages are not told; instead of `message.prefix.include.list`.
    #[serde(rename = "message.prefix.exclude.list")]
    pub message_prefix_exclude: Option<String>,
    /// What becomes of characters of schema names that Avro does not allow.
    #[serde(rename = "schema.name.adjustment.mode")]
    pub schema_name_adjustment: NameAdjustment,
}

impl Default for DebeziumSettings {
    fn default() -> Self {
        Self {
            topic_prefix: None,
            schemas_enable: true,
            decimal: DecimalHandling::default(),
            time: TimePrecision::default(),
            interval: IntervalHandling::default(),
            hstore: HstoreHandling::default(),
            binary: BinaryHandling::default(),
            money_fraction_digits: 2,
            tombstones_on_delete: true,
            skipped_operations: SkippedOperations::default(),
            unavailable_value_placeholder: "__debezium_unavailable_value".to_owned(),
            message_prefix_include: None,
            message_prefix_exclude: None,
            schema_name_adjustment: NameAdjustment::default(),
        }
    }
}

impl DebeziumSettings {
    /// Refuses values that cannot be written with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) that names the option.
    pub fn validate(&self) -> Result<()> {
        if self.topic_prefix.as_ref().is_some_and(String::is_empty) {
            return Err(Error::configuration("topic.prefix is empty").with_remedy("name the flow's topics by it"));
        }
        if self.money_fraction_digits > 9 {
            let message = format!("money.fraction.digits is {}", self.money_fraction_digits);
            return Err(Error::configuration(message).with_remedy("set it to the digits of the server's lc_monetary"));
        }
        if self.unavailable_value_placeholder.starts_with("hex:") {
            let message = "unavailable.value.placeholder begins with hex:, which Debezium reads as octets";
            return Err(Error::configuration(message).with_remedy("write it as the text that the octets stand for"));
        }
        self.prefixes().map(|_| ())
    }

    /// The logical messages that are told.
    pub(super) fn prefixes(&self) -> Result<Prefixes> {
        Prefixes::new(self.message_prefix_include.as_deref(), self.message_prefix_exclude.as_deref())
    }
}

/// How `numeric` and `money` are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecimalHandling {
    /// Connect's `Decimal`, or `VariableScaleDecimal` for a numeric without scale.
    #[default]
    Precise,
    /// A double, which may round.
    Double,
    /// A string with all digits.
    String,
}

/// How dates, times and timestamps are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimePrecision {
    /// Days; milliseconds or microseconds by the column's precision.
    #[default]
    Adaptive,
    /// The same with times always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Connect's own `Date`, `Time` and `Timestamp`, in milliseconds: microseconds are cut off.
    Connect,
    /// ISO 8601 text.
    Isostring,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// How `interval` is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntervalHandling {
    /// Microseconds, with months of 30.4375 days.
    #[default]
    Numeric,
    /// ISO 8601, such as `P1Y2M3DT4H5M6.789S`: exact.
    String,
}

/// How `hstore` is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HstoreHandling {
    /// A JSON document as text.
    #[default]
    Json,
    /// A map.
    Map,
}

/// How `bytea` is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BinaryHandling {
    /// Bytes (in JSON, base64).
    #[default]
    Bytes,
    /// Base64 text.
    Base64,
    /// Base64 text of the alphabet that is safe in URLs.
    Base64UrlSafe,
    /// Hexadecimal text.
    Hex,
}

/// What becomes of characters of schema names that Avro does not allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameAdjustment {
    /// They stay.
    #[default]
    None,
    /// An underscore stands for them.
    Avro,
    /// An underscore and their code, as in `_u002d`.
    AvroUnicode,
}

impl NameAdjustment {
    /// A schema's full name, adjusted.
    pub(crate) fn apply(self, name: &str) -> String {
        let valid = |at: usize, char: char| {
            char.is_ascii_alphabetic() || matches!(char, '_' | '.') || at > 0 && char.is_ascii_digit()
        };
        let mut out = String::with_capacity(name.len());
        for (at, char) in name.chars().enumerate() {
            match self {
                Self::None => out.push(char),
                Self::AvroUnicode if char == '_' => out.push_str("_u005f"),
                _ if valid(at, char) => out.push(char),
                // A digit at the beginning stays, behind the underscore.
                Self::Avro if char.is_ascii_digit() => out.extend(['_', char]),
                // Debezium's characters are units of UTF-16.
                Self::Avro => (0..char.len_utf16()).for_each(|_| out.push('_')),
                Self::AvroUnicode => {
                    char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("_u{unit:04x}")));
                }
            }
        }
        out
    }
}

/// Operations that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct SkippedOperations {
    /// `c`: inserts.
    pub create: bool,
    /// `u`: updates.
    pub update: bool,
    /// `d`: deletes.
    pub delete: bool,
    /// `t`: truncates.
    pub truncate: bool,
}

impl Default for SkippedOperations {
    /// Truncates, as in Debezium.
    fn default() -> Self {
        Self { create: false, update: false, delete: false, truncate: true }
    }
}

impl TryFrom<String> for SkippedOperations {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let mut skipped = Self { create: false, update: false, delete: false, truncate: false };
        for operation in text.split(',').map(str::trim) {
            match operation {
                "c" => skipped.create = true,
                "u" => skipped.update = true,
                "d" => skipped.delete = true,
                "t" => skipped.truncate = true,
                "none" if text.trim() == "none" => {}
                _ => return Err(format!("`{operation}` is none of c, u, d, t; write `none` alone to skip nothing")),
            }
        }
        Ok(skipped)
    }
}

impl From<SkippedOperations> for String {
    fn from(skipped: SkippedOperations) -> Self {
        let all = [(skipped.create, "c"), (skipped.update, "u"), (skipped.delete, "d"), (skipped.truncate, "t")];
        let names: Vec<&str> = all.into_iter().filter(|(skip, _)| *skip).map(|(_, name)| name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(",") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_avro_does_not_allow_are_adjusted() {
        let name = "my-shop.public.order_items";
        assert_eq!(NameAdjustment::None.apply(name), name);
        assert_eq!(NameAdjustment::Avro.apply(name), "my_shop.public.order_items");
        assert_eq!(NameAdjustment::AvroUnicode.apply(name), "my_u002dshop.public.order_u005fitems");
        assert_eq!(NameAdjustment::Avro.apply("1shop.é😀"), "_1shop.___");
        assert_eq!(NameAdjustment::AvroUnicode.apply("1shop.é😀"), "_u0031shop._u00e9_ud83d_ude00");
    }

    #[test]
    fn values_that_cannot_be_written_with_are_refused_by_the_name_of_their_option() {
        let digits = DebeziumSettings { money_fraction_digits: 10, ..DebeziumSettings::default() };
        let octets =
            DebeziumSettings { unavailable_value_placeholder: "hex:5f".to_owned(), ..DebeziumSettings::default() };
        for (settings, option) in [(digits, "money.fraction.digits"), (octets, "unavailable.value.placeholder")] {
            assert!(settings.validate().unwrap_err().message().starts_with(option));
        }
        assert!(DebeziumSettings::default().validate().is_ok());
    }

    #[test]
    fn skipped_operations_read_back_as_they_are_written() {
        for text in ["none", "t", "c,u,d,t"] {
            assert_eq!(String::from(SkippedOperations::try_from(text.to_owned()).unwrap()), text);
        }
        assert!(SkippedOperations::try_from("x".to_owned()).unwrap_err().contains("`x`"));
        assert!(SkippedOperations::try_from("none,t".to_owned()).is_err());
    }
}
