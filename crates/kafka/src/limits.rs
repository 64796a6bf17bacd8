//! Limits and defaults of this crate, and how they relate.

use std::time::Duration;

/// The largest message, by default: what librdkafka sends and brokers take without further settings.
pub(crate) const MESSAGE_BYTES: u64 = 1_000_000;

/// Memory of messages that are not confirmed yet, by default.
pub(crate) const MEMORY_BYTES: u64 = 32 << 20;

/// Messages that are not confirmed yet. Each takes a few hundred bytes beside its own, and three threads touch it: what fits into the
/// processor's cache is sent with less work, and fewer would make each wait for others that are waiting to run.
pub(crate) const MESSAGES_IN_HAND: u32 = 16_384;

/// Messages of one partition that are sent without waiting for more.
pub(crate) const BATCH_MESSAGES: u32 = 4096;

/// How long a message may wait for its confirmation, retries included, before the flow goes back to its last checkpoint.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long opening waits for a broker that answers.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a token endpoint may take.
pub(crate) const TOKEN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a token holds whose endpoint does not say.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// How long one look at the cluster's topics may take before the reasons for the silence are looked at.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long creating a topic may take.
pub(crate) const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks for a topic that was created a moment ago.
pub(crate) const CREATED_PAUSE: Duration = Duration::from_millis(50);

/// How long reading the stored position may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Offsets from a topic's end at which the last stored position is looked for first, and next.
pub(crate) const NEAR_THE_END: i64 = 16;
pub(crate) const FAR_FROM_THE_END: i64 = 4096;

/// How long a transaction stays open after its first record, by default.
pub(crate) const TRANSACTION_AGE: Duration = Duration::from_millis(100);

/// Bytes of messages after which a transaction is committed, by default.
pub(crate) const TRANSACTION_BYTES: u64 = 16 << 20;

/// Bytes of messages after which a transaction is committed inside one of the source, by default.
pub(crate) const TRANSACTION_LIMIT_BYTES: u64 = 256 << 20;

/// The longest `delivery_timeout` with transactions: brokers end those that take longer than a quarter of an hour.
pub(crate) const TRANSACTION_DELIVERY_TIMEOUT: Duration = Duration::from_secs(600);

/// What brokers wait for longer than for a message before they end a transaction that nobody ends.
pub(crate) const TRANSACTION_GRACE: Duration = Duration::from_secs(30);

/// How long beginning to be the one producer of a transactional id may take: the brokers end what another one left open first.
pub(crate) const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// One attempt of a commit, which goes on in the background when this has passed.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long taking back a transaction may take while a destination ends.
pub(crate) const ABORT_TIMEOUT: Duration = Duration::from_millis(500);

/// Looks at whether librdkafka has put away what was confirmed, and the pause between two of them.
pub(crate) const SETTLE_LOOKS: u32 = 200;
pub(crate) const SETTLE_PAUSE: Duration = Duration::from_micros(50);

/// How long a full queue is waited for before the reasons are looked at again.
pub(crate) const ROOM_PAUSE: Duration = Duration::from_millis(50);

/// How long librdkafka gathers messages into one request. Under load requests are full without waiting.
pub(crate) const LINGER_MS: u32 = 2;

/// A message's headers and framing, as librdkafka counts them.
pub(crate) const OVERHEAD_BYTES: usize = 512;

/// The largest message of a topic that a flow keeps things in: what brokers take in one request by default.
pub(crate) const LOG_MESSAGE_BYTES: u64 = 96 << 20;

/// The longest name of a topic.
pub(crate) const TOPIC_NAME_BYTES: usize = 249;

const _: () = assert!(MEMORY_BYTES > 4 * MESSAGE_BYTES);
const _: () = assert!(TRANSACTION_BYTES < TRANSACTION_LIMIT_BYTES && NEAR_THE_END < FAR_FROM_THE_END);
const _: () = assert!(TRANSACTION_DELIVERY_TIMEOUT.as_secs() + TRANSACTION_GRACE.as_secs() < 900);
const _: () = assert!(TOKEN_TIMEOUT.as_millis() < CONNECT_TIMEOUT.as_millis());
const _: () = assert!(CONNECT_TIMEOUT.as_millis() < DELIVERY_TIMEOUT.as_millis());
