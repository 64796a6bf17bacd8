//! Real servers, conformance suites and fault doubles for tests. Never part of a release.

pub mod batch;
pub mod conformance;
pub mod memory;
pub mod postgres;
pub mod python;
pub mod s3;
