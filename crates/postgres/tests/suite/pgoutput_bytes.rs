//! Writes `pgoutput` messages, as the server does.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

/// A column's value in a row.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Unchanged,
    Text(String),
    Binary(Vec<u8>),
}

/// A column of a Relation message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnSpec {
    pub(crate) key: bool,
    pub(crate) name: &'static str,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
}

pub(crate) const INT4: u32 = 23;
pub(crate) const TEXT: u32 = 25;

pub(crate) fn int(value: i32) -> Value {
    Value::Binary(value.to_be_bytes().to_vec())
}

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(crate) fn column(name: &'static str, type_oid: u32) -> ColumnSpec {
    ColumnSpec { key: false, name, type_oid, typmod: -1 }
}

pub(crate) fn key(name: &'static str, type_oid: u32) -> ColumnSpec {
    ColumnSpec { key: true, ..column(name, type_oid) }
}

/// Times are in microseconds since 2000-01-01, as on the wire.
pub(crate) fn begin(final_lsn: u64, time: i64, xid: u32) -> Vec<u8> {
    [&b"B"[..], &final_lsn.to_be_bytes(), &time.to_be_bytes(), &xid.to_be_bytes()].concat()
}

pub(crate) fn commit(lsn: u64, end: u64, time: i64) -> Vec<u8> {
    [&b"C\0"[..], &lsn.to_be_bytes(), &end.to_be_bytes(), &time.to_be_bytes()].concat()
}

pub(crate) fn relation(oid: u32, name: &str, identity: u8, columns: &[ColumnSpec]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).expect("few columns");
    let mut out =
        [&b"R"[..], &oid.to_be_bytes(), b"public\0", name.as_bytes(), &[0, identity], &count.to_be_bytes()].concat();
    for column in columns {
        out.push(u8::from(column.key));
        out.extend_from_slice(column.name.as_bytes());
        out.push(0);
        out.extend_from_slice(&column.type_oid.to_be_bytes());
        out.extend_from_slice(&column.typmod.to_be_bytes());
    }
    out
}

fn tuple(out: &mut Vec<u8>, tag: u8, values: &[Value]) {
    out.push(tag);
    out.extend_from_slice(&u16::try_from(values.len()).expect("few columns").to_be_bytes());
    for value in values {
        let (tag, bytes) = match value {
            Value::Null => (b'n', None),
            Value::Unchanged => (b'u', None),
            Value::Text(text) => (b't', Some(text.as_bytes())),
            Value::Binary(bytes) => (b'b', Some(bytes.as_slice())),
        };
        out.push(tag);
        if let Some(bytes) = bytes {
            out.extend_from_slice(&u32::try_from(bytes.len()).expect("a short value").to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

fn row(tag: u8, oid: u32) -> Vec<u8> {
    [&[tag][..], &oid.to_be_bytes()].concat()
}

pub(crate) fn insert(oid: u32, new: &[Value]) -> Vec<u8> {
    let mut out = row(b'I', oid);
    tuple(&mut out, b'N', new);
    out
}

/// `old` is the old image with its tag, `K` or `O`.
pub(crate) fn update(oid: u32, old: Option<(u8, &[Value])>, new: &[Value]) -> Vec<u8> {
    let mut out = row(b'U', oid);
    if let Some((tag, values)) = old {
        tuple(&mut out, tag, values);
    }
    tuple(&mut out, b'N', new);
    out
}

pub(crate) fn delete(oid: u32, tag: u8, old: &[Value]) -> Vec<u8> {
    let mut out = row(b'D', oid);
    tuple(&mut out, tag, old);
    out
}

pub(crate) fn truncate(options: u8, oids: &[u32]) -> Vec<u8> {
    let count = u32::try_from(oids.len()).expect("few tables");
    let mut out = [&b"T"[..], &count.to_be_bytes(), &[options]].concat();
    oids.iter().for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
    out
}

pub(crate) fn message(transactional: bool, lsn: u64, prefix: &str, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short message");
    let head = [&b"M"[..], &[u8::from(transactional)], &lsn.to_be_bytes(), prefix.as_bytes(), b"\0"].concat();
    [&head[..], &length.to_be_bytes(), content].concat()
}
