//! What happens to each request of a call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::header::{CONTENT_LENGTH, HeaderName};
use hyper::{Method, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::super::grants::Reach;
use super::body::{Exchange, Incoming, Outgoing};
use super::{Traffic, boundary, fault, headers};
use crate::config::Origin;
use crate::net::OutDeadlines;

/// Requests of one call at once, with the responses that it still holds.
const MAX_REQUESTS: usize = 32;

/// The longest path and query, in bytes. Common servers take 8 KiB.
const MAX_TARGET: usize = 16 << 10;

/// What a guest may write to a request's body at once; one such part waits to be sent.
const CHUNK: usize = 64 << 10;

/// How long a peer may be silent, where the guest says nothing and its call has that long.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// What decides over the requests of one call.
pub(super) struct Hooks {
    reach: Arc<Reach>,
    /// Whether somebody called the plugin. What it says of itself at load it must know by itself.
    called: bool,
    end: tokio::time::Instant,
    traffic: Arc<Traffic>,
    requests: Arc<Semaphore>,
    /// Goes with the call, and before the resources that its guest holds: bodies that are still
    /// being written then know that they were cut.
    call: Arc<()>,
}

type Sending = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl Hooks {
    pub(super) fn new(reach: Arc<Reach>, called: bool, started: Instant) -> Self {
        let end = started.checked_add(reach.limits.time).unwrap_or(started + MAX_SILENCE);
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        Self { reach, called, end: end.into(), traffic: Arc::default(), requests, call: Arc::new(()) }
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Where a request goes, if it may.
    fn granted(&self, request: &Request<WasiBody>) -> Result<Origin, Error> {
        let Some(origin) = Origin::of(request.uri()) else {
            tracing::debug!(plugin = %self.reach.plugin, "a plugin's request was denied: its address has no origin that can be granted");
            return Err(Error::HttpRequestDenied);
        };
        // A tunnel, and what has a server repeat the secrets of a request (Fetch standard, "forbidden
        // method"): no grant is meant so.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) || request.method().as_str() == "TRACK" {
            return Err(Error::HttpRequestMethodInvalid);
        }
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
            return Err(Error::HttpRequestUriTooLong);
        }
        let path = request.uri().path();
        let allowed = self.reach.grants.http.iter().any(|grant| grant.allows(request.method(), &origin, path));
        if !allowed || !self.called {
            let (plugin, method) = (&self.reach.plugin, request.method());
            tracing::debug!(%plugin, %origin, %method, "a plugin's request was denied: no grant allows it");
            return Err(Error::HttpRequestDenied);
        }
        Ok(origin)
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.requests.clone().try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)
    }

    /// The guest's deadlines, within the call's.
    fn deadlines(&self, options: RequestOptions) -> OutDeadlines {
        let within = |asked: Option<Duration>| asked.unwrap_or(MAX_SILENCE);
        OutDeadlines {
            connect: within(options.connect_timeout),
            response: within(options.first_byte_timeout),
            idle: within(options.between_bytes_timeout),
            end: self.end,
        }
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sending> + Send> {
        let (origin, permit) = match self.granted(&request).and_then(|origin| Ok((origin, self.permit()?))) {
            Ok(may) => may,
            Err(error) => return Box::new(std::future::ready(Err(error))),
        };
        let deadlines = self.deadlines(options.unwrap_or_default());
        let exchange = Exchange::new(self.traffic.clone(), self.reach.limits.body);
        let request = request.map(|body| Outgoing::new(body, exchange.clone(), Arc::downgrade(&self.call)));
        let sending = send(self.reach.clone(), self.traffic.clone(), origin, request, deadlines, exchange, permit);
        // The guest waits for it on a task of its own.
        Box::new(sending.in_current_span())
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(headers::is_forbidden)
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        headers::is_forbidden(name)
    }

    /// The client writes it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    // Errors of these kinds do not come from here; were they to, the usual hooks would log them as
    // warnings, for a guest to fill the log with.
    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

async fn send(
    reach: Arc<Reach>,
    traffic: Arc<Traffic>,
    origin: Origin,
    request: Request<Outgoing>,
    deadlines: OutDeadlines,
    exchange: Arc<Exchange>,
    permit: OwnedSemaphorePermit,
) -> Sending {
    let Some(client) = &reach.egress.client else {
        tracing::debug!(plugin = %reach.plugin, %origin, "a plugin's request was denied: the gateway lends no way out");
        return Err(Error::HttpRequestDenied);
    };
    let limit = reach.limits.body.0;
    let (mut parts, body) = request.into_parts();
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(exchange.request_too_large());
    }
    // Before the host puts anything in: the guest's share, and no hint at what was put in.
    traffic.add(request_line(&parts) + headers::size(&parts.headers) + 2);
    let redactor = boundary::outgoing(&mut parts, &origin, &reach)?;
    let request = Request::from_parts(parts, body.boxed_unsync());

    let response = match client.send(&origin, request, deadlines).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(plugin = %reach.plugin, %error, "a plugin's request failed");
            return Err(exchange.cause(fault::before_head(&error.fault)));
        }
    };
    let (head, body) = response.into_parts();
    traffic.add("HTTP/1.1 200 OK\r\n\r\n".len() + headers::size(&head.headers));
    if hyper::body::Body::size_hint(&body).lower() > limit {
        return Err(exchange.response_too_large());
    }
    let body = Incoming::new(body, exchange, permit).boxed_unsync();
    let response = boundary::incoming(head, body, redactor.as_ref())?;
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

fn request_line(parts: &hyper::http::request::Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    parts.method.as_str().len() + target + "  HTTP/1.1\r\n".len()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::super::super::grants::Services;
    use super::super::Egress;
    use super::*;
    use crate::config::{GrantsConfig, HttpGrant, NetConfig, PluginLimits, PluginName};
    use crate::net::Client;

    fn reach(origin: &str) -> Arc<Reach> {
        let grants = GrantsConfig { http: vec![HttpGrant::of(origin.parse().unwrap())], ..GrantsConfig::default() };
        let client = Some(Client::new(&NetConfig::default()).unwrap());
        let services = Services { client, ..Services::detached() };
        Arc::new(Reach {
            egress: Egress::new(&grants, &services),
            dirs: Default::default(),
            asks_who: true,
            plugin: PluginName::unnamed(),
            grants,
            secrets: Default::default(),
            limits: PluginLimits::default(),
            services,
        })
    }

    async fn send(hooks: &mut Hooks, uri: &str) -> Error {
        let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(uri).body(body).unwrap();
        let sending = hooks.send_request(request, None, Box::new(std::future::ready(Ok(()))));
        Pin::from(sending).await.map(|(response, _)| response.status()).expect_err("nobody listens there")
    }

    #[tokio::test]
    async fn what_a_plugin_says_of_itself_at_load_it_says_without_a_way_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let reach = reach(&uri);
        let denied = send(&mut Hooks::new(reach.clone(), false, Instant::now()), &uri).await;
        assert!(matches!(denied, Error::HttpRequestDenied), "{denied:?}");
        let tried = send(&mut Hooks::new(reach, true, Instant::now()), &uri).await;
        assert!(matches!(tried, Error::ConnectionRefused), "{tried:?}");
    }
}
