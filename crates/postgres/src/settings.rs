//! What a user sets about a PostgreSQL source.

use std::time::Duration;

use ductstream_core::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::SpecialValues;

/// The `source` section of a flow, for `type: postgres`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// libpq URL (`postgresql://app@db:5432/shop`) or keyword string (`host=db dbname=shop`). `PG*` variables, the service file and
    /// the password file fill in what it leaves out.
    #[serde(default)]
    pub url: String,
    /// Tables to stream, as `schema.table`, with `*` and `?` as wildcards. The flow creates and keeps a publication of them. Give either this or
    /// `publication`.
    #[serde(default)]
    pub tables: Vec<String>,
    /// An existing publication, or several. Give either this or `tables`.
    #[serde(default)]
    pub publication: Option<Publications>,
    /// Replication slot; `ductstream_<flow name>` by default. Created when missing, and kept when the flow ends.
    #[serde(default)]
    pub slot: Option<String>,
    /// Have standbys keep the slot too, so that the flow goes on from it when one of them is promoted. Needs PostgreSQL 17 or later, with
    /// `sync_replication_slots` on the standby.
    #[serde(default)]
    pub failover: bool,
    /// Which changes to read, by where they came from. `none` needs PostgreSQL 16 or later.
    #[serde(default)]
    pub origin: Origin,
    /// What to do with a value that its column's Arrow type cannot hold: numeric NaN and infinities, infinite or out-of-range dates and
    /// timestamps.
    #[serde(default)]
    pub special_values: SpecialValues,
    /// Ask the server for binary values. Faster; turn it off for types whose binary output is broken.
    #[serde(default = "on")]
    pub binary: bool,
    /// Have the server send large transactions while they run (those that use up its `logical_decoding_work_mem`), instead of writing
    /// them to its own disk. They are held on this machine until they commit, and delivered then.
    #[serde(default = "on")]
    pub streaming: bool,
    /// Room for transactions in progress, in the state directory. When it is used up, the flow leaves them to the server again.
    #[serde(default = "spill_limit")]
    pub spill_limit: ByteSize,
    /// How often to write a small message into the WAL, so that the slot advances in a quiet database. `0s` turns it off.
    #[serde(default = "heartbeat")]
    pub heartbeat: Span,
    /// Size at which a batch is cut, in bytes of values on the wire.
    #[serde(default = "batch_size")]
    pub batch_size: ByteSize,
}

/// Which changes to read, by their replication origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Every change, also what a subscription or another tool has applied under an origin of its own.
    #[default]
    Any,
    /// Only changes without an origin: those that applications of this server made.
    None,
}

/// One publication or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Publications {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Publications {
    /// The names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

fn on() -> bool {
    true
}

fn spill_limit() -> ByteSize {
    ByteSize(16 << 30)
}

fn heartbeat() -> Span {
    Span(Duration::from_secs(10))
}

fn batch_size() -> ByteSize {
    ByteSize(4 << 20)
}
