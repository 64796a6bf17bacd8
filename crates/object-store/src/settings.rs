//! What a user sets about an object store destination.

use std::path::PathBuf;

use ductstream_core::{ByteSize, Error, Result, Secret, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// When the open objects of all tables are closed, at one position. Whichever limit is reached first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollSettings {
    /// Size of one object.
    pub bytes: ByteSize,
    /// Time since the first record after the last roll.
    pub age: Span,
    /// Records in all open objects together. No limit by default.
    pub rows: Option<u64>,
}

impl Default for RollSettings {
    fn default() -> Self {
        Self { bytes: ByteSize(limits::ROLL_BYTES), age: Span(limits::ROLL_AGE), rows: None }
    }
}

/// How objects are spread over directories below their table's, by commit time in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    /// Not at all.
    #[default]
    None,
    /// `date=YYYY-MM-DD/`.
    Date,
    /// `date=YYYY-MM-DD/hour=HH/`.
    Hour,
}

// serde cannot refuse unknown fields of a struct that flattens another, so the shared fields are written into each struct.
macro_rules! destination_settings {
    ($(#[$meta:meta])* $name:ident as $variant:ident, parts of $part_size:literal { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// What every object's name starts with, such as `lake/shop`. One prefix belongs to one flow.
            #[serde(default)]
            pub prefix: String,
            /// When open objects are closed and become durable.
            #[serde(default)]
            pub roll: RollSettings,
            /// Directories by commit time.
            #[serde(default)]
            pub partition: PartitionBy,
            /// Size of the parts in which a large object is sent while it is still being written.
            #[serde(default = $part_size)]
            pub part_size: ByteSize,
            /// Memory that open objects and objects being sent may take together. Objects are closed early when half of it is used.
            #[serde(default = "memory_limit")]
            pub memory_limit: ByteSize,
        }

        impl $name {
            /// The settings that every type of object store has.
            pub fn common(&self) -> Common {
                Common {
                    prefix: self.prefix.clone(),
                    roll: self.roll.clone(),
                    partition: self.partition,
                    part_bytes: self.part_size.0,
                    memory_limit_bytes: self.memory_limit.0,
                }
            }
        }

        impl From<$name> for Settings {
            fn from(settings: $name) -> Self {
                Self::$variant(settings)
            }
        }
    };
}

destination_settings! {
    /// A destination of `type: s3`: Amazon S3, or any server that speaks its protocol.
    ///
    /// Keys that are not given come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), else a web
    /// identity (`AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`), else the container's or the instance's role.
    S3Settings as S3, parts of "part_size" {
        /// The bucket.
        bucket: String,
        /// URL of the server, such as `http://localhost:9000`, without the bucket. Amazon's by default, or `AWS_ENDPOINT_URL`.
        #[serde(default)]
        endpoint: Option<String>,
        /// The bucket's region; `AWS_REGION` or `us-east-1` by default.
        #[serde(default)]
        region: Option<String>,
        /// Name the bucket in the host (`bucket.host`) instead of in the path (`host/bucket`). By default only when there is no `endpoint`.
        #[serde(default)]
        virtual_hosted_style: Option<bool>,
        /// Access key.
        #[serde(default)]
        access_key_id: Option<String>,
        /// Secret key of `access_key_id`.
        #[serde(default)]
        secret_access_key: Option<Secret>,
        /// Session token of temporary keys.
        #[serde(default)]
        session_token: Option<Secret>,
        /// Role to take with the token in `web_identity_token_file`.
        #[serde(default)]
        role_arn: Option<String>,
        /// File with a web identity token.
        #[serde(default)]
        web_identity_token_file: Option<String>,
        /// How long a failing request is retried before the flow goes back to its last checkpoint.
        #[serde(default = "retry_for")]
        retry_for: Span,
        /// How long one attempt of a request may take.
        #[serde(default = "request_timeout")]
        request_timeout: Span,
    }
}

destination_settings! {
    /// A destination of `type: gcs`: Google Cloud Storage.
    ///
    /// Credentials that are not given come from the environment (`GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_APPLICATION_CREDENTIALS`), else the
    /// instance's service account.
    GcsSettings as Gcs, parts of "part_size" {
        /// The bucket.
        bucket: String,
        /// URL of the server, when it is not Google's own.
        #[serde(default)]
        endpoint: Option<String>,
        /// File with a service account's key.
        #[serde(default)]
        service_account_path: Option<String>,
        /// A service account's key itself, as JSON. Give either this or `service_account_path`.
        #[serde(default)]
        service_account_key: Option<Secret>,
        /// How long a failing request is retried before the flow goes back to its last checkpoint.
        #[serde(default = "retry_for")]
        retry_for: Span,
        /// How long one attempt of a request may take.
        #[serde(default = "request_timeout")]
        request_timeout: Span,
    }
}

destination_settings! {
    /// A destination of `type: azure`: Azure Blob Storage.
    ///
    /// Credentials that are not given come from the environment (`AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET` and
    /// `AZURE_TENANT_ID`, `AZURE_FEDERATED_TOKEN_FILE`), else the managed identity.
    AzureSettings as Azure, parts of "part_size" {
        /// The storage account; `AZURE_STORAGE_ACCOUNT_NAME` by default.
        #[serde(default)]
        account: Option<String>,
        /// The container.
        container: String,
        /// URL of the server, when it is not Azure's own.
        #[serde(default)]
        endpoint: Option<String>,
        /// The account's key.
        #[serde(default)]
        access_key: Option<Secret>,
        /// A shared access signature. Give either this or `access_key`.
        #[serde(default)]
        sas_token: Option<Secret>,
        /// How long a failing request is retried before the flow goes back to its last checkpoint.
        #[serde(default = "retry_for")]
        retry_for: Span,
        /// How long one attempt of a request may take.
        #[serde(default = "request_timeout")]
        request_timeout: Span,
    }
}

destination_settings! {
    /// A destination of `type: file`: a directory of this machine. What is durable there was synced to the disk, with its directories.
    FileSettings as File, parts of "file_part_size" {
        /// The directory. Created when missing.
        path: PathBuf,
    }
}

/// The settings of one object store destination.
#[derive(Debug, Clone)]
pub enum Settings {
    /// `type: s3`.
    S3(S3Settings),
    /// `type: gcs`.
    Gcs(GcsSettings),
    /// `type: azure`.
    Azure(AzureSettings),
    /// `type: file`.
    File(FileSettings),
}

/// The settings that every type of object store has.
#[derive(Debug, Clone)]
pub struct Common {
    /// What every object's name starts with.
    pub prefix: String,
    /// When open objects are closed.
    pub roll: RollSettings,
    /// Directories by commit time.
    pub partition: PartitionBy,
    /// Size of one part of a large object.
    pub part_bytes: u64,
    /// Memory of open objects and objects being sent together.
    pub memory_limit_bytes: u64,
}

/// How long requests to a remote store may take.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// How long a failing request is retried.
    pub retry_for: Span,
    /// How long one attempt may take.
    pub timeout: Span,
}

impl Settings {
    /// The settings that every type of object store has.
    pub fn common(&self) -> Common {
        match self {
            Self::S3(settings) => settings.common(),
            Self::Gcs(settings) => settings.common(),
            Self::Azure(settings) => settings.common(),
            Self::File(settings) => settings.common(),
        }
    }

    /// Where the objects go, as a URL without credentials: `s3://events/shop`.
    pub fn url(&self) -> String {
        let (place, prefix) = match self {
            Self::S3(settings) => (format!("s3://{}", settings.bucket), &settings.prefix),
            Self::Gcs(settings) => (format!("gs://{}", settings.bucket), &settings.prefix),
            Self::Azure(settings) => (format!("az://{}", settings.container), &settings.prefix),
            Self::File(settings) => (settings.path.display().to_string(), &settings.prefix),
        };
        let url = format!("{}/{}", place.trim_end_matches('/'), prefix.trim_matches('/'));
        url.trim_end_matches('/').to_owned()
    }

    /// How long requests may take; `None` for a local directory.
    pub fn requests(&self) -> Option<Requests> {
        let (retry_for, timeout) = match self {
            Self::S3(settings) => (settings.retry_for, settings.request_timeout),
            Self::Gcs(settings) => (settings.retry_for, settings.request_timeout),
            Self::Azure(settings) => (settings.retry_for, settings.request_timeout),
            Self::File(_) => return None,
        };
        Some(Requests { retry_for, timeout })
    }

    /// Refuses values that cannot work, before anything is connected to.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration), naming the setting.
    pub fn validate(&self) -> Result<()> {
        let common = self.common();
        let refuse = |setting: &str, wrong: String, remedy: &str| {
            let message = format!("setting `{setting}` of destination {} {wrong}", self.url());
            Err(Error::configuration(message).with_remedy(remedy))
        };
        if common.roll.bytes.0 == 0 || common.roll.age.0.is_zero() || common.roll.rows == Some(0) {
            return refuse("roll", "has a limit of zero".into(), "give each limit of `roll` a value above zero");
        }
        if common.part_bytes == 0 || matches!(self, Self::S3(_)) && common.part_bytes < limits::PART_BYTES_MIN {
            let wrong = format!("is {}, and S3 takes no parts below 5MiB", ByteSize(common.part_bytes));
            return refuse("part_size", wrong, "set `part_size` to 5MiB or more");
        }
        if common.memory_limit_bytes < 2 * common.part_bytes {
            let wrong = format!("is {}, less than two parts", ByteSize(common.memory_limit_bytes));
            return refuse("memory_limit", wrong, "set `memory_limit` to at least twice `part_size`");
        }
        Ok(())
    }
}

impl FileSettings {
    /// The directory at `path`, with the defaults of everything else.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            prefix: String::new(),
            roll: RollSettings::default(),
            partition: PartitionBy::default(),
            part_size: file_part_size(),
            memory_limit: memory_limit(),
        }
    }
}

fn part_size() -> ByteSize {
    ByteSize(limits::PART_BYTES)
}

fn file_part_size() -> ByteSize {
    ByteSize(limits::FILE_PART_BYTES)
}

fn memory_limit() -> ByteSize {
    ByteSize(limits::MEMORY_BYTES)
}

fn retry_for() -> Span {
    Span(limits::RETRY_FOR)
}

fn request_timeout() -> Span {
    Span(limits::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(json: serde_json::Value) -> Result<S3Settings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let settings = s3(serde_json::json!({"bucket": "events"})).unwrap();
        assert_eq!(settings.roll, RollSettings::default());
        assert_eq!(
            serde_json::to_value(&settings.roll).unwrap(),
            serde_json::json!({"bytes": "128MiB", "age": "1m", "rows": null})
        );
        assert_eq!(settings.partition, PartitionBy::None);
        assert!(Settings::from(settings).validate().is_ok());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = s3(serde_json::json!({"bucket": "events", "rol": {}})).unwrap_err();
        assert!(error.to_string().contains("rol"), "{error}");
    }

    #[test]
    fn the_json_schema_has_the_shared_fields_and_refuses_others() {
        let schema = schemars::schema_for!(FileSettings);
        let properties = schema.get("properties").unwrap();
        for field in ["path", "prefix", "roll", "partition", "part_size", "memory_limit"] {
            assert!(properties[field]["description"].is_string() || properties[field]["$ref"].is_string(), "{field}");
        }
        assert_eq!(schema.get("additionalProperties"), Some(&serde_json::json!(false)));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let settings = s3(serde_json::json!({"bucket": "b", "secret_access_key": "hush"})).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hush"));
    }

    #[test]
    fn limits_that_cannot_work_are_refused_by_name() {
        for (json, setting) in [
            (serde_json::json!({"bucket": "b", "roll": {"age": "0s"}}), "roll"),
            (serde_json::json!({"bucket": "b", "part_size": "1MiB"}), "part_size"),
            (serde_json::json!({"bucket": "b", "memory_limit": "9MiB"}), "memory_limit"),
        ] {
            let error = Settings::from(s3(json).unwrap()).validate().unwrap_err();
            assert!(error.message().contains(setting), "{error}");
        }
    }

    #[test]
    fn the_url_names_bucket_and_prefix() {
        let settings = s3(serde_json::json!({"bucket": "events", "prefix": "/shop/"})).unwrap();
        assert_eq!(Settings::from(settings).url(), "s3://events/shop");
    }
}
