//! What a flow says about a Kafka destination.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ductstream_core::{ByteSize, Error, Result, Secret, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value};

use crate::limits;
use crate::names::{Names, is_topic};
use crate::properties;

/// A destination of `type: kafka`: one topic per table, or as the template says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Addresses of brokers to begin with, such as `k1:9092,k2:9092` or a list.
    pub brokers: Brokers,
    /// Names of the topics: `{namespace}` and `{table}` stand for the table's.
    #[serde(default = "topic")]
    pub topic: String,
    /// What every topic's name starts with.
    #[serde(default)]
    pub prefix: String,
    /// Topics of single tables, such as `public.orders: orders`, instead of `prefix` and `topic`.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
    /// One message per change, or one per run of changes of a table.
    #[serde(default)]
    pub mode: MessageMode,
    /// After each deletion a message with the key and without a value, by which compacted topics forget the row.
    #[serde(default)]
    pub tombstones: bool,
    /// Headers with the operation, position, table, schema version and content type on each message.
    #[serde(default = "yes")]
    pub headers: bool,
    /// Topics that are missing: `true` creates them with the broker's defaults, a section with these settings. By default they have to exist.
    #[serde(default)]
    pub create_topics: CreateTopics,
    /// Which partition a key belongs to.
    #[serde(default)]
    pub partitioner: Partitioner,
    /// TLS: `true`, or a section with files in PEM.
    #[serde(default)]
    pub tls: Tls,
    /// User and password, or a token.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// The largest message. A larger one stops the flow, before any message of its batch is sent, or is dealt with as `on_error` says. Not above what broker and topic take
    /// (`message.max.bytes`, `max.message.bytes`).
    #[serde(default = "max_message_size")]
    pub max_message_size: ByteSize,
    /// How long a message may wait for the brokers' confirmation, retries included, before the flow goes back to its last checkpoint.
    #[serde(default = "delivery_timeout")]
    pub delivery_timeout: Span,
    /// Memory of messages that are not confirmed yet.
    #[serde(default = "memory_limit")]
    pub memory_limit: ByteSize,
    /// Each record exactly once for readers with `isolation.level=read_committed`: Kafka transactions carry records and the position behind
    /// them. `true`, or a section with these settings.
    #[serde(default)]
    pub exactly_once: ExactlyOnce,
    /// Any of librdkafka's properties, such as `compression.type: zstd`. Those that delivery depends on are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

/// How changes become messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageMode {
    /// One change per message, with the row's key.
    #[default]
    Record,
    /// A run of changes of one table per message, without a key.
    Batch,
}

/// Which partition a key belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// As the Java client has it. Messages without a key go to one partition, so that their order holds.
    #[default]
    Murmur2,
    /// As the Java client has it. Messages without a key go anywhere: the order of tables without a key is lost.
    Murmur2Random,
    /// As librdkafka has it by default, by CRC32.
    Consistent,
}

impl Partitioner {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Murmur2Random => "murmur2_random",
            Self::Consistent => "consistent",
        }
    }
}

/// Addresses of brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(Vec<String>);

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// What is done about missing topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CreateTopics {
    /// Nothing: the flow stops.
    #[default]
    No,
    /// They are created.
    Yes(NewTopics),
}

/// Settings of topics that are created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewTopics {
    /// Partitions; the broker's default by default.
    pub partitions: Option<u16>,
    /// Replicas of each partition; the broker's default by default.
    pub replication_factor: Option<u16>,
    /// Topic settings, such as `cleanup.policy: compact`.
    pub config: BTreeMap<String, Property>,
}

/// Whether records and positions are written in Kafka transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ExactlyOnce {
    /// No: at least once.
    #[default]
    No,
    /// Yes.
    Yes(ExactlyOnceSettings),
}

/// How Kafka transactions are cut.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExactlyOnceSettings {
    /// How long a Kafka transaction stays open after its first record: what readers wait for at most.
    pub transaction_age: Span,
    /// Bytes of messages after which a Kafka transaction is committed.
    pub transaction_size: ByteSize,
    /// Never split a transaction of the source over two Kafka transactions, unless it exceeds `transaction_limit`, or takes longer than half
    /// of `delivery_timeout`.
    pub transaction_aligned: bool,
    /// Bytes of messages after which a Kafka transaction is committed inside a transaction of the source; with `transaction_aligned`.
    pub transaction_limit: ByteSize,
    /// The topic that keeps the position; `_ductstream.FLOW.DESTINATION` by default. It has one partition and `cleanup.policy=compact`, and
    /// is created where topics are.
    pub position_topic: Option<String>,
}

impl Default for ExactlyOnceSettings {
    fn default() -> Self {
        Self {
            transaction_age: Span(limits::TRANSACTION_AGE),
            transaction_size: ByteSize(limits::TRANSACTION_BYTES),
            transaction_aligned: false,
            transaction_limit: ByteSize(limits::TRANSACTION_LIMIT_BYTES),
            position_topic: None,
        }
    }
}

/// TLS to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tls {
    /// No TLS.
    #[default]
    No,
    /// TLS, with the certificates that are given.
    Yes(Certificates),
}

/// Files of certificates, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// The authorities that the brokers' certificates are checked by; the system's by default.
    pub ca: Option<PathBuf>,
    /// A certificate for this client.
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`.
    pub key: Option<PathBuf>,
}

/// Who the flow is to the brokers: `username` and `password`, or with `OAUTHBEARER` a token that `token_url` gives for `client_id` and
/// `client_secret`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How it is told.
    pub mechanism: SaslMechanism,
    /// The user's name.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// URL of the token endpoint (OAuth 2.0, client credentials grant).
    #[serde(default)]
    pub token_url: Option<String>,
    /// The client's name at the token endpoint.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The client's secret at the token endpoint.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The scope to ask for.
    #[serde(default)]
    pub scope: Option<String>,
}

impl Sasl {
    /// What is wrong, and what to do.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let has_password = self.username.is_some() && self.password.is_some();
        let has_any_password = self.username.is_some() || self.password.is_some();
        let has_token = self.token_url.is_some() && self.client_id.is_some() && self.client_secret.is_some();
        let has_any_token = self.token_url.is_some() || self.client_id.is_some() || self.client_secret.is_some();
        match self.mechanism == SaslMechanism::OAuthBearer {
            true if !has_token || has_any_password => {
                Some(("does not fit OAUTHBEARER", "give `token_url`, `client_id` and `client_secret`, and no password"))
            }
            false if !has_password || has_any_token || self.scope.is_some() => {
                Some(("does not fit its mechanism", "give `username` and `password` alone"))
            }
            _ => None,
        }
    }
}

/// How brokers are told who the flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// User and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A proof of the password, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

impl SaslMechanism {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// A property's value as text: some hold secrets, so none is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Property(String);

impl Property {
    pub(crate) fn new(value: &str) -> Self {
        Self(value.to_owned())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl KafkaSettings {
    /// Where the messages go, as people name it: `kafka at k1:9092`.
    pub fn place(&self) -> String {
        format!("kafka at {}", self.brokers)
    }

    /// Refuses what cannot name a topic.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration).
    pub fn validate_topic(&self, topic: &str) -> Result<()> {
        if is_topic(topic) {
            return Ok(());
        }
        Err(Error::configuration(format!("{topic:?} cannot name a topic"))
            .with_remedy("write it in letters, digits, dots, hyphens and underscores"))
    }

    /// Refuses values that cannot work, before anything is connected to.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration), naming the setting.
    pub fn validate(&self) -> Result<()> {
        let refuse = |setting: &str, wrong: &str, remedy: &str| {
            Err(Error::configuration(format!("setting `{setting}` of the destination {wrong}")).with_remedy(remedy))
        };
        if self.brokers.0.iter().any(|broker| broker.trim().is_empty()) || self.brokers.0.is_empty() {
            return refuse("brokers", "names no broker", "write it as host:9092, or a list of such");
        }
        if self.max_message_size.0 < 1_000 || self.max_message_size.0 > 1_000_000_000 {
            return refuse("max_message_size", "is out of range", "set it to between 1kB and 1GB");
        }
        if self.memory_limit.0 < 4 * self.max_message_size.0 {
            return refuse(
                "memory_limit",
                "does not hold four messages",
                "set it to four times `max_message_size` or more",
            );
        }
        if self.delivery_timeout.0.as_secs() < 1 || self.delivery_timeout.0.as_secs() > 86_400 {
            return refuse("delivery_timeout", "is out of range", "set it to between 1s and 1d");
        }
        if let CreateTopics::Yes(new) = &self.create_topics
            && (new.partitions == Some(0) || new.replication_factor == Some(0))
        {
            return refuse("create_topics", "has a zero", "set `partitions` and `replication_factor` to 1 or more");
        }
        if let Tls::Yes(files) = &self.tls
            && files.certificate.is_some() != files.key.is_some()
        {
            return refuse("tls", "has one of `certificate` and `key`", "give both, or neither");
        }
        if let Some((wrong, remedy)) = self.sasl.as_ref().and_then(Sasl::fault) {
            return refuse("sasl", wrong, remedy);
        }
        if let ExactlyOnce::Yes(exactly_once) = &self.exactly_once {
            if self.delivery_timeout.0 > limits::TRANSACTION_DELIVERY_TIMEOUT {
                return refuse(
                    "delivery_timeout",
                    "is longer than a Kafka transaction may take",
                    "set it to 10m or less",
                );
            }
            if exactly_once.transaction_age.0.is_zero() || exactly_once.transaction_age.0 > self.delivery_timeout.0 / 2
            {
                return refuse(
                    "transaction_age",
                    "is out of range",
                    "set it above zero and to half of `delivery_timeout` or less",
                );
            }
            if exactly_once.transaction_size.0 == 0 || exactly_once.transaction_limit < exactly_once.transaction_size {
                let remedy = "set `transaction_size` above zero, and `transaction_limit` to at least that";
                return refuse("transaction_size", "is out of range", remedy);
            }
        }
        Names::new(self)?;
        properties::client(self).map(|_| ())
    }
}

fn topic() -> String {
    "{namespace}.{table}".to_owned()
}

fn yes() -> bool {
    true
}

fn max_message_size() -> ByteSize {
    ByteSize(limits::MESSAGE_BYTES)
}

fn delivery_timeout() -> Span {
    Span(limits::DELIVERY_TIMEOUT)
}

fn memory_limit() -> ByteSize {
    ByteSize(limits::MEMORY_BYTES)
}

impl<'de> Deserialize<'de> for Brokers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Brokers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("addresses such as k1:9092,k2:9092, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Brokers, E> {
                Ok(Brokers(text.split(',').map(|broker| broker.trim().to_owned()).collect()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Brokers, A::Error> {
                Deserialize::deserialize(value::SeqAccessDeserializer::new(list)).map(Brokers)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Brokers {
    fn schema_name() -> Cow<'static, str> {
        "Brokers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1})
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Property;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Property, E> {
                Ok(Property(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Property, E> {
                Ok(Property(value.to_string()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Property, E> {
                Ok(Property(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Property, E> {
                Ok(Property(value.to_string()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Property, E> {
                Ok(Property(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl JsonSchema for Property {
    fn schema_name() -> Cow<'static, str> {
        "Property".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// A setting that is `true`, `false` or a section.
macro_rules! switch_or_section {
    ($type:ident, $section:ident, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<$type, E> {
                        Ok(if is_on { $type::Yes($section::default()) } else { $type::No })
                    }
                    fn visit_map<A: MapAccess<'de>>(self, section: A) -> Result<$type, A::Error> {
                        Deserialize::deserialize(value::MapAccessDeserializer::new(section)).map($type::Yes)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let section = generator.subschema_for::<$section>();
                json_schema!({"anyOf": [{"type": "boolean"}, section]})
            }
        }
    };
}

switch_or_section!(
    CreateTopics,
    NewTopics,
    "true, false, or a section with `partitions`, `replication_factor`, `config`"
);
switch_or_section!(
    ExactlyOnce,
    ExactlyOnceSettings,
    "true, false, or a section with `transaction_age`, `transaction_size`, `transaction_aligned`, `transaction_limit`, `position_topic`"
);
switch_or_section!(Tls, Certificates, "true, false, or a section with `ca`, `certificate`, `key`");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut more: Value) -> Result<KafkaSettings, serde_json::Error> {
        more.as_object_mut().unwrap().entry("brokers").or_insert(json!("k1:9092, k2:9092"));
        serde_json::from_value(more)
    }

    #[test]
    fn defaults_work_and_brokers_are_a_text_or_a_list() {
        let settings = read(json!({})).unwrap();
        settings.validate().unwrap();
        assert_eq!(settings.brokers, read(json!({"brokers": ["k1:9092", "k2:9092"]})).unwrap().brokers);
        assert_eq!(settings.place(), "kafka at k1:9092,k2:9092");
        assert_eq!((settings.create_topics, settings.tls), (CreateTopics::No, Tls::No));
    }

    #[test]
    fn switches_may_be_sections_and_refuse_unknown_fields() {
        let settings =
            read(json!({"create_topics": {"partitions": 3, "config": {"retention.ms": 5}}, "tls": true})).unwrap();
        let CreateTopics::Yes(new) = settings.create_topics else { panic!("{settings:?}") };
        assert_eq!((new.partitions, new.config["retention.ms"].reveal()), (Some(3), "5"));
        assert_eq!(settings.tls, Tls::Yes(Certificates::default()));
        assert!(read(json!({"create_topics": {"partition": 3}})).unwrap_err().to_string().contains("partition"));
        assert!(read(json!({"topik": "x"})).unwrap_err().to_string().contains("topik"));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (more, setting) in [
            (json!({"brokers": ""}), "brokers"),
            (json!({"max_message_size": "10B"}), "max_message_size"),
            (json!({"memory_limit": "1MiB"}), "memory_limit"),
            (json!({"delivery_timeout": "10ms"}), "delivery_timeout"),
            (json!({"create_topics": {"partitions": 0}}), "create_topics"),
            (json!({"sasl": {"mechanism": "OAUTHBEARER", "username": "u", "password": "p"}}), "sasl"),
            (json!({"sasl": {"mechanism": "PLAIN", "username": "u"}}), "sasl"),
            (json!({"exactly_once": {"transaction_age": "0s"}}), "transaction_age"),
            (json!({"exactly_once": {"transaction_limit": "1MiB"}}), "transaction_size"),
            (json!({"exactly_once": {"position_topic": "a b"}}), "position_topic"),
            (json!({"exactly_once": true, "delivery_timeout": "1h"}), "delivery_timeout"),
            (json!({"tls": {"key": "k.pem"}}), "tls"),
            (json!({"topic": "{schema}"}), "topic"),
            (json!({"topics": {"orders": "o"}}), "topics"),
            (json!({"properties": {"acks": 1}}), "acks"),
            (json!({"properties": {"no.such.property": "x"}}), "no.such.property"),
        ] {
            let error = read(more).unwrap().validate().unwrap_err();
            assert!(error.message().contains(setting), "{error}");
            assert!(error.remedy().is_some(), "{error}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let sasl = json!({"mechanism": "PLAIN", "username": "app", "password": "hush"});
        let settings =
            read(json!({"sasl": sasl, "properties": {"ssl.key.password": "hush", "linger.ms": "hush"}})).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(!settings.validate().unwrap_err().report().contains("hush"));
    }
}
