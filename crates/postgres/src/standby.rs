//! A stream from a standby, which goes on without a word when the standby is promoted or follows another primary.
//!
//! Changes of the new timeline must not pass for changes of the one that the source was opened on: checkpoints and manifests say which
//! one their positions are of. The server decodes only what it has replayed. So when it is still on the known timeline after
//! bytes have arrived, they are of that timeline; and when it is not, the source is opened anew.

use ductstream_core::{Error, Result};
use tokio::sync::oneshot;

use crate::monitor::Monitor;

/// What is known of the timeline of the bytes that have arrived.
pub(crate) struct Standby {
    timeline: u32,
    /// Whether bytes have arrived since the server was last asked.
    arrived: bool,
    asked: Option<oneshot::Receiver<Result<u32>>>,
}

impl Standby {
    /// Of a standby that is on `timeline`.
    pub(crate) fn new(timeline: u32) -> Self {
        Self { timeline, arrived: true, asked: None }
    }

    /// Bytes were read from the stream.
    pub(crate) fn arrived(&mut self) {
        self.arrived = true;
    }

    /// Returns when everything that has arrived is known to be of the timeline. Cancel-safe, as long as nothing is read before it
    /// has returned.
    pub(crate) async fn verify(&mut self, monitor: &mut Monitor) -> Result<()> {
        while self.arrived || self.asked.is_some() {
            self.arrived = false;
            let asked = self.asked.get_or_insert_with(|| monitor.ask_timeline());
            let answer = tokio::select! {
                answer = asked => answer,
                error = monitor.failed() => return Err(error),
            };
            self.asked = None;
            let now =
                answer.map_err(|_| Error::retry("the SQL connection was lost while asking for the timeline"))??;
            if now != self.timeline {
                return Err(Error::retry(format!("the standby has gone from timeline {} to {now}", self.timeline)));
            }
        }
        Ok(())
    }
}
