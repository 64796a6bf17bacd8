//! Where dead letters are kept.

use std::collections::BTreeMap;
use std::path::Path;

use ductstream_core::{Error, Result};
use ductstream_kafka::TopicLog;
use ductstream_object_store::{Documents, FileSettings, Settings};
use serde::{Deserialize, Serialize};

use super::DeadLetter;
use super::document::{iso, now};
use crate::flow::{DestinationKind, Flow, object_store};

/// The directory below an object store destination's prefix.
const DIRECTORY: &str = "_dead_letters";
/// What ends the name of a letter, and of the mark that it was delivered.
const LETTER: &str = ".json";
const MARK: &str = ".replayed";

/// A dead letter that was read back.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The letter.
    pub letter: DeadLetter,
    /// When it was delivered, if it was.
    pub replayed_at: Option<String>,
}

/// That a letter was delivered.
#[derive(Serialize, Deserialize)]
struct Mark {
    replayed_at: String,
}

/// The dead letters of one flow.
pub struct Letters {
    flow: String,
    place: Place,
}

enum Place {
    /// A document for each, named `{destination}/{id}.json`, so that one that is kept twice is one.
    Documents(Documents),
    /// A message for each, with the key `{flow}/{destination}/{id}.json`. Of those with the same key, the last counts.
    Topic(Box<TopicLog>, String),
}

impl Letters {
    /// Where the flow keeps its dead letters; in `directory` when it does not say.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when the place cannot be used.
    pub fn open(flow: &Flow, directory: &Path) -> Result<Self> {
        let name = flow.name.to_string();
        let documents =
            |settings: &Settings, directory: String| Documents::connect(settings, directory).map(Place::Documents);
        let place = match destination(flow) {
            None => {
                let path = flow.dead_letters.path.as_deref().unwrap_or(directory);
                documents(&FileSettings::at(path).into(), name.clone())?
            }
            Some(kind) => match (object_store(kind), kind, &flow.dead_letters.topic) {
                (Some(settings), ..) => documents(&settings, format!("{DIRECTORY}/{name}"))?,
                (None, DestinationKind::Kafka(kafka), Some(topic)) => Place::Topic(
                    Box::new(TopicLog::new(kafka.clone(), topic)),
                    format!("topic {topic} of {}", kafka.place()),
                ),
                _ => return Err(Error::bug("the flow's dead letters have no place")),
            },
        };
        Ok(Self { flow: name, place })
    }

    /// The same where something was kept already; `None` where nothing can have been. Creates nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn existing(flow: &Flow, directory: &Path) -> Result<Option<Self>> {
        let path = match destination(flow) {
            None => Some(flow.dead_letters.path.as_deref().unwrap_or(directory)),
            Some(DestinationKind::File(settings)) => Some(settings.path.as_path()),
            Some(_) => None,
        };
        if path.is_some_and(|path| !path.is_dir()) {
            return Ok(None);
        }
        Self::open(flow, directory).map(Some)
    }

    /// Where they are, for messages.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Documents(documents) => documents.place(),
            Place::Topic(_, place) => place.clone(),
        }
    }

    /// Keeps a letter. When this returns, it survives a crash; the same letter again is not another one.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](ductstream_core::ErrorKind::Retry) when the place does not answer.
    pub async fn put(&self, letter: &DeadLetter) -> Result<()> {
        self.write(&format!("{}/{}{LETTER}", letter.destination, letter.id), letter).await
    }

    /// Notes that a letter was delivered.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn mark(&self, letter: &DeadLetter) -> Result<()> {
        let mark = Mark { replayed_at: iso(now()) };
        self.write(&format!("{}/{}{MARK}", letter.destination, letter.id), &mark).await
    }

    async fn write<T: Serialize>(&self, name: &str, document: &T) -> Result<()> {
        let content = serde_json::to_vec(document);
        let content = content.map_err(|error| Error::bug("cannot write a dead letter").with_source(error))?;
        match &self.place {
            Place::Documents(documents) => documents.put(name, content).await,
            Place::Topic(log, _) => log.append(format!("{}/{name}", self.flow), content).await,
        }
    }

    /// All letters, by destination and position.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) when one is damaged.
    pub async fn all(&self) -> Result<Vec<Kept>> {
        let documents = match &self.place {
            Place::Documents(documents) => {
                let mut found = BTreeMap::new();
                for name in documents.names().await? {
                    let content = documents.get(&name).await?;
                    found.insert(name, content);
                }
                found
            }
            Place::Topic(log, _) => {
                let own = format!("{}/", self.flow);
                let messages = log.read().await?;
                let own =
                    messages.into_iter().filter_map(|(key, value)| Some((key.strip_prefix(&own)?.to_owned(), value)));
                own.collect()
            }
        };
        documents
            .iter()
            .filter_map(|(name, content)| Some((name.strip_suffix(LETTER)?, content)))
            .map(|(name, content)| {
                let mark = documents.get(&format!("{name}{MARK}")).map(|mark| parse::<Mark>(name, mark)).transpose()?;
                Ok(Kept { letter: parse(name, content)?, replayed_at: mark.map(|mark| mark.replayed_at) })
            })
            .collect()
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, content: &[u8]) -> Result<T> {
    serde_json::from_slice(content)
        .map_err(|error| Error::data(format!("dead letter {name} is damaged")).with_source(error))
}

/// The destination that keeps them, if one does.
fn destination(flow: &Flow) -> Option<&DestinationKind> {
    let name = flow.dead_letters.destination.as_ref()?;
    flow.destinations.iter().find(|destination| destination.name == *name).map(|destination| &destination.kind)
}
