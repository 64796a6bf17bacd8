use std::sync::Arc;

use ductstream_control::SqliteStore;
use ductstream_core::{CheckpointStore, ErrorKind, Severity};
use ductstream_testkit::conformance::checkpoint_store;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_checkpoint_stores() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state").join(SqliteStore::FILE_NAME);
    checkpoint_store::check_all(|| {
        let path = path.clone();
        async move { Arc::new(SqliteStore::open(&path).await.unwrap()) as Arc<dyn CheckpointStore> }
    })
    .await;
}

#[tokio::test]
async fn the_state_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("a/state");
    SqliteStore::open(&state.join(SqliteStore::FILE_NAME)).await.unwrap();
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(SqliteStore::FILE_NAME);
    std::fs::write(&path, "a text of some length, which is not a database at all\n".repeat(100)).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.message().contains(SqliteStore::FILE_NAME), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(SqliteStore::FILE_NAME);
    SqliteStore::open(&path).await.unwrap();
    let database = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&database).await.unwrap();
    database.close().await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_a_wrong_setting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = SqliteStore::open(&file.join("state/checkpoints.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.remedy().unwrap().contains("--state"));
}

#[tokio::test]
async fn an_address_of_an_unknown_kind_is_refused_without_being_quoted() {
    let error = ductstream_control::open("mysql://app:hunter2@db/shop").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("mysql://"), "{error}");
    assert!(!error.report().contains("hunter2"), "{}", error.report());
}

#[tokio::test]
async fn a_store_opens_by_path_and_by_url() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.db");
    for address in
        [format!("{}", path.display()), format!("sqlite:{}", path.display()), format!("sqlite://{}", path.display())]
    {
        let store = ductstream_control::open(&address).await.unwrap();
        assert_eq!(store.flows().await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name() == "c.db").count(),
        1
    );
}

#[tokio::test]
async fn a_check_creates_nothing_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let check = async |path: &str| ductstream_control::check(&directory.path().join(path).display().to_string()).await;
    assert_eq!(check("state/checkpoints.db").await.severity, Severity::Ok);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    std::fs::write(directory.path().join("file"), "").unwrap();
    assert_eq!(check("file/checkpoints.db").await.severity, Severity::Error);
}
