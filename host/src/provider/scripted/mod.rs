//! The demo's model: a small server that speaks Anthropic Messages over a real loopback socket.
//!
//! It follows a script and says so. Everything around it is real: the provider reads its stream
//! from a socket, and the tools that it asks for run in the sandbox. It is as strict about
//! requests as the real service is, which makes it a check of ours. The same request always gets
//! the same answer.

mod ask;
mod conversation;
mod reply;
mod script;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::StatusCode;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use self::conversation::{Conversation, Invalid};
use crate::config::{ModelName, ProviderConfig, ProviderKind};
use crate::net::read_bounded;

/// A pause between words at which an answer can be watched as it grows.
pub const PACE: Duration = Duration::from_millis(15);

/// The name of the provider and of its model, for the config that the demo makes.
const PROVIDER: &str = "scripted";
const MODEL: &str = "scripted-1";

const MAX_CONNECTIONS: usize = 1024;
const MAX_BODY: usize = 32 << 20;
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A running scripted model. It ends, with its connections, when dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl ScriptedModel {
    /// Starts one on a free port of 127.0.0.1. `pace` is the pause between two words; zero for
    /// none. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn start(pace: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, pace));
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The table of `[providers]` that leads to it. It needs no key.
    #[must_use]
    pub fn provider_config(&self) -> ProviderConfig {
        let kind = ProviderConfig::of(ProviderKind::Anthropic);
        ProviderConfig { base_url: self.base_url(), api_key_env: String::new(), ..kind }
    }

    /// Its model, under the name that [`ScriptedModel::provider_config`] should be given.
    #[must_use]
    pub fn model_name() -> ModelName {
        ModelName { provider: PROVIDER.into(), model: MODEL.into() }
    }
}

async fn accept(listener: TcpListener, pace: Duration) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((socket, _)) => drop(connections.spawn(serve(socket, pace))),
                Err(error) => {
                    tracing::debug!(%error, "the scripted model could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn serve(socket: TcpStream, pace: Duration) {
    // Each word is a packet of its own, and none waits for the one before.
    let nodelay = socket.set_nodelay(true);
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(request, pace).await) });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new());
    let served = server.serve_connection(TokioIo::new(socket), service).await;
    if let Err(error) = nodelay.map_err(|error| error.to_string()).and(served.map_err(|error| error.to_string())) {
        tracing::debug!(error, "a connection to the scripted model ended badly");
    }
}

async fn answer(request: Request<Incoming>, pace: Duration) -> Response<Body> {
    let (head, body) = request.into_parts();
    if head.uri.path() != "/v1/messages" {
        return refusal(&Invalid::NotFound(head.uri.path().chars().take(80).collect()));
    }
    if head.method != Method::POST {
        return refusal(&Invalid::Method);
    }
    if !head.headers.contains_key("anthropic-version") {
        return refusal(&Invalid::Request("anthropic-version: header is required".into()));
    }
    let body = read_bounded(body, MAX_BODY, BODY_DEADLINE).await;
    if !body.whole {
        return refusal(&Invalid::TooLarge);
    }
    match Conversation::parse(&body.bytes) {
        Ok(conversation) => paced(reply::events(&conversation, &script::answer(&conversation)), pace),
        Err(invalid) => refusal(&invalid),
    }
}

/// The events of an answer, with a pause before every word but the first.
fn paced(events: Vec<reply::Event>, pace: Duration) -> Response<Body> {
    let mut words = 0_usize;
    let events = events.into_iter().map(move |event| {
        words += usize::from(event.kind == reply::Kind::Word);
        let pause = if event.kind == reply::Kind::Word && words > 1 { pace } else { Duration::ZERO };
        (event.text, pause)
    });
    let frames = stream::iter(events).then(|(text, pause)| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(Frame::data(Bytes::from(text)))
    });
    response(StatusCode::OK, "text/event-stream", frames.boxed())
}

fn refusal(invalid: &Invalid) -> Response<Body> {
    let body = Bytes::from(invalid.document().to_string());
    let frames = stream::once(async { Ok(Frame::data(body)) });
    response(invalid.status(), "application/json", frames.boxed())
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    frames: BoxStream<'static, Result<Frame<Bytes>, Infallible>>,
) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(frames));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
