//! The messages of the protocol. Everything borrows from the frame that was read.

use std::fmt;

use ductstream_core::{Lsn, ReplicaIdentity};

use super::Tuple;

/// A message's kind, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the message of the same name")]
pub enum Kind {
    Begin,
    Commit,
    Origin,
    Relation,
    Type,
    Insert,
    Update,
    Delete,
    Truncate,
    Message,
    StreamStart,
    StreamStop,
    StreamCommit,
    StreamAbort,
    BeginPrepare,
    Prepare,
    CommitPrepared,
    RollbackPrepared,
    StreamPrepare,
    WalData,
    Keepalive,
    Unknown,
}

impl Kind {
    /// The kind that the first byte of a `pgoutput` message names.
    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            b'B' => Self::Begin,
            b'C' => Self::Commit,
            b'O' => Self::Origin,
            b'R' => Self::Relation,
            b'Y' => Self::Type,
            b'I' => Self::Insert,
            b'U' => Self::Update,
            b'D' => Self::Delete,
            b'T' => Self::Truncate,
            b'M' => Self::Message,
            b'S' => Self::StreamStart,
            b'E' => Self::StreamStop,
            b'c' => Self::StreamCommit,
            b'A' => Self::StreamAbort,
            b'b' => Self::BeginPrepare,
            b'P' => Self::Prepare,
            b'K' => Self::CommitPrepared,
            b'r' => Self::RollbackPrepared,
            b'p' => Self::StreamPrepare,
            _ => return None,
        })
    }

    /// The name on the protocol page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "Begin",
            Self::Commit => "Commit",
            Self::Origin => "Origin",
            Self::Relation => "Relation",
            Self::Type => "Type",
            Self::Insert => "Insert",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Truncate => "Truncate",
            Self::Message => "Message",
            Self::StreamStart => "Stream Start",
            Self::StreamStop => "Stream Stop",
            Self::StreamCommit => "Stream Commit",
            Self::StreamAbort => "Stream Abort",
            Self::BeginPrepare => "Begin Prepare",
            Self::Prepare => "Prepare",
            Self::CommitPrepared => "Commit Prepared",
            Self::RollbackPrepared => "Rollback Prepared",
            Self::StreamPrepare => "Stream Prepare",
            Self::WalData => "XLogData",
            Self::Keepalive => "keepalive",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One `pgoutput` message. All times are in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// A transaction begins; its changes follow, then [`Message::Commit`].
    Begin(Begin),
    /// The transaction ends.
    Commit(Commit),
    /// Where the transaction came from, when it was replicated into this server.
    Origin(Origin<'a>),
    /// A table's columns, before its first change and after each invalidation.
    Relation(Relation<'a>),
    /// A type that is not built in, before the first relation that uses it.
    Type(Type<'a>),
    /// A new row.
    Insert(Insert<'a>),
    /// A changed row.
    Update(Update<'a>),
    /// A removed row.
    Delete(Delete<'a>),
    /// Emptied tables.
    Truncate(Truncate),
    /// What `pg_logical_emit_message` wrote.
    Message(Logical<'a>),
    /// A block of a transaction in progress begins.
    StreamStart(StreamStart),
    /// The block ends.
    StreamStop,
    /// A streamed transaction commits.
    StreamCommit(StreamCommit),
    /// A streamed transaction, or a subtransaction of it, is rolled back.
    StreamAbort(StreamAbort),
    /// A transaction to be prepared begins.
    BeginPrepare(Prepared<'a>),
    /// It is prepared.
    Prepare(Prepared<'a>),
    /// A prepared transaction commits.
    CommitPrepared(Prepared<'a>),
    /// A prepared transaction is rolled back.
    RollbackPrepared(RollbackPrepared<'a>),
    /// A streamed transaction is prepared.
    StreamPrepare(Prepared<'a>),
}

impl Message<'_> {
    /// The message's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Begin(_) => Kind::Begin,
            Self::Commit(_) => Kind::Commit,
            Self::Origin(_) => Kind::Origin,
            Self::Relation(_) => Kind::Relation,
            Self::Type(_) => Kind::Type,
            Self::Insert(_) => Kind::Insert,
            Self::Update(_) => Kind::Update,
            Self::Delete(_) => Kind::Delete,
            Self::Truncate(_) => Kind::Truncate,
            Self::Message(_) => Kind::Message,
            Self::StreamStart(_) => Kind::StreamStart,
            Self::StreamStop => Kind::StreamStop,
            Self::StreamCommit(_) => Kind::StreamCommit,
            Self::StreamAbort(_) => Kind::StreamAbort,
            Self::BeginPrepare(_) => Kind::BeginPrepare,
            Self::Prepare(_) => Kind::Prepare,
            Self::CommitPrepared(_) => Kind::CommitPrepared,
            Self::RollbackPrepared(_) => Kind::RollbackPrepared,
            Self::StreamPrepare(_) => Kind::StreamPrepare,
        }
    }
}

/// See [`Message::Begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Start of the transaction's commit record.
    pub final_lsn: Lsn,
    /// When it committed.
    pub commit_time: i64,
    /// The transaction.
    pub xid: u32,
}

/// See [`Message::Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Start of the commit record.
    pub commit_lsn: Lsn,
    /// End of the commit record.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: i64,
}

/// See [`Message::Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The commit's address on the server that it came from.
    pub commit_lsn: Lsn,
    /// The origin's name.
    pub name: &'a str,
}

/// See [`Message::Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The table.
    pub oid: u32,
    /// Its namespace. The wire leaves `pg_catalog` out; here it is filled in.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What old images hold.
    pub identity: ReplicaIdentity,
    /// The columns that are published, in the order of the table.
    pub columns: Vec<RelationColumn<'a>>,
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity; set for every column under `FULL`.
    pub key: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: u32,
    /// Its type modifier; -1 when there is none.
    pub typmod: i32,
}

/// See [`Message::Type`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// The type.
    pub oid: u32,
    /// Its namespace, `pg_catalog` filled in.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// See [`Message::Insert`].
#[derive(Debug, Clone, Copy)]
pub struct Insert<'a> {
    /// The table.
    pub relation: u32,
    /// The new row.
    pub new: Tuple<'a>,
}

/// A row's image before a change.
#[derive(Debug, Clone, Copy)]
pub enum OldTuple<'a> {
    /// The replica identity's columns; the others are null.
    Key(Tuple<'a>),
    /// The whole row.
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The values, whichever they are.
    pub fn tuple(&self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => *tuple,
        }
    }
}

/// See [`Message::Update`].
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The table.
    pub relation: u32,
    /// The old row, when the key changed or the identity is `FULL`.
    pub old: Option<OldTuple<'a>>,
    /// The new row.
    pub new: Tuple<'a>,
}

/// See [`Message::Delete`].
#[derive(Debug, Clone, Copy)]
pub struct Delete<'a> {
    /// The table.
    pub relation: u32,
    /// The old row.
    pub old: OldTuple<'a>,
}

/// See [`Message::Truncate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// `CASCADE`.
    pub cascade: bool,
    /// `RESTART IDENTITY`.
    pub restart_identity: bool,
    /// The tables.
    pub relations: Vec<u32>,
}

/// See [`Message::Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logical<'a> {
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Where it stands in the WAL.
    pub lsn: Lsn,
    /// The sender's prefix.
    pub prefix: &'a str,
    /// The content.
    pub content: &'a [u8],
}

/// See [`Message::StreamStart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: u32,
    /// Whether this is its first block.
    pub first: bool,
}

/// See [`Message::StreamCommit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: u32,
    /// Its commit.
    pub commit: Commit,
}

/// See [`Message::StreamAbort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: u32,
    /// What is rolled back: a subtransaction, or the same as `xid`.
    pub subxid: u32,
    /// Address and time of the abort record; only with protocol 4 and `streaming 'parallel'`.
    pub at: Option<(Lsn, i64)>,
}

/// Begin Prepare, Prepare, Commit Prepared and Stream Prepare: the same fields, some with flags in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared<'a> {
    /// Start of the prepare (or commit) record.
    pub lsn: Lsn,
    /// End of that record.
    pub end_lsn: Lsn,
    /// When it was prepared (or committed).
    pub time: i64,
    /// The transaction.
    pub xid: u32,
    /// The identifier given to `PREPARE TRANSACTION`.
    pub gid: &'a str,
}

/// See [`Message::RollbackPrepared`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackPrepared<'a> {
    /// End of the prepare record.
    pub prepare_end_lsn: Lsn,
    /// End of the rollback record.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: i64,
    /// When it was rolled back.
    pub rollback_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The identifier given to `PREPARE TRANSACTION`.
    pub gid: &'a str,
}
