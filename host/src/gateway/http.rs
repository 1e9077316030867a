//! HTTP: which request goes where, and what it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, ready};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::error::{Error as WebSocketError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug};

use super::Shared;
use super::access::{Denied, Standing};
use super::connection::{Connection, MAX_UNAUTHORISED_MESSAGE};
use super::health::{self, Unready};
use super::metrics;
use super::socket::Socket;
use super::webhook;

/// The largest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// One TCP connection, from its acceptance to its end.
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// Its place among the connections, kept until it ends.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) permit: OwnedSemaphorePermit,
}

pub(super) type Answer = Response<Full<Bytes>>;

/// Answers the requests of a connection until it becomes a WebSocket or ends.
pub(super) async fn serve(visit: Visit, stream: TcpStream) {
    let stop = visit.stop.clone();
    let head_timeout = visit.shared.config.auth_timeout;
    let visit = Arc::new(visit);
    let service = service_fn(move |request: Request<Incoming>| {
        if webhook::channel(request.uri().path()).is_none() {
            return Either::Left(ready(Ok::<_, Infallible>(respond(&visit, request))));
        }
        let visit = Arc::clone(&visit);
        // Boxed, so that connections of other kinds are not as large.
        Either::Right(Box::pin(async move { Ok(webhook::answer(&visit, request).await) }))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(head_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%error, "HTTP ends");
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    WebSocket,
    Live,
    Ready,
    Metrics,
}

/// What an unknown request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoRoute {
    Path,
    Method { allow: &'static str },
}

fn route(method: &Method, path: &str) -> Result<Route, NoRoute> {
    let (route, allow) = match path {
        "/ws" => (Route::WebSocket, "GET"),
        "/livez" => (Route::Live, "GET, HEAD"),
        "/readyz" => (Route::Ready, "GET, HEAD"),
        "/metrics" => (Route::Metrics, "GET, HEAD"),
        _ => return Err(NoRoute::Path),
    };
    if allow.split(", ").any(|allowed| allowed == method.as_str()) { Ok(route) } else { Err(NoRoute::Method { allow }) }
}

fn respond(visit: &Arc<Visit>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    if let Err(denied) = visit.shared.access.check_site(&parts, visit.local) {
        return deny(&denied);
    }
    match route(&parts.method, parts.uri.path()) {
        Ok(Route::Live) => text(StatusCode::OK, "alive"),
        Ok(Route::Ready) => match visit.shared.unready() {
            None => text(StatusCode::OK, health::ready(&visit.shared.state.channels.channels())),
            Some(unready) => text(StatusCode::SERVICE_UNAVAILABLE, unready.reason()),
        },
        Ok(Route::Metrics) => match visit.shared.access.authorise(&parts.headers, visit.peer) {
            Ok(()) => with(text(StatusCode::OK, metrics::page(&visit.shared)), CONTENT_TYPE, metrics::CONTENT_TYPE),
            Err(denied) => deny(&denied),
        },
        // While nothing can be stored, what is stored can still be read.
        Ok(Route::WebSocket) if visit.shared.readiness.is_ready() => upgrade(visit, Request::from_parts(parts, body)),
        Ok(Route::WebSocket) => text(StatusCode::SERVICE_UNAVAILABLE, Unready::GoingDown.reason()),
        Err(NoRoute::Path) => text(StatusCode::NOT_FOUND, "there is nothing here: the gateway speaks JSON-RPC at /ws"),
        Err(NoRoute::Method { allow }) => {
            let answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("this path answers to {allow}"));
            with(answer, ALLOW, allow)
        }
    }
}

/// Answers a WebSocket handshake, and starts the connection that it opens.
fn upgrade(visit: &Arc<Visit>, mut request: Request<Incoming>) -> Answer {
    let answer = match create_response_with_body(&request, Full::default) {
        Ok(answer) => answer,
        Err(error) => return no_handshake(&error),
    };
    let standing = match visit.shared.access.standing(request.headers(), visit.peer) {
        Ok(standing) => standing,
        Err(denied) => return deny(&denied),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let tasks = visit.tasks.clone();
    let visit = Arc::clone(visit);
    let task = async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!(%error, "the handshake was not finished"),
        };
        // Without the layer between, which would cost a call through a pointer for every read.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let max_message = match standing {
            Standing::Authorised => visit.shared.config.max_message.bytes(),
            Standing::MustAuthenticate => MAX_UNAUTHORISED_MESSAGE,
        };
        let socket = Socket::new(parts.io.into_inner(), &parts.read_buf, max_message);
        drop(parts.read_buf);
        Connection::new(Arc::clone(&visit.shared), socket, standing, visit.stop.clone()).run().await;
    };
    tasks.spawn(task.in_current_span());
    answer
}

fn no_handshake(error: &WebSocketError) -> Answer {
    use ProtocolError::{
        MissingConnectionUpgradeHeader, MissingSecWebSocketVersionHeader, MissingUpgradeWebSocketHeader,
    };
    match error {
        WebSocketError::Protocol(MissingConnectionUpgradeHeader | MissingUpgradeWebSocketHeader) => {
            let answer = text(StatusCode::UPGRADE_REQUIRED, "this path speaks WebSocket only");
            with(answer, UPGRADE, "websocket")
        }
        WebSocketError::Protocol(MissingSecWebSocketVersionHeader) => {
            let answer = text(StatusCode::UPGRADE_REQUIRED, "this path speaks version 13 of WebSocket");
            with(with(answer, UPGRADE, "websocket"), SEC_WEBSOCKET_VERSION, "13")
        }
        error => text(StatusCode::BAD_REQUEST, format!("no WebSocket handshake: {error}")),
    }
}

pub(super) fn deny(denied: &Denied) -> Answer {
    debug!(%denied, "request refused");
    let answer = text(denied.status(), denied.to_string());
    match denied.status() {
        StatusCode::UNAUTHORIZED => with(answer, WWW_AUTHENTICATE, "Bearer"),
        _ => answer,
    }
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    with(with(answer, CACHE_CONTROL, "no-store"), X_CONTENT_TYPE_OPTIONS, "nosniff")
}

pub(super) fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_told_from_what_is_asked_wrongly() {
        assert_eq!(route(&Method::GET, "/ws"), Ok(Route::WebSocket));
        assert_eq!(route(&Method::HEAD, "/readyz"), Ok(Route::Ready));
        assert_eq!(route(&Method::GET, "/metrics"), Ok(Route::Metrics));
        assert_eq!(route(&Method::POST, "/livez"), Err(NoRoute::Method { allow: "GET, HEAD" }));
        assert_eq!(route(&Method::HEAD, "/ws"), Err(NoRoute::Method { allow: "GET" }));
        for path in ["/", "/ws/", "/WS", "/livez/x", "//ws"] {
            assert_eq!(route(&Method::GET, path), Err(NoRoute::Path), "{path}");
        }
    }
}
