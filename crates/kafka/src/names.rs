//! Which topic a table belongs to.

use std::collections::BTreeMap;
use std::fmt::Write;

use ductstream_core::{Error, Result, TableName};

use crate::limits;
use crate::settings::{ExactlyOnce, KafkaSettings};

/// The names of the topics.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Prefix and template.
    template: String,
    topics: BTreeMap<String, String>,
}

impl Names {
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a name could not be a topic's.
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self> {
        let template = format!("{}{}", settings.prefix, settings.topic);
        let literal = template.replace("{namespace}", "").replace("{table}", "");
        if settings.topic.is_empty() || !literal.chars().all(is_allowed) {
            let message = format!("setting `topic` of the destination cannot name topics: {template:?}");
            return Err(Error::configuration(message).with_remedy(
                "write it with `{namespace}`, `{table}`, and the letters, digits, dots, hyphens and underscores of topics",
            ));
        }
        for (table, topic) in &settings.topics {
            if !table.contains('.') || !is_topic(topic) {
                let message =
                    format!("setting `topics` of the destination cannot send table {table:?} to topic {topic:?}");
                return Err(Error::configuration(message).with_remedy(
                    "write tables as public.orders, and topics in letters, digits, dots, hyphens and underscores",
                ));
            }
        }
        if let ExactlyOnce::Yes(exactly_once) = &settings.exactly_once
            && let Some(topic) = exactly_once.position_topic.as_ref().filter(|topic| !is_topic(topic))
        {
            let message = format!("setting `position_topic` of the destination cannot name a topic: {topic:?}");
            return Err(
                Error::configuration(message).with_remedy("write it in letters, digits, dots, hyphens and underscores")
            );
        }
        Ok(Self { template, topics: settings.topics.clone() })
    }

    /// The topic of a table: `named`, if the envelope names one, and `topics` does not.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the name is too long for a topic's.
    pub(crate) fn topic(&self, table: &TableName, named: Option<String>) -> Result<String> {
        if let Some(topic) = self.topics.get(&table.to_string()) {
            return Ok(topic.clone());
        }
        let topic = named.unwrap_or_else(|| {
            let topic = self.template.replace("{namespace}", &escaped(&table.namespace));
            topic.replace("{table}", &escaped(&table.name))
        });
        if is_topic(&topic) {
            return Ok(topic);
        }
        Err(Error::configuration(format!("table {table} belongs to topic {topic:?}, and no topic can be named that"))
            .with_remedy(format!("name a topic for it: `topics: {{\"{table}\": NAME}}`")))
    }
}

fn is_allowed(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')
}

pub(crate) fn is_topic(name: &str) -> bool {
    (1..=limits::TOPIC_NAME_BYTES).contains(&name.len()) && name.chars().all(is_allowed) && !matches!(name, "." | "..")
}

/// A part of a table's name with each character that a topic cannot have, and each dot, as `_x`, its code in hexadecimal, `_`. No two names
/// become one: an underscore that begins what looks like an escape is escaped itself.
fn escaped(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for (index, char) in part.char_indices() {
        let is_escape = char == '_' && looks_escaped(&part[index..]);
        if is_allowed(char) && char != '.' && !is_escape {
            text.push(char);
        } else {
            // Writing to memory does not fail.
            let _ = write!(text, "_x{:x}_", u32::from(char));
        }
    }
    text
}

fn looks_escaped(text: &str) -> bool {
    let Some((code, _)) = text.strip_prefix("_x").and_then(|rest| rest.split_once('_')) else { return false };
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn names(settings: serde_json::Value) -> Names {
        let mut settings = settings;
        settings["brokers"] = json!("k:9092");
        Names::new(&serde_json::from_value(settings).unwrap()).unwrap()
    }

    #[test]
    fn a_topic_is_the_prefix_and_the_template_unless_the_table_has_its_own() {
        let names = names(json!({"prefix": "shop.", "topics": {"public.orders": "orders"}}));
        assert_eq!(names.topic(&TableName::new("public", "items"), None).unwrap(), "shop.public.items");
        assert_eq!(names.topic(&TableName::new("public", "orders"), None).unwrap(), "orders");
    }

    #[test]
    fn no_two_tables_share_a_topic_by_accident() {
        let names = names(json!({}));
        let tables = [
            ("a.b", "c"),
            ("a", "b.c"),
            ("a", "b c"),
            ("a", "b_x20_c"),
            ("a", "b_x5f_x20_c"),
            ("a", "é"),
            ("a", "tax_x"),
        ];
        let topics: BTreeSet<_> = tables
            .iter()
            .map(|(namespace, name)| names.topic(&TableName::new(*namespace, *name), None).unwrap())
            .collect();
        assert_eq!(topics.len(), tables.len());
        assert!(topics.contains("a.b_x20_c") && topics.contains("a.tax_x"), "{topics:?}");
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_with_the_way_out() {
        let error = names(json!({})).topic(&TableName::new("a", "é".repeat(63)), None).unwrap_err();
        assert!(error.report().contains("topics"), "{}", error.report());
    }
}
