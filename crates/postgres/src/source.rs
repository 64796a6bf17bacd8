//! The PostgreSQL source: opens, verifies, creates what is asked for, and turns the replication stream into batches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ductstream_core::{
    Acknowledge, ChangeBatch, Error, Lsn, Position, Result, Source, SourceIdentity, SourceOpened, SourceStart,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::assemble::{Assembler, AssemblerSettings, Pushed};
use crate::connect::{WriteHalf, quote_identifier, quote_literal};
use crate::feedback::{self, Shared};
use crate::in_progress::{InProgress, Replay, Replayed, Spill, Taken};
use crate::inbound::{Frame, Inbound};
use crate::monitor::{Answer, Lookup, Monitor};
use crate::open::{Opened, Unfinished, open};
use crate::pgoutput::Replication;
use crate::resume::{MESSAGES, same_messages};
use crate::settings::{Origin, SourceSettings};
use crate::standby::Standby;

/// How long the server may take to answer the end of the copy.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// A server that says nothing for so long, although asked, is taken for dead. At least twice its own patience with us.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// Feedback is sent at least this often.
const LONGEST_FEEDBACK: Duration = Duration::from_secs(10);
/// While more is known to be on its way, less than this waits...
const RIPE_BYTES: usize = 256 << 10;
/// ... but no longer than this.
const RIPE_AGE: Duration = Duration::from_millis(4);

/// Reads changes from PostgreSQL by logical replication.
pub struct PostgresSource {
    settings: SourceSettings,
    flow: String,
    temporary: bool,
    messages: bool,
    spill: Option<Arc<Spill>>,
    shared: Arc<Shared>,
    unfinished: Unfinished,
    state: State,
}

enum State {
    New,
    Opened(Box<Opened>),
    Streaming(Box<Streaming>),
    Closed,
}

struct Streaming {
    inbound: Inbound,
    assembler: Assembler,
    /// Transactions in progress; `None` when the server was not asked for them.
    in_progress: Option<InProgress>,
    /// The transaction that is replayed before anything else is read.
    replay: Option<Box<Replay>>,
    monitor: Monitor,
    /// Of a source that is a standby.
    standby: Option<Standby>,
    lookup: Option<Answer>,
    feedback: Feedback,
    /// Whether something was decoded since `fill` last returned.
    news: bool,
    /// When something began to wait to be taken.
    pending_since: Option<Instant>,
}

struct Feedback {
    task: JoinHandle<std::io::Result<WriteHalf>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Feedback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresSource {
    /// A source for `flow` that has not connected yet.
    pub fn new(settings: SourceSettings, flow: &str) -> Self {
        Self {
            settings,
            flow: flow.to_owned(),
            temporary: false,
            messages: false,
            spill: None,
            shared: Shared::new(),
            unfinished: Unfinished::default(),
            state: State::New,
        }
    }

    /// On a slot that lives as long as the connection, with logical messages: for looking on, not for delivery.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        (self.temporary, self.messages) = (true, true);
        self
    }

    /// Receives transactions while they run, where the settings and the server allow it, and holds them in `spill`.
    #[must_use]
    pub fn spilling_to(mut self, spill: Arc<Spill>) -> Self {
        self.shared.spilling_to(spill.clone());
        self.spill = Some(spill);
        self
    }

    /// Delivers logical messages, and counts them in positions.
    #[must_use]
    pub fn with_messages(mut self) -> Self {
        self.messages = true;
        self
    }

    /// What the index inside a transaction counts the changes of.
    fn counted(&self, publications: &[String]) -> Vec<String> {
        let mut counted = sorted(publications);
        if self.messages {
            counted.push(MESSAGES.to_owned());
        }
        counted
    }

    fn streaming(&mut self) -> Result<&mut Streaming> {
        match &mut self.state {
            State::Streaming(streaming) => Ok(streaming),
            _ => Err(Error::bug("the source was read before it began to stream")),
        }
    }

    fn stream(&self) -> Option<&Streaming> {
        match &self.state {
            State::Streaming(streaming) => Some(streaming),
            _ => None,
        }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(&mut self, start: SourceStart) -> Result<SourceOpened> {
        same_messages(start.checkpoint.as_ref(), self.messages)?;
        let opened = match open(&self.settings, &self.flow, self.temporary, start, &mut self.unfinished).await {
            Ok(opened) => opened,
            Err(error) => {
                self.unfinished.undo(&self.settings).await;
                return Err(error);
            }
        };
        self.unfinished = Unfinished::default();
        let facts = SourceOpened {
            identity: opened.identity.clone(),
            ancestors: opened.ancestors.clone(),
            position: opened.position,
            wal_end: opened.wal_end,
            created: opened.created.clone(),
            publications: self.counted(&opened.publications),
        };
        self.state = State::Opened(Box::new(opened));
        Ok(facts)
    }

    async fn begin(&mut self, from: Position) -> Result<()> {
        let State::Opened(opened) = std::mem::replace(&mut self.state, State::Closed) else {
            return Err(Error::bug("the source began before it was opened"));
        };
        let spill = self.spill.clone().filter(|spill| self.settings.streaming && spill.is_open());
        let wishes = Wishes { messages: self.messages, spill };
        let streaming = opened.stream(&self.settings, wishes, from, self.shared.clone()).await?;
        self.state = State::Streaming(Box::new(streaming));
        Ok(())
    }

    fn acknowledger(&self) -> Arc<dyn Acknowledge> {
        self.shared.clone()
    }

    async fn fill(&mut self) -> Result<()> {
        self.streaming()?.fill().await
    }

    fn has_pending(&self) -> bool {
        self.stream().is_some_and(|stream| stream.assembler.has_pending())
    }

    fn is_ripe(&self) -> bool {
        self.stream().is_some_and(Streaming::is_ripe)
    }

    fn is_full(&self) -> bool {
        self.stream().is_some_and(|stream| stream.assembler.is_full())
    }

    fn take(&mut self) -> Option<ChangeBatch> {
        let streaming = self.streaming().ok()?;
        streaming.pending_since = None;
        streaming.assembler.take()
    }

    async fn close(&mut self) -> Result<()> {
        self.unfinished.undo(&self.settings).await;
        let State::Streaming(streaming) = std::mem::replace(&mut self.state, State::Closed) else { return Ok(()) };
        // An answer that does not come is no error: everything that counts was stored before it was acknowledged.
        if timeout(CLOSE_LIMIT, streaming.close()).await.is_err() {
            tracing::debug!("the server did not confirm the end of replication in time");
        }
        Ok(())
    }
}

/// What a stream carries beside committed changes.
struct Wishes {
    /// Logical messages.
    messages: bool,
    /// Transactions in progress, which are held there.
    spill: Option<Arc<Spill>>,
}

impl Opened {
    async fn stream(
        self,
        settings: &SourceSettings,
        wishes: Wishes,
        from: Position,
        shared: Arc<Shared>,
    ) -> Result<Streaming> {
        let command = start_replication(&self, settings, &wishes, from.commit_lsn);
        let Wishes { messages, spill } = wishes;
        let patience = self.sender_timeout;
        let Self { replication, sql, identity, types, schemas, keys, columns, in_recovery, .. } = self;
        let stream = replication.start_replication(&command).await?;
        let (read, write) = stream
            .stream
            .into_split()
            .map_err(|error| Error::retry("the replication connection could not be split").with_source(error))?;

        shared.acknowledge(Position::start_of(from.commit_lsn));
        let silence = patience.map_or(SILENCE_LIMIT, |patience| SILENCE_LIMIT.max(patience * 2));
        let interval = patience.map_or(LONGEST_FEEDBACK, |patience| (patience / 4).min(LONGEST_FEEDBACK));
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            // A dropped sender means that the source was dropped, which aborts the task.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let task = tokio::spawn(feedback::run(write, shared.clone(), interval, stopped));

        let heartbeat = (!in_recovery && !settings.heartbeat.0.is_zero()).then_some(settings.heartbeat.0);
        let standby = in_recovery.then(|| Standby::new(identity.timeline));
        let monitor = Monitor::start(sql, identity.slot, heartbeat, shared.clone());
        let assembling = AssemblerSettings {
            special_values: settings.special_values,
            batch_bytes: usize::try_from(settings.batch_size.0).unwrap_or(usize::MAX),
            messages,
            declarations: true,
        };
        let mut assembler = Assembler::new(assembling, types, schemas, from);
        for key in keys {
            assembler.set_relation_key(key.oid, key.primary_key);
        }
        for (oid, columns) in columns {
            assembler.set_relation_columns(oid, columns);
        }
        Ok(Streaming {
            inbound: Inbound::new(read, stream.buffered, silence, shared),
            assembler,
            in_progress: spill.map(InProgress::new),
            replay: None,
            monitor,
            standby,
            lookup: None,
            feedback: Feedback { task, stop: Some(stop) },
            news: false,
            pending_since: None,
        })
    }
}

fn start_replication(opened: &Opened, settings: &SourceSettings, wishes: &Wishes, from: Lsn) -> String {
    let publications: Vec<String> = opened.publications.iter().map(|name| quote_identifier(name)).collect();
    // Two-phase stays off, so that a higher protocol version changes nothing but what it may carry.
    let version = match opened.server_version {
        160_000.. => 4,
        150_000.. => 3,
        _ => 2,
    };
    let mut options = vec![
        format!("proto_version '{version}'"),
        format!("publication_names {}", quote_literal(&publications.join(","))),
    ];
    if settings.binary && opened.decodes_binary {
        options.push("binary 'true'".to_owned());
    }
    if settings.origin == Origin::None {
        options.push("origin 'none'".to_owned());
    }
    if wishes.messages {
        options.push("messages 'true'".to_owned());
    }
    if wishes.spill.is_some() {
        options.push("streaming 'true'".to_owned());
    }
    let slot = quote_identifier(&opened.identity.slot);
    format!("START_REPLICATION SLOT {slot} LOGICAL {from} ({})", options.join(", "))
}

impl Streaming {
    /// Cancel-safe: every await leaves what was read in the buffer, in `self.replay` or in `self.lookup`.
    async fn fill(&mut self) -> Result<()> {
        loop {
            if self.lookup.is_some() && self.news && self.assembler.has_pending() {
                self.news = false;
                return Ok(());
            }
            if let Some(answer) = &mut self.lookup {
                let found = tokio::select! {
                    found = answer => found,
                    error = self.monitor.failed() => return Err(error),
                };
                self.lookup = None;
                self.learn(found.map_err(|_| Error::retry("the SQL connection was lost during a catalog look-up"))??)?;
            }
            if let Some(standby) = &mut self.standby {
                standby.verify(&mut self.monitor).await?;
            }
            self.decode()?;
            if self.lookup.is_some() {
                continue;
            }
            if self.assembler.has_pending() {
                self.pending_since.get_or_insert_with(Instant::now);
            }
            if self.news && self.is_ripe() {
                self.news = false;
                return Ok(());
            }
            tokio::select! {
                read = self.inbound.read() => {
                    read?;
                    self.standby.iter_mut().for_each(Standby::arrived);
                }
                error = self.monitor.failed() => return Err(error),
            }
        }
    }

    /// Whether what is pending is worth taking: at once when the reader has caught up, in larger pieces when it is behind.
    fn is_ripe(&self) -> bool {
        self.assembler.has_pending()
            && (!self.inbound.is_loaded()
                || self.lookup.is_some()
                || self.assembler.is_full()
                || self.assembler.pending_bytes() >= RIPE_BYTES
                || self.pending_since.is_some_and(|since| since.elapsed() >= RIPE_AGE))
    }

    /// Decodes what is buffered, until it is used up, a batch is full, or the catalog has to be asked.
    fn decode(&mut self) -> Result<()> {
        while !self.assembler.is_full() && self.lookup.is_none() {
            if self.replay.is_some() {
                self.replay_next()?;
                continue;
            }
            let Some((frame, length)) = self.inbound.frame()? else { break };
            match frame {
                Frame::CopyData(content) => match Replication::parse(content).map_err(malformed)? {
                    Replication::WalData { wal_start, wal_end, data, .. } => {
                        match self.in_progress.as_mut().map_or(Ok(Taken::No), |held| held.take(data))? {
                            Taken::No => {
                                let pushed = self.assembler.push(data).map_err(|error| located(error, wal_start))?;
                                if let Pushed::NeedRelation(need) = pushed {
                                    self.lookup = Some(self.monitor.ask(need));
                                    break;
                                }
                            }
                            Taken::Yes => {}
                            Taken::Committed(replay) => self.replay = Some(replay),
                        }
                        self.inbound.saw(wal_start, wal_end);
                    }
                    Replication::Keepalive { wal_end, server_time, reply_requested } => {
                        self.assembler.keepalive(wal_end, server_time);
                        self.inbound.saw(wal_end, wal_end);
                        if reply_requested {
                            self.inbound.want_reply();
                        }
                    }
                },
                Frame::CopyDone => return Err(Error::retry("the server ended the replication stream")),
                Frame::Other => {}
            }
            self.inbound.consume(length);
            self.news = true;
        }
        Ok(())
    }

    /// Pushes the next message of the transaction that is replayed.
    fn replay_next(&mut self) -> Result<()> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        match replay.current() {
            Some(Replayed::Message(message)) => {
                if let Pushed::NeedRelation(need) = self.assembler.push(message)? {
                    self.lookup = Some(self.monitor.ask(need));
                    return Ok(());
                }
            }
            Some(Replayed::Announcement(message)) => self.assembler.announce(message)?,
            None => {
                self.replay = None;
                return Ok(());
            }
        }
        self.news = true;
        replay.advance()
    }

    fn learn(&mut self, found: Lookup) -> Result<()> {
        for row in &found.types {
            self.assembler.types_mut().add_row(&row.values())?;
        }
        self.assembler.set_relation_key(found.oid, found.primary_key);
        self.assembler.set_relation_columns(found.oid, found.columns);
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        if let Some(stop) = self.feedback.stop.take() {
            let _ = stop.send(());
        }
        // The write half must stay open until the server has answered.
        let _write = (&mut self.feedback.task).await;
        loop {
            while let Some((frame, length)) = self.inbound.frame()? {
                if matches!(frame, Frame::CopyDone) {
                    return Ok(());
                }
                self.inbound.consume(length);
            }
            self.inbound.read().await?;
        }
    }
}

/// Names in the order in which a checkpoint keeps them.
pub(crate) fn sorted(publications: &[String]) -> Vec<String> {
    let mut sorted = publications.to_vec();
    sorted.sort_unstable();
    sorted
}

fn malformed(error: crate::pgoutput::ParseError) -> Error {
    Error::bug("the server sent a replication message that cannot be read").with_source(error)
}

fn located(error: Error, wal_start: Lsn) -> Error {
    if wal_start == Lsn::ZERO { error } else { error.context(format_args!("change at WAL address {wal_start}")) }
}

/// The identity that a flow's slot has on a server.
pub(crate) fn identity(server: &crate::catalog::server::Server, slot: &str) -> SourceIdentity {
    SourceIdentity {
        system_identifier: server.system_identifier.clone(),
        timeline: server.timeline,
        database: server.database.clone(),
        slot: slot.to_owned(),
    }
}
