//! The one place where what a channel wants sent becomes a request of the host's.
//!
//! An address is one of the channel's own `setup` and one that the owner granted; only then are its
//! templates joined with the secrets that may go there. Files are streamed past the channel. What
//! comes back is bounded, and has no secret in it that the channel could have named.
//!
//! Every failure is told as what it is: nothing reached the platform, or something may have.

mod address;
mod body;
mod error;
mod files;
mod multipart;
mod receive;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use hyper::http::{request, response};
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use crate::config::{Origin, PluginName};
use crate::net::{GuardedClient, OutDeadlines, ResponseBody, Spoken, Stream};
use crate::runtime::ChannelPlugin;
use crate::runtime::bindings::channel::{self, Outbound, Piece};
use crate::runtime::channel_out::{self, ChannelOut};
use crate::runtime::egress_secrets::{Joined, Redactor};

use address::SetupOrigin;
pub(super) use address::{Address, Protocol};
pub use error::SetupError;
pub(super) use error::{OutwardError, Unsent};
pub(super) use files::{FileSource, FileSourceError, NoFiles, OpenFile, SessionSource};
pub(super) use receive::{Download, Hidden};

/// The longest that one request may take, its answer included.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a connection may take to be there: name, TCP, TLS.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest that a file may take to come down.
const MAX_DOWNLOAD: Duration = Duration::from_secs(600);

/// The longest path and query, in bytes. Common servers take 8 KiB.
const MAX_TARGET: usize = 16 << 10;

/// Headers of a WebSocket's handshake that are the host's (RFC 6455, section 4.1).
const OWN_OF_WEB_SOCKET: [&str; 4] =
    ["sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept"];

/// One channel's way out, as its plugin is configured now.
pub(super) struct Outward {
    out: ChannelOut,
    origins: Vec<SetupOrigin>,
}

/// A request that may leave, but for its body.
struct Prepared {
    head: request::Parts,
    origin: Origin,
    redactor: Option<Redactor>,
}

impl Outward {
    /// The way out of a channel.
    ///
    /// # Errors
    /// Its setup names an origin that is none.
    pub(super) fn of(plugin: &ChannelPlugin) -> Result<Arc<Self>, SetupError> {
        Self::new(plugin.out(), &plugin.setup().origins)
    }

    pub(super) fn new(out: ChannelOut, origins: &[String]) -> Result<Arc<Self>, SetupError> {
        let origins = origins.iter().map(|origin| SetupOrigin::parse(origin)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { out, origins }))
    }

    /// Whose it is.
    pub(super) fn plugin(&self) -> &PluginName {
        self.out.plugin()
    }

    /// The most bytes of a file that it fetches.
    pub(super) fn file_limit(&self) -> u64 {
        self.out.file_limit()
    }

    /// Sends a request, and has the whole of its answer.
    pub(super) async fn send(&self, outbound: &Outbound, files: &dyn FileSource) -> channel::Outcome {
        let timeout = timeout(outbound);
        let whole = async {
            let (response, redactor) = self.exchange(outbound, files, timeout, timeout).await?;
            receive::whole(response, redactor.as_ref(), self.out.body_limit()).await
        };
        whole.await.map_err(|error| self.failed(&error))
    }

    /// Sends a request whose answer is a file of at most `limit` bytes.
    ///
    /// The answer's head is there within the request's timeout, which is also the longest silence in
    /// its body; all of it within ten minutes.
    pub(super) async fn download(&self, outbound: &Outbound, limit: u64) -> Result<Download, channel::TransportError> {
        let timeout = timeout(outbound);
        let download = async {
            let (response, redactor) = self.exchange(outbound, &NoFiles, timeout, MAX_DOWNLOAD).await?;
            receive::download(response, redactor.as_ref(), limit)
        };
        download.await.map_err(|error| self.failed(&error))
    }

    /// Joins a connection's address: what of it can be decided at once.
    ///
    /// # Errors
    /// It is none, or secrets are not bound to it.
    pub(super) fn address(&self, url: &[Piece]) -> Result<Address, Unsent> {
        Address::join(self.out.secrets(), url)
    }

    /// Joins a text that goes to an origin: a frame, a line.
    ///
    /// # Errors
    /// A secret is not bound to that origin.
    pub(super) fn text(&self, pieces: &[Piece], origin: &Origin) -> Result<Joined, Unsent> {
        Ok(self.out.secrets().join_text(pieces, origin)?)
    }

    /// Hides in what comes from an origin every secret that may go there.
    pub(super) fn redactor(&self, origin: &Origin) -> Option<Redactor> {
        self.out.secrets().redactor_of(origin)
    }

    /// Opens a connection of its own to an address, for a WebSocket or for lines. Also gives the head
    /// of the request that a WebSocket begins with.
    ///
    /// # Errors
    /// Nothing reached the platform.
    pub(super) async fn open(
        &self,
        address: &Address,
        headers: &[(String, Vec<Piece>)],
    ) -> Result<(Stream, request::Parts), OutwardError> {
        let Prepared { mut head, origin, .. } = self.prepare(&Method::GET, address, headers)?;
        for name in OWN_OF_WEB_SOCKET {
            head.headers.remove(name);
        }
        let spoken = match address.protocol {
            Protocol::Http => return Err(Unsent::Scheme.into()),
            Protocol::WebSocket => Spoken::Http1,
            Protocol::Lines => Spoken::Other,
        };
        let stream = self.client(&origin)?.connect(&origin, spoken, CONNECT).await?;
        Ok((stream, head))
    }

    /// Asks for a stream of server-sent events. Its head is there within `within`; its body may take
    /// for ever, and whoever reads it watches over silence.
    ///
    /// # Errors
    /// There is no answer, or one that is encoded.
    pub(super) async fn listen(
        &self,
        address: &Address,
        headers: &[(String, Vec<Piece>)],
        within: Duration,
    ) -> Result<(response::Parts, Hidden), OutwardError> {
        if address.protocol != Protocol::Http {
            return Err(Unsent::Scheme.into());
        }
        let Prepared { mut head, origin, redactor } = self.prepare(&Method::GET, address, headers)?;
        // The HTML standard, section 9.2.2.
        head.headers.entry(hyper::header::ACCEPT).or_insert(hyper::header::HeaderValue::from_static(EVENT_STREAM));
        let no_store = hyper::header::HeaderValue::from_static("no-store");
        head.headers.entry(hyper::header::CACHE_CONTROL).or_insert(no_store);
        let end = Instant::now() + FOR_EVER;
        let deadlines = OutDeadlines { connect: CONNECT, response: within, idle: FOR_EVER, end };
        let request = Request::from_parts(head, body::empty());
        let (mut head, body) = self.client(&origin)?.send(&origin, request, deadlines).await?.into_parts();
        channel_out::incoming(&mut head, redactor.as_ref())?;
        Ok((head, receive::hidden(body, redactor.as_ref())))
    }

    /// A request and the head of its answer, from which no secret was taken yet.
    async fn exchange(
        &self,
        outbound: &Outbound,
        files: &dyn FileSource,
        timeout: Duration,
        whole: Duration,
    ) -> Result<(Response<ResponseBody>, Option<Redactor>), OutwardError> {
        let method = method(&outbound.method)?;
        let address = self.address(&outbound.url)?;
        if address.protocol != Protocol::Http {
            return Err(Unsent::Scheme.into());
        }
        let Prepared { mut head, origin, redactor } = self.prepare(&method, &address, &outbound.headers)?;
        let client = self.client(&origin)?;
        let join = |pieces: &[Piece]| self.text(pieces, &origin);
        let end = Instant::now() + whole;
        // Each part has its own deadline, so that what was late says whether anything was sent.
        let building = body::build(&outbound.body, self.out.body_limit(), files, join);
        let built = tokio::time::timeout_at(end, building).await;
        let (body, content_type) = built.map_err(|_| Unsent::FilesLate)??;
        if let Some(content_type) = content_type {
            head.headers.insert(hyper::header::CONTENT_TYPE, content_type);
        }
        let deadlines = OutDeadlines { connect: CONNECT.min(timeout), response: timeout, idle: timeout, end };
        let response = client.send(&origin, Request::from_parts(head, body), deadlines).await?;
        Ok((response, redactor))
    }

    /// The head of a request that the setup names and the grants allow.
    fn prepare(
        &self,
        method: &Method,
        address: &Address,
        headers: &[(String, Vec<Piece>)],
    ) -> Result<Prepared, Unsent> {
        let origin = address.origin.clone();
        let uri = address.uri()?;
        if !self.origins.iter().any(|named| named.covers(address)) {
            return Err(Unsent::NotNamed(address.shown()));
        }
        if !self.out.allows(method, &origin, uri.path()) {
            return Err(Unsent::NotGranted { method: method.clone(), origin });
        }
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = method.clone();
        head.uri = uri;
        for (name, value) in headers {
            let name = body::header_name(name)?;
            let (value, _) = self.out.secrets().join_header(value, &origin)?;
            head.headers.append(name, value);
        }
        let redactor = self.redactor(&origin);
        // The client writes it from what the body is, so that no request can be read as two.
        head.headers.remove(hyper::header::CONTENT_LENGTH);
        channel_out::outgoing(&mut head, redactor.as_ref());
        if channel_out::size(&head.headers) > channel_out::MAX_FIELDS {
            return Err(Unsent::HeadTooLarge);
        }
        Ok(Prepared { head, origin, redactor })
    }

    fn client(&self, origin: &Origin) -> Result<&Arc<GuardedClient>, Unsent> {
        self.out.client().ok_or_else(|| Unsent::NoWay(origin.clone()))
    }

    fn failed(&self, error: &OutwardError) -> channel::TransportError {
        tracing::debug!(plugin = %self.plugin(), %error, "a channel's request failed");
        error.told()
    }
}

impl std::fmt::Debug for Outward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outward({})", self.plugin())
    }
}

/// What a stream of events is called (the HTML standard, section 9.2.3).
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// A stream of events has no end of its own. (As long as the clock of every system can add.)
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// A request's timeout, within bounds.
fn timeout(outbound: &Outbound) -> Duration {
    Duration::from_millis(outbound.timeout_ms.into()).clamp(Duration::from_millis(1), MAX_TIMEOUT)
}

/// As for tools: no tunnel, and nothing that has a server repeat a request's secrets (Fetch standard,
/// "forbidden method").
fn method(text: &str) -> Result<Method, Unsent> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| Unsent::Method)?;
    match method {
        Method::CONNECT | Method::TRACE => Err(Unsent::Method),
        _ if method.as_str() == "TRACK" => Err(Unsent::Method),
        _ => Ok(method),
    }
}
