//! What a user sets about a schema registry.

use std::path::PathBuf;

use ductstream_core::{Error, Result, Secret};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SubjectNameStrategy;

/// The `schema_registry` section of a flow: where the schemas of messages are registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// Address of a registry with Confluent's API, such as `https://registry:8081`; several of the same registry separated by
    /// commas. The next one is asked when one does not answer.
    pub url: String,
    /// User name and password (HTTP Basic); Confluent Cloud's API key and secret.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// Token that is sent as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// Certificates, for `https` addresses. By default the system's authorities are trusted.
    #[serde(default)]
    pub tls: RegistryTls,
    /// How subjects are named: `topic_name` (`<topic>-value`), `record_name` or `topic_record_name`.
    #[serde(default)]
    pub subject_name_strategy: SubjectNameStrategy,
    /// Register schemas that are not there yet. With `false` they are looked up only, and one that is missing stops the flow.
    #[serde(default = "yes")]
    pub auto_register: bool,
    /// Let the registry compare schemas by their meaning and not by their text (`normalize`).
    #[serde(default)]
    pub normalize: bool,
}

/// User name and password of a schema registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Certificates of the connection to a schema registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTls {
    /// Path of a PEM file with the authorities that are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Path of a PEM file with the client's certificate and its chain; with `key`.
    pub certificate: Option<PathBuf>,
    /// Path of a PEM file with the private key of `certificate`.
    pub key: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

impl RegistrySettings {
    /// The defaults for a registry at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            basic_auth: None,
            bearer_token: None,
            tls: RegistryTls::default(),
            subject_name_strategy: SubjectNameStrategy::default(),
            auto_register: true,
            normalize: false,
        }
    }

    /// Checks what can be checked without a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration), naming the setting.
    pub fn validate(&self) -> Result<()> {
        let urls = self.urls()?;
        if self.basic_auth.is_some() && self.bearer_token.is_some() {
            return Err(Error::configuration("`basic_auth` and `bearer_token` are given both").with_remedy("keep one"));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(Error::configuration("of `tls.certificate` and `tls.key` one is missing")
                .with_remedy("give both, or neither"));
        }
        if self.tls != RegistryTls::default() && !urls.iter().any(|url| url.scheme() == "https") {
            return Err(Error::configuration("`tls` has no effect, for no `url` begins with https://")
                .with_remedy("remove `tls`, or write https:// in `url`"));
        }
        Ok(())
    }

    /// The addresses, in the order in which they are asked.
    pub(crate) fn urls(&self) -> Result<Vec<Url>> {
        self.url.split(',').map(|url| address(url.trim())).collect()
    }
}

/// Not even a wrong address is shown: it may have a password in it.
fn address(text: &str) -> Result<Url> {
    let refused = |message| Err(Error::configuration(message).with_remedy("write it as https://registry:8081"));
    let Ok(url) = Url::parse(text) else {
        return refused("`url` is not the address of a schema registry");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::configuration("`url` has a user's name or a password in it")
            .with_remedy("give them as `basic_auth: {username: ..., password: \"${env:NAME}\"}`"));
    }
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return refused("`url` does not begin with http:// or https:// and a host");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused("`url` has a query or a fragment");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut RegistrySettings)) -> String {
        let mut settings = RegistrySettings::new("https://a:8081, https://b:8081/registry");
        settings.validate().unwrap();
        change(&mut settings);
        settings.validate().unwrap_err().report()
    }

    #[test]
    fn what_cannot_work_is_refused_and_no_secret_shown() {
        let basic = || Some(BasicAuth { username: "app".into(), password: Secret::new("hunter2") });
        let both = refusal(|it| (it.basic_auth, it.bearer_token) = (basic(), Some(Secret::new("hunter2"))));
        assert!(both.contains("given both"), "{both}");
        for url in ["http://app:hunter2@a", "app:hunter2@a:8081", "https://a?token=hunter2", "//hunter2", "", "a:8081"]
        {
            let report = refusal(|it| it.url = url.into());
            assert!(report.contains("`url`") && !report.contains("hunter2"), "{url}: {report}");
        }
        assert!(refusal(|it| it.tls.key = Some("key.pem".into())).contains("`tls.certificate`"));
        let plain = refusal(|it| (it.url, it.tls.ca) = ("http://a".into(), Some("ca.pem".into())));
        assert!(plain.contains("https://"), "{plain}");
        assert!(!format!("{:?}", basic()).contains("hunter2"));
        assert!(!serde_json::to_string(&basic()).unwrap().contains("hunter2"));
    }
}
