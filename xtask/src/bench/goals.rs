//! What the figures have to be, in one place.

use super::client::{Client, Transport};
use super::kafka::Shape;
use crate::report::Goal;

/// The commit of a transaction to its line on standard output, in milliseconds.
pub(super) fn latency(percentile: &str) -> Option<Goal> {
    match percentile {
        "p50" => Some(Goal::value(5.0, 2.0)),
        "p99" => Some(Goal::value(20.0, 8.0)),
        _ => None,
    }
}

/// The commit of a transaction to a consumer of the topic, in milliseconds.
pub(super) fn kafka_latency(percentile: &str) -> Option<Goal> {
    match percentile {
        "p50" => Some(Goal::value(5.0, 3.0)),
        "p99" => Some(Goal::value(25.0, 15.0)),
        _ => None,
    }
}

/// The resident set of an idle flow, in megabytes.
pub(super) fn idle_memory() -> Goal {
    Goal::value(20.0, None)
}

/// What an idle flow takes of a core, in percent.
pub(super) fn idle_cpu() -> Goal {
    Goal::value(0.5, None)
}

/// Rows that one core decodes in a second.
pub(super) fn decoder() -> Goal {
    Goal::value(2e6, 4e6)
}

/// Rows that one core encodes in a second.
pub(super) fn encoder() -> Goal {
    Goal::value(1e6, 2e6)
}

/// By how much the last rows of a long backlog may take longer, or more memory, than the first.
pub(super) fn growth() -> Goal {
    Goal::value(1.15, None)
}

/// Peak memory of one client, in megabytes.
pub(super) fn memory(client: Client) -> Option<Goal> {
    match client {
        Client::Json | Client::Parquet => Some(Goal::value(150.0, 100.0)),
        Client::Kafka(shape) if is_usual(shape) => Some(Goal::value(200.0, 120.0)),
        _ => None,
    }
}

/// Speed against `pg_recvlogical` over the same transport.
pub(super) fn speed(workload: &str, transport: Transport, client: Client) -> Option<Goal> {
    match client {
        Client::Json | Client::Parquet => {}
        Client::Kafka(shape) => return is_usual(shape).then(|| Goal::ratio(1.0, 1.6)),
        _ => return None,
    }
    Some(match (workload, transport) {
        ("drain", Transport::Tcp) => Goal::ratio(1.6, 2.4),
        ("drain", Transport::Unix) => Goal::ratio(1.0, 1.4),
        ("transaction" | "growth", _) => return None,
        _ => Goal::ratio(1.0, 1.3),
    })
}

/// Processor seconds per million rows of seven columns.
pub(super) fn cpu(workload: &str, client: Client) -> Option<Goal> {
    match (workload, client) {
        ("drain", Client::Parquet) => Some(Goal::value(2.5, 1.5)),
        ("drain", Client::Json) => Some(Goal::value(3.0, 1.5)),
        (_, Client::Kafka(shape)) if is_usual(shape) => Some(Goal::value(5.0, 2.5)),
        _ => None,
    }
}

/// The other shapes are for information.
fn is_usual(shape: Shape) -> bool {
    matches!(shape, Shape::Json | Shape::Avro | Shape::Proto)
}
