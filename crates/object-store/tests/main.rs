//! The object store destination against real directories and a real S3-protocol server.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod suite {
    mod check;
    mod conformance;
    mod cuts;
    mod faults;
    mod files;
    mod layout;
    mod recovery;
    mod support;
}
