//! The client: one pool of connections, and the deadlines of a call.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::uri::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::error::reason;
use super::guarded::{GuardedClient, Policy, Resolve, SystemResolver};
use super::trust::Trust;
use super::{NetError, TimeoutPhase};
use crate::config::NetConfig;

/// A request with its whole body.
pub type Request = hyper::Request<Full<Bytes>>;

/// A response whose body is still to be read. Dropping it ends the reading: it closes an HTTP/1.1
/// connection and resets an HTTP/2 stream.
pub type Response = hyper::Response<Incoming>;

/// An idle connection is kept this long. Common servers and balancers close theirs after 60 to
/// 75 s; a connection that they closed first costs a retry.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// Idle connections that are kept to one origin.
const POOL_IDLE_PER_HOST: usize = 64;

/// A connection over HTTP/2 is shared, so one that died silently is asked after while in use.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until a connection is there: name, TCP, TLS.
    pub connect: Duration,
    /// From then until the response's head.
    pub response: Duration,
}

/// The process's way out. Clones share one pool; make one and hand it on.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    trust: Arc<Trust>,
    /// Of those who are not trusted; the pool above asks the system.
    resolver: Option<Arc<dyn Resolve>>,
}

impl Client {
    /// A client without connections. Reads `ca_file` at once, blocking for one small file; the
    /// system's trust store is read when the first TLS connection is made, or by
    /// [`Client::load_trust`].
    ///
    /// # Errors
    /// `ca_file` can't be read or holds something else than certificates.
    pub fn new(config: &NetConfig) -> Result<Self, NetError> {
        let trust = Arc::new(Trust::new(config.ca_file.as_deref())?);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http2_keep_alive_interval(H2_PING_INTERVAL)
            .http2_keep_alive_timeout(H2_PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build(Connector::new(Arc::clone(&trust)));
        Ok(Self { pool, trust, resolver: None })
    }

    /// Has the names of guarded requests resolved by something else than the system.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver: Some(resolver), ..self }
    }

    /// A way out for one who is not trusted: it believes whom this client believes, and shares no
    /// connection with anyone.
    #[must_use]
    pub fn guarded(&self, policy: Policy) -> GuardedClient {
        let resolver = self.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver::default()));
        GuardedClient::new(Arc::clone(&self.trust), policy, resolver)
    }

    /// Reads the system's trust store now, off the async threads, so that the first call need
    /// not wait for it. Cheap once it was read.
    ///
    /// # Errors
    /// No root certificate was found.
    pub async fn load_trust(&self) -> Result<(), NetError> {
        self.trust.config().await.map(drop)
    }

    /// Sends a request and waits for the head of its response. Redirects are not followed.
    ///
    /// # Errors
    /// No connection, a broken one, or a deadline that passed. Statuses are no errors here.
    pub async fn send(&self, mut request: Request, deadlines: Deadlines) -> Result<Response, NetError> {
        let origin = origin(request.uri());
        let timeout = |phase, after| NetError::Timeout { origin: origin.clone(), phase, after };
        let failed = |error: legacy::Error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), reason);
            match error.is_connect() {
                true => NetError::Connect { origin: origin.clone(), reason: cause },
                false => NetError::Broken { origin: origin.clone(), reason: cause },
            }
        };

        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.pool.request(request));
        tokio::select! {
            biased;
            response = &mut response => return response.map_err(failed),
            () = async { drop(connection.wait_for_connection_metadata().await) } => {}
            () = tokio::time::sleep(deadlines.connect) => return Err(timeout(TimeoutPhase::Connect, deadlines.connect)),
        }
        match tokio::time::timeout(deadlines.response, response).await {
            Ok(response) => response.map_err(failed),
            Err(_) => Err(timeout(TimeoutPhase::Response, deadlines.response)),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Scheme, host and port: what may be shown of an address.
fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{scheme}://{host}:{port}"),
        (Some(host), None) => format!("{scheme}://{host}"),
        (None, _) => uri.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{Reply, Server};
    use http_body_util::BodyExt;

    fn client() -> Client {
        Client::new(&NetConfig::default()).expect("a client")
    }

    fn request(url: &str) -> Request {
        hyper::Request::post(url).body(Full::from("{}")).expect("a request")
    }

    const SOON: Deadlines = Deadlines { connect: Duration::from_secs(10), response: Duration::from_secs(10) };

    #[tokio::test]
    async fn a_second_call_uses_the_connection_of_the_first() -> Result<(), Box<dyn std::error::Error>> {
        let server = Server::start([Reply::whole(200, &[], "one"), Reply::whole(404, &[], "two")]).await;
        let client = client();
        for (status, body) in [(200, "one"), (404, "two")] {
            let response = client.clone().send(request(&server.base_url()), SOON).await?;
            assert_eq!(response.status(), status);
            assert_eq!(response.into_body().collect().await?.to_bytes(), body);
        }
        let connections: Vec<_> = server.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections, [0, 0]);
        Ok(())
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        drop(listener);
        let error = client().send(request(&format!("{origin}/path?key=secret")), SOON).await.expect_err("nobody there");
        let text = error.to_string();
        assert!(matches!(error, NetError::Connect { .. }), "{text}");
        assert!(text.contains(&origin) && text.contains("refused") && !text.contains("secret"), "{text}");
        Ok(())
    }

    #[tokio::test]
    async fn a_deadline_says_what_it_was_set_for() {
        let server = Server::start([]).await;
        let deadlines = Deadlines { response: Duration::from_millis(1), ..SOON };
        let error = client().send(request(&server.base_url()), deadlines).await.expect_err("silence");
        assert!(matches!(error, NetError::Timeout { phase: TimeoutPhase::Response, .. }), "{error}");

        // A listener that never accepts completes TCP's handshake, so TLS is what waits.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let deadlines = Deadlines { connect: Duration::from_millis(1), ..SOON };
        let error = client().send(request(&url), deadlines).await.expect_err("no handshake");
        let no_roots = error.to_string().contains("root certificates");
        assert!(matches!(error, NetError::Timeout { phase: TimeoutPhase::Connect, .. }) || no_roots, "{error}");
    }
}
