//! A schema registry that is not ours, one per test process. Tests keep apart by the names of their subjects.

use std::sync::OnceLock;

use ductstream_cluster::RegistryServer;

/// The shared registry of this test process, started by the first caller and ended with the process.
#[derive(Debug)]
pub struct Registry;

impl Registry {
    /// The root of the registry's API; waits until it answers.
    pub async fn url() -> String {
        static SERVER: OnceLock<RegistryServer> = OnceLock::new();
        let start = || SERVER.get_or_init(|| RegistryServer::start().expect("a schema registry")).url();
        match tokio::task::spawn_blocking(start).await {
            Ok(url) => url,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
