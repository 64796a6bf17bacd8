//! Records that cannot be delivered.

use std::fmt;

use async_trait::async_trait;

use crate::{Error, Position, Result, TableChunk};

/// A record that a destination cannot deliver, however often it tries.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The chunk that holds the record.
    pub chunk: &'a TableChunk,
    /// The record's row in the chunk.
    pub row: usize,
    /// Why; of kind [`ErrorKind::Data`](crate::ErrorKind::Data).
    pub error: Error,
}

impl Refused<'_> {
    /// Where the record stands.
    pub fn position(&self) -> Position {
        self.chunk.positions[self.row]
    }
}

/// What becomes of the records that a destination refuses, so that the flow goes on with the others.
///
/// A destination that is given one calls it before it says of anything behind a refused record that it is durable. Without one, the error
/// ends the flow.
#[async_trait]
pub trait Refusals: Send + Sync + fmt::Debug {
    /// Takes records over; when this returns, they survive a crash. After a crash the same record may be refused again: that must not make two of
    /// it, or they must be recognisable by their position.
    ///
    /// # Errors
    /// Whatever keeps them from being kept. The destination ends with it.
    async fn refuse(&self, refused: &[Refused<'_>]) -> Result<()>;
}
