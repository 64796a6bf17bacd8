//! Takes everything and keeps nothing.

use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Accepted, Capabilities, ChangeBatch, Destination, DestinationStart, DestinationStatus, Durable, Envelope, Op,
    Position, Result, WireFormat,
};

/// What a destination that keeps nothing can do.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    operations: &[Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Load, Op::Ddl, Op::Message],
    formats: &[WireFormat::Arrow, WireFormat::Parquet, WireFormat::Avro, WireFormat::Proto, WireFormat::Json],
    envelopes: &[Envelope::Native, Envelope::Flat, Envelope::Debezium],
    schema_changes: true,
    exactly_once: false,
    cross_table_order: true,
};

/// Counts records and forgets them: what remains is the cost of everything before it. Encodes nothing.
#[derive(Debug, Default)]
pub struct NullDestination {
    accepted: Position,
    reported: Position,
    status: DestinationStatus,
}

#[async_trait]
impl Destination for NullDestination {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn open(&mut self, start: &DestinationStart) -> Result<Option<Position>> {
        (self.accepted, self.reported) = (start.position, start.position);
        Ok(None)
    }

    async fn write(&mut self, batch: Arc<ChangeBatch>) -> Result<Accepted> {
        for chunk in &batch.chunks {
            let records = chunk.len() as u64;
            self.status.records += records;
            self.status.tables.entry(chunk.schema.table.clone()).or_default().0 += records;
        }
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
        self.reported = self.accepted;
        Ok(Durable::up_to(self.reported))
    }

    fn status(&self) -> DestinationStatus {
        self.status.clone()
    }
}
