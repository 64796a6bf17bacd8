//! What a file or message is, and its rows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_schema::SchemaRef;
use ductstream_core::{Error, Result, WireFormat};

/// A file or a message that was recognised.
pub struct Document {
    /// Its format.
    pub format: WireFormat,
    /// What it is in that format, such as `object container file`.
    pub layout: &'static str,
    /// What it says of itself, by name: table, schema version, envelope.
    pub properties: Vec<(String, String)>,
    /// The columns of its rows; `None` of JSON.
    pub columns: Option<SchemaRef>,
    /// Its schema in the format's own language, where it has one.
    pub definition: Option<String>,
    /// Its rows.
    pub rows: Box<dyn Rows>,
}

/// The rows of a document, in their order.
pub trait Rows {
    /// Appends the next rows to `out`, each as one line of JSON. False when there are no more.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](ductstream_core::ErrorKind::Data) where the document is damaged. What was appended until then counts.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool>;
}

/// `what` is wrong at byte `at`.
pub(crate) fn damaged(at: usize, what: impl std::fmt::Display) -> Error {
    Error::data(format!("damaged at byte {at}: {what}"))
        .with_remedy("compare it with the original; what is printed lies before the damage")
}

/// The entries of `metadata` that DuctStream wrote, sorted.
pub(crate) fn own_properties<'a>(metadata: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<(String, String)> {
    let own = metadata.filter(|(key, _)| key.starts_with("ductstream."));
    let mut own: Vec<_> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    own.sort_unstable();
    own
}

/// What `read` returns. The reader may panic on what is damaged.
pub(crate) fn guarded<T, E: std::fmt::Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its content contradicts itself".to_owned()),
    }
}
