//! Sending a large object in parts while it is still being written.

use std::sync::Arc;

use bytes::Bytes;
use ductstream_core::{Error, Result};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::store::Target;

/// An object that is sent in parts. Nothing is visible under its name before [`complete`](Self::complete) returns; when dropped
/// before that, the upload is aborted.
pub(crate) struct PartsUpload {
    // Dropped first: a part that arrives after the abort would stay.
    parts: JoinSet<object_store::Result<()>>,
    upload: Abandoned,
    in_flight: Arc<Semaphore>,
    target: Target,
}

impl PartsUpload {
    /// Begins to send the object at `path`. All uploads that share `in_flight` send no more parts at a time than it has permits.
    pub(crate) async fn begin(target: &Target, path: &Path, in_flight: Arc<Semaphore>) -> Result<Self> {
        let upload = target.store.put_multipart(path).await;
        let upload = upload.map_err(|error| target.explain(error, &format!("begin object {path} in")))?;
        Ok(Self { parts: JoinSet::new(), upload: Abandoned(Some(upload)), in_flight, target: target.clone() })
    }

    /// Sends the next part; returns when it is on its way, which may take until an earlier part has arrived.
    pub(crate) async fn send(&mut self, part: Bytes) -> Result<()> {
        while let Some(sent) = self.parts.try_join_next() {
            self.sent(sent)?;
        }
        let permit = self.in_flight.clone().acquire_owned().await;
        let permit = permit.map_err(|error| Error::bug("the part limit is closed").with_source(error))?;
        let upload = self.upload.0.as_mut().ok_or_else(|| Error::bug("a part came after the object's end"))?;
        let part = upload.put_part(part.into());
        self.parts.spawn(async move {
            let _permit = permit;
            part.await
        });
        Ok(())
    }

    /// Waits for every part, and makes the object visible.
    pub(crate) async fn complete(mut self) -> Result<()> {
        while let Some(sent) = self.parts.join_next().await {
            self.sent(sent)?;
        }
        let upload = self.upload.0.as_mut().ok_or_else(|| Error::bug("an object was completed twice"))?;
        upload.complete().await.map_err(|error| self.target.explain(error, "complete an object in"))?;
        self.upload.0 = None;
        Ok(())
    }

    fn sent(&self, sent: Result<object_store::Result<()>, tokio::task::JoinError>) -> Result<()> {
        let sent = sent.map_err(|error| Error::bug("sending a part of an object died").with_source(error))?;
        sent.map_err(|error| self.target.explain(error, "send a part of an object to"))
    }
}

/// Aborts the upload when dropped: what was sent costs storage until then and is in no listing.
struct Abandoned(Option<Box<dyn MultipartUpload>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%error, "an abandoned upload could not be aborted; the bucket's lifecycle rule has to");
            }
        });
    }
}
