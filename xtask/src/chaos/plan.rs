//! What happens, and when: told by the seed alone.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::random::Random;

/// Cycles of one episode: enough for faults to meet what earlier ones left, few enough to look into.
const CYCLES_PER_EPISODE: u64 = 8;

/// A flow from its first start to its last change: a cluster, a workload and a flow file of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    /// From 1.
    pub(super) number: u64,
    /// What the workload draws from.
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) cycles: Vec<Cycle>,
}

/// What the flow file says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) format: &'static str,
    pub(super) envelope: &'static str,
    pub(super) place: Place,
    pub(super) batch_kib: u64,
    pub(super) binary: bool,
    /// How large transactions travel, a line of the `source` section.
    pub(super) large: &'static str,
    /// Checkpoints in the source's server, else in SQLite.
    pub(super) checkpoint_in_postgres: bool,
}

/// Where the changes go.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// Objects in a store behind S3's protocol, else files.
    Lake {
        s3: bool,
        roll_age: Duration,
        roll_rows: Option<u64>,
    },
    Topics(TopicsShape),
}

/// What the flow file says of Kafka.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TopicsShape {
    /// How transactions are cut, else at least once.
    pub(super) exactly_once: Option<Transactions>,
    pub(super) partitions: u64,
    pub(super) tombstones: bool,
    /// The shorter one ends while a broker is frozen.
    pub(super) delivery_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transactions {
    pub(super) age: Duration,
    pub(super) aligned: bool,
}

/// The kinds of destination that a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Destination {
    /// Directories and S3, in turns
    Files,
    /// Kafka, exactly once and at least once in turns
    Kafka,
}

/// One fault, when it comes, and what becomes of the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cycle {
    /// From 1, over all episodes.
    pub(super) number: u64,
    pub(super) moment: Moment,
    pub(super) fault: Fault,
    /// Whether the process is killed and started again while the fault lasts, too.
    pub(super) killed_in_it: bool,
    pub(super) then: Then,
}

/// When a fault comes, counted from the end of the cycle before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    /// After some time.
    Time(Duration),
    /// As soon as that many files have come: between an object and its manifest, for one.
    Files(u64),
    /// As soon as the topics have grown by that.
    Kibibytes(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// SIGKILL for ductstream.
    Kill,
    /// SIGKILL for PostgreSQL, which is started again after some time.
    ServerKill { down: Duration },
    /// All connections closed, so many times.
    Cut { times: u64 },
    /// Connections closed and refused for some time.
    Refuse { lasts: Duration },
    /// No byte passes for some time; beyond `wal_sender_timeout` the server gives up.
    Stall { lasts: Duration },
    /// SIGSTOP for ductstream beyond `wal_sender_timeout`, then SIGCONT.
    Freeze { lasts: Duration },
    /// The store fails once in so many requests, in one of many ways, for some time.
    Store { once_in: u64, lasts: Duration },
    /// SIGKILL for Kafka's broker, which is started again after some time.
    BrokerKill { down: Duration },
    /// SIGSTOP for Kafka's broker, then SIGCONT: what was sent meanwhile arrives late.
    BrokerFreeze { lasts: Duration },
}

/// What becomes of the process when it has recovered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Then {
    GoOn,
    Kill,
    /// SIGTERM, and it has to end well.
    Stop,
}

/// The names of all faults, in the order of reports.
pub(super) const KINDS: [&str; 9] =
    ["kill", "server kill", "cut", "refuse", "stall", "freeze", "store", "broker kill", "broker freeze"];

/// The plan of a run.
pub(super) fn episodes(seed: u64, cycles: u64, destination: Destination) -> Vec<Episode> {
    (0..cycles.div_ceil(CYCLES_PER_EPISODE))
        .map(|index| {
            let first = index * CYCLES_PER_EPISODE + 1;
            Episode::new(seed, index + 1, first..=cycles.min(first + CYCLES_PER_EPISODE - 1), destination)
        })
        .collect()
}

impl Episode {
    fn new(seed: u64, number: u64, cycles: RangeInclusive<u64>, destination: Destination) -> Self {
        let mut random = Random::new(seed, number);
        let shape = match destination {
            Destination::Files => Shape::of_files(number, &mut random),
            Destination::Kafka => Shape::of_topics(number, &mut random),
        };
        let cycles = cycles.map(|number| Cycle::new(number, &shape.place, &mut random)).collect();
        Self { number, seed: random.next(), shape, cycles }
    }
}

/// Large transactions arrive while they run.
const STREAMED: &str = "streaming: true";
/// The same, until the room for them is used up, which is soon.
const LIMITED: &str = "spill_limit: 256KiB";
/// The server holds them until they commit.
const HELD: &str = "streaming: false";
const ENVELOPES: [&str; 3] = ["flat", "flat", "native"];

impl Shape {
    /// Formats and stores take turns, so that a short run has them all; the rest is the dice's.
    fn of_files(number: u64, random: &mut Random) -> Self {
        let envelope = random.pick(&ENVELOPES);
        let place = Place::Lake {
            s3: number % 4 >= 2,
            roll_age: Duration::from_millis(random.between(50, 400)),
            roll_rows: random.once_in(2).then(|| random.between(20, 2000)),
        };
        Self::new(if number % 2 == 1 { "parquet" } else { "json" }, envelope, place, random)
    }

    /// Exactly once and at least once take turns.
    fn of_topics(number: u64, random: &mut Random) -> Self {
        let envelope = random.pick(&ENVELOPES);
        let transactions =
            Transactions { age: Duration::from_millis(random.between(5, 200)), aligned: random.once_in(2) };
        let place = Place::Topics(TopicsShape {
            exactly_once: (number % 2 == 1).then_some(transactions),
            partitions: random.between(1, 4),
            tombstones: random.once_in(2),
            delivery_timeout: Duration::from_secs(random.pick(&[3, 60])),
        });
        Self::new("json", envelope, place, random)
    }

    fn new(format: &'static str, envelope: &'static str, place: Place, random: &mut Random) -> Self {
        Self {
            format,
            envelope,
            place,
            batch_kib: random.pick(&[16, 64, 256, 1024]),
            binary: !random.once_in(4),
            large: random.pick(&[STREAMED, STREAMED, LIMITED, HELD]),
            checkpoint_in_postgres: random.once_in(3),
        }
    }
}

impl Cycle {
    fn new(number: u64, place: &Place, random: &mut Random) -> Self {
        let fault = match place {
            Place::Lake { s3, .. } => Fault::of_files(*s3, random),
            Place::Topics(_) => Fault::of_topics(random),
        };
        let moment = match random.between(0, 9) {
            // While it starts.
            0..=2 => Moment::Time(Duration::from_millis(random.between(0, 250))),
            3..=5 => Moment::Time(Duration::from_millis(random.between(250, 1500))),
            _ => match place {
                Place::Lake { .. } => Moment::Files(random.between(1, 25)),
                Place::Topics(_) => Moment::Kibibytes(random.between(1, 500)),
            },
        };
        let killed_in_it = fault != Fault::Kill && random.once_in(4);
        let then = random.pick(&[Then::GoOn, Then::GoOn, Then::Kill, Then::Stop]);
        Self { number, moment, fault, killed_in_it, then }
    }
}

impl Fault {
    fn of_files(s3: bool, random: &mut Random) -> Self {
        let mut lasts = |low, high| Duration::from_millis(random.between(low, high));
        let (down, refused, stalled, frozen, failing) =
            (lasts(0, 500), lasts(50, 600), lasts(200, 3000), lasts(2200, 2600), lasts(300, 1200));
        match random.between(0, if s3 { 19 } else { 15 }) {
            0..=5 => Self::Kill,
            6..=8 => Self::ServerKill { down },
            9..=10 => Self::Cut { times: random.between(1, 4) },
            11 => Self::Refuse { lasts: refused },
            12..=13 => Self::Stall { lasts: stalled },
            14..=15 => Self::Freeze { lasts: frozen },
            _ => Self::Store { once_in: random.between(2, 6), lasts: failing },
        }
    }

    fn of_topics(random: &mut Random) -> Self {
        let mut lasts = |low, high| Duration::from_millis(random.between(low, high));
        let (down, refused, stalled, frozen, away) =
            (lasts(0, 500), lasts(50, 600), lasts(200, 3000), lasts(2200, 2600), lasts(100, 5000));
        match random.between(0, 15) {
            0..=4 => Self::Kill,
            5..=6 => Self::ServerKill { down },
            7..=9 => Self::BrokerKill { down: away },
            10..=11 => Self::BrokerFreeze { lasts: away },
            12 => Self::Cut { times: random.between(1, 4) },
            13 => Self::Refuse { lasts: refused },
            14 => Self::Stall { lasts: stalled },
            _ => Self::Freeze { lasts: frozen },
        }
    }

    /// Its name in reports.
    pub(super) fn kind(self) -> &'static str {
        let index = match self {
            Self::Kill => 0,
            Self::ServerKill { .. } => 1,
            Self::Cut { .. } => 2,
            Self::Refuse { .. } => 3,
            Self::Stall { .. } => 4,
            Self::Freeze { .. } => 5,
            Self::Store { .. } => 6,
            Self::BrokerKill { .. } => 7,
            Self::BrokerFreeze { .. } => 8,
        };
        KINDS[index]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, envelope, place, batch_kib, .. } = self;
        write!(f, "{format} {envelope} to {place}")?;
        let values = if self.binary { "binary" } else { "text" };
        let checkpoints = if self.checkpoint_in_postgres { "PostgreSQL" } else { "SQLite" };
        write!(f, ", batches of {batch_kib} KiB, {values} values, {}, checkpoints in {checkpoints}", self.large)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = match self {
            Self::Topics(topics) => topics,
            Self::Lake { s3, roll_age, roll_rows } => {
                let store = if *s3 { "S3" } else { "files" };
                write!(f, "{store}, roll after {} ms", roll_age.as_millis())?;
                return roll_rows.map_or(Ok(()), |rows| write!(f, " or {rows} rows"));
            }
        };
        match topics.exactly_once {
            Some(Transactions { age, aligned }) => {
                let aligned = if aligned { "aligned " } else { "" };
                write!(f, "Kafka exactly once in {aligned}transactions of {} ms", age.as_millis())?;
            }
            None => f.write_str("Kafka at least once")?,
        }
        let tombstones = if topics.tombstones { ", tombstones" } else { "" };
        let (partitions, patience) = (topics.partitions, topics.delivery_timeout.as_secs());
        write!(f, ", {partitions} partitions{tombstones}, given up after {patience} s")
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moment {
            Moment::Time(time) => write!(f, "after {} ms ", time.as_millis())?,
            Moment::Files(count) => write!(f, "at the {count}. new file ")?,
            Moment::Kibibytes(count) => write!(f, "at {count} more KiB ")?,
        }
        match self.fault {
            Fault::Kill => return f.write_str("kill -9"),
            Fault::ServerKill { down } => write!(f, "PostgreSQL kill -9, down for {} ms", down.as_millis())?,
            Fault::Cut { times } => write!(f, "connections cut {times} times")?,
            Fault::Refuse { lasts } => write!(f, "connections refused for {} ms", lasts.as_millis())?,
            Fault::Stall { lasts } => write!(f, "connections stalled for {} ms", lasts.as_millis())?,
            Fault::Freeze { lasts } => write!(f, "SIGSTOP for {} ms", lasts.as_millis())?,
            Fault::BrokerKill { down } => write!(f, "Kafka kill -9, down for {} ms", down.as_millis())?,
            Fault::BrokerFreeze { lasts } => write!(f, "Kafka SIGSTOP for {} ms", lasts.as_millis())?,
            Fault::Store { once_in, lasts } => {
                write!(f, "the store fails once in {once_in} requests for {} ms", lasts.as_millis())?;
            }
        }
        if self.killed_in_it {
            f.write_str(", kill -9 meanwhile")?;
        }
        f.write_str(match self.then {
            Then::GoOn => "",
            Then::Kill => ", kill -9 afterwards",
            Then::Stop => ", SIGTERM afterwards",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{CI_CYCLES, CI_KAFKA_CYCLES, CI_SEED};
    use super::*;

    #[test]
    fn a_seed_tells_the_plan_and_a_longer_run_begins_with_a_shorter_one() {
        for destination in [Destination::Files, Destination::Kafka] {
            let (short, long) = (episodes(7, 16, destination), episodes(7, 40, destination));
            assert_eq!(short, long[..2]);
            assert_ne!(short, episodes(8, 16, destination));
            let numbers: Vec<u64> = long.iter().flat_map(|it| &it.cycles).map(|cycle| cycle.number).collect();
            assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
            assert_eq!(episodes(7, 30, destination).last().map(|it| it.cycles.len()), Some(6));
        }
    }

    fn kinds(plan: &[Episode]) -> BTreeSet<&'static str> {
        plan.iter().flat_map(|it| &it.cycles).map(|cycle| cycle.fault.kind()).collect()
    }

    #[test]
    fn a_short_run_into_files_has_every_kind_of_fault_and_of_destination() {
        let plan = episodes(CI_SEED, CI_CYCLES, Destination::Files);
        let s3 = |it: &Episode| matches!(it.shape.place, Place::Lake { s3: true, .. });
        let shapes: BTreeSet<_> = plan.iter().map(|it| (it.shape.format, s3(it))).collect();
        assert_eq!(shapes.len(), 4);
        assert_eq!(kinds(&plan), KINDS[..7].iter().copied().collect());
    }

    #[test]
    fn a_short_run_into_topics_kills_everything_exactly_once_and_at_least_once() {
        let plan = episodes(CI_SEED, CI_KAFKA_CYCLES, Destination::Kafka);
        for place in plan.iter().map(|it| &it.shape.place) {
            assert!(matches!(place, Place::Topics(_)), "{place}");
        }
        let kinds = kinds(&plan);
        for kind in ["kill", "server kill", "broker kill", "broker freeze"] {
            assert!(kinds.contains(kind), "{kind}: {kinds:?}");
        }
        assert!(!kinds.contains("store"), "there is none");
    }
}
