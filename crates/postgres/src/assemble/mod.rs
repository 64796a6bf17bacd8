//! From `pgoutput` messages to change batches.
//!
//! [`Assembler`] takes one message after the other and appends the values of each row straight to its table's column
//! builders. It does no input or output: what it needs from the catalog it asks for ([`Pushed::NeedRelation`]).
//!
//! - A change stands at (start of its transaction's commit record, index among the changes of that transaction).
//! - A table's schema gets a version by [`SchemaRecord`]'s rule; a new version is a barrier.
//! - A batch is cut at a number of bytes, also inside a transaction, and before each barrier that must not be passed.

mod batches;
mod chunk;
mod failure;
mod history;
mod relation;
mod shape;

use std::collections::{HashMap, HashSet};

use ductstream_core::{
    Barrier, ChangeBatch, Error, LogicalMessage, Lsn, Op, Position, ReplicaIdentity, Result, SchemaRecord, TableName,
};

use self::batches::Batches;
use self::chunk::{ChunkBuilder, RowError, RowHead};
use self::history::{History, Resolved};
pub use self::relation::DeclaredColumns;
pub(crate) use self::relation::{Catalogued, compile};
use self::relation::{Known, Relations};
use crate::pgoutput::{
    Begin, Commit, Delete, Insert, Kind, Logical, Message, Parser, Relation, Truncate, Tuple, Update,
};
use crate::types::{SpecialValues, TypeCatalog};

/// Arrow's text and binary columns count bytes in 31 bits. A batch may exceed its size by one row, which is at most 1
/// GiB.
const MAX_BATCH_BYTES: usize = 512 << 20;

/// How batches are assembled.
#[derive(Debug, Clone, Copy)]
pub struct AssemblerSettings {
    /// What to do with a value that its column's Arrow type cannot hold.
    pub special_values: SpecialValues,
    /// A batch is cut when its rows took this many bytes on the wire; at most 512 MiB.
    pub batch_bytes: usize,
    /// Whether logical messages are carried: counted in positions and delivered as barriers.
    pub messages: bool,
    /// Whether to ask what columns are declared to be ([`Assembler::set_relation_columns`]). Fields say nothing of it otherwise.
    pub declarations: bool,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// It is taken in.
    Done,
    /// It is a Relation message, or the first change after an announced one, that needs catalog knowledge first. Nothing has changed:
    /// push it again afterwards.
    NeedRelation(RelationNeed),
}

/// What has to be read from the catalog before a Relation message can be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationNeed {
    /// The table. Under `REPLICA IDENTITY FULL` its primary key has to be given by [`Assembler::set_relation_key`]; what its columns are
    /// declared to be may be given by [`Assembler::set_relation_columns`].
    pub oid: u32,
    /// Types to add to [`Assembler::types_mut`]. One that the catalog no longer has may stay unknown.
    pub types: Vec<u32>,
}

/// Turns `pgoutput` messages into change batches.
///
/// After an error it takes no more messages, but what was complete before the failing change can still be taken.
#[derive(Debug)]
pub struct Assembler {
    settings: AssemblerSettings,
    types: TypeCatalog,
    /// Primary keys by table OID; empty for a table without one.
    primary_keys: HashMap<u32, Vec<String>>,
    /// What columns are declared to be, by table OID.
    declared: HashMap<u32, DeclaredColumns>,
    /// The table whose Relation message waits for catalog knowledge.
    asked: Option<u32>,
    /// Relation messages that count from their table's next change on.
    announced: HashMap<u32, Vec<u8>>,
    parser: Parser,
    history: History,
    relations: Relations,
    batches: Batches,
    from: Position,
    transaction: Option<Transaction>,
    failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Transaction {
    commit_lsn: Lsn,
    commit_time: i64,
    xid: u32,
    /// Index of the next change.
    seq: u64,
}

/// One row on its way into its table.
enum Change<'a> {
    Insert(Insert<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
}

impl Assembler {
    /// An assembler for a stream that begins at or before `from`: changes before it are counted and not delivered.
    /// `known` are the schema versions stored so far.
    pub fn new(settings: AssemblerSettings, types: TypeCatalog, known: Vec<SchemaRecord>, from: Position) -> Self {
        Self {
            settings,
            types,
            primary_keys: HashMap::new(),
            declared: HashMap::new(),
            asked: None,
            announced: HashMap::new(),
            parser: Parser::new(),
            history: History::new(known, from),
            relations: Relations::default(),
            batches: Batches::new(settings.batch_bytes.clamp(1, MAX_BATCH_BYTES), from),
            from,
            transaction: None,
            failed: false,
        }
    }

    /// Takes in one `pgoutput` message.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) for a value that its column cannot hold,
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) for a two-phase slot, otherwise
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) for what breaks the protocol.
    pub fn push(&mut self, message: &[u8]) -> Result<Pushed> {
        if self.failed {
            return Err(Error::bug("a message was pushed to an assembler that had failed"));
        }
        let result = self.dispatch(message);
        self.failed = result.is_err();
        result
    }

    /// Notes a Relation message that counts from its table's next change on, if there is one; a pushed one comes before it.
    ///
    /// # Errors
    /// When it is no Relation message.
    pub fn announce(&mut self, message: &[u8]) -> Result<()> {
        let parsed = self.parser.parse(message).map_err(|error| failure::malformed(&error, self.commit_lsn()))?;
        match parsed.message {
            Message::Relation(relation) => {
                self.announced.insert(relation.oid, message.to_vec());
                Ok(())
            }
            other => Err(failure::out_of_order(other.kind(), "as the announcement of a table")),
        }
    }

    /// The types known so far, to add more.
    pub fn types_mut(&mut self) -> &mut TypeCatalog {
        &mut self.types
    }

    /// Sets the primary key of the table `oid`, by column name; empty when it has none. It makes the record key under
    /// `REPLICA IDENTITY FULL` and counts from the table's next Relation message.
    pub fn set_relation_key(&mut self, oid: u32, primary_key: Vec<String>) {
        if self.primary_keys.get(&oid) != Some(&primary_key) {
            self.primary_keys.insert(oid, primary_key);
            self.relations.forget_message(oid);
        }
    }

    /// Sets what the columns of the table `oid` are declared to be. Counts from the next Relation message that tells something new.
    pub fn set_relation_columns(&mut self, oid: u32, columns: DeclaredColumns) {
        self.declared.insert(oid, columns);
    }

    /// Takes in a keepalive: everything that commits before `wal_end` has been sent. Inside a transaction it says
    /// nothing new. Time in microseconds since 1970-01-01 UTC.
    pub fn keepalive(&mut self, wal_end: Lsn, server_time_micros: i64) {
        if self.transaction.is_none() && !self.failed {
            self.batches.advance_idle(Position::start_of(wal_end), server_time_micros);
        }
    }

    /// Whether a transaction has begun and not ended.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether [`take`](Self::take) would return a batch.
    pub fn has_pending(&self) -> bool {
        self.batches.has_pending()
    }

    /// Whether enough is pending that some should be taken before more is pushed.
    pub fn is_full(&self) -> bool {
        self.batches.is_full()
    }

    /// Bytes that the pending records took on the wire.
    pub fn pending_bytes(&self) -> usize {
        self.batches.pending_bytes()
    }

    /// The oldest pending batch.
    pub fn take(&mut self) -> Option<ChangeBatch> {
        self.batches.take(&mut self.relations)
    }

    #[inline]
    fn dispatch(&mut self, frame: &[u8]) -> Result<Pushed> {
        let parsed = self.parser.parse(frame);
        let message = parsed.map_err(|error| failure::malformed(&error, self.commit_lsn()))?.message;
        match message {
            Message::Insert(insert) => return self.row(insert.relation, Change::Insert(insert), frame.len()),
            Message::Update(update) => return self.row(update.relation, Change::Update(update), frame.len()),
            Message::Delete(delete) => return self.row(delete.relation, Change::Delete(delete), frame.len()),
            Message::Begin(begin) => self.begin(begin)?,
            Message::Commit(commit) => self.commit(commit)?,
            Message::Relation(relation) => return self.relation(&relation, frame),
            Message::Truncate(truncate) => return self.truncate(&truncate),
            Message::Message(message) => self.message(message)?,
            // Types are read from the catalog when a relation needs them; where a transaction came from is not told on.
            Message::Type(_) | Message::Origin(_) => {}
            // PostgreSQL 18 reports the end of subtransactions whose transaction it found aborted while it was short of memory as if it
            // had streamed them. It has sent nothing of them.
            Message::StreamAbort(_) => {}
            other => return Err(failure::not_asked_for(other.kind())),
        }
        Ok(Pushed::Done)
    }

    fn commit_lsn(&self) -> Option<Lsn> {
        self.transaction.map(|transaction| transaction.commit_lsn)
    }

    fn begin(&mut self, begin: Begin) -> Result<()> {
        if self.transaction.is_some() {
            return Err(failure::out_of_order(Kind::Begin, "inside a transaction"));
        }
        let Begin { final_lsn: commit_lsn, commit_time, xid } = begin;
        // At its start a stream may go over what was delivered before; from then on, what went back would be taken for
        // something that was delivered already.
        let bound = self.batches.bound();
        if bound > self.from && Position::start_of(commit_lsn) < bound {
            let problem = format!(
                "of a transaction that commits at {commit_lsn}, behind what commits before {}",
                bound.commit_lsn
            );
            return Err(failure::out_of_order(Kind::Begin, &problem));
        }
        self.transaction = Some(Transaction { commit_lsn, commit_time, xid, seq: 0 });
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        match self.transaction.take() {
            Some(transaction) if transaction.commit_lsn == commit.commit_lsn => {
                self.batches.advance(Position::start_of(commit.end_lsn), commit.commit_time);
                Ok(())
            }
            Some(_) => Err(failure::out_of_order(Kind::Commit, "of another transaction than the one that began")),
            None => Err(failure::out_of_order(Kind::Commit, "outside of a transaction")),
        }
    }

    /// The transaction with the position of the change at hand, which is counted.
    #[inline]
    fn next_change(&mut self, kind: Kind) -> Result<(Transaction, Position)> {
        let Some(transaction) = &mut self.transaction else {
            return Err(failure::out_of_order(kind, "outside of a transaction"));
        };
        let position = Position::new(transaction.commit_lsn, transaction.seq);
        transaction.seq += 1;
        Ok((*transaction, position))
    }

    #[inline]
    fn row(&mut self, oid: u32, change: Change<'_>, frame_bytes: usize) -> Result<Pushed> {
        if let Pushed::NeedRelation(need) = self.settle(oid)? {
            return Ok(Pushed::NeedRelation(need));
        }
        let (transaction, position) = self.next_change(change.kind())?;
        if position < self.from {
            return Ok(Pushed::Done);
        }
        let index = self.table_index(oid, change.kind())?;
        let head = RowHead {
            op: change.op(),
            position,
            xid: transaction.xid,
            commit_time: transaction.commit_time,
            wire_bytes: frame_bytes.saturating_sub(ROW_HEADER_BYTES),
        };
        let table = self.relations.table(index);
        if table.open_chunk.is_none() {
            table.chunk.start();
        }
        if let Err(error) = change.append(head, &mut table.chunk) {
            return Err(failure::row(error, &table.schema, change.identifying(), transaction.commit_lsn));
        }
        let bytes = frame_bytes.max(table.chunk.least_row_bytes());
        table.open_chunk = Some(self.batches.count_row(index, table.open_chunk));
        self.batches.count_record(position, transaction.commit_time, bytes);
        self.cut_when_due();
        Ok(Pushed::Done)
    }

    /// Takes in what was announced of a table that now has a change.
    #[inline]
    fn settle(&mut self, oid: u32) -> Result<Pushed> {
        if self.announced.is_empty() { Ok(Pushed::Done) } else { self.settle_announced(oid) }
    }

    fn settle_announced(&mut self, oid: u32) -> Result<Pushed> {
        let Some(message) = self.announced.remove(&oid) else { return Ok(Pushed::Done) };
        let pushed = self.dispatch(&message)?;
        if matches!(pushed, Pushed::NeedRelation(_)) {
            self.announced.insert(oid, message);
        }
        Ok(pushed)
    }

    #[inline]
    fn table_index(&mut self, oid: u32, kind: Kind) -> Result<usize> {
        self.relations.find(oid).ok_or_else(|| {
            failure::out_of_order(kind, &format!("for the table with OID {oid} before its Relation message"))
        })
    }

    #[inline]
    fn cut_when_due(&mut self) {
        if self.batches.is_due() {
            self.batches.cut_rows(&mut self.relations);
        }
    }

    fn truncate(&mut self, truncate: &Truncate) -> Result<Pushed> {
        for oid in &truncate.relations {
            if let Pushed::NeedRelation(need) = self.settle(*oid)? {
                return Ok(Pushed::NeedRelation(need));
            }
        }
        let mut carried = Vec::with_capacity(truncate.relations.len());
        let mut seen = HashSet::with_capacity(truncate.relations.len());
        for oid in &truncate.relations {
            // Four bytes on the wire are a whole row here, so a table may count once only.
            if !seen.insert(*oid) {
                return Err(failure::out_of_order(
                    Kind::Truncate,
                    &format!("that names the table with OID {oid} twice"),
                ));
            }
            let (transaction, position) = self.next_change(Kind::Truncate)?;
            if position >= self.from {
                carried.push((self.table_index(*oid, Kind::Truncate)?, transaction, position));
            }
        }
        if carried.is_empty() {
            return Ok(Pushed::Done);
        }
        self.batches.cut_rows(&mut self.relations);
        let tables = carried.iter().map(|(index, ..)| self.relations.table(*index).schema.table.clone()).collect();
        let Truncate { cascade, restart_identity, .. } = *truncate;
        self.batches.add_barrier(Barrier::Truncate { tables, cascade, restart_identity });
        for (index, transaction, position) in carried {
            self.truncate_record(index, transaction, position);
        }
        self.cut_when_due();
        Ok(Pushed::Done)
    }

    fn truncate_record(&mut self, index: usize, transaction: Transaction, position: Position) {
        let Transaction { xid, commit_time, .. } = transaction;
        let table = self.relations.table(index);
        if table.open_chunk.is_none() {
            table.chunk.start();
        }
        table.chunk.truncate(RowHead { op: Op::Truncate, position, xid, commit_time, wire_bytes: 0 });
        table.open_chunk = Some(self.batches.count_row(index, table.open_chunk));
        self.batches.count_record(position, commit_time, OID_BYTES);
    }

    fn message(&mut self, message: Logical<'_>) -> Result<()> {
        if !self.settings.messages {
            return Ok(());
        }
        let (transaction, position) = match (message.transactional, self.transaction) {
            (true, _) => {
                let (transaction, position) = self.next_change(Kind::Message)?;
                (Some(transaction), position)
            }
            (false, None) => (None, Position::start_of(message.lsn)),
            (false, Some(_)) => {
                return Err(failure::out_of_order(Kind::Message, "without a transaction inside of one"));
            }
        };
        if position < self.from {
            return Ok(());
        }
        self.batches.cut_rows(&mut self.relations);
        self.batches.add_barrier(Barrier::Message(LogicalMessage {
            position,
            xid: transaction.map(|transaction| transaction.xid),
            commit_time: transaction.map(|transaction| transaction.commit_time),
            prefix: message.prefix.to_owned(),
            content: message.content.to_vec(),
        }));
        let bytes = message.prefix.len() + message.content.len();
        self.batches.count_message(position, transaction.map(|transaction| transaction.commit_time), bytes);
        Ok(())
    }

    fn relation(&mut self, relation: &Relation<'_>, frame: &[u8]) -> Result<Pushed> {
        let Some(transaction) = self.transaction else {
            return Err(failure::out_of_order(Kind::Relation, "outside of a transaction"));
        };
        self.announced.remove(&relation.oid);
        let known = self.relations.compare(relation.oid, frame);
        if known == Known::Same {
            return Ok(Pushed::Done);
        }
        if self.asked != Some(relation.oid)
            && let Some(need) = self.need(relation, known)
        {
            self.asked = Some(relation.oid);
            return Ok(Pushed::NeedRelation(need));
        }
        self.asked = None;
        self.install(relation, frame, Position::new(transaction.commit_lsn, transaction.seq))?;
        Ok(Pushed::Done)
    }

    /// What the catalog has to tell before `relation` can be taken in.
    fn need(&self, relation: &Relation<'_>, known: Known) -> Option<RelationNeed> {
        let types = self.types.missing(relation.columns.iter().map(|column| column.type_oid));
        let changed = known == Known::Otherwise;
        // A table that changed may have got another primary key, which the message does not tell under FULL.
        let lacks_key =
            relation.identity == ReplicaIdentity::Full && (changed || !self.primary_keys.contains_key(&relation.oid));
        let lacks_columns = self.settings.declarations && (changed || !self.declared.contains_key(&relation.oid));
        (lacks_key || lacks_columns || !types.is_empty()).then_some(RelationNeed { oid: relation.oid, types })
    }

    fn install(&mut self, relation: &Relation<'_>, frame: &[u8], position: Position) -> Result<()> {
        let primary_key = self.primary_keys.get(&relation.oid).map(Vec::as_slice);
        if relation.identity == ReplicaIdentity::Full && primary_key.is_none() {
            let table = TableName::new(relation.namespace, relation.name);
            return Err(Error::bug(format!("the primary key of {table} was not looked up")));
        }
        let catalogued = Catalogued { primary_key, columns: self.declared.get(&relation.oid) };
        let (schema, programs) = compile(relation, catalogued, &self.types, self.settings.special_values);
        // Rows of one table belong to one chunk: cut before the table gets another shape, name or OID.
        if self.relations.includes(self.batches.open_tables(), relation.oid, &schema.table) {
            self.batches.cut_rows(&mut self.relations);
        }
        let Resolved { schema, barrier } = self.history.resolve(schema, position)?;
        if let Some(barrier) = barrier {
            // Nothing of a table that is seen for the first time can stand before its barrier.
            if matches!(barrier, Barrier::Schema { previous: Some(_), .. }) {
                self.batches.cut_rows(&mut self.relations);
            }
            self.batches.add_barrier(barrier);
        }
        self.relations.install(schema, programs, frame);
        Ok(())
    }
}

/// Tag and OID in front of a row.
const ROW_HEADER_BYTES: usize = 5;
const OID_BYTES: usize = 4;

impl<'a> Change<'a> {
    fn kind(&self) -> Kind {
        match self {
            Self::Insert(_) => Kind::Insert,
            Self::Update(_) => Kind::Update,
            Self::Delete(_) => Kind::Delete,
        }
    }

    fn op(&self) -> Op {
        match self {
            Self::Insert(_) => Op::Insert,
            Self::Update(_) => Op::Update,
            Self::Delete(_) => Op::Delete,
        }
    }

    #[inline]
    fn append(&self, head: RowHead, chunk: &mut ChunkBuilder) -> Result<(), RowError> {
        match self {
            Self::Insert(insert) => chunk.insert(head, insert.new),
            Self::Update(update) => chunk.update(head, update.old, update.new),
            Self::Delete(delete) => chunk.delete(head, delete.old),
        }
    }

    /// The row whose key values name it in an error.
    fn identifying(&self) -> Tuple<'a> {
        match self {
            Self::Insert(insert) => insert.new,
            Self::Update(update) => update.new,
            Self::Delete(delete) => delete.old.tuple(),
        }
    }
}
