//! From chunks to messages that are not too large.

use std::ops::Range;

use ductstream_core::{Error, ErrorKind, MessageEncoder, MessageSpan, Messages, Refused, Result, TableChunk};

use crate::limits;

/// Encodes rows; a message of several rows that is too large is made anew of fewer. Rows that cannot be sent by themselves have no messages, and
/// are in `refused` with the reason.
pub(crate) fn encode<'c>(
    encoder: &mut dyn MessageEncoder,
    (chunk, rows): (&'c TableChunk, Range<usize>),
    max_bytes: usize,
    out: &mut Messages,
    refused: &mut Vec<Refused<'c>>,
) -> Result<()> {
    let (bytes, spans) = (out.bytes.len(), out.spans.len());
    let wrong = match encoder.encode(chunk, rows.clone(), out) {
        Ok(()) => match out.spans[spans..].iter().find(|span| size(span) > max_bytes) {
            Some(large) => too_large(chunk, large, max_bytes),
            None => return Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::Data => error,
        Err(error) => return Err(error),
    };
    out.bytes.truncate(bytes);
    out.spans.truncate(spans);
    if rows.len() < 2 {
        refused.push(Refused { chunk, row: rows.start, error: wrong });
        return Ok(());
    }
    // Only the rows that are wrong are left out: each half is looked at by itself.
    let middle = rows.start + rows.len() / 2;
    encode(encoder, (chunk, rows.start..middle), max_bytes, out, refused)?;
    encode(encoder, (chunk, middle..rows.end), max_bytes, out, refused)
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

#[cfg(test)]
mod tests {
    use ductstream_testkit::batch::{BatchBuilder, table};

    use super::*;

    /// A message of so many bytes for each row, or for all rows at once; rows of zero bytes do not fit the format.
    struct Sizes {
        rows: Vec<usize>,
        is_batch: bool,
    }

    impl MessageEncoder for Sizes {
        fn encode(&mut self, _: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
            // What was appended before an error counts for nothing.
            out.bytes.push(1);
            if self.rows[rows.clone()].contains(&0) {
                return Err(Error::data("the format has no such number"));
            }
            let parts = if self.is_batch { vec![rows] } else { rows.map(|row| row..row + 1).collect() };
            for rows in parts {
                let start = out.bytes.len();
                out.bytes.resize(start + self.rows[rows.clone()].iter().sum::<usize>(), 0);
                let value = Some(start..out.bytes.len());
                out.spans.push(MessageSpan { rows, key: None, value, headers: Vec::new() });
            }
            Ok(())
        }
    }

    /// The rows of each message, and the rows that were refused.
    fn encoded(rows: &[usize], is_batch: bool) -> (Vec<Range<usize>>, Vec<usize>) {
        let count = i64::try_from(rows.len()).unwrap();
        let batch = BatchBuilder::new().begin(8, 1, 1).insert_many(&table("public.orders", 1), 1, count).build();
        let (mut out, mut refused) = (Messages::default(), Vec::new());
        let mut encoder = Sizes { rows: rows.to_vec(), is_batch };
        let limit = limits::OVERHEAD_BYTES + 100;
        encode(&mut encoder, (&batch.chunks[0], 0..rows.len()), limit, &mut out, &mut refused).unwrap();
        assert!(refused.iter().all(|refused| refused.error.kind() == ErrorKind::Data));
        (out.spans.into_iter().map(|span| span.rows).collect(), refused.iter().map(|refused| refused.row).collect())
    }

    #[test]
    fn only_the_rows_that_cannot_be_sent_are_refused_and_the_others_keep_their_order() {
        let rows = [10, 101, 20, 0, 100, 30, 500, 0];
        let (messages, refused) = encoded(&rows, false);
        assert_eq!(refused, [1, 3, 6, 7]);
        assert_eq!(messages, [0..1, 2..3, 4..5, 5..6]);
        assert_eq!(encoded(&[5; 100], false).1, Vec::<usize>::new());
        assert_eq!(encoded(&[0; 3], false), (vec![], vec![0, 1, 2]));
    }

    #[test]
    fn a_batch_that_is_too_large_is_split_and_only_a_single_row_refused() {
        let (messages, refused) = encoded(&[60, 60, 200, 60], true);
        assert_eq!((messages, refused), (vec![0..1, 1..2, 3..4], vec![2]));
        let (messages, refused) = encoded(&[40, 40, 20], true);
        assert!(messages.len() == 1 && messages[0] == (0..3) && refused.is_empty(), "{messages:?} {refused:?}");
    }
}
