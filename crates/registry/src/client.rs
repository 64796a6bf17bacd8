//! The client: registers, looks up, remembers.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{Error, Result};
use ductstream_wire::{SchemaDefinition, SchemaRegistrar, SchemaSubject};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::http::{Http, Request};
use crate::settings::RegistrySettings;
use crate::{SchemaDocument, refusal};

/// A schema that a registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// The id that messages carry.
    pub id: u32,
    /// The version under the subject, as references name it.
    pub version: u32,
}

#[derive(Deserialize)]
struct Id {
    id: u32,
}

/// Values that are asked for once, however many ask at the same time. A failure is not kept: the next one asks again.
struct Asked<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K: Eq + Hash, V> Asked<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        self.0.lock().entry(key).or_default().clone()
    }
}

/// A client of one schema registry, shared by everything in a flow that registers schemas.
///
/// Ids are remembered per subject and schema for as long as the client lives: a registry never gives the same schema another id.
/// Concurrent calls with the same arguments send one request. Every method may be dropped at any await point.
pub struct RegistryClient {
    http: Http,
    settings: RegistrySettings,
    ids: Asked<(String, SchemaDocument), u32>,
    schemas: Asked<u32, SchemaDocument>,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl RegistryClient {
    /// A client with these settings. Reads the certificates; nothing is connected to yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a setting cannot work.
    pub fn new(settings: RegistrySettings) -> Result<Self> {
        let http = Http::new(&settings)?;
        Ok(Self { http, settings, ids: Asked::new(), schemas: Asked::new() })
    }

    /// The id of `schema` under `subject`: registered when it is not there yet, unless `auto_register` is false.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when no registry answers,
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the schema is refused or missing, with both schemas
    /// and the registry's reason.
    pub async fn register(&self, subject: &str, schema: &SchemaDocument) -> Result<u32> {
        let cell = self.ids.cell((subject.to_owned(), schema.clone()));
        cell.get_or_try_init(|| self.ask_for_id(subject, schema)).await.copied()
    }

    /// Id and version of `schema` under `subject`; `None` when it is not registered there. Asks every time.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn look_up(&self, subject: &str, schema: &SchemaDocument) -> Result<Option<Registered>> {
        let path = ["subjects", subject];
        let answer = self.http.send(&Request::post(&path, self.query(), schema.body())).await?;
        match (answer.is_success(), answer.status) {
            (true, _) => answer.read().map(Some),
            (_, 404) if is_missing(answer.code()) => Ok(None),
            _ => Err(refusal::unexpected(&format!("looking up a schema of the subject {subject}"), &answer)),
        }
    }

    /// The schema that a message with this id was written by.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when the registry does not have it; else as [`register`](Self::register).
    pub async fn schema(&self, id: u32) -> Result<SchemaDocument> {
        self.schemas.cell(id).get_or_try_init(|| self.ask_for_schema(id)).await.cloned()
    }

    /// Finds out whether a registry answers and accepts the credentials. Changes nothing.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn verify(&self) -> Result<()> {
        let answer = self.http.send(&Request::get(&["subjects"])).await?;
        match answer.is_success() {
            true => answer.read::<Vec<String>>().map(drop),
            false => Err(refusal::unexpected("listing the subjects", &answer)),
        }
    }

    async fn ask_for_id(&self, subject: &str, schema: &SchemaDocument) -> Result<u32> {
        if !self.settings.auto_register {
            let found = self.look_up(subject, schema).await?;
            return found.map(|found| found.id).ok_or_else(|| refusal::unregistered(&self.http, subject, schema));
        }
        let path = ["subjects", subject, "versions"];
        let answer = self.http.send(&Request::post(&path, self.query(), schema.body())).await?;
        match answer.status {
            409 => Err(refusal::incompatible(&self.http, subject, schema, &answer).await),
            _ if answer.is_success() => {
                let Id { id } = answer.read()?;
                tracing::info!(subject, id, "the schema registry has the schema");
                Ok(id)
            }
            _ => Err(refusal::unexpected(&format!("registering a schema of the subject {subject}"), &answer)),
        }
    }

    async fn ask_for_schema(&self, id: u32) -> Result<SchemaDocument> {
        let answer = self.http.send(&Request::get(&["schemas", "ids", &id.to_string()])).await?;
        match (answer.is_success(), answer.status) {
            (true, _) => SchemaDocument::read(&answer),
            (_, 404) if is_missing(answer.code()) => Err(Error::data(format!(
                "the schema registry at {} has no schema with the id {id}",
                self.http.addresses()
            ))
            .with_remedy("check that it is the registry that the message's writer used")),
            _ => Err(refusal::unexpected(&format!("reading the schema with the id {id}"), &answer)),
        }
    }

    fn query(&self) -> &'static [(&'static str, &'static str)] {
        if self.settings.normalize { &[("normalize", "true")] } else { &[] }
    }
}

#[async_trait]
impl SchemaRegistrar for RegistryClient {
    async fn register(&self, subject: &SchemaSubject<'_>, schema: &SchemaDefinition) -> Result<u32> {
        let name = self.settings.subject_name_strategy.subject(subject);
        RegistryClient::register(self, &name, &schema.into()).await
    }
}

/// Subject not found, version not found, schema not found. A bare 404 comes from something that is no registry.
fn is_missing(code: u64) -> bool {
    (40401..=40403).contains(&code)
}
