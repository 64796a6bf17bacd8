//! The data plane's loop: reads batches from a source, hands them to every destination, stores checkpoints, acknowledges.
//!
//! One order of effects, and no other: every destination durable up to P, then the checkpoint P stored, then P acknowledged
//! to the source. With the ack policy `primary`, "durable in its outbox" stands for the other destinations, which follow at their own pace
//! (`follow`). The loop is crash-only: whatever fails with [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry), the whole
//! pipeline is dropped and built again from the last stored checkpoint, after a pause that grows to a cap. The path that
//! repairs a crash is the path that repairs a lost connection.
//!
//! Not here: what a source or destination is. The runner knows their traits only.

mod attempt;
mod checkpointer;
mod deliver;
mod follow;
mod opening;
pub mod outbox;
mod read;
mod retry;
mod runner;
mod settings;
mod status;

pub use retry::{Backoff, RetrySettings};
pub use runner::{Components, Runner, Summary, Until};
pub use settings::{Ack, FlowSettings, OutboxesSettings};
pub use status::{FlowStatus, OutboxStatus, Phase, TableStatus};
