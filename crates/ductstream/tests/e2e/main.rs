//! The built binary against real servers, from the flow file to the files that come out.

mod changes;
mod examples;
mod faults;
mod harness;
mod network;
mod refusals;
mod s3;
mod tls;
mod types;
