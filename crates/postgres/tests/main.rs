//! The source against real servers.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here is a failed test")]

#[path = "suite/assemble.rs"]
mod assemble;
#[path = "suite/catalog.rs"]
mod catalog;
#[path = "suite/connect.rs"]
mod connect;
#[path = "suite/connect_settings.rs"]
mod connect_settings;
#[path = "suite/pgoutput_bytes.rs"]
mod pgoutput_bytes;
#[path = "suite/pgoutput_live.rs"]
mod pgoutput_live;
#[path = "suite/preflight.rs"]
mod preflight;
#[path = "suite/types.rs"]
mod types;
