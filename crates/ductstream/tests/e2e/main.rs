//! The built binary against real servers, from the flow file to the files that come out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here is a failed test")]

mod changes;
mod dead_letter;
mod debezium;
mod debezium_columns;
mod debezium_formats;
mod debezium_migration;
mod disk;
mod examples;
mod failover;
mod faults;
mod formats;
mod harness;
mod in_progress;
mod kafka;
mod kafka_exactly_once;
mod kafka_faults;
mod kafka_kills;
mod network;
mod outbox;
mod refusals;
mod registry;
mod registry_faults;
mod s3;
mod s3_faults;
mod seeded;
mod sizes;
mod standby;
mod tls;
mod transactions;
mod types;
mod versions;
mod wide;
