//! Kafka transactions that carry records and, with them, the position behind them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ductstream_core::{Lsn, Position, Result};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::connection::Connection;
use crate::deliveries::Sent;
use crate::failure::explain_error;
use crate::limits;
use crate::position::Keeper;
use crate::send::Sender;
use crate::settings::ExactlyOnceSettings;

/// The Kafka transactions of one destination, one after another.
pub(crate) struct Transactions {
    settings: ExactlyOnceSettings,
    keeper: Keeper,
    /// How long a transaction may wait for the end of one of the source.
    longest: Duration,
    open: Option<Open>,
}

/// A transaction that was begun.
struct Open {
    since: Instant,
    bytes: u64,
    /// The bound behind its last record.
    end: Position,
    /// The commit LSN of its last record.
    last: Lsn,
}

impl Transactions {
    pub(crate) fn new(settings: ExactlyOnceSettings, keeper: Keeper, delivery_timeout: Duration) -> Self {
        Self { settings, keeper, longest: delivery_timeout / 2, open: None }
    }

    /// Begins a transaction, unless one is open.
    pub(crate) fn enter(&mut self, sender: &Sender) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let connection = &sender.connection;
        connection.producer.begin_transaction().map_err(|error| failed(&error, "begin", connection))?;
        let since = Instant::now();
        self.open = Some(Open { since, bytes: 0, end: Position::default(), last: Lsn::ZERO });
        Ok(())
    }

    /// Counts messages that were sent.
    pub(crate) fn sent(&mut self, bytes: u64, last: Lsn) {
        if let Some(open) = &mut self.open {
            open.bytes += bytes;
            open.last = last;
        }
    }

    /// Everything before `end` is in the open transaction, or in those before it.
    pub(crate) fn reach(&mut self, end: Position, sender: &Sender) {
        match &mut self.open {
            Some(open) => open.end = end,
            // What came since the last commit were bounds without records: there is nothing to store.
            None => sender.connection.deliveries.commit(end, None),
        }
        self.tell(sender);
    }

    /// The source's transaction inside which the open one should end and does not.
    pub(crate) fn overdue_inside(&self) -> Option<Lsn> {
        let open = self.open.as_ref().filter(|open| self.is_inside(open))?;
        let is_due =
            open.since.elapsed() >= self.settings.transaction_age.0 || open.bytes >= self.settings.transaction_size.0;
        is_due.then_some(open.last)
    }

    pub(crate) fn commit_if_due(&mut self, sender: &Sender) -> Result<()> {
        let is_due = self.open.as_ref().is_some_and(|open| {
            let (age, bytes) = match self.is_inside(open) {
                true => (self.longest, self.settings.transaction_limit.0),
                false => (self.settings.transaction_age.0, self.settings.transaction_size.0),
            };
            open.since.elapsed() >= age || open.bytes >= bytes
        });
        if is_due { self.commit(sender) } else { Ok(()) }
    }

    pub(crate) fn commit_now(&mut self, sender: &Sender) -> Result<()> {
        match self.open.as_ref().is_some_and(|open| !self.is_inside(open)) {
            true => self.commit(sender),
            false => Ok(()),
        }
    }

    /// Takes the open transaction back. What cannot be taken back now is when the next producer opens.
    pub(crate) fn abort(&mut self, sender: &Sender) {
        if self.open.take().is_some() && sender.connection.deliveries.durable().is_ok() {
            let aborted = sender.connection.producer.abort_transaction(limits::ABORT_TIMEOUT);
            tracing::debug!(?aborted, "took back a Kafka transaction");
        }
    }

    /// Whether the open transaction ends inside one of the source, and is not to.
    fn is_inside(&self, open: &Open) -> bool {
        self.settings.transaction_aligned && open.end.seq != 0
    }

    /// Says when the open transaction is due by its age.
    fn tell(&self, sender: &Sender) {
        let due = self
            .open
            .as_ref()
            .map(|open| open.since + if self.is_inside(open) { self.longest } else { self.settings.transaction_age.0 });
        sender.connection.deliveries.set_due(due);
    }

    /// Adds the position to the open transaction and commits it.
    fn commit(&mut self, sender: &Sender) -> Result<()> {
        let Some(end) = self.open.as_ref().map(|open| open.end) else { return Ok(()) };
        let connection = &sender.connection;
        let number = connection.deliveries.add(Sent { unconfirmed: 1, end, ..Sent::default() });
        let (key, value) = self.keeper.record(end)?;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(self.keeper.topic(), number);
        (record.key, record.payload) = (Some(key.as_slice()), Some(value.as_slice()));
        sender.put(record)?;
        while !connection.deliveries.wait_until_confirmed(limits::ROOM_PAUSE) {
            sender.may_go_on()?;
        }
        sender.may_go_on()?;
        fail::fail_point!("kafka::before_commit");
        settle(connection);
        while let Err(error) = connection.producer.commit_transaction(limits::COMMIT_TIMEOUT) {
            let may_repeat = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !may_repeat || sender.is_closed.load(Ordering::Relaxed) {
                return Err(failed(&error, "commit", connection));
            }
            sender.may_go_on()?;
        }
        fail::fail_point!("kafka::after_commit");
        self.open = None;
        connection.deliveries.commit(end, Some(end));
        self.tell(sender);
        Ok(())
    }
}

/// Waits until librdkafka has put away what it has told: the client's own wait takes a tenth of a second.
fn settle(connection: &Connection) {
    for _ in 0..limits::SETTLE_LOOKS {
        if connection.producer.in_flight_count() == 0 {
            return;
        }
        std::thread::sleep(limits::SETTLE_PAUSE);
    }
}

fn failed(error: &KafkaError, doing: &str, connection: &Connection) -> ductstream_core::Error {
    connection.cause(explain_error(error, &format!("{doing} a transaction of"), &connection.place))
}
