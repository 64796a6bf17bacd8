//! `kill -9` at thirty moments of a flow into topics, exactly once, while its table changes all the time.
//!
//! A seed tells the moments and the changes; a failure names it, and `DUCTSTREAM_TEST_SEEDS=17 cargo xtask test killed` runs another.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use ductstream_testkit::kafka::{Kafka, Message};
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually_within;

use crate::harness::Flow;
use crate::kafka::{broker, flow, folded, read, shop, source};
use crate::seeded::Random;

const KILLS: usize = 30;
const SEED: u64 = 42;
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two transactions: thousands of changes per second, and a debug build follows.
const PAUSE: Duration = Duration::from_millis(8);

/// When a process is killed, counted from its start.
#[derive(Debug)]
enum Moment {
    /// While it takes over from the one before, most often.
    Starting(Duration),
    Streaming(Duration),
    /// That long after it has told the slot of so many commits.
    Acknowledged(usize, Duration),
}

impl Moment {
    fn new(random: &mut Random) -> Self {
        let mut below = |end| Duration::from_millis(random.below(end) as u64);
        let (starting, streaming, beyond) = (below(400), Duration::from_millis(300) + below(1000), below(120));
        match random.below(10) {
            0..=2 => Self::Starting(starting),
            3..=5 => Self::Streaming(streaming),
            _ => Self::Acknowledged(1 + random.below(3), beyond),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_thirty_times_under_load_it_delivers_every_change_once_to_topics() {
    let seed = std::env::var("DUCTSTREAM_TEST_SEEDS").map_or(SEED, |seed| seed.parse().expect("one seed"));
    let context = format!("DUCTSTREAM_TEST_SEEDS={seed}");
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    database.execute(AUDIT).await;
    let (flow, prefix) =
        flow(&kafka, &database, "exactly_once: {transaction_age: 20ms}, create_topics: {partitions: 3}");
    flow.create().await;
    let is_over = Cell::new(false);
    let kills = async {
        kill_again_and_again(&flow, &database, &mut Random::new(seed)).await;
        is_over.set(true);
    };
    tokio::join!(kills, change_until(&is_over, &database, Random::new(!seed)));
    flow.drain().await;

    let mut messages = read(&kafka, &[&format!("{prefix}public.shop")]).await;
    let (last, expected) = (folded(&messages), source(&database).await);
    assert!(last == expected, "{context}: in the order of their partitions, changes lead elsewhere\n{}", flow.log());
    messages.sort_by_key(Message::position);
    let positions: BTreeSet<_> = messages.iter().map(Message::position).collect();
    assert_eq!(positions.len(), messages.len(), "{context}: a position is there twice\n{}", flow.log());
    same(&messages, &database, &context, &flow).await;
}

async fn kill_again_and_again(flow: &Flow, database: &TestDatabase, random: &mut Random) {
    let confirmed =
        format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = 'ductstream_{}'", flow.name);
    for _ in 0..KILLS {
        let moment = Moment::new(random);
        let mut run = flow.start();
        match moment {
            Moment::Starting(time) | Moment::Streaming(time) => tokio::time::sleep(time).await,
            Moment::Acknowledged(commits, beyond) => {
                for _ in 0..commits {
                    let before = database.query_value(&confirmed).await;
                    let went_on = || async { database.query_value(&confirmed).await != before };
                    eventually_within(PATIENCE, "an acknowledged commit", went_on).await;
                }
                tokio::time::sleep(beyond).await;
            }
        }
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself\n{}", flow.log());
        run.kill().await.unwrap();
    }
}

/// What was committed, change by change, in the order of the one session that changes anything.
const AUDIT: &str = "
    create schema audit;
    create table audit.changes (number bigint generated always as identity, change text not null);
    create function audit.record() returns trigger language plpgsql as $$ begin
        insert into audit.changes (change) values (lower(tg_op) || ' ' || coalesce(new.id, old.id) || coalesce(' ' || new.n, ''));
        return null;
    end $$;
    create trigger changed after insert or update or delete on shop for each row execute function audit.record()";

/// Inserts, updates, deletes and changes keys of a few hundred rows.
async fn change_until(is_over: &Cell<bool>, database: &TestDatabase, mut random: Random) {
    let session = database.connect().await;
    for n in 0.. {
        if is_over.get() {
            return;
        }
        let (first, fresh, m) = (random.below(400), 10_000 + n, random.below(11));
        let change = match random.below(8) {
            0..=2 => format!(
                "insert into shop select id, {n}, repeat('n', {m} * 10) from generate_series({first}, {first} + {m}) id \
                 on conflict (id) do update set n = excluded.n"
            ),
            3..=4 => format!("update shop set n = {n} where id % 7 = {}", m % 7),
            5 => format!("delete from shop where id % 11 = {m}"),
            6 => format!("begin; update shop set n = -{n}; rollback"),
            _ => format!("update shop set id = {fresh} where id = (select max(id) from shop where id < 10000)"),
        };
        session.batch_execute(&change).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
}

/// The messages, in the order of their positions, are the changes that were committed: none is missing, none was added.
async fn same(messages: &[Message], database: &TestDatabase, context: &str, flow: &Flow) {
    let committed = database.query("select change from audit.changes order by number").await;
    let mut committed = committed.iter().map(|row| row[0].clone().unwrap());
    for message in messages {
        let row = message.value().unwrap();
        let n = row["n"].as_i64().map(|n| format!(" {n}")).unwrap_or_default();
        let arrived = format!("{} {}{n}", row["_op"].as_str().unwrap(), row["id"]);
        let at = message.position();
        assert_eq!(committed.next(), Some(arrived), "{context}: at {at}\n{}", flow.log());
    }
    assert_eq!(committed.next(), None, "{context}: what follows is lost\n{}", flow.log());
    assert!(messages.len() > 1000, "{context}: {} messages are no load", messages.len());
}
