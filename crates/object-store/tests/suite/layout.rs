//! Names, manifests and partitions, as readers find them.

use ductstream_core::{Destination, Lsn, Position};
use ductstream_testkit::conformance::destination::Place;
use serde_json::json;

use super::support::{Bucket, Directory, ELEVEN, HOUR, at, batch, batch_at, first, name, start};

#[tokio::test]
async fn a_flush_puts_one_object_per_table_and_the_manifest_that_names_them() {
    let place = Bucket::new();
    let mut destination = place.writer();
    assert_eq!(destination.open(&first()).await.unwrap(), None);
    destination.write(batch(0x10, "orders", 2)).await.unwrap();
    destination.write(batch(0x20, "items", 3)).await.unwrap();
    let durable = destination.flush().await.unwrap();

    assert_eq!((durable.position(), durable.stored()), (at(0x21), Some(at(0x21))));
    assert_eq!(
        place.files(),
        [
            "shop/_cuts/0000000000000021-0000000000000000.json",
            "shop/public.items/0000000000000020-0000000000000000.lines",
            "shop/public.orders/0000000000000010-0000000000000000.lines",
        ]
    );
    let manifest = serde_json::to_value(&place.manifests()[0]).unwrap();
    assert_eq!(manifest["flow"], "orders");
    assert_eq!(manifest["version"], 1);
    assert_eq!(manifest["position"], json!({"commit_lsn": "0/21", "seq": 0}));
    assert_eq!((&manifest["previous"], &manifest["from"]), (&json!(null), &json!({"commit_lsn": "0/1", "seq": 0})));
    assert_eq!(
        manifest["objects"][1],
        json!({
            "path": "public.orders/0000000000000010-0000000000000000.lines",
            "table": {"namespace": "public", "name": "orders"},
            "schema_version": 1, "rows": 2, "bytes": 68,
            "first": {"commit_lsn": "0/10", "seq": 0}, "last": {"commit_lsn": "0/10", "seq": 1},
            "partition": null,
        })
    );
}

#[tokio::test]
async fn manifests_form_a_chain_across_restarts() {
    let place = Directory::new();
    let mut stored = None;
    for lsn in [10, 20, 30] {
        let mut destination = place.writer();
        let begin = start(stored.unwrap_or(at(1)), stored);
        assert_eq!(destination.open(&begin).await.unwrap(), stored);
        destination.write(batch(lsn, "orders", 1)).await.unwrap();
        stored = destination.flush().await.unwrap().stored();
    }
    let chain: Vec<_> = place.manifests().into_iter().map(|cut| (cut.previous, cut.from, cut.position)).collect();
    let links = [(None, at(1), at(11)), (Some(at(11)), at(11), at(21)), (Some(at(21)), at(21), at(31))];
    assert_eq!(chain, links);
}

#[tokio::test]
async fn records_go_to_the_partition_of_their_commit_time() {
    let place = Bucket::with(json!({"partition": "hour"}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch_at(16, "orders", &[ELEVEN, ELEVEN + HOUR, ELEVEN + 1])).await.unwrap();
    destination.flush().await.unwrap();

    let directory = "shop/public.orders/date=2025-11-23";
    let second = Position::new(Lsn(16), 1).object_name();
    let objects: Vec<_> = place.files().into_iter().filter(|name| name.ends_with(".lines")).collect();
    assert_eq!(
        objects,
        [format!("{directory}/hour=11/{}.lines", name(16)), format!("{directory}/hour=12/{second}.lines")]
    );
    let partitions: Vec<_> = place.manifests()[0].objects.iter().map(|object| object.partition.clone()).collect();
    assert_eq!(partitions, [Some("date=2025-11-23/hour=11".to_owned()), Some("date=2025-11-23/hour=12".to_owned())]);
    assert_eq!(place.manifests()[0].objects[0].rows, 2);
}

#[tokio::test]
async fn retried_records_get_the_same_names() {
    let place = Directory::new();
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut destination = place.writer();
        destination.open(&first()).await.unwrap();
        destination.write(batch(16, "orders", 5)).await.unwrap();
        destination.flush().await.unwrap();
        names.push(place.files());
        std::fs::remove_dir_all(place.path().join("shop/_cuts")).unwrap();
    }
    assert_eq!(names[0], names[1]);
    assert_eq!(place.read().await.len(), 5);
}

#[tokio::test]
async fn an_empty_prefix_puts_tables_at_the_top() {
    let place = Directory::with(json!({"prefix": ""}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    assert_eq!(place.files(), [format!("_cuts/{}.json", name(17)), format!("public.orders/{}.lines", name(16))]);
    let stored = place.writer().open(&start(at(17), Some(at(17)))).await.unwrap();
    assert_eq!(stored, Some(at(17)));
}
