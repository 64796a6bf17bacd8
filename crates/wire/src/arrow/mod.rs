//! Arrow IPC: files, and streams for messages.
//!
//! The columns are written as they are in memory, with the `pg.*` metadata of each, and `ductstream.table`, `ductstream.schema_version` and
//! `ductstream.envelope` in the schema's own metadata. A record batch has 8192 rows, or fewer when rows are wide.

mod canonical;
mod encoder;

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, ObjectEncoder, Result, TableSchema, WireFormat};

use crate::ArrowSettings;
use crate::envelope::{Transform, check_envelope};

use encoder::ArrowEncoder;

/// Arrow IPC in one envelope.
#[derive(Debug, Clone)]
pub struct ArrowCodec {
    envelope: Envelope,
    settings: ArrowSettings,
    layout: Layout,
}

/// How record batches are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// With a footer that says where each of them is.
    File,
    /// One after the other.
    Stream,
}

impl ArrowCodec {
    /// IPC files in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range, or the envelope
    /// does not exist yet.
    pub fn new(envelope: Envelope, settings: ArrowSettings) -> Result<Self> {
        check_envelope(envelope)?;
        settings.validate()?;
        Ok(Self { envelope, settings, layout: Layout::File })
    }

    /// IPC streams in `envelope`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn stream(envelope: Envelope, settings: ArrowSettings) -> Result<Self> {
        Ok(Self { layout: Layout::Stream, ..Self::new(envelope, settings)? })
    }
}

impl Codec for ArrowCodec {
    fn format(&self) -> WireFormat {
        WireFormat::Arrow
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn extension(&self) -> &'static str {
        match self.layout {
            Layout::File => "arrow",
            Layout::Stream => "arrows",
        }
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let transform = Transform::new(self.envelope, schema)?;
        Ok(Box::new(ArrowEncoder::new(transform, self.layout, &self.settings)?))
    }
}
