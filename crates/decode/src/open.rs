//! Recognises what it is given.

use bytes::Bytes;
use ductstream_core::{Error, Result, WireFormat};

use crate::document::Document;
use crate::frame::{self, schema_id};
use crate::{arrow, avro, json, parquet, proto};

/// What is known beforehand.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The format, where the content does not tell or is not to decide.
    pub format: Option<WireFormat>,
    /// The schema of a message that does not carry its own.
    pub schema: Option<SchemaText>,
    /// That the schema was found by the id in front of the message. Otherwise a zero byte in front may be the record's own.
    pub is_framed: bool,
}

/// A schema as a file or a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaText {
    /// Avro, as JSON.
    Avro(String),
    /// Protobuf, as the text of a `.proto` file; the first message is meant.
    Proto(String),
    /// Protobuf, as a `FileDescriptorSet`; the first message of the last file is meant.
    Descriptors(Bytes),
    /// JSON Schema.
    Json(String),
}

impl SchemaText {
    /// The schema in the content of a file.
    ///
    /// # Errors
    /// `Configuration` when it is none.
    pub fn recognise(content: Bytes) -> Result<Self> {
        let Ok(text) = std::str::from_utf8(&content) else {
            return Ok(Self::Descriptors(content));
        };
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(document) if document.get("$schema").is_some() => Ok(Self::Json(text.to_owned())),
            Ok(_) => Ok(Self::Avro(text.to_owned())),
            Err(_) if text.contains("message ") => Ok(Self::Proto(text.to_owned())),
            Err(_) => Ok(Self::Descriptors(content)),
        }
    }

    fn format(&self) -> WireFormat {
        match self {
            Self::Avro(_) => WireFormat::Avro,
            Self::Proto(_) | Self::Descriptors(_) => WireFormat::Proto,
            Self::Json(_) => WireFormat::Json,
        }
    }
}

/// Opens a file or a message.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when it is none that DuctStream writes, or a schema is missing;
/// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when its beginning (of Parquet, its end) is damaged.
pub fn open(bytes: Bytes, options: &Options) -> Result<Document> {
    match (options.format, recognise(&bytes)) {
        (None, Some(Content::File(format))) => file(format, bytes),
        (Some(wanted), Some(Content::File(format))) if wanted == format => file(format, bytes),
        (None, Some(Content::Framed)) => framed_or_bare(bytes, options),
        (Some(format), Some(Content::Framed)) if schema_text_is(options, format) => framed_or_bare(bytes, options),
        (wanted, _) if wanted.is_none_or(|format| schema_text_is(options, format)) && options.schema.is_some() => {
            message(bytes, false, options)
        }
        (Some(format @ (WireFormat::Parquet | WireFormat::Arrow | WireFormat::Json)), _) => file(format, bytes),
        (Some(WireFormat::Proto), _) if proto::has_descriptors(&bytes) => file(WireFormat::Proto, bytes),
        (Some(format), _) => Err(needs_schema(&format!("a message in the format {format}"))),
        (None, _) => Err(unknown(&bytes)),
    }
}

/// A message that begins with a zero byte: the frame's, or of a bare record whose first column is null.
fn framed_or_bare(bytes: Bytes, options: &Options) -> Result<Document> {
    let framed = || message(bytes.slice(frame::BYTES..), true, options);
    if options.is_framed
        || options.schema.is_none()
        || is_whole(framed())
        || !is_whole(message(bytes.clone(), false, options))
    {
        return framed();
    }
    message(bytes, false, options)
}

/// Whether all of it can be read.
fn is_whole(document: Result<Document>) -> bool {
    document.is_ok_and(|mut document| {
        let mut lines = Vec::new();
        std::iter::from_fn(|| Some(document.rows.read(&mut lines)))
            .find(|read| !matches!(read, Ok(true)))
            .is_some_and(|last| last.is_ok())
    })
}

fn schema_text_is(options: &Options, format: WireFormat) -> bool {
    options.schema.as_ref().is_some_and(|schema| schema.format() == format)
}

enum Content {
    /// It says what it is, and holds its own schema where it needs one.
    File(WireFormat),
    /// A message with the id of its schema in front.
    Framed,
}

fn recognise(bytes: &[u8]) -> Option<Content> {
    let file = |format| Some(Content::File(format));
    if parquet::is_parquet(bytes) {
        return file(WireFormat::Parquet);
    }
    if arrow::is_arrow(bytes) {
        return file(WireFormat::Arrow);
    }
    if avro::is_container(bytes) {
        return file(WireFormat::Avro);
    }
    if proto::has_descriptors(bytes) {
        return file(WireFormat::Proto);
    }
    if json::is_json(bytes) {
        return file(WireFormat::Json);
    }
    schema_id(bytes).map(|_| Content::Framed)
}

fn file(format: WireFormat, bytes: Bytes) -> Result<Document> {
    match format {
        WireFormat::Parquet => parquet::open(bytes),
        WireFormat::Arrow => arrow::open(bytes),
        WireFormat::Avro => avro::open_container(bytes),
        WireFormat::Proto => proto::open_file(bytes),
        WireFormat::Json => json::open(bytes),
    }
}

fn message(content: Bytes, is_framed: bool, options: &Options) -> Result<Document> {
    let offset = if is_framed { frame::BYTES } else { 0 };
    match &options.schema {
        Some(SchemaText::Avro(schema)) => avro::open_message(content, schema, offset),
        Some(SchemaText::Proto(schema)) => proto::open_message(content, &proto::compile(schema)?, (offset, is_framed)),
        Some(SchemaText::Descriptors(set)) => {
            proto::open_message(content, &proto::descriptors(set)?, (offset, is_framed))
        }
        Some(SchemaText::Json(_)) => json::open(content),
        // A document of JSON can be read without its schema.
        None if json::is_json(&content) => json::open(content),
        None => Err(needs_schema("a message with a schema's id in front")),
    }
}

fn needs_schema(what: &str) -> Error {
    Error::configuration(format!("{what} cannot be read without its schema"))
        .with_remedy("give the schema's file with --schema, or where the message has its id in front, --registry URL")
}

fn unknown(bytes: &[u8]) -> Error {
    let beginning: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let message = match bytes.len() {
        0 => "this is empty: a tombstone has no value, and no file that DuctStream wrote has no bytes".to_owned(),
        _ => format!("this is nothing that DuctStream writes, by its first bytes ({})", beginning.join(" ")),
    };
    Error::configuration(message).with_remedy(
        "name the format with --format; a single Avro or Protobuf record needs its schema, too (--schema or --registry)",
    )
}
