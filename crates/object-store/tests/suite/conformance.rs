//! The contract that every destination keeps.

use ductstream_testkit::conformance::destination;
use serde_json::json;

use super::support::{Bucket, Directory};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_destination_contract() {
    destination::run(Directory::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_rolls_at_every_batch_keeps_the_destination_contract() {
    destination::run(|| Directory::with(json!({"roll": {"rows": 1}}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_the_destination_contract() {
    destination::run(Bucket::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_rolls_at_every_batch_keeps_the_destination_contract() {
    destination::run(|| Bucket::with(json!({"roll": {"rows": 1}, "partition": "hour"}))).await;
}
