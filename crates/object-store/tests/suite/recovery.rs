//! What `open` makes of what is there.

use ductstream_core::{Ancestors, Destination, DestinationStart, ErrorKind, Lsn, SourceIdentity};
use serde_json::json;

use super::support::{Bucket, Directory, at, batch, first, name, source, start};

/// Writes one committed record at 16 (cut at 17).
async fn committed(place: &Directory) {
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
}

fn put(place: &Directory, path: &str) {
    let path = place.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "left").unwrap();
}

#[tokio::test]
async fn objects_beyond_the_last_cut_are_removed_and_nothing_else() {
    let place = Directory::new();
    committed(&place).await;
    let (cut, before, beyond) = (name(17), name(15), name(32));
    let leftovers = [
        format!("shop/public.orders/{cut}.lines"),
        format!("shop/public.orders/{beyond}.lines"),
        format!("shop/public.orders/date=2025-11-23/{beyond}.lines"),
        format!("shop/other.items/date=2020-01-01/hour=00/{beyond}.lines"),
        format!("shop/public.orders/{beyond}.lines#1"),
        format!("shop/_cuts/{beyond}.json#3"),
    ];
    let foreign = [
        format!("shop/public.orders/{before}.lines"),
        format!("shop/public.orders/{beyond}.csv"),
        format!("shop/public.orders/{beyond}.lines#x"),
        format!("shop/public.orders/backup/{beyond}.lines"),
        "shop/public.orders/README.lines".to_owned(),
        format!("shop/notes/{beyond}.lines"),
        format!("elsewhere/public.orders/{beyond}.lines"),
    ];
    let kept: Vec<String> = place.files();
    leftovers.iter().chain(&foreign).for_each(|path| put(&place, path));

    assert_eq!(place.writer().open(&start(at(17), Some(at(17)))).await.unwrap(), Some(at(17)));
    let mut expected = [kept, foreign.to_vec()].concat();
    expected.sort();
    assert_eq!(place.files(), expected);
}

#[tokio::test]
async fn a_manifest_shows_a_gap_exactly_where_a_flow_was_started_anew() {
    // The checkpoint is beyond the cut at 17: nothing but bounds came after it. One that knows of no cut is a new flow's.
    for (stored, from) in [(Some(at(17)), at(17)), (None, at(20))] {
        let place = Directory::new();
        committed(&place).await;
        let mut destination = place.writer();
        assert_eq!(destination.open(&start(at(20), stored)).await.unwrap(), Some(at(17)));
        for lsn in [32, 48] {
            destination.write(batch(lsn, "orders", 1)).await.unwrap();
            destination.flush().await.unwrap();
        }
        let links: Vec<_> = place.manifests().into_iter().map(|it| (it.previous, it.from)).collect();
        assert_eq!(links[1..], [(Some(at(17)), from), (Some(at(33)), at(33))], "{stored:?}");
    }
}

#[tokio::test]
async fn leftovers_in_a_bucket_are_found_beside_and_in_partitions() {
    let place = Bucket::with(json!({"partition": "date"}));
    let mut destination = place.writer();
    destination.open(&first()).await.unwrap();
    destination.write(batch(16, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    let kept = place.files();
    for path in ["", "date=2025-11-22/", "date=2025-11-23/", "date=2025-11-24/hour=07/"] {
        let path = place.server.root().join(format!("shop/public.orders/{path}{}.lines", name(32)));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "left").unwrap();
    }
    assert_eq!(place.writer().open(&start(at(17), Some(at(17)))).await.unwrap(), Some(at(17)));
    assert_eq!(place.files(), kept);
}

#[tokio::test]
async fn a_first_run_that_never_committed_leaves_nothing() {
    let place = Directory::new();
    let (old, new) =
        (format!("shop/public.orders/{}.lines", name(5)), format!("shop/public.orders/{}.lines", name(10)));
    put(&place, &old);
    put(&place, &new);
    assert_eq!(place.writer().open(&start(at(10), None)).await.unwrap(), None);
    assert_eq!(place.files(), [old], "records before the start would not come again");
}

#[tokio::test]
async fn a_cut_that_no_checkpoint_knows_yet_is_where_the_flow_goes_on() {
    let place = Directory::new();
    committed(&place).await;
    assert_eq!(place.writer().open(&first()).await.unwrap(), Some(at(17)));
    assert_eq!(place.read_all().len(), 1);
}

#[tokio::test]
async fn a_manifest_that_no_checkpoint_knows_and_whose_objects_are_gone_is_removed() {
    let place = Directory::new();
    committed(&place).await;
    let mut destination = place.writer();
    destination.open(&start(at(17), Some(at(17)))).await.unwrap();
    destination.write(batch(32, "orders", 1)).await.unwrap();
    destination.flush().await.unwrap();
    std::fs::remove_file(place.path().join(format!("shop/public.orders/{}.lines", name(32)))).unwrap();

    assert_eq!(place.writer().open(&start(at(17), Some(at(17)))).await.unwrap(), Some(at(17)));
    assert_eq!(place.manifests().len(), 1);
}

#[tokio::test]
async fn objects_that_a_checkpoint_vouches_for_may_be_moved_away() {
    let place = Directory::new();
    committed(&place).await;
    std::fs::remove_dir_all(place.path().join("shop/public.orders")).unwrap();
    assert_eq!(place.writer().open(&start(at(17), Some(at(17)))).await.unwrap(), Some(at(17)));
}

#[tokio::test]
async fn a_lost_manifest_is_a_resync_that_names_both_positions() {
    let place = Directory::new();
    committed(&place).await;
    let error = place.writer().open(&start(at(99), Some(at(99)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync);
    assert!(error.message().contains("0/63+0") && error.message().contains("0/11+0"), "{}", error.report());
    assert_eq!(place.read_all().len(), 1, "nothing was removed");
}

#[tokio::test]
async fn another_flows_prefix_is_refused() {
    let place = Directory::new();
    committed(&place).await;
    let start = DestinationStart { flow: "invoices".into(), ..first() };
    let error = place.writer().open(&start).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.report().contains("orders") && error.report().contains("prefix"), "{}", error.report());
}

#[tokio::test]
async fn positions_of_another_source_are_refused() {
    let place = Directory::new();
    committed(&place).await;
    let other = SourceIdentity { system_identifier: "9999".into(), ..source() };
    let error = place.writer().open(&DestinationStart { source: other, ..first() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync);
}

#[tokio::test]
async fn a_cut_of_an_ancestor_timeline_counts_up_to_where_that_was_left() {
    let promoted = SourceIdentity { timeline: 3, ..source() };
    let left_at = |lsn| DestinationStart {
        source: promoted.clone(),
        ancestors: Ancestors::new([(1, Lsn(lsn)), (2, Lsn(99))]),
        ..first()
    };
    let place = Directory::new();
    committed(&place).await;
    let error = place.writer().open(&left_at(16)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync, "the promoted server has lost what lies between 16 and 17");
    assert!(error.message().contains("0/11+0") && error.message().contains("0/10"), "{}", error.report());
    assert_eq!(place.read_all().len(), 1, "nothing was removed");
    assert_eq!(place.writer().open(&left_at(17)).await.unwrap(), Some(at(17)));
}

#[tokio::test]
async fn a_cut_of_an_unrelated_timeline_counts_only_where_the_flow_has_come_that_far() {
    let place = Directory::new();
    committed(&place).await;
    let promoted = SourceIdentity { timeline: 2, ..source() };
    let behind = DestinationStart { source: promoted.clone(), ..first() };
    let error = place.writer().open(&behind).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync, "the promoted server may write other changes at those positions");
    assert!(error.message().contains("timeline 1") && error.message().contains("timeline 2"), "{}", error.report());
    let reached = DestinationStart { source: promoted, ..start(at(17), None) };
    assert_eq!(place.writer().open(&reached).await.unwrap(), Some(at(17)));
}

#[tokio::test]
async fn what_a_crash_left_is_removed_even_when_the_format_has_changed_since() {
    let place = Directory::new();
    committed(&place).await;
    let leftover = format!("shop/public.orders/{}.parquet", name(99));
    put(&place, &leftover);
    place.writer().open(&start(at(17), Some(at(17)))).await.unwrap();
    assert!(!place.files().contains(&leftover), "{:?}", place.files());
}

#[tokio::test]
async fn a_manifest_that_is_none_is_not_guessed_at() {
    let place = Directory::new();
    put(&place, &format!("shop/_cuts/{}.json", name(17)));
    let error = place.writer().open(&first()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
