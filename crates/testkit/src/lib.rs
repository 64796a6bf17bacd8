//! Real servers, conformance suites and fault doubles for tests. Never part of a release.
//!
//! - [`postgres`]: real PostgreSQL servers, a database per test
//! - [`kafka`]: a real broker, with a reader that is not ours
//! - [`s3`]: an S3-protocol server over HTTP
//! - [`registry`]: a schema registry that is not ours
//! - [`python`]: readers that are not ours
//! - [`proxy`]: a network that fails on request
//! - [`process`]: the built binary as a child process, and [`process::eventually`] to wait for conditions
//! - [`conformance`], [`batch`]: what every implementation of a trait has to pass, and batches to feed it
//!
//! Everything panics when it fails, as tests do, with the remedy where there is one. The servers come from
//! `cargo xtask servers`; nothing is ever skipped because one is missing.

#![expect(clippy::panic, clippy::expect_used, reason = "a failure here is a failed test, and has to say why")]

pub mod batch;
pub mod conformance;
pub mod kafka;
pub mod memory;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod registry;
pub mod s3;
