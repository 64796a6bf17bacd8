//! The source against real servers.

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
#[path = "suite/types.rs"]
mod types;
#[path = "suite/preflight.rs"]
mod preflight;
