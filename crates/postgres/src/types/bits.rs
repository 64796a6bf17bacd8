//! Bit strings, WAL positions, row positions and snapshots as the server prints them.

use std::fmt::Write;

use super::ValueError;
use super::bytes::{Reader, fixed};

// Writing to a string cannot fail.

/// Appends a binary `bit` or `varbit` (`varbit_send`): the number of bits, then the bits.
pub(super) fn render(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.i32()?;
    let bits = reader.rest();
    let count = usize::try_from(count).ok().filter(|count| count.div_ceil(8) == bits.len());
    let count = count.ok_or_else(|| ValueError::malformed("a bit string of another length than it says"))?;
    out.extend((0..count).map(|bit| if bits[bit / 8] & (0x80 >> (bit % 8)) == 0 { '0' } else { '1' }));
    Ok(())
}

/// Appends a binary `pg_lsn`.
pub(super) fn render_lsn(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let lsn = u64::from_be_bytes(fixed(bytes)?);
    let _ = write!(out, "{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff);
    Ok(())
}

/// Appends a binary `tid`: block and item.
pub(super) fn render_tid(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let _ = write!(out, "({},{})", reader.u32()?, reader.u16()?);
    reader.finish()
}

/// Appends a binary `pg_snapshot` or `txid_snapshot`: `xmin:xmax:` and the transactions in progress.
pub(super) fn render_snapshot(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(8)?;
    let _ = write!(out, "{}:{}:", reader.i64()?, reader.i64()?);
    for index in 0..count {
        let _ = write!(out, "{}{}", if index == 0 { "" } else { "," }, reader.i64()?);
    }
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(render: fn(&[u8], &mut String) -> Result<(), ValueError>, bytes: &[u8]) -> String {
        let mut out = String::new();
        render(bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn they_print_as_the_server_prints_them() {
        assert_eq!(rendered(render, &[0, 0, 0, 10, 0b1010_0101, 0b1100_0000]), "1010010111");
        assert_eq!(rendered(render, &[0, 0, 0, 0]), "");
        assert_eq!(rendered(render_lsn, &[0, 0, 0, 1, 0x01, 0x6b, 0x37, 0x48]), "1/16B3748");
        assert_eq!(rendered(render_tid, &[0, 0, 0, 7, 0, 3]), "(7,3)");
        assert!(render(&[0, 0, 0, 9, 0], &mut String::new()).is_err());
        assert!(render(&[0xff, 0, 0, 9, 0], &mut String::new()).is_err());
    }
}
