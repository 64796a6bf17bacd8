//! Network addresses as the server prints them.

use std::fmt::Write;

use super::ValueError;
use super::bytes::Reader;

/// Address families on the wire (`PGSQL_AF_INET`, `PGSQL_AF_INET6`).
const V4: u8 = 2;
const V6: u8 = 3;

/// Appends a binary `inet` or `cidr` (`network_send`): family, netmask bits, whether it is a `cidr`, and the address
/// behind its length.
pub(super) fn render(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let (family, bits, cidr, len) = (reader.u8()?, reader.u8()?, reader.u8()? != 0, reader.u8()?);
    let address = reader.take(len.into())?;
    reader.finish()?;
    if let (V4, Ok([a, b, c, d])) = (family, <[u8; 4]>::try_from(address)) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{a}.{b}.{c}.{d}");
        write_bits(bits, 32, cidr, out);
    } else if let (V6, Ok(address)) = (family, <[u8; 16]>::try_from(address)) {
        write_v6(address, out);
        write_bits(bits, 128, cidr, out);
    } else {
        return Err(ValueError::malformed(format!("an address of family {family} with {len} bytes")));
    }
    Ok(())
}

/// A whole address shows its netmask only as `cidr`.
fn write_bits(bits: u8, whole: u8, cidr: bool, out: &mut String) {
    if cidr || bits != whole {
        let _ = write!(out, "/{bits}");
    }
}

/// After `pg_inet_net_ntop` in `src/port/inet_net_ntop.c`, which knows more embedded IPv4 addresses than the standard
/// library.
fn write_v6(address: [u8; 16], out: &mut String) {
    let words: [u16; 8] = std::array::from_fn(|word| u16::from_be_bytes([address[word * 2], address[word * 2 + 1]]));
    let zeros = longest_zeros(&words);
    let embedded = zeros.start == 0
        && (zeros.len() == 6 || (zeros.len() == 7 && words[7] != 1) || (zeros.len() == 5 && words[5] == 0xffff));
    for (index, word) in words.into_iter().enumerate() {
        if zeros.contains(&index) {
            if index == zeros.start {
                out.push(':');
            }
            continue;
        }
        if index > 0 {
            out.push(':');
        }
        if index == 6 && embedded {
            let _ = write!(out, "{}.{}.{}.{}", address[12], address[13], address[14], address[15]);
            return;
        }
        let _ = write!(out, "{word:x}");
    }
    if zeros.end == words.len() && !zeros.is_empty() {
        out.push(':');
    }
}

/// The first of the longest runs of two or more zero words.
fn longest_zeros(words: &[u16; 8]) -> std::ops::Range<usize> {
    let mut best = 0..0;
    let mut start = 0;
    for (index, word) in words.iter().enumerate() {
        if *word != 0 {
            start = index + 1;
        } else if index + 1 - start > best.len().max(1) {
            best = start..index + 1;
        }
    }
    best
}

/// Appends a binary `macaddr` or `macaddr8`.
pub(super) fn render_mac(bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    if !matches!(bytes.len(), 6 | 8) {
        return Err(ValueError::malformed(format!("a hardware address of {} bytes", bytes.len())));
    }
    for (index, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02x}", if index == 0 { "" } else { ":" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn v6(address: &str, bits: u8, cidr: u8) -> String {
        let address: Ipv6Addr = address.parse().unwrap();
        let mut out = String::new();
        render(&[&[V6, bits, cidr, 16][..], &address.octets()].concat(), &mut out).unwrap();
        out
    }

    #[test]
    fn addresses_print_as_the_server_prints_them() {
        let cases = [
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "1:0:0:2::3",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "1:2:3:4:5:6:7:8",
            "fe80::1:0:0:1",
        ];
        for address in cases {
            assert_eq!(v6(address, 128, 0), address);
        }
        assert_eq!(v6("1:0:2:3:4:5:6:7", 128, 0), "1:0:2:3:4:5:6:7");
        assert_eq!(v6("2001:db8::", 32, 1), "2001:db8::/32");
        let mut out = String::new();
        render(&[V4, 24, 0, 4, 192, 168, 1, 1], &mut out).unwrap();
        out.push(' ');
        render(&[V4, 32, 1, 4, 10, 0, 0, 1], &mut out).unwrap();
        assert_eq!(out, "192.168.1.1/24 10.0.0.1/32");
        assert!(render(&[V4, 24, 0, 3, 1, 2, 3], &mut out).is_err());
    }
}
