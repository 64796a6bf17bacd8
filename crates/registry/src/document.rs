//! A schema with everything that a registry keeps of it.

use ductstream_core::{Error, Result};
use ductstream_wire::{SchemaDefinition, SchemaKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::Answer;

/// A schema as a registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaDocument {
    /// Its language.
    pub kind: SchemaKind,
    /// The schema itself.
    pub text: String,
    /// The registered schemas that it refers to.
    pub references: Vec<SchemaReference>,
}

/// A name in a schema that stands for a version of another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaReference {
    /// As the schema has it: an Avro full name, the path of a Protobuf import, a JSON Schema `$ref`.
    pub name: String,
    /// The subject of the schema that is meant.
    pub subject: String,
    /// Its version there.
    pub version: u32,
}

impl From<&SchemaDefinition> for SchemaDocument {
    fn from(schema: &SchemaDefinition) -> Self {
        Self::new(schema.kind, &schema.text)
    }
}

impl SchemaDocument {
    /// A schema without references.
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), references: Vec::new() }
    }

    /// As requests have it.
    pub(crate) fn body(&self) -> Value {
        json!({"schemaType": self.kind.name(), "schema": self.text, "references": self.references})
    }

    /// From a registry's answer.
    pub(crate) fn read(answer: &Answer) -> Result<Self> {
        #[derive(Deserialize)]
        struct Found {
            /// Avro is a registry's default, and not named by all.
            #[serde(rename = "schemaType")]
            kind: Option<String>,
            schema: String,
            #[serde(default)]
            references: Vec<SchemaReference>,
        }
        let Found { kind, schema, references } = answer.read()?;
        let name = kind.as_deref().unwrap_or(SchemaKind::Avro.name());
        let kinds = [SchemaKind::Avro, SchemaKind::Protobuf, SchemaKind::Json];
        match kinds.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(Self { kind, text: schema, references }),
            None => Err(Error::data(format!("the schema registry has a schema of the unknown type {name}"))
                .with_remedy("check that it is the registry that the message's writer used")),
        }
    }
}
