//! From chunks to messages that are not too large.

use std::ops::Range;

use ductstream_core::{Error, MessageEncoder, MessageSpan, Messages, Result, TableChunk};

use crate::limits;

/// Encodes rows; a message of several rows that is too large is made anew of fewer.
pub(crate) fn encode(
    encoder: &mut dyn MessageEncoder,
    chunk: &TableChunk,
    rows: Range<usize>,
    max_bytes: usize,
    out: &mut Messages,
) -> Result<()> {
    let (bytes, spans) = (out.bytes.len(), out.spans.len());
    encoder.encode(chunk, rows.clone(), out)?;
    let Some(large) = out.spans[spans..].iter().find(|span| size(span) > max_bytes) else { return Ok(()) };
    if large.rows.len() < 2 {
        return Err(too_large(chunk, large, max_bytes));
    }
    out.bytes.truncate(bytes);
    out.spans.truncate(spans);
    let middle = rows.start + rows.len() / 2;
    encode(encoder, chunk, rows.start..middle, max_bytes, out)?;
    encode(encoder, chunk, middle..rows.end, max_bytes, out)
}

/// Bytes of a message's key and value.
pub(crate) fn bytes(span: &MessageSpan) -> usize {
    len(&span.key) + len(&span.value)
}

fn size(span: &MessageSpan) -> usize {
    let headers = span.headers.iter().map(|(name, value)| name.len() + value.len());
    bytes(span) + headers.sum::<usize>() + limits::OVERHEAD_BYTES
}

fn len(range: &Option<Range<usize>>) -> usize {
    range.as_ref().map_or(0, ExactSizeIterator::len)
}

fn too_large(chunk: &TableChunk, span: &MessageSpan, max_bytes: usize) -> Error {
    Error::data(format!(
        "a change of table {} at {} makes a message with a key of {} and a value of {} bytes, above the {max_bytes} of `max_message_size`",
        chunk.schema.table,
        chunk.positions[span.rows.start],
        len(&span.key),
        len(&span.value),
    ))
    .with_remedy("raise `max_message_size` of the destination, and `max.message.bytes` of the topic to the same")
}
