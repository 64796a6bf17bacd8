//! What a format needs of a schema registry: ids for schemas, and the framing that carries the id in front of a message.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::Result;

/// A schema registry, as encoders see it.
///
/// `register` is called while a message encoder is made, before the first message that needs the schema. Registering the same
/// definition under the same subject again returns the same id; implementations keep what they have registered, so that
/// this costs no request. The future may be dropped at any point; registering is idempotent, so nothing is left half done.
#[async_trait]
pub trait SchemaRegistrar: Send + Sync + fmt::Debug {
    /// Registers `schema` under the name that the registrar's naming strategy gives to `subject`, and returns its id.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the registry refuses the schema, such as
    /// one that is incompatible with the subject's earlier versions;
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when it cannot be reached.
    async fn register(&self, subject: &SchemaSubject<'_>, schema: &SchemaDefinition) -> Result<u32>;
}

/// What a schema describes, from which a registrar makes the subject's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaSubject<'a> {
    /// The topic whose messages have the schema.
    pub topic: &'a str,
    /// The full name of the record: of an Avro record, or of a Protobuf message.
    pub record_name: &'a str,
    /// Whether the messages' keys have the schema, rather than their values.
    pub is_key: bool,
}

/// A schema in its own language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDefinition {
    /// The language.
    pub kind: SchemaKind,
    /// The schema: Avro as JSON, Protobuf as the text of a `.proto` file, JSON Schema as JSON.
    pub text: String,
}

/// The languages that schemas are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers, version 3.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaKind {
    /// The name that the registry's API has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

/// Appends what stands in front of a message of the schema with `id`: a zero byte, the id, and for Protobuf which message of the
/// schema it is, which is always the first.
fn push_frame(kind: SchemaKind, id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
    if kind == SchemaKind::Protobuf {
        // A path of indexes, whose common case `[0]` is written as its length 0 alone.
        out.push(0);
    }
}

/// Registers `schema` and returns what stands in front of every key or value that has it: nothing without a registry.
pub(crate) async fn frame(
    registry: Option<&Arc<dyn SchemaRegistrar>>,
    subject: SchemaSubject<'_>,
    schema: SchemaDefinition,
) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    if let Some(registry) = registry {
        push_frame(schema.kind, registry.register(&subject, &schema).await?, &mut frame);
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_byte_and_the_id_big_endian() {
        let mut out = Vec::new();
        push_frame(SchemaKind::Avro, 0x0102_0304, &mut out);
        push_frame(SchemaKind::Protobuf, 7, &mut out);
        assert_eq!(out, [0, 1, 2, 3, 4, 0, 0, 0, 0, 7, 0]);
    }
}
