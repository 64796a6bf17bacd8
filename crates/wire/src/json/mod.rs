//! JSON lines: one document per record, each on its own line.
//!
//! | PostgreSQL | JSON |
//! |---|---|
//! | bool | `true`, `false` |
//! | int2, int4, int8, oid | number |
//! | float4, float8 | number; `"Infinity"`, `"-Infinity"`, `"NaN"` |
//! | numeric | string with all its digits (or number, setting `numeric`) |
//! | text and everything held as text | string |
//! | json, jsonb | nested as it is; line breaks between tokens become spaces, as a record has to stay on one line |
//! | bytea | string, base64 with padding |
//! | uuid | string |
//! | date, time | `"2026-11-23"`, `"11:24:39.049237"` |
//! | timestamp, timestamptz | `"2026-11-23T11:24:39.049237"`, the same in UTC with `Z` |
//! | interval | ISO 8601: `"P1Y2M3DT4H5M6.5S"`, `"PT0S"` |
//! | arrays, multiranges, vectors | array |
//! | composite | object |
//! | ranges | string as PostgreSQL prints it: `"[1,5)"`, `"empty"` |
//! | hstore | object |
//!
//! Years before 1 (1 BC is year 0) and after 9999 are ISO 8601 expanded years: a sign and at least six digits, `-000043-03-15`.
//!
//! A value that the WAL did not carry is left out of the row and named in `_unchanged` (`unchanged`); both are `null` when
//! there is none. Of an old image that holds only the key, `before` has only the key. A table without key has a `null` key.

mod batch;
mod column_text;
mod compress;
mod debezium;
mod encoder;
mod float;
mod kind;
mod message;
mod pg_text;
mod plan;
mod range;
mod record;
mod row_lines;
mod schema;
mod text;
mod time;
mod values;

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, ObjectEncoder, Result, TableSchema, WireFormat};

use crate::envelope::check_envelope;
use crate::{JsonCompression, JsonSettings};

pub use batch::JsonLines;
pub(crate) use column_text::{HstoreText, PostgresText, decimal_text};
pub use debezium::DebeziumJson;
pub(crate) use debezium::Documents;
pub(crate) use kind::is_interval;
pub(crate) use message::JsonMessages;
pub use row_lines::RowLines;
pub(crate) use schema::{debezium_json_schema, json_schema};
pub(crate) use text::{push_decimal, push_uuid};
pub(crate) use time::{Style, push_date, push_time, push_timestamp};

use compress::Compressor;
use encoder::{JsonEncoder, Lines};
use plan::TablePlan;

/// JSON lines in one envelope.
#[derive(Debug, Clone)]
pub struct JsonCodec {
    envelope: Envelope,
    settings: JsonSettings,
}

impl JsonCodec {
    /// JSON lines in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting is out of range, or the envelope
    /// does not exist yet.
    pub fn new(envelope: Envelope, settings: JsonSettings) -> Result<Self> {
        check_envelope(envelope)?;
        settings.validate()?;
        Ok(Self { envelope, settings })
    }
}

impl Codec for JsonCodec {
    fn format(&self) -> WireFormat {
        WireFormat::Json
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn extension(&self) -> &'static str {
        match self.settings.compression {
            JsonCompression::None => "jsonl",
            JsonCompression::Gzip => "jsonl.gz",
            JsonCompression::Zstd => "jsonl.zst",
        }
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let plan = TablePlan::compile(self.envelope, schema, self.settings.numeric)?;
        Ok(Box::new(JsonEncoder::new(Lines::Table(Box::new(plan)), Compressor::new(&self.settings)?)))
    }
}
