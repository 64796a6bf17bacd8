//! A client of schema registries that speak Confluent's API: Confluent's own, Apicurio, Redpanda, Karapace.
//!
//! What is here: [`RegistryClient`] registers and looks up schemas, each once; [`RegistrySettings`] says where and as whom;
//! [`SubjectNameStrategy`] names subjects. To encoders it is a [`SchemaRegistrar`](ductstream_wire::SchemaRegistrar). A request goes to the first registry that answers and is repeated for a bounded time;
//! after that the error's kind is [`Retry`](ductstream_core::ErrorKind::Retry), and the flow's supervisor decides.
//!
//! What is not here: how schemas are made and how messages are framed with their ids. No error and no log line carries a
//! credential.
//!
//! The API: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

mod client;
mod document;
mod http;
mod limits;
mod refusal;
mod settings;
mod subject;
mod tls;

pub use client::{Registered, RegistryClient};
pub use document::{SchemaDocument, SchemaReference};
pub use settings::{BasicAuth, RegistrySettings, RegistryTls};
pub use subject::SubjectNameStrategy;
