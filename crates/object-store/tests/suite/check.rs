//! Preflight checks.

use ductstream_core::{Destination, Finding, Severity};
use ductstream_object_store::{S3Settings, Settings, check};
use serde_json::json;

use super::support::{Bucket, Directory, batch, first};

fn errors(found: &[Finding]) -> Vec<&Finding> {
    found.iter().filter(|finding| finding.severity == Severity::Error).collect()
}

#[tokio::test]
async fn a_writable_bucket_is_in_order_and_left_as_it_was() {
    let place = Bucket::new();
    let found = check(&place.settings(), "orders").await;
    assert!(errors(&found).is_empty(), "{found:?}");
    assert!(found.iter().all(|finding| finding.subject == "destination s3://events/shop"));
    assert_eq!(place.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_bucket_that_cannot_be_written_to_is_found_with_its_name_and_a_remedy() {
    let place = Bucket::new();
    place.server.fail_when(|method, _| method == http::Method::PUT, 403);
    let found = check(&place.settings(), "orders").await;
    let errors = errors(&found);
    assert!(errors[0].message.contains("s3://events/shop") && errors[0].remedy.is_some(), "{found:?}");
    assert!(place.writer().verify("flow").await.is_err());
}

#[tokio::test]
async fn a_missing_bucket_wrong_keys_and_an_absent_server_are_found() {
    let place = Bucket::new();
    for (setting, value) in [("bucket", "nowhere"), ("secret_access_key", "no"), ("endpoint", "http://127.0.0.1:1")] {
        let mut json = place.json();
        json[setting] = value.into();
        let settings: Settings = serde_json::from_value::<S3Settings>(json).unwrap().into();
        assert_eq!(errors(&check(&settings, "orders").await).len(), 1, "{setting}");
    }
}

#[tokio::test]
async fn a_prefix_of_another_flow_is_found() {
    let place = Bucket::new();
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    assert!(errors(&check(&place.settings(), "orders").await).is_empty());
    let found = check(&place.settings(), "invoices").await;
    assert!(errors(&found)[0].message.contains("\"orders\""), "{found:?}");
}

#[tokio::test]
async fn a_directory_is_checked_without_being_created() {
    let place = Directory::new();
    let found = check(&place.settings(), "orders").await;
    assert!(errors(&found).is_empty(), "{found:?}");
    place.writer().verify("flow").await.unwrap();
    assert!(!place.path().exists());
    assert_eq!(std::fs::read_dir(place.root.path()).unwrap().count(), 0);

    std::fs::write(place.path(), "in the way").unwrap();
    let found = check(&place.settings(), "orders").await;
    assert!(errors(&found)[0].remedy.as_deref().unwrap().contains("directory"), "{found:?}");
}

#[tokio::test]
async fn a_limit_that_cannot_work_is_found() {
    let place = Bucket::with(json!({"part_size": "1MiB"}));
    assert!(errors(&check(&place.settings(), "orders").await)[0].message.contains("part_size"));
}
