//! What is special about directories.

use ductstream_core::{Destination, ErrorKind};
use serde_json::json;

use super::support::{Directory, at, batch, first, name};

#[tokio::test]
async fn directories_are_created_when_missing() {
    let root = tempfile::tempdir().unwrap();
    let place = Directory::with(json!({"path": root.path().join("a/b/c")}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    let object = root.path().join(format!("a/b/c/shop/public.orders/{}.lines", name(16)));
    assert!(object.is_file());
}

#[tokio::test]
async fn a_file_in_the_way_is_a_setting_to_correct() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("taken"), "").unwrap();
    for path in ["taken", "taken/below"] {
        let place = Directory::with(json!({"path": root.path().join(path)}));
        let error = place.writer().open(&first()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    }
}

#[tokio::test]
async fn large_objects_are_staged_in_parts_and_renamed_when_complete() {
    let place = Directory { filler: 1000, ..Directory::with(json!({"part_size": "4KiB", "memory_limit": "1MiB"})) };
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 50)).await.unwrap();
    let object = format!("shop/public.orders/{}.lines", name(16));
    assert_eq!(place.files(), [format!("{object}#1")], "half an object never has its final name");
    assert_eq!(destination.flush().await.unwrap().position(), at(17));
    assert_eq!(place.files(), [format!("shop/_cuts/{}.json", name(17)), object]);
    assert_eq!(place.read_all().len(), 50);
}
