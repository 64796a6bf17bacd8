//! A server that fails, is away, or does not answer.

use ductstream_core::{Destination, ErrorKind};
use serde_json::json;

use super::support::{Bucket, at, batch, first, start};

#[tokio::test]
async fn single_failures_are_retried_without_anyone_noticing() {
    let place = Bucket::new();
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    place.server.fail_next(2, 503);
    assert_eq!(destination.flush().await.unwrap().stored(), Some(at(17)));
}

#[tokio::test]
async fn a_server_that_is_away_asks_for_a_retry_and_the_next_try_delivers() {
    let place = Bucket::with(json!({"retry_for": "300ms"}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 2)).await.unwrap();
    place.server.set_down(Some(503));
    let error = destination.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{}", error.report());
    drop(destination);
    let error = place.writer().open(&first()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{}", error.report());

    place.server.set_down(None);
    let mut destination = place.writer();
    assert_eq!(destination.open(&first()).await.unwrap(), None);
    destination.write(batch(16, "orders", 2)).await.unwrap();
    assert_eq!(destination.flush().await.unwrap().position(), at(17));
    assert_eq!(place.read_all().len(), 2);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let place = Bucket::with(json!({"retry_for": "300ms", "request_timeout": "300ms"}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    place.server.set_stalled(true);
    assert_eq!(destination.flush().await.unwrap_err().kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn objects_without_their_manifest_are_not_durable_and_come_again_once() {
    let place = Bucket::with(json!({"retry_for": "300ms"}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    let durable = destination.flush().await.unwrap();
    destination.write(batch(32, "orders", 1)).await.unwrap();
    place.server.fail_when(|method, path| method == http::Method::PUT && path.contains("_cuts"), 500);
    assert_eq!(destination.flush().await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(place.read_all().len(), 2, "the object of the second cut is there");
    drop(destination);

    place.server.fail_no_more();
    let mut destination = place.writer();
    assert_eq!(destination.open(&start(durable.position(), durable.stored())).await.unwrap(), Some(at(17)));
    assert_eq!(place.read_all().len(), 1, "and is removed, because nothing had committed it");
    destination.write(batch(32, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    assert_eq!(place.read_all().len(), 2);
}

#[tokio::test]
async fn a_failed_part_fails_the_flush() {
    let place = Bucket { filler: 1 << 20, ..Bucket::with(json!({"part_size": "5MiB", "retry_for": "300ms"})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    place.server.fail_when(|_, path| path.contains("partNumber=2"), 500);
    destination.write(batch(16, "orders", 12)).await.unwrap();
    assert_eq!(destination.flush().await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_bucket_and_wrong_keys_are_settings_to_correct() {
    let place = Bucket::new();
    for (setting, value) in [("bucket", "missing"), ("secret_access_key", "wrong"), ("access_key_id", "nobody")] {
        let place = Bucket { server: place.server.clone(), more: json!({ setting: value }), filler: 0 };
        let error = place.writer().open(&first()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{setting}: {}", error.report());
        assert!(error.remedy().is_some());
        assert!(!error.report().contains(place.server.secret_key()));
    }
}

#[tokio::test]
async fn unsigned_requests_are_refused_by_the_test_server() {
    let place = Bucket::new();
    let store = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name(place.server.bucket())
        .with_endpoint(place.server.endpoint())
        .with_allow_http(true)
        .with_skip_signature(true)
        .build()
        .unwrap();
    let error = object_store::ObjectStoreExt::head(&store, &"any".into()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error}");
}
