//! Connections to PostgreSQL: settings as libpq takes them, TLS, authentication, simple queries, replication commands.
//!
//! - [`ConnectionSettings`] says where and how: resolved once from a URL or keyword string, the `PG*` variables, the
//!   service file and the password file. Everything that libpq would read is read here, and nothing later.
//! - [`Connection`] is one session. It runs simple queries, and hands its stream over when replication starts
//!   ([`ReplicationStream`]).
//! - [`ServerError`] is what the server answered; [`sqlstate`] finds it behind an error.
//!
//! Not here: the extended query protocol, COPY, cancellation. Catalog queries are few and small.

mod authenticate;
mod connection;
mod conninfo;
mod dial;
mod environment;
mod establish;
mod parameters;
mod password_file;
mod quote;
mod server_error;
mod service_file;
mod settings;
mod ssl;
mod stream;
mod tls;
mod transport;
mod values;

pub use connection::{Connection, Mode, ReplicationStream, Row};
pub use environment::Environment;
pub use quote::{quote_identifier, quote_literal};
pub use server_error::{ServerError, sqlstate};
pub use settings::{ConnectionSettings, Endpoint, Host, KeepAlive, Secret, TargetSession};
pub use ssl::{ClientCertificate, Roots, SslMode, SslNegotiation, SslSettings, TlsVersion};
pub use stream::{PlainRead, ReadHalf, Stream, WriteHalf};
pub use values::{AuthMethod, ChannelBinding, RequireAuth};
