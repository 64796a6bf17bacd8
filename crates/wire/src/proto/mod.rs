//! Protocol Buffers, version 3: length-delimited messages, and messages by themselves.
//!
//! | Arrow | Protobuf |
//! |---|---|
//! | Boolean | bool |
//! | Int16, Int32, Date32 (days); Int64, Time64, Timestamp (microseconds) | int32; int64 |
//! | UInt32; UInt64 | uint32; uint64 |
//! | Float16, Float32; Float64 | float; double |
//! | Utf8, dictionaries of it; Decimal128, Decimal256; `FixedSizeBinary(16)` | string |
//! | Binary | bytes |
//! | Struct | message |
//! | List, FixedSizeList | message of `repeated items`; an item that may be null is a message with an optional `value` |
//! | Map | message of `repeated entries` with `key` and `value` |
//!
//! Every field that is not a message is `optional`, so that null, which is not written, and zero differ. For the same reason lists and
//! maps are messages: `repeated` cannot tell null from empty. The names of unchanged columns are repeated strings, for they are null
//! when there are none. Timestamps are numbers and not `google.protobuf.Timestamp`, which ends at the years 1 and 9999, and is an instant,
//! which `timestamp without time zone` is not.
//!
//! Numbers of fields must not change when columns come and go, and nothing is kept that could remember them. So they are made of names:
//! see [`schema`]. An object begins with a `FileDescriptorSet`. What a number means (a date, a timestamp) is said by its field's comment, in the
//! schema's text as in descriptors.

pub(crate) mod connect;
mod descriptor;
mod encoder;
pub(crate) mod rows;
pub(crate) mod schema;
mod text;

use std::sync::Arc;

use ductstream_core::{Codec, Envelope, ObjectEncoder, Result, TableSchema, WireFormat};

use crate::WireSettings;
use crate::envelope::ValueTransform;
use crate::envelope::debezium::Debezium;

use connect::connect_proto;
use encoder::ProtoEncoder;
use schema::{Numbers, ProtoSchema, package, proto_schema};

/// Length-delimited Protobuf in one envelope.
#[derive(Debug, Clone)]
pub struct ProtoCodec {
    envelope: Envelope,
    debezium: Debezium,
}

impl ProtoCodec {
    /// Protobuf in `envelope`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting of the envelope is out of range.
    pub fn new(envelope: Envelope, settings: &WireSettings) -> Result<Self> {
        settings.debezium.settings.validate()?;
        Ok(Self { envelope, debezium: settings.debezium.clone() })
    }
}

impl Codec for ProtoCodec {
    fn format(&self) -> WireFormat {
        WireFormat::Proto
    }

    fn envelope(&self) -> Envelope {
        self.envelope
    }

    fn extension(&self) -> &'static str {
        "pb"
    }

    fn encoder(&self, schema: &Arc<TableSchema>) -> Result<Box<dyn ObjectEncoder>> {
        let transform = ValueTransform::new(self.envelope, &self.debezium, schema)?;
        Ok(Box::new(ProtoEncoder::new(transform, self.envelope)?))
    }
}

/// The schema of values.
pub(crate) fn value_schema(transform: &ValueTransform, envelope: Envelope) -> Result<ProtoSchema> {
    match transform {
        ValueTransform::Table(rows) => {
            let package = package(&rows.table().table);
            proto_schema(&package, "Value", rows.schema().fields(), Numbers::Envelope(envelope))
        }
        ValueTransform::Debezium(events, _) => connect_proto(events.value_field(), Numbers::Envelope(envelope)),
    }
}

/// Appends a number in groups of seven bits, the lowest first.
#[inline]
fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what `write` appends, and its length in front.
#[inline]
fn push_delimited<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    // Most lengths take one byte; of the others the content is moved.
    out.push(0);
    let result = write(out);
    let length = out.len() - start - 1;
    if let Ok(byte @ 0..0x80) = u8::try_from(length) {
        out[start] = byte;
    } else {
        let mut prefix = Vec::with_capacity(10);
        push_varint(length as u64, &mut prefix);
        out.splice(start..=start, prefix);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stand_in_front_however_long() {
        for (length, prefix) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])] {
            let mut out = vec![9];
            push_delimited(&mut out, |out| out.resize(1 + 1 + length, 7));
            assert_eq!(out, [vec![9], prefix, vec![7; length]].concat());
        }
    }
}
