//! When objects are closed, and what is durable then.

use std::time::Duration;

use ductstream_core::Destination;
use serde_json::json;

use super::support::{Bucket, Directory, at, batch, bound, first, progress};

#[tokio::test]
async fn objects_roll_by_rows_for_all_tables_at_one_position() {
    let place = Directory::with(json!({"roll": {"rows": 5}}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(10, "orders", 3)).await.unwrap();
    destination.write(batch(20, "items", 1)).await.unwrap();
    assert!(place.manifests().is_empty());
    destination.write(batch(30, "items", 1)).await.unwrap();
    let durable = progress(&mut destination).await;
    assert_eq!((durable.position(), durable.stored()), (at(31), Some(at(31))));
    let objects: Vec<_> = place.manifests()[0].objects.iter().map(|object| object.rows).collect();
    assert_eq!(objects, [2, 3]);
}

#[tokio::test]
async fn objects_roll_by_bytes_of_any_one_of_them() {
    let place = Bucket { filler: 1000, ..Bucket::with(json!({"roll": {"bytes": "10KiB"}})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(10, "orders", 9)).await.unwrap();
    destination.write(batch(20, "items", 9)).await.unwrap();
    assert!(place.manifests().is_empty(), "18 KiB in two objects is less than 10 KiB in one");
    destination.write(batch(30, "orders", 1)).await.unwrap();
    assert_eq!(progress(&mut destination).await.position(), at(31));
}

#[tokio::test]
async fn objects_roll_by_age_of_their_first_record_without_any_write() {
    let place = Bucket::with(json!({"roll": {"age": "200ms"}}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    let begin = std::time::Instant::now();
    destination.write(batch(10, "orders", 1)).await.unwrap();
    destination.write(bound(50)).await.unwrap();
    let durable = progress(&mut destination).await;
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_eq!((durable.position(), durable.stored()), (at(50), Some(at(50))), "the cut covers the bounds behind it");
}

#[tokio::test]
async fn objects_roll_when_they_take_too_much_memory() {
    let place = Directory { filler: 1000, ..Directory::with(json!({"part_size": "8KiB", "memory_limit": "16KiB"})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    // Two KiB in each table: none is large enough for a part, and four together take half of the memory.
    for table in 0..4 {
        destination.write(batch(10 + table, &format!("t{table}"), 2)).await.unwrap();
    }
    assert_eq!(progress(&mut destination).await.position(), at(14));
    assert_eq!(place.manifests()[0].objects.len(), 4);
}

#[tokio::test]
async fn bounds_without_records_need_no_manifest() {
    let place = Directory::new();
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(bound(40)).await.unwrap();
    let durable = progress(&mut destination).await;
    assert_eq!((durable.position(), durable.stored()), (at(40), None));
    assert_eq!(place.files(), Vec::<String>::new());

    destination.write(batch(50, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    destination.write(bound(60)).await.unwrap();
    let durable = progress(&mut destination).await;
    assert_eq!((durable.position(), durable.stored()), (at(60), Some(at(51))));
}

#[tokio::test]
async fn status_counts_what_is_durable_and_nothing_else() {
    let place = Directory::new();
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(10, "orders", 2)).await.unwrap();
    destination.write(batch(20, "items", 1)).await.unwrap();
    assert_eq!(destination.status().records, 0);
    destination.flush().await.unwrap();
    let status = destination.status();
    assert_eq!((status.objects, status.records, status.bytes), (2, 3, 3 * 34));
    let tables: Vec<_> = status.tables.iter().map(|(table, counts)| (table.name.as_str(), *counts)).collect();
    assert_eq!(tables, [("items", (1, 34)), ("orders", (2, 68))]);
}

#[tokio::test]
async fn one_cut_is_uploaded_while_the_next_is_filled_and_no_more() {
    let place = Bucket::with(json!({"roll": {"rows": 2}}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    place.server.set_stalled(true);
    destination.write(batch(10, "orders", 2)).await.unwrap();
    destination.write(batch(20, "orders", 1)).await.unwrap();
    let blocked = tokio::time::timeout(Duration::from_millis(300), destination.write(batch(30, "orders", 1))).await;
    assert!(blocked.is_err(), "a second full cut waits for the first");
}

#[tokio::test]
async fn large_objects_are_sent_in_parts_and_visible_only_when_complete() {
    let place = Bucket { filler: 1 << 20, ..Bucket::with(json!({"part_size": "5MiB"})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(10, "orders", 12)).await.unwrap();
    let sent = || place.server.requests().iter().filter(|(_, path)| path.contains("partNumber")).count();
    while sent() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(place.files(), Vec::<String>::new(), "nothing is visible yet");
    destination.flush().await.unwrap();
    assert_eq!(sent(), 3);
    assert_eq!(place.read_all().len(), 12);
    let object = &place.manifests()[0].objects[0];
    let size = std::fs::metadata(place.server.root().join("shop").join(&object.path)).unwrap().len();
    assert_eq!((object.rows, object.bytes), (12, size));
}

#[tokio::test]
async fn an_abandoned_upload_is_aborted() {
    let place = Bucket { filler: 1 << 20, ..Bucket::with(json!({"part_size": "5MiB"})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(10, "orders", 12)).await.unwrap();
    drop(destination);
    let aborted =
        |(method, path): &(http::Method, String)| *method == http::Method::DELETE && path.contains("uploadId");
    while !place.server.requests().iter().any(aborted) {
        tokio::task::yield_now().await;
    }
    assert_eq!(place.files(), Vec::<String>::new());
}
