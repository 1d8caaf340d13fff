//! The socket of the API and the console: HTTP/1.1 with bounds on everything that a peer can make us hold or wait for.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::{Answer, Request, answer};
use super::error::ApiError;
use crate::api::CBOR;
use crate::console::Console;

/// Largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 100;
/// How long calls that run may take when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What peers may take of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; further ones wait in the listener's queue.
    pub connections_max: usize,
    /// How long a peer may take to send the head, also between two requests.
    pub head_timeout: Duration,
    /// How long a peer may take to send the body.
    pub body_timeout: Duration,
    /// How long a connection may last. Ends those of peers that do not read their answers.
    pub connection_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 256,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            connection_lifetime: Duration::from_secs(600),
        }
    }
}

/// Serves the API and the console on the listener until `shutdown` turns true (or its sender is gone), then lets running calls end.
pub async fn serve(listener: TcpListener, console: Arc<Console>, shutdown: watch::Receiver<bool>) {
    serve_within(Limits::default(), listener, console, shutdown).await;
}

/// [`serve`] with other limits than the usual ones.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    console: Arc<Console>,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = accept(&listener, &places) => stream,
            () = ended(&mut shutdown) => break,
        };
        let Some((stream, place)) = stream else { continue };
        let (console, shutdown) = (console.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, console, limits, shutdown).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("calls were still running when the API ended");
    }
}

async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|ended| *ended).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    /// After an error such as "too many open files" there is no use in trying again at once.
    const PAUSE: Duration = Duration::from_millis(100);
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!("accepting a connection: {error}");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    console: Arc<Console>,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
) {
    let source = stream.peer_addr().ok().map(|peer| peer.ip().to_canonical());
    let service = service_fn(move |request| {
        let console = console.clone();
        async move { Ok::<_, Infallible>(respond(console, request, source, limits).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let over = async {
        tokio::select! {
            () = ended(&mut shutdown) => {}
            () = tokio::time::sleep(limits.connection_lifetime) => {}
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = over => {
            // The running call may end and its answer leave, but not for ever.
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN_TIMEOUT, connection).await.ok()
        }
    };
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!("a connection of the API ended: {error}"),
        None => tracing::debug!("a connection of the API was cut: its peer does not read"),
    }
}

async fn respond(
    console: Arc<Console>,
    request: hyper::Request<Incoming>,
    source: Option<IpAddr>,
    limits: Limits,
) -> hyper::Response<Full<Bytes>> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let (answer, whole) = match read(request, source, limits).await {
        Ok(request) => (run(console, request, request_id.clone()).await, true),
        // What is left of the body is not read: the connection cannot be used again.
        Err(error) => (Answer::refusal(&error, &request_id), false),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.content_type == CBOR {
        headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(name, value);
        }
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    if !whole {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn run(console: Arc<Console>, request: Request, request_id: String) -> Answer {
    let id = request_id.clone();
    // Records block on the disk.
    let done = tokio::task::spawn_blocking(move || match console.answer(&request) {
        Some(page) => page,
        None => answer(console.app(), &request, &id),
    });
    let done = done.await;
    done.unwrap_or_else(|error| Answer::refusal(&ApiError::internal(&error), &request_id))
}

async fn read(
    request: hyper::Request<Incoming>,
    source: Option<IpAddr>,
    limits: Limits,
) -> Result<Request, ApiError> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = value.to_str().map_err(|_| {
            ApiError::new("IncompleteSignature", format!("The header {name} is not printable ASCII text."))
        });
        Ok((name.as_str().to_owned(), value?.to_owned()))
    });
    let headers = headers.collect::<Result<Vec<_>, ApiError>>()?;
    let too_large = || {
        let message = format!("The body is broken, or larger than {BODY_BYTES_MAX} bytes.");
        ApiError::new("RequestEntityTooLarge", message)
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = tokio::time::timeout(limits.body_timeout, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let late = |_| ApiError::new("RequestTimeout", "The body of the request did not come in time.");
    let body = body.map_err(late)?.map_err(|_| too_large())?;
    Ok(Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.to_bytes().to_vec(),
        source,
    })
}

#[cfg(test)]
mod tests;
