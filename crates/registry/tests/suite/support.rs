//! What stands between the client and the registry in these tests, and what they register.

use std::net::SocketAddr;
use std::sync::Arc;

use ductstream_registry::{RegistryClient, RegistrySettings, SchemaDocument};
use ductstream_testkit::postgres::Certificates;
use ductstream_testkit::registry::Registry;
use ductstream_wire::SchemaKind;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use reqwest::Body;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

/// An Avro record with these fields, written as JSON.
pub(crate) fn avro(fields: &str) -> SchemaDocument {
    let text = format!(r#"{{"type":"record","name":"Value","namespace":"shop.orders","fields":[{fields}]}}"#);
    SchemaDocument::new(SchemaKind::Avro, text)
}

pub(crate) const ID: &str = r#"{"name":"id","type":"int"}"#;

/// A client of the real registry.
pub(crate) async fn client(change: impl FnOnce(&mut RegistrySettings)) -> RegistryClient {
    let mut settings = RegistrySettings::new(Registry::url().await);
    change(&mut settings);
    RegistryClient::new(settings).unwrap()
}

/// Sets a subject's compatibility rule.
pub(crate) async fn set_compatibility(subject: &str, level: &str) {
    let request = reqwest::Client::new()
        .put(format!("{}/config/{subject}", Registry::url().await))
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(format!(r#"{{"compatibility":"{level}"}}"#));
    request.send().await.unwrap().error_for_status().unwrap();
}

/// Passes requests on to the real registry, and remembers them.
#[derive(Clone)]
pub(crate) struct Gate(Arc<State>);

struct State {
    address: SocketAddr,
    registry: String,
    /// The only `Authorization` that is let through.
    authorization: Option<String>,
    /// Statuses of the next answers.
    failures: Mutex<Vec<StatusCode>>,
    requests: Mutex<Vec<String>>,
}

impl Gate {
    pub(crate) async fn open() -> Self {
        Self::demanding(None).await
    }

    pub(crate) async fn demanding(authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self(Arc::new(State {
            address: listener.local_addr().unwrap(),
            registry: Registry::url().await,
            authorization: authorization.map(str::to_owned),
            failures: Mutex::default(),
            requests: Mutex::default(),
        }));
        let served = gate.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let gate = served.clone();
                let service = service_fn(move |request| {
                    let gate = gate.clone();
                    async move { gate.answer(request).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        gate
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub(crate) fn fail_next(&self, statuses: &[u16]) {
        *self.0.failures.lock() = statuses.iter().rev().map(|it| StatusCode::from_u16(*it).unwrap()).collect();
    }

    /// The requests so far, as `POST /subjects/a-value/versions`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.requests.lock().clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> reqwest::Result<Response<Body>> {
        let path = request.uri().path_and_query().unwrap().to_string();
        self.0.requests.lock().push(format!("{} {path}", request.method()));
        let with = |status: StatusCode| {
            // A careless server repeats what it was sent.
            let sent = request.headers().get(AUTHORIZATION).map(|it| it.to_str().unwrap().to_owned());
            let body = format!(r#"{{"error_code":{},"message":"refused: {sent:?}"}}"#, status.as_u16());
            Ok(Response::builder().status(status).body(Body::from(body)).unwrap())
        };
        if let Some(status) = self.0.failures.lock().pop() {
            return with(status);
        }
        let sent = request.headers().get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        if self.0.authorization.is_some() && sent != self.0.authorization.as_deref() {
            return with(StatusCode::UNAUTHORIZED);
        }
        let url = format!("{}{path}", self.0.registry);
        let (parts, body) = request.into_parts();
        let mut forwarded = reqwest::Client::new().request(parts.method, url);
        forwarded = forwarded.header("content-type", "application/vnd.schemaregistry.v1+json");
        Ok(forwarded.body(Body::wrap(body)).send().await?.into())
    }
}

/// A TLS connection's end in front of the real registry. With `client_authority`, only clients with its certificates get through.
pub(crate) async fn tls_front(certificates: &Certificates, client_authority: Option<&str>) -> String {
    let chain = vec![CertificateDer::from_pem_slice(certificates.server.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificates.server_key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = match client_authority {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.unwrap().with_client_cert_verifier(verifier.unwrap())
        }
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, registry) = (format!("https://{}", listener.local_addr().unwrap()), Registry::url().await);
    let (target, path) = registry.trim_start_matches("http://").split_once('/').unwrap();
    let (target, url) = (target.to_owned(), format!("{url}/{path}"));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // What a client refuses ends here; its own side of the connection is what the test looks at.
                let Ok(mut encrypted) = acceptor.accept(stream).await else { return };
                let mut plain = TcpStream::connect(target).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut encrypted, &mut plain).await);
            });
        }
    });
    url
}
