//! Under which subject a schema is registered.

use ductstream_wire::SchemaSubject;
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

impl SubjectNameStrategy {
    /// The subject's name.
    pub fn subject(self, of: &SchemaSubject<'_>) -> String {
        let SchemaSubject { topic, record_name, is_key } = *of;
        match self {
            Self::TopicName if is_key => format!("{topic}-key"),
            Self::TopicName => format!("{topic}-value"),
            Self::RecordName => record_name.to_owned(),
            Self::TopicRecordName => format!("{topic}-{record_name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_as_confluents_serializers_name_them() {
        let subject = |strategy: SubjectNameStrategy, is_key| {
            strategy.subject(&SchemaSubject { topic: "public.orders", record_name: "shop.orders.Value", is_key })
        };
        assert_eq!(subject(SubjectNameStrategy::TopicName, true), "public.orders-key");
        assert_eq!(subject(SubjectNameStrategy::TopicName, false), "public.orders-value");
        assert_eq!(subject(SubjectNameStrategy::RecordName, false), "shop.orders.Value");
        assert_eq!(subject(SubjectNameStrategy::TopicRecordName, true), "public.orders-shop.orders.Value");
    }
}
