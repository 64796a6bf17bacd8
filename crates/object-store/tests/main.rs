//! The object store destination against real directories and a real S3-protocol server.

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
