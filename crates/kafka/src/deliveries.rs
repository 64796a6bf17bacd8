//! What was sent, and how much of it the brokers have confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ductstream_core::{DestinationStatus, Durable, Error, Position, Result, TableName};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use crate::failure::explain;
use crate::token::{self, Tokens};

/// A batch on its way.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The bound after the batch.
    pub(crate) end: Position,
    /// Messages that are not confirmed yet.
    pub(crate) unconfirmed: u64,
    /// Records and bytes per table.
    pub(crate) tables: BTreeMap<TableName, (u64, u64)>,
}

/// Counts confirmations per batch: a message carries its batch's number, and nothing else is kept of it.
pub(crate) struct Deliveries {
    place: String,
    state: Mutex<State>,
    /// More is confirmed, or something failed.
    changed: Notify,
    /// The same, for a thread that waits for room in the queue.
    room: Condvar,
}

struct State {
    /// The number of the first batch in `sent`.
    first: usize,
    sent: VecDeque<Sent>,
    unconfirmed: u64,
    /// What the thread waits for that waits for room: so many unconfirmed messages, or fewer.
    enough: Option<u64>,
    durable: Durable,
    status: DestinationStatus,
    /// With transactions, confirmed messages are durable once they are committed.
    is_transactional: bool,
    uncommitted: Vec<BTreeMap<TableName, (u64, u64)>>,
    /// When the open transaction is due.
    commit_at: Option<Instant>,
    failure: Option<Failure>,
    /// The last thing that went wrong with a connection.
    trouble: Option<(RDKafkaErrorCode, String)>,
}

/// What ended the delivery.
#[derive(Clone)]
struct Failure {
    code: RDKafkaErrorCode,
    said: String,
    doing: String,
}

impl Deliveries {
    /// Nothing was sent yet.
    pub(crate) fn new(place: String, is_transactional: bool) -> Self {
        let state = State {
            first: 0,
            sent: VecDeque::new(),
            unconfirmed: 0,
            enough: None,
            durable: Durable::up_to(Position::default()),
            status: DestinationStatus::default(),
            is_transactional,
            uncommitted: Vec::new(),
            commit_at: None,
            failure: None,
            trouble: None,
        };
        Self { place, state: Mutex::new(state), changed: Notify::new(), room: Condvar::new() }
    }

    /// Everything before `position` needs no confirmation, and everything before `stored` is in the topics with a position.
    pub(crate) fn begin(&self, position: Position, stored: Option<Position>) {
        self.state.lock().durable = Durable::up_to(position).with_stored(stored);
    }

    /// Everything before `position` is durable, and `stored` is what was stored with it, if anything was.
    pub(crate) fn commit(&self, position: Position, stored: Option<Position>) {
        let mut state = self.state.lock();
        let stored = stored.or(state.durable.stored());
        state.durable = Durable::up_to(position.max(state.durable.position())).with_stored(stored);
        for tables in std::mem::take(&mut state.uncommitted) {
            state.count(tables);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says when the open transaction is due.
    pub(crate) fn set_due(&self, due: Option<Instant>) {
        self.state.lock().commit_at = due;
    }

    /// When the open transaction is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.state.lock().commit_at
    }

    /// Adds a batch before its first message is sent. Returns the number that its messages carry.
    pub(crate) fn add(&self, sent: Sent) -> usize {
        let mut state = self.state.lock();
        let number = state.first + state.sent.len();
        state.unconfirmed += sent.unconfirmed;
        state.sent.push_back(sent);
        state.settle();
        drop(state);
        self.changed.notify_one();
        number
    }

    /// What is durable.
    ///
    /// # Errors
    /// The first failure of a delivery.
    pub(crate) fn durable(&self) -> Result<Durable> {
        let state = self.state.lock();
        match &state.failure {
            Some(failure) => Err(self.explain(failure)),
            None => Ok(state.durable),
        }
    }

    /// Returns when more is durable than `position`. Dropping the future loses nothing.
    pub(crate) async fn beyond(&self, position: Position) -> Result<Durable> {
        loop {
            let durable = self.durable()?;
            if durable.position() > position {
                return Ok(durable);
            }
            self.changed.notified().await;
        }
    }

    /// Waits, for a bounded time, until everything that was sent is confirmed. Returns whether it is.
    pub(crate) fn wait_until_confirmed(&self, at_most: Duration) -> bool {
        let mut state = self.state.lock();
        self.wait_down_to(0, &mut state, at_most);
        state.unconfirmed == 0
    }

    /// Waits, for a bounded time, until half of what is unconfirmed now is confirmed.
    pub(crate) fn wait_for_room(&self, at_most: Duration) {
        let mut state = self.state.lock();
        let enough = state.unconfirmed / 2;
        self.wait_down_to(enough, &mut state, at_most);
    }

    fn wait_down_to(&self, enough: u64, state: &mut MutexGuard<'_, State>, at_most: Duration) {
        state.enough = Some(enough);
        let is_more = |state: &mut State| state.failure.is_none() && state.unconfirmed > enough;
        self.room.wait_while_for(state, is_more, at_most);
        state.enough = None;
    }

    /// Counts records that were refused and are kept apart.
    pub(crate) fn refused(&self, records: u64) {
        self.state.lock().status.refused += records;
    }

    /// What was confirmed so far.
    pub(crate) fn status(&self) -> DestinationStatus {
        self.state.lock().status.clone()
    }

    /// What last went wrong with a connection, and forgets it.
    pub(crate) fn take_trouble(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.state.lock().trouble.take()
    }

    fn fail(&self, failure: Failure) {
        self.state.lock().failure.get_or_insert(failure);
        self.changed.notify_one();
        self.room.notify_all();
    }

    fn explain(&self, failure: &Failure) -> Error {
        explain(failure.code, &failure.said, &failure.doing, &self.place)
    }

    fn confirm(&self, number: usize) {
        let mut state = self.state.lock();
        state.unconfirmed = state.unconfirmed.saturating_sub(1);
        let index = number - state.first;
        if let Some(sent) = state.sent.get_mut(index) {
            sent.unconfirmed -= 1;
        }
        if state.settle() {
            self.changed.notify_one();
        }
        if state.enough.is_some_and(|enough| state.unconfirmed <= enough) {
            self.room.notify_one();
        }
    }
}

impl State {
    /// Takes the batches from the front that are confirmed whole. Returns whether there was one.
    fn settle(&mut self) -> bool {
        let mut moved = false;
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.unconfirmed == 0) {
            self.first += 1;
            moved = true;
            if self.is_transactional {
                self.uncommitted.push(sent.tables);
                continue;
            }
            self.durable = Durable::up_to(sent.end.max(self.durable.position()));
            self.count(sent.tables);
        }
        moved
    }

    fn count(&mut self, tables: BTreeMap<TableName, (u64, u64)>) {
        for (table, (records, bytes)) in tables {
            self.status.records += records;
            self.status.bytes += bytes;
            let of_table = self.status.tables.entry(table).or_default();
            *of_table = (of_table.0 + records, of_table.1 + bytes);
        }
    }
}

/// librdkafka's callbacks.
pub(crate) struct Callbacks {
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) tokens: Option<Tokens>,
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token::generate(self.tokens.as_ref())
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error, too.
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        tracing::debug!(target: "librdkafka", ?code, "{reason}");
        if code == RDKafkaErrorCode::Fatal {
            let said = reason.to_owned();
            return self.deliveries.fail(Failure { code, said, doing: "go on writing to".to_owned() });
        }
        let mut state = self.deliveries.state.lock();
        // That all brokers are down is what follows from the reason, which came before.
        if code != RDKafkaErrorCode::AllBrokersDown || state.trouble.is_none() {
            state.trouble = Some((code, reason.to_owned()));
        }
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => self.deliveries.confirm(number),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let trouble = self.deliveries.state.lock().trouble.clone();
                let said = match trouble.filter(|_| code == RDKafkaErrorCode::MessageTimedOut) {
                    Some((_, reason)) => format!("not confirmed in time: {reason}"),
                    None => code.to_string(),
                };
                let bytes = message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
                let doing = format!("write a message of {bytes} bytes to topic {} of", message.topic());
                self.deliveries.fail(Failure { code, said, doing });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ductstream_core::Lsn;

    use super::*;

    fn sent(end: u64, unconfirmed: u64) -> Sent {
        Sent { end: Position::start_of(Lsn(end)), unconfirmed, ..Sent::default() }
    }

    fn confirmed(deliveries: &Deliveries) -> u64 {
        deliveries.durable().unwrap().position().commit_lsn.0
    }

    #[test]
    fn only_the_longest_run_of_batches_that_were_confirmed_whole_counts() {
        let deliveries = Deliveries::new("kafka".into(), false);
        let [first, second, third] = [sent(10, 2), sent(20, 1), sent(30, 1)].map(|sent| deliveries.add(sent));
        deliveries.confirm(second);
        deliveries.confirm(first);
        assert_eq!(confirmed(&deliveries), 0);
        deliveries.confirm(first);
        assert_eq!(confirmed(&deliveries), 20);
        deliveries.add(sent(40, 0));
        assert_eq!(confirmed(&deliveries), 20, "a bound waits for what is before it");
        deliveries.confirm(third);
        assert_eq!(confirmed(&deliveries), 40);
    }

    #[test]
    fn the_first_failure_is_what_is_told() {
        let deliveries = Deliveries::new("kafka at k:9092".into(), false);
        for (code, doing) in
            [(RDKafkaErrorCode::MessageSizeTooLarge, "one of"), (RDKafkaErrorCode::PurgeQueue, "two of")]
        {
            deliveries.fail(Failure { code, said: String::new(), doing: doing.into() });
        }
        assert!(deliveries.durable().unwrap_err().message().starts_with("cannot one of kafka at k:9092"));
    }
}
