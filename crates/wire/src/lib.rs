//! Wire formats and envelopes: from chunks of Arrow columns to bytes.
//!
//! What is here: the envelopes as Arrow transforms ([`envelope`]), and a [`Codec`](ductstream_core::Codec) per format, made by
//! [`build`]. [`JsonLines`] writes whole batches in commit order across tables, for
//! standard output; [`describe`] shows what a table looks like in each format.
//!
//! What is not here: where the bytes go, and how PostgreSQL's values became Arrow columns.
//!
//! A format is one module of the same shape: settings in [`settings`](WireSettings), a codec, an encoder that implements
//! [`ObjectEncoder`](ductstream_core::ObjectEncoder). Everything a format needs to know of a record's meaning (which columns
//! are the key, what is unchanged) comes from the envelope.

mod arrow;
mod avro;
mod codec;
mod describe;
pub mod envelope;
mod json;
mod limits;
mod message;
mod names;
mod original;
mod parquet;
mod proto;
mod registry;
mod rows;
mod settings;
mod slices;

pub use arrow::ArrowCodec;
pub use avro::AvroCodec;
pub use codec::build;
pub use describe::{ConnectSchemas, Shapes, describe};
pub use json::{DebeziumJson, JsonCodec, JsonLines, RowLines};
pub use message::{MessageMode, MessageShape, SharedMessages, message_codec};
pub use original::{pack_record, unpack_record};
pub use parquet::ParquetCodec;
pub use proto::ProtoCodec;
pub use registry::{SchemaDefinition, SchemaKind, SchemaRegistrar, SchemaSubject};
pub use settings::{
    ArrowCompression, ArrowSettings, AvroCompression, AvroSettings, JsonCompression, JsonSettings, NumericJson,
    ParquetCompression, ParquetSettings, ParquetStatistics, WireSettings,
};
