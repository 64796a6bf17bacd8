//! `bit` and `bit varying`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BinaryArray, BooleanArray};
use arrow_schema::DataType;

use super::connect::Connect;
use super::convert::Convert;

/// The length of a `bit varying` without one.
const UNLIMITED: i32 = i32::MAX;

/// Single bits. None at all, which `bit varying(1)` can hold, is false.
pub(super) fn booleans() -> Convert {
    Arc::new(|array| {
        Ok(Arc::new(array.as_string::<i32>().iter().map(|bits| bits.map(|bits| bits == "1")).collect::<BooleanArray>()))
    })
}

/// Bits as the bytes of a number, the lowest first, without the zeros above the highest bit that is set.
pub(super) fn column(typmod: i32) -> (Connect, Convert) {
    let length = if typmod < 0 { UNLIMITED } else { typmod };
    let connect = Connect::named(DataType::Binary, "io.debezium.data.Bits").parameter("length", length.to_string());
    let convert: Convert = Arc::new(|array| {
        Ok(Arc::new(array.as_string::<i32>().iter().map(|bits| bits.map(bytes)).collect::<BinaryArray>()))
    });
    (connect, convert)
}

fn bytes(bits: &str) -> Vec<u8> {
    let bits = bits.trim_start_matches('0').as_bytes();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit == b'1'));
    bits.rchunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bits_are_little_endian_without_zeros_above_the_highest_one() {
        assert_eq!(bytes("10100101"), [0xa5]);
        assert_eq!(bytes("1011"), [0x0b]);
        assert_eq!(bytes("100000001"), [0x01, 0x01]);
        assert_eq!(bytes("0000000000000001"), [0x01]);
        assert!(bytes("000").is_empty());
    }
}
