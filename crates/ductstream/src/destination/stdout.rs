//! Every change as one line of JSON on standard output.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Capabilities, ChangeBatch, Destination, DestinationStart, DestinationStatus, Durable, Envelope, Error,
    Op, Position, Result, WireFormat,
};
use ductstream_wire::JsonLines;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What standard output can do.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load],
    formats: &[WireFormat::Json],
    envelopes: &[Envelope::Native, Envelope::Flat, Envelope::Debezium],
    schema_changes: true,
    exactly_once: false,
    cross_table_order: true,
};

/// An output that several destinations use, one after another.
pub type SharedOutput = Arc<Mutex<dyn Write + Send>>;

/// Prints records in commit order, across tables. Durable means that the output took the bytes: what a pipe's reader does with
/// them is not known.
///
/// When the reader has gone (as `head` does), `closed` is cancelled and the write fails; whoever holds `closed` knows that this is
/// the end and no failure.
pub struct StdoutDestination {
    output: SharedOutput,
    lines: JsonLines,
    closed: CancellationToken,
    accepted: Position,
    reported: Position,
    status: DestinationStatus,
}

impl StdoutDestination {
    /// A destination that prints `lines` to `output`.
    pub fn new(output: SharedOutput, lines: JsonLines, closed: CancellationToken) -> Self {
        let (accepted, reported) = (Position::default(), Position::default());
        Self { output, lines, closed, accepted, reported, status: DestinationStatus::default() }
    }

    /// Prints whole lines on a thread of its own. A destination that is dropped meanwhile leaves no half line behind, and the next one
    /// waits for its turn.
    async fn print(&self, lines: Vec<u8>) -> Result<()> {
        let output = self.output.clone();
        let print = move || {
            let mut output = output.lock();
            output.write_all(&lines).and_then(|()| output.flush())
        };
        let printed = tokio::task::spawn_blocking(print).await;
        let printed = printed.map_err(|error| Error::bug("the printing thread ended abnormally").with_source(error))?;
        printed.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            self.closed.cancel();
            return Error::configuration("standard output was closed by its reader");
        }
        Error::configuration(format!("cannot write to standard output: {error}"))
            .with_remedy("check where standard output is sent to, and that there is room")
    }
}

#[async_trait]
impl Destination for StdoutDestination {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>> {
        (self.accepted, self.reported) = (start.position, start.position);
        Ok(None)
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        let mut lines = Vec::new();
        self.lines.append(&batch, &mut lines)?;
        let bytes = lines.len() as u64;
        self.print(lines).await?;
        self.status.records += batch.len() as u64;
        self.status.bytes += bytes;
        self.accepted = batch.end;
        Ok(Accepted::up_to(self.accepted))
    }

    async fn progress(&mut self) -> Result<Durable> {
        if self.accepted <= self.reported {
            std::future::pending::<()>().await;
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<Durable> {
        // Every write ended with a flush of the output.
        self.reported = self.accepted;
        Ok(Durable::up_to(self.reported))
    }

    fn status(&self) -> DestinationStatus {
        self.status.clone()
    }
}
