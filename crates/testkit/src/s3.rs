//! An S3-protocol server over HTTP: path style, signatures checked, objects kept as files. Fails on request.

mod misbehaviour;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

pub use misbehaviour::{Misbehaviour, Moods};

const ACCESS_KEY: &str = "ductstream-test";
const SECRET_KEY: &str = "ductstream-test-secret";
const BUCKET: &str = "events";

type Matches = Box<dyn Fn(&Method, &str) -> bool + Send>;

/// A server with one bucket, on a free port of this machine. Ends when dropped, with everything in it.
pub struct S3Server {
    address: SocketAddr,
    root: PathBuf,
    /// Removes the root where nobody else does.
    _temporary: Option<TempDir>,
    faults: Arc<Faults>,
    /// Ends the server's thread when dropped.
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Faults {
    next: Mutex<Vec<StatusCode>>,
    down: Mutex<Option<StatusCode>>,
    matching: Mutex<Option<(Matches, StatusCode)>>,
    once: Mutex<Vec<(Matches, Misbehaviour)>>,
    moods: Mutex<Option<Moods>>,
    stalled: watch::Sender<bool>,
    requests: Mutex<Vec<(Method, String)>>,
}

impl S3Server {
    /// Starts a server, on a thread of its own.
    pub fn start() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory for the S3 server");
        let root = temporary.path().to_path_buf();
        Self { _temporary: Some(temporary), ..Self::start_in(root) }
    }

    /// Starts a server that keeps its objects in a directory, which stays when the server ends.
    pub fn start_in(root: PathBuf) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).expect("a directory for the bucket");
        let files = FileSystem::new(&root).expect("an S3 server over the directory");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (service, faults) = (builder.build(), Arc::new(Faults::default()));

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the listener's address");
        let (stop, stopped) = oneshot::channel();
        let served = faults.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener of the runtime");
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, service, served) => {}
                }
            });
        });
        Self { address, root, _temporary: None, faults, _stop: stop }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket that exists.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The only access key.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Its secret.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The directory with the bucket's objects as files.
    pub fn root(&self) -> std::path::PathBuf {
        self.root.join(BUCKET)
    }

    /// The directory of the server itself, with what is in no bucket, such as parts of uploads.
    pub fn server_root(&self) -> &Path {
        &self.root
    }

    /// Answers the next `count` requests with `status`.
    pub fn fail_next(&self, count: usize, status: u16) {
        self.faults.next.lock().extend(std::iter::repeat_n(code(status), count));
    }

    /// Answers every request with `status`, until told otherwise.
    pub fn set_down(&self, status: Option<u16>) {
        *self.faults.down.lock() = status.map(code);
    }

    /// Answers requests whose method and path (`/bucket/key?query`) match with `status`.
    pub fn fail_when(&self, matches: impl Fn(&Method, &str) -> bool + Send + 'static, status: u16) {
        *self.faults.matching.lock() = Some((Box::new(matches), code(status)));
    }

    /// Takes back [`fail_when`](Self::fail_when).
    pub fn fail_no_more(&self) {
        *self.faults.matching.lock() = None;
    }

    /// Misbehaves towards the next request whose method and path match.
    pub fn misbehave_once(&self, matches: impl Fn(&Method, &str) -> bool + Send + 'static, how: Misbehaviour) {
        self.faults.once.lock().push((Box::new(matches), how));
    }

    /// How many such requests have not come yet.
    pub fn misbehaviours_left(&self) -> usize {
        self.faults.once.lock().len()
    }

    /// Misbehaves at random, until told otherwise.
    pub fn set_moods(&self, moods: Option<Moods>) {
        *self.faults.moods.lock() = moods;
    }

    /// Leaves requests without an answer, until told otherwise.
    pub fn set_stalled(&self, stalled: bool) {
        self.faults.stalled.send_replace(stalled);
    }

    /// Method and path of each request so far.
    pub fn requests(&self) -> Vec<(Method, String)> {
        self.faults.requests.lock().clone()
    }
}

impl Faults {
    fn refusal(&self, method: &Method, path: &str) -> Option<StatusCode> {
        if let Some(status) = *self.down.lock() {
            return Some(status);
        }
        if let Some((matches, status)) = &*self.matching.lock()
            && matches(method, path)
        {
            return Some(*status);
        }
        self.next.lock().pop()
    }

    fn misbehaviour(&self, method: &Method, path: &str) -> Option<Misbehaviour> {
        let mut once = self.once.lock();
        if let Some(index) = once.iter().position(|(matches, _)| matches(method, path)) {
            return Some(once.remove(index).1);
        }
        self.moods.lock().as_ref().and_then(Moods::next)
    }
}

async fn accept(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, faults) = (service.clone(), faults.clone());
        let answer = service_fn(move |request| answer(request, service.clone(), faults.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    faults: Arc<Faults>,
) -> Result<HttpResponse, s3s::HttpError> {
    let path = request.uri().path_and_query().map(|path| path.to_string()).unwrap_or_default();
    faults.requests.lock().push((request.method().clone(), path.clone()));
    let mut stalled = faults.stalled.subscribe();
    let _ = stalled.wait_for(|stalled| !stalled).await;
    if let Some(status) = faults.refusal(request.method(), &path) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return Ok(response);
    }
    let (method, misbehaviour) = (request.method().clone(), faults.misbehaviour(request.method(), &path));
    let obeys = misbehaviour.is_none_or(Misbehaviour::obeys);
    let answer = if obeys { service.call(request.map(Body::from)).await? } else { Response::new(Body::empty()) };
    // s3s-fs denies access to an upload that it does not know any more; S3 says that there is none.
    let answer = if answer.status() == StatusCode::FORBIDDEN && path.contains("uploadId=") {
        misbehaviour::no_such_upload()
    } else {
        answer
    };
    match misbehaviour {
        Some(misbehaviour) => misbehaviour.distort(&method, &path, answer).await,
        None => Ok(answer),
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("an HTTP status")
}
