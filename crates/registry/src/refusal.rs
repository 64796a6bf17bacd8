//! What an error says when a registry does not take a schema.

use ductstream_core::{Error, Result};
use serde::Deserialize;

use crate::SchemaDocument;
use crate::http::{Answer, Http, Request};

#[derive(Deserialize)]
struct Latest {
    version: u32,
    schema: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Verdict {
    /// Confluent's reasons.
    messages: Vec<String>,
    /// Apicurio's.
    reason: String,
}

#[derive(Deserialize)]
struct Level {
    #[serde(alias = "compatibilityLevel")]
    compatibility: String,
}

/// The schema does not fit the subject's latest version: asks the registry for both, and for its reasons.
pub(crate) async fn incompatible(http: &Http, subject: &str, schema: &SchemaDocument, answer: &Answer) -> Error {
    let latest = latest(http, subject).await.ok();
    let reasons = reasons(http, subject, schema).await.unwrap_or_default();
    let reasons = if reasons.is_empty() { answer.message() } else { reasons };
    let level = level(http, subject).await.map_or_else(String::new, |level| format!(" ({level})"));
    let (version, registered) = match &latest {
        Some(latest) => (format!("version {}", latest.version), one_line(&latest.schema)),
        None => ("the registered versions".to_owned(), "(the registry does not show it)".to_owned()),
    };
    let message = format!(
        "the schema registry refuses a schema of the subject {subject}: by its compatibility rule{level} it does not fit \
         {version}: {reasons}; the flow's schema: {}; the registered schema: {registered}",
        one_line(&schema.text)
    );
    Error::configuration(message).with_remedy(format!(
        "undo the change of the table, or let the subject take it (PUT {}/config/{subject} with \
         {{\"compatibility\": \"NONE\"}}), and start the flow again: nothing is lost meanwhile",
        http.addresses()
    ))
}

/// The schema is not under the subject, and the flow must not register it.
pub(crate) fn unregistered(http: &Http, subject: &str, schema: &SchemaDocument) -> Error {
    Error::configuration(format!(
        "the schema registry at {} does not have the flow's schema under the subject {subject}, and \
         `schema_registry.auto_register` is false; the flow's schema: {}",
        http.addresses(),
        one_line(&schema.text)
    ))
    .with_remedy("register the schema under that subject, or set `schema_registry.auto_register: true`")
}

/// The registry answered something else than the API's documentation says of a schema that is in order.
pub(crate) fn unexpected(doing: &str, answer: &Answer) -> Error {
    Error::configuration(format!("{doing}: the schema registry answered {}: {}", answer.code(), answer.message()))
        .with_remedy(
            "check that `schema_registry.url` is the root of Confluent's API (of Apicurio: .../apis/ccompat/v7), and the \
             registry's log",
        )
}

async fn latest(http: &Http, subject: &str) -> Result<Latest> {
    http.send(&Request::get(&["subjects", subject, "versions", "latest"])).await?.read()
}

async fn reasons(http: &Http, subject: &str, schema: &SchemaDocument) -> Result<String> {
    let path = ["compatibility", "subjects", subject, "versions", "latest"];
    let answer = http.send(&Request::post(&path, &[("verbose", "true")], schema.body())).await?;
    if !answer.is_success() {
        return Ok(String::new());
    }
    let verdict: Verdict = answer.read()?;
    Ok(if verdict.messages.is_empty() { verdict.reason } else { verdict.messages.join("; ") })
}

async fn level(http: &Http, subject: &str) -> Option<String> {
    let path = ["config", subject];
    let request = Request { query: &[("defaultToGlobal", "true")], ..Request::get(&path) };
    let level: Level = http.send(&request).await.ok()?.read().ok()?;
    Some(level.compatibility)
}

/// A message is one line; a schema's line breaks mean nothing.
fn one_line(schema: &str) -> String {
    schema.split_whitespace().collect::<Vec<_>>().join(" ")
}
