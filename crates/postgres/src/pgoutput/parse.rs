//! From bytes to messages, one function per message of the protocol page.

use ductstream_core::{Lsn, ReplicaIdentity};

use super::message::{
    Begin, Commit, Delete, Insert, Kind, Logical, Message, OldTuple, Origin, Prepared, Relation, RelationColumn,
    RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate, Type, Update,
};
use super::reader::{ParseError, Problem, Reader, Result};
use super::{Tuple, unix_micros};

/// Reads `pgoutput` messages of protocol versions 1 to 4.
///
/// It remembers one thing: whether it is inside a block of a streamed transaction, where each change carries a
/// transaction id of its own.
#[derive(Debug, Clone, Default)]
pub struct Parser {
    in_stream: bool,
}

/// A message, and what a block of a streamed transaction puts in front of it.
#[derive(Debug, Clone)]
pub struct Parsed<'a> {
    /// The (sub)transaction that the message belongs to, inside a streamed block.
    pub stream_xid: Option<u32>,
    /// The message.
    pub message: Message<'a>,
}

impl Parser {
    /// A parser at the start of a stream of messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one message. A row's values are checked later, while they are read.
    ///
    /// # Errors
    /// When the bytes are not a message of the protocol; names the message and the byte.
    #[inline]
    pub fn parse<'a>(&mut self, frame: &'a [u8]) -> Result<Parsed<'a>> {
        let Some(kind) = frame.first().and_then(|tag| Kind::from_tag(*tag)) else { return Err(unknown(frame)) };
        let mut reader = Reader::after_tag(frame, kind);
        let stream_xid = if self.in_stream && carries_stream_xid(kind) { Some(reader.u32()?) } else { None };
        let message = read(kind, &mut reader)?;
        match kind {
            Kind::StreamStart => self.in_stream = true,
            Kind::StreamStop => self.in_stream = false,
            _ => {}
        }
        Ok(Parsed { stream_xid, message })
    }
}

#[cold]
fn unknown(frame: &[u8]) -> ParseError {
    let problem = match frame.first() {
        Some(byte) => Problem::Unknown { what: "message", byte: *byte },
        None => Problem::Short { wanted: 1, left: 0 },
    };
    ParseError { kind: Kind::Unknown, offset: 0, problem: Box::new(problem) }
}

fn carries_stream_xid(kind: Kind) -> bool {
    use Kind as K;
    matches!(kind, K::Relation | K::Type | K::Insert | K::Update | K::Delete | K::Truncate | K::Message)
}

#[inline]
fn read<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Message<'a>> {
    Ok(match kind {
        Kind::Insert => Message::Insert(insert(reader)?),
        Kind::Update => Message::Update(update(reader)?),
        Kind::Delete => Message::Delete(delete(reader)?),
        Kind::Begin => Message::Begin(begin(reader)?),
        Kind::Commit => Message::Commit(whole_commit(reader)?),
        Kind::Origin => Message::Origin(origin(reader)?),
        Kind::Relation => Message::Relation(relation(reader)?),
        Kind::Type => Message::Type(type_(reader)?),
        Kind::Truncate => Message::Truncate(truncate(reader)?),
        Kind::Message => Message::Message(logical(reader)?),
        Kind::StreamStart => Message::StreamStart(stream_start(reader)?),
        Kind::StreamStop => reader.ending(Message::StreamStop)?,
        Kind::StreamCommit => Message::StreamCommit(stream_commit(reader)?),
        Kind::StreamAbort => Message::StreamAbort(stream_abort(reader)?),
        Kind::BeginPrepare => Message::BeginPrepare(prepared(reader)?),
        Kind::Prepare => Message::Prepare(flagged_prepared(reader)?),
        Kind::CommitPrepared => Message::CommitPrepared(flagged_prepared(reader)?),
        Kind::RollbackPrepared => Message::RollbackPrepared(rollback_prepared(reader)?),
        Kind::StreamPrepare => Message::StreamPrepare(flagged_prepared(reader)?),
        Kind::WalData | Kind::Keepalive | Kind::Unknown => {
            return Err(reader.error_at(0, Problem::Unknown { what: "message", byte: 0 }));
        }
    })
}

fn lsn(reader: &mut Reader<'_>) -> Result<Lsn> {
    reader.u64().map(Lsn)
}

fn time(reader: &mut Reader<'_>) -> Result<i64> {
    reader.i64().map(unix_micros)
}

/// The flags byte that the protocol keeps for later: the server sends zero, and PostgreSQL's own subscriber refuses the
/// rest.
fn no_flags(reader: &mut Reader<'_>) -> Result<()> {
    match reader.u8()? {
        0 => Ok(()),
        flags => Err(reader.unknown("flags", flags)),
    }
}

fn boolean(reader: &mut Reader<'_>, what: &'static str) -> Result<bool> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(reader.unknown(what, byte)),
    }
}

/// The wire leaves out `pg_catalog`.
fn namespace<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    let name = reader.string()?;
    Ok(if name.is_empty() { "pg_catalog" } else { name })
}

fn begin(reader: &mut Reader<'_>) -> Result<Begin> {
    let begin = Begin { final_lsn: lsn(reader)?, commit_time: time(reader)?, xid: reader.u32()? };
    reader.ending(begin)
}

fn commit(reader: &mut Reader<'_>) -> Result<Commit> {
    no_flags(reader)?;
    Ok(Commit { commit_lsn: lsn(reader)?, end_lsn: lsn(reader)?, commit_time: time(reader)? })
}

fn whole_commit(reader: &mut Reader<'_>) -> Result<Commit> {
    let commit = commit(reader)?;
    reader.ending(commit)
}

fn origin<'a>(reader: &mut Reader<'a>) -> Result<Origin<'a>> {
    let origin = Origin { commit_lsn: lsn(reader)?, name: reader.string()? };
    reader.ending(origin)
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Relation<'a>> {
    let (oid, namespace, name) = (reader.u32()?, namespace(reader)?, reader.string()?);
    let identity = identity(reader)?;
    let count = usize::from(reader.u16()?);
    // A column takes at least flags, an empty name, type and modifier.
    let mut columns = Vec::with_capacity(reader.fits(count, 10)?);
    for _ in 0..count {
        columns.push(relation_column(reader)?);
    }
    reader.ending(Relation { oid, namespace, name, identity, columns })
}

fn relation_column<'a>(reader: &mut Reader<'a>) -> Result<RelationColumn<'a>> {
    let key = boolean(reader, "column flags")?;
    Ok(RelationColumn { key, name: reader.string()?, type_oid: reader.u32()?, typmod: reader.i32()? })
}

fn identity(reader: &mut Reader<'_>) -> Result<ReplicaIdentity> {
    Ok(match reader.u8()? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        byte => return Err(reader.unknown("replica identity", byte)),
    })
}

fn type_<'a>(reader: &mut Reader<'a>) -> Result<Type<'a>> {
    let value = Type { oid: reader.u32()?, namespace: namespace(reader)?, name: reader.string()? };
    reader.ending(value)
}

#[inline]
fn insert<'a>(reader: &mut Reader<'a>) -> Result<Insert<'a>> {
    let relation = reader.u32()?;
    match reader.u8()? {
        b'N' => Ok(Insert { relation, new: Tuple::last(reader)? }),
        byte => Err(reader.unknown("tuple", byte)),
    }
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Update<'a>> {
    let relation = reader.u32()?;
    let mut tag = reader.u8()?;
    let mut old = None;
    if matches!(tag, b'K' | b'O') {
        let tuple = Tuple::inner(reader)?;
        old = Some(if tag == b'K' { OldTuple::Key(tuple) } else { OldTuple::Full(tuple) });
        tag = reader.u8()?;
    }
    match tag {
        b'N' => Ok(Update { relation, old, new: Tuple::last(reader)? }),
        byte => Err(reader.unknown("tuple", byte)),
    }
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Delete<'a>> {
    let relation = reader.u32()?;
    let old = match reader.u8()? {
        b'K' => OldTuple::Key(Tuple::last(reader)?),
        b'O' => OldTuple::Full(Tuple::last(reader)?),
        byte => return Err(reader.unknown("tuple", byte)),
    };
    Ok(Delete { relation, old })
}

fn truncate(reader: &mut Reader<'_>) -> Result<Truncate> {
    const CASCADE: u8 = 1;
    const RESTART_IDENTITY: u8 = 2;
    let count = reader.u32()?;
    let options = reader.u8()?;
    if options & !(CASCADE | RESTART_IDENTITY) != 0 {
        return Err(reader.unknown("truncate options", options));
    }
    let count = reader.fits(usize::try_from(count).unwrap_or(usize::MAX), 4)?;
    let relations = (0..count).map(|_| reader.u32()).collect::<Result<_>>()?;
    let (cascade, restart_identity) = (options & CASCADE != 0, options & RESTART_IDENTITY != 0);
    reader.ending(Truncate { cascade, restart_identity, relations })
}

fn logical<'a>(reader: &mut Reader<'a>) -> Result<Logical<'a>> {
    let transactional = boolean(reader, "message flags")?;
    let message = Logical { transactional, lsn: lsn(reader)?, prefix: reader.string()?, content: reader.sized()? };
    reader.ending(message)
}

fn stream_start(reader: &mut Reader<'_>) -> Result<StreamStart> {
    let start = StreamStart { xid: reader.u32()?, first: boolean(reader, "first-segment flag")? };
    reader.ending(start)
}

fn stream_commit(reader: &mut Reader<'_>) -> Result<StreamCommit> {
    let commit = StreamCommit { xid: reader.u32()?, commit: commit(reader)? };
    reader.ending(commit)
}

fn stream_abort(reader: &mut Reader<'_>) -> Result<StreamAbort> {
    let (xid, subxid) = (reader.u32()?, reader.u32()?);
    // Address and time come with `streaming 'parallel'` only; the length tells, whatever was asked for.
    let at = if reader.left() == 0 { None } else { Some((lsn(reader)?, time(reader)?)) };
    reader.ending(StreamAbort { xid, subxid, at })
}

fn prepared<'a>(reader: &mut Reader<'a>) -> Result<Prepared<'a>> {
    let prepared = Prepared {
        lsn: lsn(reader)?,
        end_lsn: lsn(reader)?,
        time: time(reader)?,
        xid: reader.u32()?,
        gid: reader.string()?,
    };
    reader.ending(prepared)
}

fn flagged_prepared<'a>(reader: &mut Reader<'a>) -> Result<Prepared<'a>> {
    no_flags(reader)?;
    prepared(reader)
}

fn rollback_prepared<'a>(reader: &mut Reader<'a>) -> Result<RollbackPrepared<'a>> {
    no_flags(reader)?;
    let rollback = RollbackPrepared {
        prepare_end_lsn: lsn(reader)?,
        rollback_end_lsn: lsn(reader)?,
        prepare_time: time(reader)?,
        rollback_time: time(reader)?,
        xid: reader.u32()?,
        gid: reader.string()?,
    };
    reader.ending(rollback)
}
