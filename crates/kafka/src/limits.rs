//! Limits and defaults of this crate, and how they relate.

use std::time::Duration;

/// The largest message, by default: what librdkafka sends and brokers take without further settings.
pub(crate) const MESSAGE_BYTES: u64 = 1_000_000;

/// Memory of messages that are not confirmed yet, by default.
pub(crate) const MEMORY_BYTES: u64 = 32 << 20;

/// Messages that are not confirmed yet. Each takes a few hundred bytes beside its own.
pub(crate) const MESSAGES_IN_HAND: u32 = 100_000;

/// How long a message may wait for its confirmation, retries included, before the flow goes back to its last checkpoint.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long opening waits for a broker that answers.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one look at the cluster's topics may take before the reasons for the silence are looked at.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long creating a topic may take.
pub(crate) const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks for a topic that was created a moment ago.
pub(crate) const CREATED_PAUSE: Duration = Duration::from_millis(50);

/// How long a full queue is waited for before the reasons are looked at again.
pub(crate) const ROOM_PAUSE: Duration = Duration::from_millis(50);

/// How long librdkafka gathers messages into one request. Under load requests are full without waiting.
pub(crate) const LINGER_MS: u32 = 2;

/// A message's headers and framing, as librdkafka counts them.
pub(crate) const OVERHEAD_BYTES: usize = 512;

/// The longest name of a topic.
pub(crate) const TOPIC_NAME_BYTES: usize = 249;

const _: () = assert!(MEMORY_BYTES > 4 * MESSAGE_BYTES);
const _: () = assert!(CONNECT_TIMEOUT.as_millis() < DELIVERY_TIMEOUT.as_millis());
