//! The position that is kept in Kafka with the records: where, and what it has to agree with.

use std::time::{Duration, Instant};

use ductstream_core::{DestinationStart, Error, Position, Result, SourceIdentity};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::failure::explain_error;
use crate::limits;
use crate::token::ReaderCallbacks;

type Reader = BaseConsumer<ReaderCallbacks>;

/// What is stored: a message of JSON behind the records of each transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    flow: String,
    destination: String,
    source: SourceIdentity,
    /// Every record before this is in the topics.
    pub(crate) position: Position,
}

/// Keeps the position of one destination, in a topic of its own: another flow's open transaction would hold back what is read there.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    topic: String,
    flow: String,
    destination: String,
    source: SourceIdentity,
}

impl Keeper {
    pub(crate) fn new(topic: String, destination: &str, start: &DestinationStart) -> Self {
        let (flow, source) = (start.flow.clone(), start.source.clone());
        Self { topic, flow, destination: destination.to_owned(), source }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// Key and value of the message that stores a position.
    pub(crate) fn record(&self, position: Position) -> Result<(Vec<u8>, Vec<u8>)> {
        let (flow, destination, source) = (self.flow.clone(), self.destination.clone(), self.source.clone());
        let key = format!("{flow}/{destination}").into_bytes();
        let value = serde_json::to_vec(&Stored { flow, destination, source, position });
        let value = value.map_err(|error| Error::bug("a position cannot be written as JSON").with_source(error))?;
        Ok((key, value))
    }

    /// The last position that was committed. The transaction of whoever wrote here before has to be over. Blocks.
    pub(crate) fn last(&self, connection: &Connection) -> Result<Option<Stored>> {
        let place = connection.place.as_str();
        let explain = |error: KafkaError| explain_error(&error, &format!("read topic {} of", self.topic), place);
        let mut client = connection.client.clone();
        client.set("group.id", format!("ductstream.{}.{}", self.flow, self.destination));
        client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        client.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let callbacks = ReaderCallbacks(connection.tokens.clone());
        let consumer: Reader = client.create_with_context(callbacks).map_err(explain)?;
        // Serves the callback by which a token is asked for.
        consumer.poll(Duration::ZERO);
        let (low, high) = consumer.fetch_watermarks(&self.topic, 0, limits::CONNECT_TIMEOUT).map_err(explain)?;
        // The last one lies near the end, behind it only what was aborted.
        for behind in [limits::NEAR_THE_END, limits::FAR_FROM_THE_END, i64::MAX] {
            let from = low.max(high.saturating_sub(behind));
            let found = self.last_since(from, &consumer, place)?;
            if found.is_some() || from == low {
                return found.map(|value| self.parse(&value, place)).transpose();
            }
        }
        Ok(None)
    }

    fn last_since(&self, from: i64, consumer: &Reader, place: &str) -> Result<Option<Vec<u8>>> {
        let explain = |error: KafkaError| explain_error(&error, &format!("read topic {} of", self.topic), place);
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, 0, Offset::Offset(from)).map_err(explain)?;
        consumer.assign(&assignment).map_err(explain)?;
        let deadline = Instant::now() + limits::READ_TIMEOUT;
        let mut last = None;
        while Instant::now() < deadline {
            match consumer.poll(limits::LOOK_TIMEOUT) {
                Some(Ok(message)) => last = message.payload().map(<[u8]>::to_vec),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
                // librdkafka goes on by itself until the deadline; what cannot get better, the producer has met before.
                Some(Err(error)) => tracing::debug!(topic = self.topic, %error, "reading the position"),
                None => {}
            }
        }
        Err(Error::retry(format!("topic {} of {place} could not be read to its end in time", self.topic))
            .with_remedy("check that the topic's leader can be reached, and that no other producer holds it"))
    }

    fn parse(&self, value: &[u8], place: &str) -> Result<Stored> {
        serde_json::from_slice(value).map_err(|error| {
            Error::configuration(format!("the last message of topic {} of {place} is not a position", self.topic))
                .with_source(error)
                .with_remedy("name another topic under `exactly_once: {position_topic: NAME}`")
        })
    }

    /// Refuses to go on from what was stored for something else, or from less than there was.
    pub(crate) fn check(&self, stored: Option<&Stored>, start: &DestinationStart, place: &str) -> Result<()> {
        let position = stored.map(|stored| stored.position);
        if let Some(known) = start.stored.filter(|known| position < Some(*known)) {
            let found = position.map_or("there is none".to_owned(), |found| format!("it is {found}"));
            return Err(Error::resync(format!(
                "{place} had stored the position {known} in topic {}, and now {found}: data may be missing",
                self.topic
            ))
            .with_remedy("restore the topic, or load the flow anew into other topics"));
        }
        let Some(stored) = stored else { return Ok(()) };
        if (&stored.flow, &stored.destination) != (&self.flow, &self.destination) {
            let owner = format!("destination {} of flow {:?}", stored.destination, stored.flow);
            return Err(Error::configuration(format!("topic {} of {place} belongs to {owner}", self.topic))
                .with_remedy("name another topic under `exactly_once: {position_topic: NAME}`"));
        }
        self.check_source(stored, start, place)
    }

    fn check_source(&self, stored: &Stored, start: &DestinationStart, place: &str) -> Result<()> {
        let (was, is) = (&stored.source, &start.source);
        let name =
            |source: &SourceIdentity| format!("database {:?} of system {}", source.database, source.system_identifier);
        let remedy = "point the flow at the source that it had before, or name other topics, and another one for the position \
                      under `exactly_once: {position_topic: NAME}`";
        if (&was.system_identifier, &was.database) != (&is.system_identifier, &is.database) {
            let (was, is) = (name(was), name(is));
            return Err(Error::resync(format!(
                "topic {} of {place} holds a position of {was}, and flow {:?} now reads {is}: the two cannot be compared",
                self.topic, self.flow
            ))
            .with_remedy(remedy));
        }
        // Before the flow's own position, a checkpoint vouches for it.
        let is_past = was.timeline == is.timeline || start.ancestors.share(was.timeline, stored.position);
        if stored.position > start.position && !is_past {
            return Err(Error::resync(format!(
                "topic {} of {place} holds the position {} of timeline {}, beyond the flow's position {}, and the server, on timeline {} \
                 now, does not have it in its past",
                self.topic, stored.position, was.timeline, start.position, is.timeline
            ))
            .with_remedy("compare the topics with the tables, and name other topics"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ductstream_core::{Ancestors, ErrorKind, Lsn};

    use super::*;

    fn start(position: u64, stored: Option<u64>) -> DestinationStart {
        let source =
            SourceIdentity { system_identifier: "7".into(), timeline: 2, database: "d".into(), slot: "s".into() };
        let at = |lsn| Position::start_of(Lsn(lsn));
        DestinationStart {
            flow: "f".into(),
            source,
            ancestors: Ancestors::new([(1, Lsn(50))]),
            position: at(position),
            stored: stored.map(at),
        }
    }

    fn stored(position: u64, change: impl Fn(&mut Stored)) -> Stored {
        let (keeper, start) = (keeper(), start(0, None));
        let (_, value) = keeper.record(Position::start_of(Lsn(position))).unwrap();
        let mut stored = keeper.parse(&value, "kafka").unwrap();
        assert_eq!(stored.source, start.source);
        change(&mut stored);
        stored
    }

    fn keeper() -> Keeper {
        Keeper::new("positions".into(), "bus", &start(0, None))
    }

    #[test]
    fn a_position_is_gone_on_from_only_when_it_is_the_flows_own_and_in_the_past() {
        let check = |stored: Option<Stored>, position, known| {
            keeper().check(stored.as_ref(), &start(position, known), "kafka").map_err(|error| error.kind())
        };
        let same = |_: &mut Stored| {};
        assert_eq!(check(None, 10, None), Ok(()));
        assert_eq!(check(Some(stored(40, same)), 10, Some(30)), Ok(()));
        assert_eq!(check(Some(stored(20, same)), 10, Some(30)), Err(ErrorKind::Resync));
        assert_eq!(check(None, 10, Some(30)), Err(ErrorKind::Resync));
        assert_eq!(check(Some(stored(40, |it| it.flow = "g".into())), 10, None), Err(ErrorKind::Configuration));
        assert_eq!(check(Some(stored(40, |it| it.source.database = "e".into())), 10, None), Err(ErrorKind::Resync));
        let old = |it: &mut Stored| it.source.timeline = 1;
        assert_eq!(check(Some(stored(50, old)), 10, None), Ok(()), "shared");
        assert_eq!(check(Some(stored(51, old)), 10, None), Err(ErrorKind::Resync), "lost in the failover");
        assert_eq!(check(Some(stored(51, old)), 60, None), Ok(()), "a checkpoint vouches for it");
    }
}
