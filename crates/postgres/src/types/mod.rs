//! .
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do with a value that its column's Arrow type cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpecialValues {
    /// Stop the flow, with table, column and key named.
    #[default]
    Error,
    /// Store null.
    Null,
    /// Make the column text, so that it holds every value.
    Text,
}
