//! Stores, built from settings.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use ductstream_core::{Error, Result, Secret};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::failure::{explain, explain_io};
use crate::limits;
use crate::settings::{AzureSettings, FileSettings, GcsSettings, Requests, S3Settings, Settings};

/// A store that is ready for requests.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where the objects go.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same as a URL, for messages.
    pub(crate) url: String,
    /// The directory, when the store is one. Its listings have no order; a remote store's are sorted by name.
    pub(crate) directory: Option<PathBuf>,
}

impl Target {
    /// Connects to what `settings` name. A remote store is not asked anything yet; a directory is created when missing.
    pub(crate) fn connect(settings: &Settings) -> Result<Self> {
        let url = settings.url();
        let (store, directory) = match settings {
            Settings::S3(s3) => (build_s3(s3, settings.requests()), None),
            Settings::Gcs(gcs) => (build_gcs(gcs, settings.requests()), None),
            Settings::Azure(azure) => (build_azure(azure, settings.requests()), None),
            Settings::File(file) => (build_file(file, &url)?, Some(file.path.clone())),
        };
        let store = store.map_err(|error| {
            Error::configuration(format!("cannot use destination {url}"))
                .with_source(error)
                .with_remedy("correct the destination's settings, or the environment that they are taken from")
        })?;
        Ok(Self { store, url, directory })
    }

    /// An error of this store as one that says what to do.
    pub(crate) fn explain(&self, error: object_store::Error, doing: &str) -> Error {
        explain(error, doing, &self.url)
    }
}

type Built = object_store::Result<Arc<dyn ObjectStore>>;

fn build_s3(settings: &S3Settings, requests: Option<Requests>) -> Built {
    let env = AmazonS3Builder::from_env();
    let from_env = |keys: &[AmazonS3ConfigKey]| keys.iter().find_map(|key| env.get_config_value(key));
    let endpoint = settings.endpoint.clone();
    let endpoint = endpoint.or_else(|| from_env(&[AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]));
    let virtual_hosted = settings.virtual_hosted_style.unwrap_or(endpoint.is_none());
    let region = settings.region.clone().or_else(|| from_env(&[AmazonS3ConfigKey::Region]));

    // Keys of the settings must not meet a session token of the environment, which belongs to other keys.
    let own_keys = settings.access_key_id.is_some() || settings.secret_access_key.is_some();
    let mut builder = if own_keys { AmazonS3Builder::new() } else { env.clone() }
        .with_bucket_name(&settings.bucket)
        .with_region(region.unwrap_or_else(|| "us-east-1".into()))
        .with_virtual_hosted_style_request(virtual_hosted)
        .with_retry(retry(requests))
        .with_client_options(client(requests, endpoint.as_deref()));
    if let Some(endpoint) = endpoint {
        let endpoint = if virtual_hosted { with_bucket_host(&endpoint, &settings.bucket) } else { endpoint };
        // The key for S3 alone, because one in the environment would win over the general one.
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    for (key, value) in [
        (AmazonS3ConfigKey::AccessKeyId, settings.access_key_id.as_deref()),
        (AmazonS3ConfigKey::SecretAccessKey, settings.secret_access_key.as_ref().map(Secret::reveal)),
        (AmazonS3ConfigKey::Token, settings.session_token.as_ref().map(Secret::reveal)),
        (AmazonS3ConfigKey::RoleArn, settings.role_arn.as_deref()),
        (AmazonS3ConfigKey::WebIdentityTokenFile, settings.web_identity_token_file.as_deref()),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.build()?))
}

/// object_store takes an endpoint for virtual hosted style with the bucket in it; people write it without.
fn with_bucket_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((_, host)) if host.starts_with(&format!("{bucket}.")) => endpoint.to_owned(),
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => format!("https://{bucket}.{endpoint}"),
    }
}

fn build_gcs(settings: &GcsSettings, requests: Option<Requests>) -> Built {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&settings.bucket)
        .with_retry(retry(requests))
        .with_client_options(client(requests, settings.endpoint.as_deref()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(path) = &settings.service_account_path {
        builder = builder.with_service_account_path(path);
    }
    if let Some(key) = &settings.service_account_key {
        builder = builder.with_service_account_key(key.reveal());
    }
    Ok(Arc::new(builder.build()?))
}

fn build_azure(settings: &AzureSettings, requests: Option<Requests>) -> Built {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&settings.container)
        .with_retry(retry(requests))
        .with_client_options(client(requests, settings.endpoint.as_deref()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    for (key, value) in [
        (AzureConfigKey::AccountName, settings.account.as_deref()),
        (AzureConfigKey::AccessKey, settings.access_key.as_ref().map(Secret::reveal)),
        (AzureConfigKey::SasKey, settings.sas_token.as_ref().map(Secret::reveal)),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.build()?))
}

fn build_file(settings: &FileSettings, url: &str) -> Result<Built> {
    create_directory(&settings.path).map_err(|error| explain_io(error, "create the directory", url))?;
    let store = LocalFileSystem::new_with_prefix(&settings.path).map(|store| store.with_fsync(true));
    Ok(store.map(|store| Arc::new(store) as _))
}

/// Creates a directory and those above it, so that they survive a crash of the machine.
fn create_directory(path: &FilePath) -> std::io::Result<()> {
    // An empty parent is how a relative path says "the working directory".
    let above = |path: &FilePath| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(FilePath::to_path_buf),
    };
    let mut missing = Vec::new();
    let mut at = Some(path.to_path_buf());
    while let Some(directory) = at.take_if(|directory| !directory.exists()) {
        at = above(&directory);
        missing.push(directory);
    }
    std::fs::create_dir_all(path)?;
    for directory in missing.iter().filter_map(|directory| above(directory)) {
        sync_directory(&directory)?;
    }
    Ok(())
}

/// Makes the entries of a directory survive a crash of the machine.
pub(crate) fn sync_directory(path: &FilePath) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

fn retry(requests: Option<Requests>) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: limits::BACKOFF_FIRST, max_backoff: limits::BACKOFF_LONGEST, base: 2.0 },
        max_retries: limits::RETRIES,
        retry_timeout: requests.map_or(limits::RETRY_FOR, |requests| requests.retry_for.0),
    }
}

fn client(requests: Option<Requests>, endpoint: Option<&str>) -> ClientOptions {
    let plain = endpoint.is_some_and(|endpoint| endpoint.to_ascii_lowercase().starts_with("http://"));
    let timeout = requests.map_or(limits::REQUEST_TIMEOUT, |requests| requests.timeout.0);
    ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout(timeout)
        .with_connect_timeout(timeout.min(limits::RETRY_FOR))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_remote_store_is_built_without_asking_anything() {
        let azure = json!({"account": "a", "container": "c", "access_key": "a2V5", "endpoint": "http://127.0.0.1:1/a"});
        let gcs = json!({
            "bucket": "b",
            "endpoint": "http://127.0.0.1:1",
            "service_account_key": r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#,
        });
        let s3 = json!({"bucket": "b", "role_arn": "arn:aws:iam::1:role/r", "web_identity_token_file": "/token"});
        let settings: [Settings; 3] = [
            serde_json::from_value::<AzureSettings>(azure).unwrap().into(),
            serde_json::from_value::<GcsSettings>(gcs).unwrap().into(),
            serde_json::from_value::<S3Settings>(s3).unwrap().into(),
        ];
        for settings in settings {
            let target = Target::connect(&settings).map_err(|error| error.report());
            assert!(target.is_ok_and(|target| target.directory.is_none()), "{}", settings.url());
        }
    }

    #[test]
    fn an_incomplete_pair_of_keys_is_refused() {
        let settings: S3Settings = serde_json::from_value(json!({"bucket": "b", "access_key_id": "k"})).unwrap();
        let error = Target::connect(&settings.into()).unwrap_err();
        assert_eq!(error.kind(), ductstream_core::ErrorKind::Configuration, "{}", error.report());
    }

    #[test]
    fn the_bucket_joins_the_host_once() {
        assert_eq!(with_bucket_host("http://s3.local:9000", "b"), "http://b.s3.local:9000");
        assert_eq!(with_bucket_host("https://b.s3.local", "b"), "https://b.s3.local");
    }
}
