//! Under which subject a schema is registered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How subjects are named. The names are those of Confluent's serializers, so that their deserializers and tools find them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectNameStrategy {
    /// `<topic>-key` and `<topic>-value`: one line of schemas per topic.
    #[default]
    TopicName,
    /// The record's full name: one line of schemas per table, whatever the topic.
    RecordName,
    /// `<topic>-<record's full name>`: one line of schemas per topic and table, for topics that several tables share.
    TopicRecordName,
}

/// Which part of a message a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePart {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl SubjectNameStrategy {
    /// The subject of the schema named `record` for a part of the messages to `topic`.
    pub fn subject(self, topic: &str, record: &str, part: MessagePart) -> String {
        match (self, part) {
            (Self::TopicName, MessagePart::Key) => format!("{topic}-key"),
            (Self::TopicName, MessagePart::Value) => format!("{topic}-value"),
            (Self::RecordName, _) => record.to_owned(),
            (Self::TopicRecordName, _) => format!("{topic}-{record}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_as_confluents_serializers_name_them() {
        let subject =
            |strategy: SubjectNameStrategy, part| strategy.subject("public.orders", "shop.public.orders.Value", part);
        assert_eq!(subject(SubjectNameStrategy::TopicName, MessagePart::Key), "public.orders-key");
        assert_eq!(subject(SubjectNameStrategy::TopicName, MessagePart::Value), "public.orders-value");
        assert_eq!(subject(SubjectNameStrategy::RecordName, MessagePart::Value), "shop.public.orders.Value");
        assert_eq!(
            subject(SubjectNameStrategy::TopicRecordName, MessagePart::Key),
            "public.orders-shop.public.orders.Value"
        );
    }
}
