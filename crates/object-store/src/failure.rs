//! From what a store answered to what the caller does next.

use std::error::Error as StdError;
use std::io;

use ductstream_core::{Error, ErrorKind};

/// Turns a store's error into one that says what was being done, and what to do about it.
pub(crate) fn explain(error: object_store::Error, doing: &str, url: &str) -> Error {
    let (kind, wrong, remedy) = classify(&error, url);
    Error::new(kind, format!("cannot {doing} {url}: {wrong}")).with_remedy(remedy).with_source(error)
}

type Class = (ErrorKind, &'static str, String);

fn classify(error: &object_store::Error, url: &str) -> Class {
    use object_store::Error as Store;
    match error {
        Store::Unauthenticated { .. } => classify_status(401, url),
        Store::PermissionDenied { .. } => classify_status(403, url),
        // The completion of an upload was repeated after its answer was lost, or a lifecycle rule ended the upload: written anew, it works.
        Store::NotFound { .. } if chain(error).contains("NoSuchUpload") => classify_status(0, url),
        Store::NotFound { .. } => classify_status(404, url),
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            (ErrorKind::Configuration, "the store cannot do that", "use a store that supports it".into())
        }
        _ => match io_kind(error) {
            Some(kind) => classify_io(kind, url),
            None => classify_text(&chain(error), url),
        },
    }
}

fn classify_status(status: u16, url: &str) -> Class {
    let configuration = |wrong, remedy| (ErrorKind::Configuration, wrong, remedy);
    match status {
        401 => configuration(
            "the credentials are not accepted",
            "correct the destination's keys, or the environment that they come from".into(),
        ),
        403 => configuration(
            "permission denied",
            format!("check the keys, and let them list, read, put and delete objects under {url}"),
        ),
        404 => configuration("there is no such bucket", format!("create the bucket of {url}, or correct its name")),
        301 | 307 => configuration("the bucket is in another region", "set `region` to the bucket's".into()),
        400 | 405 => {
            configuration("the server refused the request", format!("check endpoint, region, bucket and keys of {url}"))
        }
        _ => (ErrorKind::Retry, "the store is not reachable or failing", format!("check that {url} can be reached")),
    }
}

fn classify_io(kind: io::ErrorKind, url: &str) -> Class {
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

/// object_store keeps the HTTP status to itself where it has no variant for it, as in listings; its message carries it.
fn classify_text(text: &str, url: &str) -> Class {
    if text.contains("169.254.169.254") || text.contains("metadata.google.internal") {
        let remedy = "give keys in the destination's settings or in the environment";
        return (ErrorKind::Configuration, "no credentials were found", remedy.into());
    }
    if text.contains("redirect without LOCATION") {
        return classify_status(301, url);
    }
    let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    // S3 says with 400 that a request took too long to arrive, too, which may pass.
    classify_status(status.filter(|_| !text.contains("RequestTimeout")).unwrap_or(0), url)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_has_to_change_is_told_from_what_passes() {
        for (text, kind) in [
            ("Server returned non-2xx status code: 404 Not Found: NoSuchBucket", ErrorKind::Configuration),
            ("Server returned non-2xx status code: 403 Forbidden", ErrorKind::Configuration),
            ("Server returned non-2xx status code: 400 Bad Request: RequestTimeout", ErrorKind::Retry),
            ("Server returned non-2xx status code: 400 Bad Request: InvalidBucketName", ErrorKind::Configuration),
            ("Server returned non-2xx status code: 503 Slow Down", ErrorKind::Retry),
            ("Received redirect without LOCATION", ErrorKind::Configuration),
            ("error sending request for url (http://169.254.169.254/latest/api/token)", ErrorKind::Configuration),
            ("connection refused", ErrorKind::Retry),
        ] {
            assert_eq!(classify_text(text, "s3://events").0, kind, "{text}");
        }
    }
}
