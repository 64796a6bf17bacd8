//! Requests: to the first registry that answers, again for a bounded time.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ductstream_core::{Error, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings::RegistrySettings;
use crate::{limits, tls};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");

/// One request, without its address.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Below the registry's address. A subject is one segment, whatever it contains.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<Value>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, query: &[], body: None }
    }

    pub(crate) fn post(path: &'a [&'a str], query: &'a [(&'a str, &'a str)], body: Value) -> Self {
        Self { method: Method::POST, path, query, body: Some(body) }
    }
}

/// What a registry answered: done, or a refusal that is about the request and not about the registry's health.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: String,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer's document.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(|error| {
            Error::configuration(format!("what answered is no schema registry: {error}")).with_remedy(
                "check that `schema_registry.url` is the root of Confluent's API (of Apicurio: .../apis/ccompat/v7)",
            )
        })
    }

    /// The API's number of what is wrong, such as 40401; the status where it gives none.
    pub(crate) fn code(&self) -> u64 {
        self.field("error_code").and_then(|code| code.as_u64()).unwrap_or(self.status.into())
    }

    /// What the registry says about it.
    pub(crate) fn message(&self) -> String {
        let text = self.field("message").and_then(|message| Some(message.as_str()?.to_owned()));
        let text = text.unwrap_or_else(|| self.body.clone());
        match text.trim() {
            "" => format!("HTTP status {}", self.status),
            text => text.chars().take(limits::MESSAGE_CHARS).collect(),
        }
    }

    fn field(&self, name: &str) -> Option<Value> {
        serde_json::from_str::<Value>(&self.body).ok()?.get_mut(name).map(Value::take)
    }
}

/// The registries of one flow.
pub(crate) struct Http {
    client: Client,
    urls: Vec<Url>,
    /// The last one that answered is asked first.
    preferred: AtomicUsize,
    settings: RegistrySettings,
}

/// Why one attempt gave no answer.
enum Failure {
    /// Another registry, or the same one later, may answer.
    Passing(String),
    /// None will.
    Lasting(Error),
}

impl Http {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self> {
        settings.validate().map_err(|error| error.context("schema_registry"))?;
        let headers = HeaderMap::from_iter([(ACCEPT, MEDIA_TYPE), (CONTENT_TYPE, MEDIA_TYPE)]);
        let builder = Client::builder()
            .default_headers(headers)
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .timeout(limits::REQUEST_TIMEOUT);
        let client = tls::apply(builder, &settings.tls)?.build().map_err(|error| {
            Error::configuration("schema_registry: the connection cannot be set up")
                .with_source(error)
                .with_remedy("check the files of `schema_registry.tls`")
        })?;
        Ok(Self { client, urls: settings.urls()?, preferred: AtomicUsize::new(0), settings: settings.clone() })
    }

    /// The addresses, for messages.
    pub(crate) fn addresses(&self) -> String {
        self.urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect::<Vec<_>>().join(", ")
    }

    /// Sends a request until a registry answers, and a bounded number of times.
    ///
    /// # Errors
    /// Retry when none answers; Configuration when one refuses the credentials or a certificate is wrong.
    pub(crate) async fn send(&self, request: &Request<'_>) -> Result<Answer> {
        let mut pause = limits::FIRST_PAUSE;
        let mut last = String::new();
        for round in 0..limits::ROUNDS {
            if round > 0 {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            let first = self.preferred.load(Ordering::Relaxed);
            for index in (0..self.urls.len()).map(|offset| (first + offset) % self.urls.len()) {
                match self.attempt(&self.urls[index], request).await {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(Failure::Lasting(error)) => return Err(error),
                    Err(Failure::Passing(reason)) => {
                        tracing::debug!(registry = %self.urls[index], reason, "the schema registry did not answer");
                        last = reason;
                    }
                }
            }
        }
        Err(Error::retry(format!("the schema registry at {} does not answer: {last}", self.addresses()))
            .with_remedy("start the schema registry, or correct `schema_registry.url`; the flow tries again by itself"))
    }

    async fn attempt(&self, url: &Url, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut address = url.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            address.query_pairs_mut().extend_pairs(request.query);
        }
        let mut sent = self.client.request(request.method.clone(), address);
        if let Some(basic) = &self.settings.basic_auth {
            sent = sent.basic_auth(&basic.username, Some(basic.password.reveal()));
        }
        if let Some(token) = &self.settings.bearer_token {
            sent = sent.bearer_auth(token.reveal());
        }
        if let Some(body) = &request.body {
            sent = sent.body(body.to_string());
        }
        let answer = async {
            let response = sent.send().await?;
            let status = response.status();
            let body = response.text().await?;
            // A careless server repeats what it was sent.
            let body = if status.is_success() { body } else { self.without_secrets(body) };
            Ok(Answer { status: status.as_u16(), body })
        };
        match answer.await {
            Ok(answer) => self.judge(url, answer),
            Err(error) => Err(self.failure(url, error)),
        }
    }

    /// Tells an answer about the request from one about the registry or the caller.
    fn judge(&self, url: &Url, answer: Answer) -> Result<Answer, Failure> {
        match answer.status {
            401 | 403 => Err(Failure::Lasting(self.denied(url, &answer))),
            408 | 429 | 500.. => Err(Failure::Passing(format!("HTTP status {}: {}", answer.status, answer.message()))),
            _ => Ok(answer),
        }
    }

    fn denied(&self, url: &Url, answer: &Answer) -> Error {
        let remedy = match (&self.settings.basic_auth, &self.settings.bearer_token) {
            (Some(_), _) => "correct `schema_registry.basic_auth`, or grant that user access to the subject",
            (_, Some(_)) => "renew `schema_registry.bearer_token`, or grant its bearer access to the subject",
            _ => "give `schema_registry.basic_auth` or `schema_registry.bearer_token`",
        };
        let message = match answer.status {
            401 => format!("the schema registry at {url} does not accept the credentials (HTTP status 401)"),
            _ => format!("the schema registry at {url} does not permit this (HTTP status {})", answer.status),
        };
        Error::configuration(message).with_remedy(remedy)
    }

    fn without_secrets(&self, mut text: String) -> String {
        let token = self.settings.bearer_token.iter().map(|token| token.reveal().to_owned());
        let basic = self.settings.basic_auth.iter().flat_map(|basic| {
            let password = basic.password.reveal();
            [BASE64_STANDARD.encode(format!("{}:{password}", basic.username)), password.to_owned()]
        });
        for secret in token.chain(basic).filter(|secret| !secret.is_empty()) {
            text = text.replace(&secret, "***");
        }
        text
    }

    fn failure(&self, url: &Url, error: reqwest::Error) -> Failure {
        if let Some(fault) = tls::fault(&error) {
            let message = format!("the TLS connection to the schema registry at {url} is refused: {fault}");
            return Failure::Lasting(Error::configuration(message).with_remedy(
                "set `schema_registry.tls.ca` to the authority of the registry's certificate, and `tls.certificate` and \
                 `tls.key` when it asks for a client's",
            ));
        }
        Failure::Passing(Error::retry("no answer").with_source(error.without_url()).report())
    }
}
