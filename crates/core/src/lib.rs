//! The vocabulary and the contracts that every other crate of DuctStream keeps.
//!
//! What is here: positions ([`Lsn`], [`Position`]), table schemas ([`TableSchema`]), change batches held as Arrow columns
//! ([`ChangeBatch`], [`TableChunk`]), barriers ([`Barrier`]), checkpoints ([`Checkpoint`]), errors named by what the caller does
//! next ([`Error`], [`ErrorKind`]), and the traits of the data plane: [`Source`], [`Destination`], [`Codec`] for files,
//! [`MessageCodec`] for topics, [`CheckpointStore`].
//!
//! What is not here: input and output of any kind, settings, wire formats. This crate depends on Arrow arrays and on
//! nothing that opens a socket or a file.

mod batch;
mod checkpoint;
mod codec;
mod destination;
mod error;
mod finding;
mod message;
mod position;
mod refusal;
mod secret;
mod source;
mod table;
mod timeline;
mod units;

pub use batch::{
    Barrier, ChangeBatch, HEARTBEAT_PREFIX, LogicalMessage, OldImage, Op, Record, Run, TableChunk, Unchanged,
};
pub use checkpoint::{Checkpoint, CheckpointStore, Created, DestinationCheckpoint, SchemaRecord, SourceIdentity};
pub use codec::{Codec, Envelope, ObjectEncoder, WireFormat};
pub use destination::{Accepted, Capabilities, Destination, DestinationStart, DestinationStatus, Durable, Queued};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use finding::{Finding, Severity};
pub use message::{MessageCodec, MessageEncoder, MessageSpan, Messages};
pub use position::{Lsn, ParseLsnError, Position};
pub use refusal::{Refusals, Refused};
pub use secret::Secret;
pub use source::{Acknowledge, Source, SourceOpened, SourceStart, SourceStatus};
pub use table::{Column, PgType, ReplicaIdentity, TableName, TableSchema, metadata};
pub use timeline::Ancestors;
pub use units::{ByteSize, Span};
