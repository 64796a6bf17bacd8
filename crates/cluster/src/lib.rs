//! Throwaway servers for tests, benchmarks and the quickstart: PostgreSQL, Kafka brokers, and a schema registry ([`RegistryServer`]).
//!
//! A PostgreSQL [`Server`] or a [`Broker`] lives in a temporary directory of its own, listens on free ports, and is gone,
//! directory and all, when the process that made it ends, however it ends: a watchdog beside it holds a pipe to that
//! process and cleans up when the pipe closes.
//!
//! Nothing here knows SQL or an async runtime, and there are no dependencies, so that `xtask` builds in seconds.

mod account;
mod binaries;
mod broker;
mod process;
mod registry;
mod server;

pub use account::Account;
pub use binaries::{Binaries, servers_directory};
pub use broker::{Broker, BrokerOptions};
pub use registry::RegistryServer;
pub use server::{Server, ServerOptions};

/// The result of an operation on a server; the error says what was being done.
pub type Result<T> = std::io::Result<T>;

/// Says what was being done in front of an error's message.
fn doing<T>(what: impl std::fmt::Display, result: Result<T>) -> Result<T> {
    result.map_err(|error| std::io::Error::new(error.kind(), format!("{what}: {error}")))
}
