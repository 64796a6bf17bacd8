//! The framing of Confluent's serializers: a zero byte, and the id of the schema.

/// Bytes of the frame.
pub(crate) const BYTES: usize = 5;

/// The id of the schema that a message names in front; `None` of what has no such frame.
pub fn schema_id(bytes: &[u8]) -> Option<u32> {
    let id = bytes.strip_prefix(&[0])?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_a_zero_byte() {
        assert_eq!(schema_id(&[0, 0, 0, 1, 2, 9]), Some(258));
        assert_eq!(schema_id(&[0, 0, 0, 1]), None);
        assert_eq!(schema_id(b"{\"a\":1}"), None);
    }
}
