//! From what a store answered to what the caller does next.

use std::error::Error as StdError;
use std::io;

use ductstream_core::{Error, ErrorKind};

/// Turns a store's error into one that says what was being done, and what to do about it.
pub(crate) fn explain(error: object_store::Error, doing: &str, url: &str) -> Error {
    let (kind, wrong, remedy) = classify(&error, url);
    Error::new(kind, format!("cannot {doing} {url}: {wrong}")).with_remedy(remedy).with_source(error)
}

fn classify(error: &object_store::Error, url: &str) -> (ErrorKind, &'static str, String) {
    use object_store::Error as Store;
    let configuration = |wrong, remedy| (ErrorKind::Configuration, wrong, remedy);
    match error {
        Store::Unauthenticated { .. } => configuration(
            "the credentials are not accepted",
            "correct the destination's keys, or the environment that they come from".into(),
        ),
        Store::PermissionDenied { .. } => configuration(
            "permission denied",
            format!("check the keys, and let them list, read, put and delete objects under {url}"),
        ),
        Store::NotFound { .. } => {
            configuration("there is no such bucket", format!("create the bucket of {url}, or correct its name"))
        }
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            configuration("the store cannot do that", "use a store that supports it".into())
        }
        _ => match io_kind(error) {
            Some(kind) => classify_io(kind, url),
            None => classify_text(error, url),
        },
    }
}

fn classify_io(kind: io::ErrorKind, url: &str) -> (ErrorKind, &'static str, String) {
    use io::ErrorKind as Io;
    match kind {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (ErrorKind::Configuration, "permission denied", format!("let this user write to {url}"))
        }
        Io::NotADirectory | Io::AlreadyExists | Io::IsADirectory => {
            (ErrorKind::Configuration, "a file is where a directory should be", "set `path` to a directory".into())
        }
        Io::InvalidFilename => {
            (ErrorKind::Configuration, "a name is too long for this file system", "use a shorter `prefix`".into())
        }
        Io::StorageFull | Io::QuotaExceeded => {
            (ErrorKind::Retry, "no space is left", format!("free space in {url}; the flow goes on by itself"))
        }
        _ => (ErrorKind::Retry, "input or output failed", format!("look at the disk of {url}")),
    }
}

/// object_store keeps its HTTP status to itself, but for those that it turned into variants; its message carries it.
fn classify_text(error: &object_store::Error, url: &str) -> (ErrorKind, &'static str, String) {
    let text = chain(error);
    if text.contains("169.254.169.254") || text.contains("metadata.google.internal") {
        let remedy = "give keys in the destination's settings or in the environment";
        return (ErrorKind::Configuration, "no credentials were found", remedy.into());
    }
    if text.contains("redirect without LOCATION") {
        return (ErrorKind::Configuration, "the bucket is in another region", "set `region` to the bucket's".into());
    }
    let refused = text.contains("status code: 400") || text.contains("status code: 405");
    // 400 is also how S3 says that a request took too long to arrive, which may pass.
    if refused && !text.contains("RequestTimeout") {
        let remedy = format!("check endpoint, region and bucket of {url}");
        return (ErrorKind::Configuration, "the server refused the request", remedy);
    }
    (ErrorKind::Retry, "the store is not reachable or failing", format!("check that {url} can be reached"))
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    // Only a local directory's errors: below a remote store's lie those of its sockets.
    if !matches!(error, object_store::Error::Generic { store: "LocalFileSystem", .. }) {
        return None;
    }
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    // Its errors name the cause as a field that is not always also the source.
    Some(io::ErrorKind::Other)
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Turns a failed local operation into an error as [`explain`] does.
pub(crate) fn explain_io(error: io::Error, doing: &str, url: &str) -> Error {
    let (kind, wrong, remedy) = classify_io(error.kind(), url);
    Error::new(kind, format!("cannot {doing} {url}: {wrong}")).with_remedy(remedy).with_source(error)
}
