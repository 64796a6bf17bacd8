//! Small documents by name: what a flow keeps beside its objects.

use bytes::Bytes;
use ductstream_core::{Error, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::names::Names;
use crate::settings::Settings;
use crate::store::Target;

/// Documents in one directory below a destination's prefix, which must not look like a table's: no dot in its name.
#[derive(Debug, Clone)]
pub struct Documents {
    target: Target,
    names: Names,
    directory: String,
}

impl Documents {
    /// The documents below `directory` (`_dead_letters/shop`) of what `settings` name. Creates what is missing of a local directory; asks a remote
    /// store nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the settings cannot work.
    pub fn connect(settings: &Settings, directory: impl Into<String>) -> Result<Self> {
        let names = Names::new(&settings.common().prefix, "json")?;
        Ok(Self { target: Target::connect(settings)?, names, directory: directory.into() })
    }

    /// Where they are, for messages.
    pub fn place(&self) -> String {
        format!("{}/{}", self.target.url.trim_end_matches('/'), self.directory)
    }

    /// Puts a document. When this returns, it survives a crash; one of the same name is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the store does not answer.
    pub async fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        let put = self.target.store.put(&self.path(name)?, Bytes::from(content).into()).await;
        put.map(drop).map_err(|error| self.target.explain(error, &format!("put {name} into")))
    }

    /// The content of a document.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when there is none.
    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        let explain = |error| self.target.explain(error, &format!("read {name} in"));
        let found = self.target.store.get(&self.path(name)?).await.map_err(explain)?;
        Ok(found.bytes().await.map_err(explain)?.to_vec())
    }

    /// The names of all documents, sorted.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn names(&self) -> Result<Vec<String>> {
        let directory = self.names.below(&self.directory)?;
        let listed: Vec<_> = self
            .target
            .store
            .list(Some(&directory))
            .try_collect()
            .await
            .map_err(|error| self.target.explain(error, &format!("list {} in", self.directory)))?;
        let name = |path: &Path| {
            path.prefix_match(&directory)
                .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        };
        let mut names: Vec<String> = listed.iter().filter_map(|meta| name(&meta.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<Path> {
        if name.is_empty() || name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return Err(Error::bug(format!("{name:?} is no document's name")));
        }
        self.names.below(&format!("{}/{name}", self.directory))
    }
}
