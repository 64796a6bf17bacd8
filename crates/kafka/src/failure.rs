//! From what librdkafka says to what the caller does next.

use ductstream_core::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::token::UNREACHABLE;

/// Turns an error code, and what librdkafka said about it, into an error that says what was being done.
pub(crate) fn explain(code: Code, said: &str, doing: &str, place: &str) -> Error {
    let (kind, remedy) = classify(code, said);
    let said = if said.is_empty() { code.to_string() } else { said.to_owned() };
    Error::new(kind, format!("cannot {doing} {place}: {said}")).with_remedy(remedy)
}

/// The same for an error of the client.
pub(crate) fn explain_error(error: &KafkaError, doing: &str, place: &str) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => explain(code, "", doing, place),
        None => Error::retry(format!("cannot {doing} {place}: {error}")).with_remedy("look at the brokers' logs"),
    }
}

/// Whether waiting cannot help.
pub(crate) fn is_final(code: Code, said: &str) -> bool {
    classify(code, said).0 != ErrorKind::Retry
}

fn classify(code: Code, said: &str) -> (ErrorKind, &'static str) {
    use ErrorKind::{Configuration, Data, Fenced, Retry};
    match code {
        Code::Authentication if said.contains(UNREACHABLE) => {
            (Retry, "check `sasl.token_url`, and that it can be reached; the flow goes on by itself")
        }
        // The status of RFC 7628, 3.2.2: it may have expired on the way, or the brokers cannot reach the keys to verify it.
        Code::Authentication | Code::SaslAuthenticationFailed if said.contains("invalid_token") => (
            Retry,
            "compare the clocks of the token endpoint and the brokers, and the token's audience; the flow goes on by itself",
        ),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            (Configuration, "correct `sasl`: the mechanism, and the user and password or the client")
        }
        Code::UnsupportedSASLMechanism => (Configuration, "set `sasl.mechanism` to one that the brokers offer"),
        Code::SSL if said.contains("certificate") => (
            Configuration,
            "set `tls.ca` to the authority of the brokers' certificates, and look at their dates and names",
        ),
        Code::SSL => (Retry, "check that the listener speaks TLS, and `tls`"),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::GroupAuthorizationFailed => {
            (Configuration, "grant the user to describe and write the topics, and to create them where the flow does")
        }
        Code::TransactionalIdAuthorizationFailed => {
            (Configuration, "grant the user to describe and write the transactional id")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => (
            Data,
            "raise `max.message.bytes` of the topic, or lower `max_message_size` to it: requests are as large as that",
        ),
        Code::InvalidTopic
        | Code::PolicyViolation
        | Code::InvalidConfig
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor => {
            (Configuration, "correct `create_topics` and the topic's name to what the brokers allow")
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            (Fenced, "stop one of the two: another process runs this flow")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            (Retry, "create the topic, or set `create_topics`")
        }
        Code::MessageTimedOut => {
            (Retry, "check that the partitions' leaders can be reached, and that enough replicas are in sync")
        }
        _ => (Retry, "check that the brokers can be reached; the flow goes on by itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_has_to_change_is_told_from_what_passes() {
        for (code, said, kind) in [
            (Code::Authentication, "SASL authentication error", ErrorKind::Configuration),
            (Code::Authentication, "SASL authentication error: {\"status\":\"invalid_token\"}", ErrorKind::Retry),
            (Code::SSL, "certificate verify failed", ErrorKind::Configuration),
            (Code::SSL, "Disconnected", ErrorKind::Retry),
            (Code::BrokerTransportFailure, "Connection refused", ErrorKind::Retry),
            (Code::MessageSizeTooLarge, "", ErrorKind::Data),
            (Code::UnknownTopicOrPartition, "", ErrorKind::Retry),
            (Code::ProducerFenced, "", ErrorKind::Fenced),
        ] {
            let error = explain(code, said, "write to", "kafka at k:9092");
            assert_eq!(error.kind(), kind, "{code:?}");
            assert!(error.remedy().is_some());
        }
    }
}
