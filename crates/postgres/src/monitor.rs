//! The SQL connection beside the replication connection: heartbeats, the slot's state, catalog look-ups for the decoder.

use std::sync::Arc;
use std::time::Duration;

use ductstream_core::{Error, HEARTBEAT_PREFIX, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::assemble::{DeclaredColumns, RelationNeed};
use crate::catalog::{relation, slot, timeline};
use crate::connect::{Connection, Row};
use crate::feedback::Shared;
use crate::types::TypeCatalog;

/// How often the slot is looked at; also keeps the connection from being closed as idle.
const SLOT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a query may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What the decoder asked for.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) types: Vec<Row>,
    pub(crate) oid: u32,
    pub(crate) primary_key: Vec<String>,
    pub(crate) columns: DeclaredColumns,
}

enum Request {
    Relation(RelationNeed, oneshot::Sender<Result<Lookup>>),
    Timeline(oneshot::Sender<Result<u32>>),
}

/// The task that owns the SQL connection.
pub(crate) struct Monitor {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<Error>,
}

/// A look-up under way.
pub(crate) type Answer = oneshot::Receiver<Result<Lookup>>;

impl Monitor {
    /// Takes the connection over. `heartbeat` of `None` writes none.
    pub(crate) fn start(
        connection: Connection,
        slot: String,
        heartbeat: Option<Duration>,
        shared: Arc<Shared>,
    ) -> Self {
        let (requests, queue) = mpsc::channel(1);
        let watch = Watch { connection, slot, shared };
        Self { requests, task: tokio::spawn(watch.run(queue, heartbeat)) }
    }

    /// Asks; the answer arrives while the caller does something else, and is not lost when it stops waiting.
    pub(crate) fn ask(&self, need: RelationNeed) -> Answer {
        let (answer, receiver) = oneshot::channel();
        // One question at a time: the decoder waits for each answer. A full or closed queue shows as a dropped answer.
        let _ = self.requests.try_send(Request::Relation(need, answer));
        receiver
    }

    /// Asks for the server's timeline, in the same way. The connection must be one for replication.
    pub(crate) fn ask_timeline(&self) -> oneshot::Receiver<Result<u32>> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.requests.try_send(Request::Timeline(answer));
        receiver
    }

    /// Waits until the SQL connection fails. Cancel-safe.
    pub(crate) async fn failed(&mut self) -> Error {
        match (&mut self.task).await {
            Ok(error) => error.context("the SQL connection beside the replication"),
            Err(error) => Error::bug("the monitor ended abnormally").with_source(error),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watch {
    connection: Connection,
    slot: String,
    shared: Arc<Shared>,
}

impl Watch {
    async fn run(mut self, mut queue: mpsc::Receiver<Request>, heartbeat: Option<Duration>) -> Error {
        let mut slots = ticker(SLOT_INTERVAL);
        let mut beats = heartbeat.map(ticker);
        loop {
            let done = tokio::select! {
                request = queue.recv() => match request {
                    Some(request) => {
                        self.answer(request).await;
                        Ok(())
                    }
                    None => std::future::pending().await,
                },
                _ = slots.tick() => in_time(self.look_at_slot()).await,
                () = beat(&mut beats) => in_time(self.heartbeat()).await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        // Whoever asked may have gone; then nobody needs the answer.
        match request {
            Request::Relation(need, answer) => {
                let _ = answer.send(in_time(look_up(&mut self.connection, &need)).await);
            }
            Request::Timeline(answer) => {
                let _ = answer.send(in_time(timeline::current(&mut self.connection)).await);
            }
        }
    }

    async fn look_at_slot(&mut self) -> Result<()> {
        let slot = slot::load(&mut self.connection, &self.slot).await?;
        self.shared.retained(slot.and_then(|slot| slot.retained_bytes));
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<()> {
        let sql = format!("SELECT pg_logical_emit_message(false, '{HEARTBEAT_PREFIX}', '')");
        self.connection.simple_query(&sql).await?;
        Ok(())
    }
}

/// A connection that a firewall has forgotten answers never: the flow must not wait for the system to notice.
async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::retry(format!("a catalog query was not answered within {} s", ANSWER_LIMIT.as_secs()));
    timeout(ANSWER_LIMIT, asked).await.map_err(late)?
}

fn ticker(period: Duration) -> Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

async fn beat(beats: &mut Option<Interval>) {
    match beats {
        Some(beats) => {
            beats.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn look_up(connection: &mut Connection, need: &RelationNeed) -> Result<Lookup> {
    let keys = relation::load_keys(connection, &[need.oid]).await?;
    // A table that was dropped meanwhile has no key that anyone could know.
    let primary_key = keys.into_iter().next().map(|key| key.primary_key).unwrap_or_default();
    let columns = relation::load_columns(connection, need.oid).await?;
    Ok(Lookup { types: load_types(connection, &need.types).await?, oid: need.oid, primary_key, columns })
}

/// Everything that must be known to decode values of the types `oids`, and of the types that these are made of.
pub(crate) async fn load_types(connection: &mut Connection, oids: &[u32]) -> Result<Vec<Row>> {
    let mut known = TypeCatalog::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut wanted = known.missing(oids.iter().copied());
    while !wanted.is_empty() {
        let before = rows.len();
        for row in connection.simple_query(&TypeCatalog::query(&wanted)).await? {
            known.add_row(&row.values())?;
            rows.push(row);
        }
        if rows.len() == before {
            // A type that was dropped meanwhile: the decoder takes its values as text.
            break;
        }
        wanted = known.missing(oids.iter().copied());
    }
    Ok(rows)
}
