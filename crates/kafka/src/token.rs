//! Tokens of SASL/OAUTHBEARER, by the client credentials grant ([RFC 6749, 4.4](https://datatracker.ietf.org/doc/html/rfc6749#section-4.4)).

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rdkafka::admin::AdminClient;
use rdkafka::bindings;
use rdkafka::client::{ClientContext, DefaultClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;

use crate::limits;
use crate::settings::{Sasl, SaslMechanism};

/// What a failure to reach the token endpoint begins with: it may pass.
pub(crate) const UNREACHABLE: &str = "the token endpoint cannot be reached";

type BoxError = Box<dyn std::error::Error>;

/// Where tokens come from.
#[derive(Clone)]
pub(crate) struct Tokens {
    sasl: Arc<Sasl>,
}

/// A token endpoint's answer.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// The tokens of this mechanism; `None` of one that has a password instead.
    pub(crate) fn new(sasl: Option<&Sasl>) -> Option<Self> {
        let sasl = sasl.filter(|sasl| sasl.mechanism == SaslMechanism::OAuthBearer)?;
        Some(Self { sasl: Arc::new(sasl.clone()) })
    }

    /// Gets a token. Blocks, and is not for an async thread.
    pub(crate) fn fetch(&self) -> Result<OAuthToken, BoxError> {
        let (url, id, secret) = (&self.sasl.token_url, &self.sasl.client_id, &self.sasl.client_secret);
        let (Some(url), Some(id), Some(secret)) = (url, id, secret) else {
            return Err("the settings name no token endpoint".into());
        };
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.sasl.scope {
            let scope = percent_encoding::utf8_percent_encode(scope, percent_encoding::NON_ALPHANUMERIC);
            body.push_str(&format!("&scope={scope}"));
        }
        let client = reqwest::blocking::Client::builder().timeout(limits::TOKEN_TIMEOUT).build()?;
        let request = client.post(url).basic_auth(id, Some(secret.reveal())).body(body);
        let request =
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header(ACCEPT, "application/json");
        // The endpoint counts from when it makes the token: at the earliest now.
        let asked = SystemTime::now();
        let answer = request.send().map_err(|error| format!("{UNREACHABLE}: {}", innermost(&error)))?;
        if answer.status().is_server_error() {
            return Err(format!("{UNREACHABLE}: it answers with status {}", answer.status()).into());
        }
        if !answer.status().is_success() {
            return Err(format!("the token endpoint refuses the client: status {}", answer.status()).into());
        }
        let answer: Answer = serde_json::from_slice(&answer.bytes()?)
            .map_err(|_| "what the token endpoint answers is no token".to_owned())?;
        let lifetime = answer.expires_in.map_or(limits::TOKEN_LIFETIME, Duration::from_secs);
        let expires = asked.duration_since(SystemTime::UNIX_EPOCH)? + lifetime;
        let lifetime_ms = i64::try_from(expires.as_millis())?;
        Ok(OAuthToken { token: answer.access_token, principal_name: id.clone(), lifetime_ms })
    }

    /// Gives a client that asks for none a token: the queue on which it would ask is not looked at.
    #[expect(unsafe_code, reason = "the crate rdkafka has no function for it")]
    pub(crate) fn give(&self, admin: &AdminClient<DefaultClientContext>) -> Result<(), BoxError> {
        let OAuthToken { token, principal_name, lifetime_ms } = self.fetch()?;
        let (token, principal_name) = (CString::new(token)?, CString::new(principal_name)?);
        let mut said = [0u8; 512];
        let client = admin.inner().native_ptr();
        // SAFETY: the client outlives the call, which copies the texts, and writes at most as many bytes as `said` has.
        let code = unsafe {
            let (none, text) = (std::ptr::null_mut(), said.as_mut_ptr().cast());
            let (token, name) = (token.as_ptr(), principal_name.as_ptr());
            bindings::rd_kafka_oauthbearer_set_token(client, token, lifetime_ms, name, none, 0, text, said.len())
        };
        if code == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        let end = said.iter().position(|byte| *byte == 0).unwrap_or(said.len());
        Err(String::from_utf8_lossy(&said[..end]).into_owned().into())
    }
}

/// The callbacks of a consumer.
pub(crate) struct ReaderCallbacks(pub(crate) Option<Tokens>);

impl ClientContext for ReaderCallbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, BoxError> {
        generate(self.0.as_ref())
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Such as a warning of each property that only a producer has.
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a topic is what is looked for.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::error!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for ReaderCallbacks {}

/// What librdkafka is answered that asks for a token.
pub(crate) fn generate(tokens: Option<&Tokens>) -> Result<OAuthToken, BoxError> {
    tokens.ok_or("the settings name no token endpoint")?.fetch()
}

/// The first cause: what is around it names the address, which is known.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
