//! Real PostgreSQL servers: one cluster per version and test process, a database per test.
//!
//! ```no_run
//! # async fn example() {
//! use ductstream_testkit::postgres::{Postgres, supported_versions};
//!
//! for version in supported_versions() {
//!     let database = Postgres::version(version).await.database().await;
//!     database.execute("create table notes (id int primary key, note text)").await;
//!     assert_eq!(database.query_value("select count(*) from notes").await, "0");
//! }
//! # }
//! ```

mod certificates;
mod cluster;
mod database;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

pub use certificates::Certificates;
pub use cluster::{Cluster, ClusterBuilder};
pub use database::TestDatabase;

/// The versions that a suite runs against: the oldest and the newest that `cargo xtask servers` fetches, or those in
/// `DUCTSTREAM_TEST_POSTGRES`, separated by commas.
pub fn supported_versions() -> Vec<u16> {
    match std::env::var("DUCTSTREAM_TEST_POSTGRES") {
        Err(_) => vec![14, 18],
        Ok(list) => {
            list.split(',')
                .map(|version| {
                    version.trim().parse().unwrap_or_else(|_| {
                        panic!("DUCTSTREAM_TEST_POSTGRES={list}: {version:?} is not a major version")
                    })
                })
                .collect()
        }
    }
}

/// The shared clusters of this test process.
#[derive(Debug)]
pub struct Postgres;

impl Postgres {
    /// The shared cluster of a major version, started by the first caller and stopped with the process.
    pub async fn version(major: u16) -> Arc<Cluster> {
        static CLUSTERS: Mutex<BTreeMap<u16, Arc<OnceLock<Arc<Cluster>>>>> = Mutex::new(BTreeMap::new());
        let cell = Arc::clone(CLUSTERS.lock().entry(major).or_default());
        blocking(move || Arc::clone(cell.get_or_init(|| Arc::new(Cluster::builder(major).create())))).await
    }
}

/// Runs `work` off the async threads and passes its panic on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
