//! The object store destination: S3 and everything that speaks its protocol, Google Cloud Storage, Azure Blob Storage and
//! local directories.
//!
//! Records of a table go into one object until all tables' open objects are closed together, at one position: a *cut*.
//! The objects are put first, then the cut's manifest ([`Manifest`]), which commits it. The last manifest is where the
//! destination resumes; what a crash left beyond it is removed when the destination opens. So every record is in exactly
//! one committed object, without coordination with anything else.
//!
//! What is here: settings ([`S3Settings`], [`GcsSettings`], [`AzureSettings`], [`FileSettings`]), the destination built from them
//! ([`ObjectStoreDestination`]), the preflight [`check`], the [`Manifest`] for readers, and [`Documents`] for what a flow keeps beside its objects. What is not here: encoding. A
//! [`Codec`](ductstream_core::Codec) is given by the flow.
//!
//! A process that is killed while it sends a large object in parts leaves parts that no listing of objects shows. Give the bucket a
//! lifecycle rule that aborts incomplete multipart uploads after a day or more.

mod check;
mod cut;
mod destination;
mod documents;
mod failure;
mod limits;
mod names;
mod recover;
mod settings;
mod store;
mod upload;
mod writer;

pub use check::check;
pub use cut::{Manifest, ManifestObject};
pub use destination::{CAPABILITIES, ObjectStoreDestination};
pub use documents::Documents;
pub use settings::{
    AzureSettings, Common, FileSettings, GcsSettings, PartitionBy, Requests, RollSettings, S3Settings, Settings,
};
