//! The destination itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Capabilities, ChangeBatch, Codec, Destination, DestinationStart, DestinationStatus, Durable, Envelope,
    Error, Op, Position, Result, WireFormat,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::check;
use crate::cut::{self, Committed, Link};
use crate::limits;
use crate::names::Names;
use crate::recover::Recovery;
use crate::settings::Settings;
use crate::store::Target;
use crate::writer::{Context, OpenObjects, blocking};

/// What an object store can do, whichever it is.
pub const CAPABILITIES: Capabilities = Capabilities {
    operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load],
    formats: &[WireFormat::Arrow, WireFormat::Parquet, WireFormat::Avro, WireFormat::Proto, WireFormat::Json],
    envelopes: &[Envelope::Native, Envelope::Flat, Envelope::Debezium],
    schema_changes: true,
    exactly_once: true,
    cross_table_order: false,
};

/// Writes objects into a store, and commits them by cuts.
///
/// Records are durable once the manifest of their cut is in the store. One cut is uploaded by a task of its own while the next is
/// being filled; when that one is full too, [`write`](Destination::write) waits.
pub struct ObjectStoreDestination {
    settings: Settings,
    codec: Arc<dyn Codec>,
    names: Names,
    /// The trait asks for `Sync`, which encoders are not. Every use has the destination to itself, so this is never locked.
    run: Option<Mutex<Run>>,
    status: DestinationStatus,
}

impl ObjectStoreDestination {
    /// A destination that writes what `codec` encodes. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting cannot work.
    pub fn new(settings: impl Into<Settings>, codec: Arc<dyn Codec>) -> Result<Self> {
        let settings = settings.into();
        settings.validate()?;
        let names = Names::new(&settings.common().prefix, codec.extension())?;
        Ok(Self { settings, codec, names, run: None, status: DestinationStatus::default() })
    }

    fn opened(&mut self) -> Result<(&mut Run, &mut DestinationStatus)> {
        let run =
            self.run.as_mut().ok_or_else(|| Error::bug("an object store destination was used before it was opened"))?;
        Ok((run.get_mut(), &mut self.status))
    }
}

#[async_trait]
impl Destination for ObjectStoreDestination {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn verify(&self, flow: &str) -> Result<()> {
        check::refuse_other_flow(&self.settings, flow).await?;
        check::probe(&self.settings).await.map(|_| ())
    }

    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>> {
        let settings = self.settings.clone();
        let target = blocking(move || Target::connect(&settings)).await?;
        let last_cut = Recovery { target: &target, names: &self.names, start }.run().await?;
        let context = Context {
            flow: start.flow.clone(),
            source: start.source.clone(),
            target,
            names: self.names.clone(),
            codec: self.codec.clone(),
            common: self.settings.common(),
            parts_in_flight: Arc::new(Semaphore::new(limits::PARTS_IN_FLIGHT)),
        };
        self.run = Some(Mutex::new(Run::new(context, start, last_cut)));
        Ok(last_cut)
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        let (run, status) = self.opened()?;
        run.write(batch, status).await?;
        Ok(Accepted::up_to(run.accepted))
    }

    async fn progress(&mut self) -> Result<Durable> {
        let (run, status) = self.opened()?;
        run.progress(status).await
    }

    async fn flush(&mut self) -> Result<Durable> {
        let (run, status) = self.opened()?;
        run.flush(status).await
    }

    fn status(&self) -> DestinationStatus {
        self.status.clone()
    }
}

/// A destination that was opened.
struct Run {
    context: Arc<Context>,
    /// `None` while a batch is being encoded; for ever, when the encoding write was dropped.
    open: Option<OpenObjects>,
    /// The cut being uploaded: one task at most. It ends with the set.
    uploading: JoinSet<Result<Committed>>,
    accepted: Position,
    /// Records before this are in a cut that is committed or being uploaded.
    cut: Position,
    previous_cut: Option<Position>,
    durable: Position,
    reported: Position,
    /// The last manifest.
    stored: Option<Position>,
}

impl Run {
    fn new(context: Context, start: &DestinationStart, last_cut: Option<Position>) -> Self {
        let bound = last_cut.map_or(start.position, |cut| cut.max(start.position));
        // A checkpoint that knows of the cuts goes on behind the last one, even where its own position is beyond it: what came in between
        // were bounds without records. One that does not know of them was started anew, and what came in between is missing.
        let cut = last_cut.filter(|_| start.stored.is_some()).unwrap_or(bound);
        Self {
            context: Arc::new(context),
            open: Some(OpenObjects::default()),
            uploading: JoinSet::new(),
            accepted: bound,
            cut,
            previous_cut: last_cut,
            durable: bound,
            reported: bound,
            stored: last_cut,
        }
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>, status: &mut DestinationStatus) -> Result<()> {
        if let Some(uploaded) = self.uploading.try_join_next() {
            self.uploaded(uploaded, status)?;
        }
        let end = batch.end;
        if !batch.is_empty() {
            self.encode(batch).await?;
        }
        self.accepted = self.accepted.max(end);
        if self.objects()?.is_full(&self.context.common) {
            self.wait_for_upload(status).await?;
            self.begin_cut()?;
        }
        self.settle()
    }

    async fn encode(&mut self, batch: Arc<ChangeBatch>) -> Result<()> {
        let mut open = self.open.take().ok_or_else(interrupted)?;
        let context = self.context.clone();
        let mut open = blocking(move || {
            open.append(&batch, &context)?;
            Ok(open)
        })
        .await?;
        open.send_parts(&self.context).await?;
        self.open = Some(open);
        Ok(())
    }

    async fn progress(&mut self, status: &mut DestinationStatus) -> Result<Durable> {
        loop {
            if self.durable > self.reported {
                return Ok(self.report());
            }
            let age = self.age_left()?;
            tokio::select! {
                Some(uploaded) = self.uploading.join_next() => self.uploaded(uploaded, status)?,
                () = sleep(age), if self.uploading.is_empty() => self.begin_cut()?,
            }
        }
    }

    async fn flush(&mut self, status: &mut DestinationStatus) -> Result<Durable> {
        self.wait_for_upload(status).await?;
        if !self.objects()?.is_empty() {
            self.begin_cut()?;
            self.wait_for_upload(status).await?;
        }
        Ok(self.report())
    }

    /// Closes all open objects at the position reached, and begins to upload them. No other cut is being uploaded.
    fn begin_cut(&mut self) -> Result<()> {
        let open = self.open.replace(OpenObjects::default()).ok_or_else(interrupted)?;
        let link = Link { position: self.accepted, previous: self.previous_cut, from: self.cut };
        self.cut = link.position;
        self.previous_cut = Some(link.position);
        self.uploading.spawn(cut::commit(open, link, self.context.clone()));
        Ok(())
    }

    async fn wait_for_upload(&mut self, status: &mut DestinationStatus) -> Result<()> {
        while let Some(uploaded) = self.uploading.join_next().await {
            self.uploaded(uploaded, status)?;
        }
        Ok(())
    }

    fn uploaded(
        &mut self,
        uploaded: Result<Result<Committed>, tokio::task::JoinError>,
        status: &mut DestinationStatus,
    ) -> Result<()> {
        let committed = uploaded.map_err(|error| Error::bug("uploading a cut died").with_source(error))??;
        self.durable = committed.position;
        self.stored = Some(committed.position);
        committed.count(status);
        self.settle()
    }

    /// With nothing in hand, everything accepted is durable: what came since the last cut were bounds without records.
    fn settle(&mut self) -> Result<()> {
        if self.uploading.is_empty() && self.objects()?.is_empty() {
            self.durable = self.accepted;
        }
        Ok(())
    }

    fn report(&mut self) -> Durable {
        self.reported = self.durable;
        Durable::up_to(self.durable).with_stored(self.stored)
    }

    fn objects(&self) -> Result<&OpenObjects> {
        self.open.as_ref().ok_or_else(interrupted)
    }

    /// How long the open objects may stay open; `None` when there are none.
    fn age_left(&self) -> Result<Option<Duration>> {
        let age = self.context.common.roll.age.0;
        Ok(self.objects()?.since().map(|since| age.saturating_sub(since.elapsed())))
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn interrupted() -> Error {
    Error::bug("an object store destination was used after one of its writes was dropped")
}
