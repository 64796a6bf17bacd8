//! Reads back what DuctStream wrote: files and messages, in each wire format, as lines of JSON.
//!
//! [`open`] recognises what it is given by its content and returns a [`Document`]: what it is, its schema, and its rows. Whatever the format,
//! rows become Arrow columns of the types that they were written from, and lines by the same code as the format JSON's
//! ([`RowLines`](ductstream_wire::RowLines)): a flat Parquet file and a flat file of JSON lines of the same changes print the same.
//!
//! Damage is an error of kind [`Data`](ductstream_core::ErrorKind::Data) that says at which byte; what lies before it has been printed then.
//! Nothing here is trusted: lengths are held against what is there before memory is reserved for them.
//!
//! What is not here: input and output. Whoever reads a message with a schema's id in front asks [`schema_id`] for it, and brings the schema.

mod arrow;
mod avro;
mod columns;
mod datum;
mod document;
mod frame;
mod json;
mod open;
mod parquet;
mod proto;

pub use document::{Document, Rows};
pub use frame::schema_id;
pub use open::{Options, SchemaText, open};
