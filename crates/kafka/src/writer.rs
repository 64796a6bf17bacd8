//! From batches to messages on their way.

use std::collections::HashMap;
use std::sync::Arc;

use ductstream_core::{
    ByteSize, ChangeBatch, Error, Lsn, MessageEncoder, Messages, Position, Refusals, Refused, Result, TableChunk,
    TableName, TableSchema,
};
use tokio::runtime::Handle;

use crate::deliveries::Sent;
use crate::encode::{bytes, encode};
use crate::send::{Outgoing, Sender};
use crate::transactions::Transactions;

/// Encodes batches and sends them. Used by one thread at a time.
pub(crate) struct Writer {
    sender: Sender,
    max_message_bytes: usize,
    tables: HashMap<(TableName, u32), Table>,
    /// One per chunk of a batch, used again.
    messages: Vec<Messages>,
    /// With `exactly_once`.
    transactions: Option<Transactions>,
    /// Who takes the records that cannot be sent, if anybody does.
    refusals: Option<Arc<dyn Refusals>>,
}

/// One table at one schema version.
pub(crate) struct Table {
    schema: Arc<TableSchema>,
    pub(crate) topic: String,
    /// The table's name and the version, as headers have them.
    pub(crate) name: String,
    pub(crate) version: String,
    encoder: Box<dyn MessageEncoder>,
}

impl Writer {
    pub(crate) fn new(sender: Sender, max_message_size: ByteSize, transactions: Option<Transactions>) -> Self {
        let max_message_bytes = usize::try_from(max_message_size.0).unwrap_or(usize::MAX);
        Self { sender, max_message_bytes, tables: HashMap::new(), messages: Vec::new(), transactions, refusals: None }
    }

    /// The same with somebody who takes the records that cannot be sent.
    pub(crate) fn refusing_to(self, refusals: Option<Arc<dyn Refusals>>) -> Self {
        Self { refusals, ..self }
    }

    /// Whether the encoder of a schema is there.
    pub(crate) fn knows(&self, schema: &Arc<TableSchema>) -> bool {
        let known = self.tables.get(&key(schema));
        known.is_some_and(|table| Arc::ptr_eq(&table.schema, schema) || table.schema == *schema)
    }

    /// Takes the encoder of a schema. Encoders of older versions are dropped but for the one before.
    pub(crate) fn learn(&mut self, schema: &Arc<TableSchema>, topic: String, encoder: Box<dyn MessageEncoder>) {
        let (name, version) = key(schema);
        self.tables.retain(|(table, known), _| *table != name || known + 1 >= version);
        let table =
            Table { schema: schema.clone(), topic, name: name.to_string(), version: version.to_string(), encoder };
        self.tables.insert((name, version), table);
    }

    /// Sends a batch: everything is encoded first, so that what cannot be sent stops the batch before its first message, or is kept apart before
    /// anything says that the batch is durable. Blocks while the queue is full, and while a Kafka transaction that is due is committed.
    pub(crate) fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        let refused = self.encode(batch)?;
        if !refused.is_empty() {
            self.refuse(refused)?;
        }
        // Taken out while what they hold is on its way: after an error the destination is dropped.
        let (messages, mut transactions) = (std::mem::take(&mut self.messages), self.transactions.take());
        let outgoing = self.in_order(batch, &messages)?;
        let sent = match &mut transactions {
            None => self.send(&outgoing, batch.end).map(|_| ()),
            Some(transactions) => self.send_in_transactions(&outgoing, batch.end, transactions),
        };
        drop(outgoing);
        (self.messages, self.transactions) = (messages, transactions);
        sent
    }

    /// Commits the open Kafka transaction, if it is due.
    pub(crate) fn commit_if_due(&mut self) -> Result<()> {
        match &mut self.transactions {
            Some(transactions) => transactions.commit_if_due(&self.sender),
            None => Ok(()),
        }
    }

    /// Commits the open Kafka transaction, unless it ends inside a transaction of the source that is not to be split.
    pub(crate) fn commit_now(&mut self) -> Result<()> {
        match &mut self.transactions {
            Some(transactions) => transactions.commit_now(&self.sender),
            None => Ok(()),
        }
    }

    /// Takes back what is not committed, so that readers do not wait for it.
    pub(crate) fn abort(&mut self) {
        if let Some(transactions) = &mut self.transactions {
            transactions.abort(&self.sender);
        }
    }

    fn send_in_transactions(
        &self,
        outgoing: &[Outgoing<'_>],
        end: Position,
        transactions: &mut Transactions,
    ) -> Result<()> {
        let mut rest = outgoing;
        if let Some(lsn) = transactions.overdue_inside() {
            // It was due and could not be committed inside a transaction of the source, which may end in this batch.
            let split = outgoing.iter().position(|message| commit_lsn(message) != lsn);
            if let Some(split) = split.filter(|split| *split < outgoing.len()) {
                let boundary = Position::start_of(commit_lsn(&outgoing[split]));
                self.send_part(&outgoing[..split], boundary, transactions)?;
                rest = &outgoing[split..];
            }
        }
        self.send_part(rest, end, transactions)
    }

    fn send_part(&self, part: &[Outgoing<'_>], end: Position, transactions: &mut Transactions) -> Result<()> {
        if let Some(last) = part.last() {
            transactions.enter(&self.sender)?;
            let bytes = self.send(part, end)?;
            transactions.sent(bytes, commit_lsn(last));
        }
        transactions.reach(end, &self.sender);
        transactions.commit_if_due(&self.sender)
    }

    /// Encodes what can be sent, and returns the rest.
    fn encode<'b>(&mut self, batch: &'b ChangeBatch) -> Result<Vec<Refused<'b>>> {
        let mut refused = Vec::new();
        self.messages.resize_with(self.messages.len().max(batch.chunks.len()), Messages::default);
        for (chunk, messages) in batch.chunks.iter().zip(&mut self.messages) {
            let table = self.tables.get_mut(&key(&chunk.schema)).ok_or_else(unknown)?;
            messages.clear();
            encode(&mut *table.encoder, (chunk, 0..chunk.len()), self.max_message_bytes, messages, &mut refused)?;
        }
        Ok(refused)
    }

    /// Hands over what cannot be sent. Without anybody to take it, the first of it ends the flow.
    fn refuse(&self, mut refused: Vec<Refused<'_>>) -> Result<()> {
        refused.sort_by_key(Refused::position);
        let Some(refusals) = &self.refusals else {
            return refused.into_iter().next().map_or(Ok(()), |first| Err(first.error));
        };
        fail::fail_point!("kafka::before_refusal", |_| std::process::abort());
        // On a thread that may block.
        Handle::current().block_on(refusals.refuse(&refused))?;
        self.sender.connection.deliveries.refused(refused.len() as u64);
        fail::fail_point!("kafka::after_refusal", |_| std::process::abort());
        Ok(())
    }

    /// The messages of a batch in commit order. A message of several rows stands where its first row does.
    fn in_order<'a>(&'a self, batch: &'a ChangeBatch, messages: &'a [Messages]) -> Result<Vec<Outgoing<'a>>> {
        let tables: Vec<&Table> = batch.chunks.iter().map(|chunk| self.table(chunk)).collect::<Result<_>>()?;
        let mut partitions: HashMap<&str, i32> = HashMap::new();
        let mut next = vec![(0, 0); batch.chunks.len()];
        let mut outgoing = Vec::with_capacity(messages.iter().map(|messages| messages.spans.len()).sum());
        for run in &batch.runs {
            let index = run.chunk as usize;
            let (table, chunk, messages) = (tables[index], &batch.chunks[index], &messages[index]);
            let (row, span) = &mut next[index];
            *row += run.rows as usize;
            while let Some(message) = messages.spans.get(*span).filter(|message| message.rows.start < *row) {
                let mut copies = None;
                if Outgoing::is_truncate(chunk, message) {
                    let known = partitions.get(table.topic.as_str()).copied();
                    let count = known.map_or_else(|| self.sender.partitions(&table.topic), Ok)?;
                    partitions.insert(&table.topic, count);
                    copies = Some(count);
                }
                outgoing.push(Outgoing { table, chunk, messages, message, copies });
                *span += 1;
            }
        }
        Ok(outgoing)
    }

    /// Sends messages after which everything before `end` is on its way. Returns their bytes.
    fn send(&self, outgoing: &[Outgoing<'_>], end: Position) -> Result<u64> {
        let mut sent = Sent { end, ..Sent::default() };
        let mut total = 0;
        // Counted by runs of one table: its name is not looked up for each message.
        for run in outgoing.chunk_by(|one, next| std::ptr::eq(one.chunk, next.chunk)) {
            let mut bytes_of_run = 0;
            for message in run {
                let copies = u64::from(message.copies.unwrap_or(1).unsigned_abs());
                bytes_of_run += copies * bytes(message.message) as u64;
                sent.unconfirmed += copies;
            }
            let of_table = sent.tables.entry(run[0].chunk.schema.table.clone()).or_default();
            *of_table = (of_table.0 + records(run), of_table.1 + bytes_of_run);
            total += bytes_of_run;
        }
        let number = self.sender.connection.deliveries.add(sent);
        outgoing.iter().try_for_each(|message| self.sender.send(message, number))?;
        Ok(total)
    }

    fn table(&self, chunk: &TableChunk) -> Result<&Table> {
        self.tables.get(&key(&chunk.schema)).ok_or_else(unknown)
    }
}

/// The records of messages of one chunk. Several messages of one row, such as a deletion and its tombstone, are one record.
fn records(run: &[Outgoing<'_>]) -> u64 {
    let rows = |message: &Outgoing<'_>| message.message.rows.clone();
    let again =
        run.windows(2).filter(|pair| rows(&pair[0]).start == rows(&pair[1]).start).map(|pair| rows(&pair[1]).len());
    run.iter().map(|message| rows(message).len()).sum::<usize>().saturating_sub(again.sum()) as u64
}

fn commit_lsn(message: &Outgoing<'_>) -> Lsn {
    message.chunk.positions[message.message.rows.start].commit_lsn
}

fn key(schema: &TableSchema) -> (TableName, u32) {
    (schema.table.clone(), schema.version)
}

fn unknown() -> Error {
    Error::bug("a batch came to Kafka before the encoder of one of its tables")
}
