//! What a store does that fails, and when.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response, StatusCode};
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use s3s::{Body, HttpError, HttpResponse};

/// What a store does to a request instead of doing it and saying so. After all but the first, the client cannot know
/// whether what it asked for was done: it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Answers with this status, and does nothing.
    Refuse(u16),
    /// Does it, and answers with this status.
    Deny(u16),
    /// Does it, and answers 200 with an error in the body, as S3 does where it has begun to answer before it is done:
    /// to the completion of an upload. [`Deny`](Self::Deny)s everything else.
    ErrorInBody,
    /// Does it, and closes the connection without an answer.
    HangUp,
    /// Does it, and closes the connection in the middle of the answer; without one where the answer has no body.
    Truncate,
    /// Does it, and answers after some time, which may be longer than the client waits.
    Delay(Duration),
}

impl Misbehaviour {
    /// One of each, with a delay that outlasts the patience of `impatient` clients.
    pub fn all(delay: Duration) -> [Self; 8] {
        use Misbehaviour as It;
        [
            It::Refuse(500),
            It::Refuse(503),
            It::Deny(500),
            It::Deny(503),
            It::ErrorInBody,
            It::HangUp,
            It::Truncate,
            It::Delay(delay),
        ]
    }

    /// Whether the store does what it was asked for.
    pub(super) fn obeys(self) -> bool {
        !matches!(self, Self::Refuse(_))
    }

    /// What the client gets in place of the `answer` that the store would have given.
    pub(super) async fn distort(self, method: &Method, path: &str, answer: HttpResponse) -> Answer {
        match self {
            Self::Refuse(status) | Self::Deny(status) => Ok(refusal(super::code(status))),
            Self::ErrorInBody if *method == Method::POST && path.contains("uploadId=") => {
                Ok(Response::new(error_document("InternalError").into()))
            }
            Self::ErrorInBody => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR)),
            Self::HangUp => Err(hang_up()),
            Self::Truncate => truncate(answer).await,
            Self::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(answer)
            }
        }
    }
}

/// An answer; an error closes the connection.
pub(super) type Answer = Result<HttpResponse, HttpError>;

/// What S3 says of an upload that was completed or aborted.
pub(super) fn no_such_upload() -> HttpResponse {
    error(StatusCode::NOT_FOUND, "NoSuchUpload")
}

fn refusal(status: StatusCode) -> HttpResponse {
    error(status, if status == StatusCode::SERVICE_UNAVAILABLE { "SlowDown" } else { "InternalError" })
}

fn error(status: StatusCode, code: &str) -> HttpResponse {
    let mut response = Response::new(error_document(code).into());
    *response.status_mut() = status;
    response
}

fn error_document(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>on purpose</Message></Error>"
    )
}

fn hang_up() -> HttpError {
    HttpError::new("the connection is closed on purpose".into())
}

/// Half of the answer's body, below headers that promise all of it.
async fn truncate(answer: HttpResponse) -> Answer {
    let (mut head, mut body) = answer.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        whole.extend_from_slice(&frame.map_err(HttpError::new)?.into_data().unwrap_or_default());
    }
    if whole.is_empty() {
        return Err(hang_up());
    }
    let length = whole.len() as u64;
    head.headers.insert(CONTENT_LENGTH, length.into());
    whole.truncate(whole.len() / 2);
    Ok(Response::from_parts(head, Body::http_body(Half { length, half: Some(whole.into()) })))
}

/// A body that ends with an error.
struct Half {
    length: u64,
    half: Option<Bytes>,
}

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(match self.half.take() {
            Some(half) => Ok(Frame::data(half)),
            None => Err(std::io::Error::other("the rest is kept back on purpose")),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// A store that fails at random, as a seed tells.
#[derive(Debug)]
pub struct Moods {
    seed: u64,
    once_in: u64,
    choices: Vec<Misbehaviour>,
    requests: Mutex<u64>,
}

impl Moods {
    /// Misbehaves once in so many requests, in one of the ways of [`Misbehaviour::all`].
    pub fn new(seed: u64, once_in: u64, delay: Duration) -> Self {
        Self { seed, once_in: once_in.max(1), choices: Misbehaviour::all(delay).to_vec(), requests: Mutex::new(0) }
    }

    /// What is done to the next request.
    pub(super) fn next(&self) -> Option<Misbehaviour> {
        let number = {
            let mut requests = self.requests.lock();
            *requests += 1;
            *requests
        };
        let dice = mix(self.seed ^ mix(number));
        let choice = (dice >> 32) as usize % self.choices.len();
        dice.is_multiple_of(self.once_in).then(|| self.choices[choice])
    }
}

/// The finalizer of SplitMix64: neighbouring numbers give numbers that have nothing to do with each other.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
