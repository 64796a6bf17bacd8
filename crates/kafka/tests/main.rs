//! The Kafka destination against a real broker.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod suite {
    mod conformance;
    mod fencing;
}
