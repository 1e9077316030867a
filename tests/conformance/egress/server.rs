//! A web server on loopback that does what its paths say, and remembers what was asked of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

const CHUNK: usize = 64 << 10;

/// A request, as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Which connection brought it, counted from 0.
    pub(super) connection: usize,
    /// Whether its body came to its end.
    pub(super) whole: bool,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
    left: Notify,
}

/// The server. It ends when dropped.
pub(super) struct Server {
    pub(super) port: u16,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(None, Version::HTTP_11).await
    }

    /// For 127.0.0.1, localhost and service.test, by an authority that only tests believe.
    pub(super) async fn tls(version: Version) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../../../host/src/net/fixtures/server.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../../host/src/net/fixtures/server.key"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap()], key.unwrap())
            .unwrap();
        if version == Version::HTTP_2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Self::with(Some(TlsAcceptor::from(Arc::new(config))), version).await
    }

    async fn with(tls: Option<TlsAcceptor>, version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (tls, shared) = (tls.clone(), state.clone());
                connections.spawn(async move {
                    let Some(tls) = tls else { return serve(stream, version, connection, shared).await };
                    // A client that does not believe the certificate leaves here.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, version, connection, shared).await;
                    }
                });
            }
        });
        Self { port, shared, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits for the head of a request for `/silence`.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// Waits until a client has left a connection.
    pub(super) async fn left(&self) {
        self.shared.left.notified().await;
    }
}

async fn serve<S>(stream: S, version: Version, connection: usize, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(request, connection, shared.clone()));
    let io = TokioIo::new(stream);
    // A client's going away is how a connection ends here.
    let _ = match version {
        Version::HTTP_2 => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        _ => http1::Builder::new().serve_connection(io, service).await,
    };
    shared.left.notify_one();
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/silence" {
        shared.arrived.notify_one();
        return std::future::pending().await;
    }
    if head.uri.path() == "/early" {
        tokio::spawn(async move {
            let whole = body.collect().await.is_ok();
            shared.seen.lock().unwrap().push(Seen { connection, whole });
        });
        return Ok(Response::new(StreamBody::new(parts(CHUNK).chain(stream::pending())).boxed_unsync()));
    }
    let body = body.collect().await.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    shared.seen.lock().unwrap().push(Seen { connection, whole: body.is_ok() });
    let mut response = Response::new(match head.uri.path() {
        "/drip" => StreamBody::new(parts(CHUNK).chain(stream::pending())).boxed_unsync(),
        // Without a length ahead.
        "/stream" => StreamBody::new(parts(asked(&head.uri))).boxed_unsync(),
        "/length" => Full::new(Bytes::from(vec![b'x'; asked(&head.uri)])).boxed_unsync(),
        "/headers" | "/redirect" => Full::default().boxed_unsync(),
        _ => {
            let headers =
                head.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
            let headers: std::collections::BTreeMap<_, _> = headers.collect();
            let echo = json!({
                "line": format!("{} {} {:?}", head.method, head.uri, head.version),
                "headers": headers,
                "body": body.unwrap_or_default(),
            });
            Full::new(Bytes::from(echo.to_string())).boxed_unsync()
        }
    });
    match head.uri.path() {
        "/redirect" => {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert("location", "/echo".parse().unwrap());
        }
        "/close" => {
            response.headers_mut().insert("connection", "close".parse().unwrap());
        }
        "/headers" => {
            let value: hyper::header::HeaderValue = "x".repeat(asked(&head.uri)).parse().unwrap();
            response.headers_mut().insert("x-large", value);
        }
        _ => {}
    }
    Ok(response)
}

/// The number after the question mark.
fn asked(uri: &hyper::Uri) -> usize {
    uri.query().and_then(|query| query.parse().ok()).unwrap_or(0)
}

fn parts(bytes: usize) -> impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let mut left = bytes;
    stream::iter(std::iter::from_fn(move || {
        let size = left.min(CHUNK);
        left -= size;
        (size > 0).then(|| Ok(Frame::data(chunk.slice(..size))))
    }))
}
