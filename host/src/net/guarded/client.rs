//! The client: a pool that nobody else uses, and the deadlines of a request.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::http::uri::{Parts, PathAndQuery};
use hyper::{Response, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::body::ResponseBody;
use super::connect::{Connector, MAX_CONNECT};
use super::error::{Fault, OutError};
use super::resolve::Resolve;
use super::tasks::Tasks;
use crate::config::Origin;
use crate::net::trust::Trust;
use crate::net::{Scope, TimeoutPhase};

/// How far connections to an origin may go; `None`, and it is not connected to. The answer for an
/// origin never changes.
pub type Policy = Arc<dyn Fn(&Origin) -> Option<Scope> + Send + Sync>;

/// The body of a request, as it comes.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Connections of one client, idle ones among them.
const MAX_CONNECTIONS: usize = 128;

/// An idle connection is kept this long.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Idle connections that are kept to one origin.
const POOL_IDLE_PER_HOST: usize = 8;

/// What is read ahead of a peer over HTTP/1.1, and so the most that a response's head may take.
const MAX_BUFFER: usize = 64 << 10;

/// The most headers of a response over HTTP/1.1.
const MAX_HEADERS: usize = 128;

/// The most that the headers of a response take over HTTP/2 (RFC 9113, section 10.5.1).
const MAX_HEADER_LIST: u32 = 64 << 10;

/// What a peer may send ahead over HTTP/2, in one stream and over all (RFC 9113, section 6.9): a
/// few responses that nobody reads leave room for others.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A connection over HTTP/2 is shared, so one that died silently is asked after while in use.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the parts of a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutDeadlines {
    /// Until a connection is there: name, TCP, TLS. At most 10 s.
    pub connect: Duration,
    /// From then until the response's head.
    pub response: Duration,
    /// Between two parts of the response's body.
    pub idle: Duration,
    /// When all of it must have ended.
    pub end: Instant,
}

type Pool = legacy::Client<Connector, RequestBody>;

/// One guest's way out. Make one for each, and keep it: its connections go with it, also those in
/// use.
pub struct GuardedClient {
    pub(super) connector: Connector,
    tasks: Tasks,
    pool: Mutex<Pool>,
}

impl GuardedClient {
    pub(in crate::net) fn new(trust: Arc<Trust>, policy: Policy, resolver: Arc<dyn Resolve>) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connector = Connector { policy, resolver, trust, connections };
        let tasks = Tasks::default();
        Self { pool: Mutex::new(pool(connector.clone(), tasks.clone())), connector, tasks }
    }

    /// Sends a request and waits for the head of its response. Redirects are not followed. `Host`
    /// is the origin's, whatever stands in the request.
    ///
    /// # Errors
    /// See [`Fault`]. Statuses are no errors here, but for 101: nobody asked for another protocol.
    pub async fn send(
        &self,
        origin: &Origin,
        mut request: hyper::Request<RequestBody>,
        deadlines: OutDeadlines,
    ) -> Result<Response<ResponseBody>, OutError> {
        let failed = |fault| OutError { origin: origin.clone(), fault };
        *request.uri_mut() = address(origin, request.uri()).ok_or_else(|| failed(Fault::NotGranted))?;
        request.headers_mut().remove(hyper::header::HOST);

        let now = Instant::now();
        let connect = deadlines.connect.min(MAX_CONNECT);
        let connected_by = (now + connect).min(deadlines.end);
        let late = |phase, by: Instant| failed(Fault::Timeout { phase, after: by.saturating_duration_since(now) });
        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.pool().request(request));
        let head = tokio::select! {
            biased;
            head = &mut response => head,
            () = async { drop(connection.wait_for_connection_metadata().await) } => {
                let by = Instant::now().checked_add(deadlines.response).map_or(deadlines.end, |by| by.min(deadlines.end));
                timeout_at(by, response).await.map_err(|_| late(TimeoutPhase::Response, by))?
            }
            () = tokio::time::sleep_until(connected_by) => return Err(match self.connector.connections.available_permits() {
                0 => failed(Fault::Busy),
                _ => late(TimeoutPhase::Connect, connected_by),
            }),
        };
        let head = head.map_err(|error| failed(Fault::of_request(&error)))?;
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(failed(Fault::Protocol("it switched to another protocol unasked".to_owned())));
        }
        Ok(head.map(|body| ResponseBody::new(body, origin.clone(), deadlines.idle, deadlines.end)))
    }

    /// The pool. Where every connection is taken, some by idle ones to other origins, a new pool:
    /// the old one lets go of its idle connections as soon as its last request has ended.
    pub(super) fn pool(&self) -> Pool {
        let mut current = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if self.connector.connections.available_permits() == 0 {
            *current = pool(self.connector.clone(), self.tasks.clone());
        }
        current.clone()
    }
}

impl Drop for GuardedClient {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl std::fmt::Debug for GuardedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedClient").finish_non_exhaustive()
    }
}

fn pool(connector: Connector, tasks: Tasks) -> Pool {
    legacy::Client::builder(tasks)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
        .http1_max_buf_size(MAX_BUFFER)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
        .build(connector)
}

/// The address as the origin has it, so that what was granted is what is asked: no user, the name
/// in lower case, the port only where it is not the scheme's own.
fn address(origin: &Origin, asked: &Uri) -> Option<Uri> {
    let mut parts = Parts::default();
    parts.scheme = Some(origin.scheme.as_str().parse().ok()?);
    let authority = match Some(origin.port) == origin.scheme.port() {
        true => origin.host.to_string(),
        false => format!("{}:{}", origin.host, origin.port),
    };
    parts.authority = Some(authority.parse().ok()?);
    let path = asked.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    // As `http` gives it for `https://host?query`.
    parts.path_and_query = match path.as_str().starts_with('/') {
        true => Some(path),
        false => Some(format!("/{path}").parse().ok()?),
    };
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;
    use crate::config::NetConfig;
    use crate::net::Client;
    use crate::net::testing::{Reply, Server};

    async fn get(
        client: &GuardedClient,
        server: &Server,
        connect: Duration,
    ) -> Result<Response<ResponseBody>, OutError> {
        let request = hyper::Request::get(server.base_url());
        let request = request.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap();
        let far = Duration::from_secs(60);
        let deadlines = OutDeadlines { connect, response: far, idle: far, end: Instant::now() + far };
        client.send(&Origin::of(request.uri()).unwrap(), request, deadlines).await
    }

    #[tokio::test]
    async fn idle_connections_make_room_and_busy_ones_are_waited_for() {
        let client = Client::new(&NetConfig::default()).unwrap().guarded(Arc::new(|_: &Origin| Some(Scope::Private)));
        client.connector.connections.forget_permits(MAX_CONNECTIONS - 1);
        let (one, other) = (
            Server::start([Reply::whole(200, &[], "")]).await,
            Server::start([Reply::silence(), Reply::whole(200, &[], "")]).await,
        );
        let far = Duration::from_secs(10);
        get(&client, &one, far).await.unwrap().into_body().collect().await.unwrap();

        // The only connection is idle, to the other server, and goes.
        let waiting = get(&client, &other, far);
        let asking = async {
            while other.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            get(&client, &one, Duration::from_millis(50)).await.map(drop).unwrap_err()
        };
        tokio::select! {
            _ = waiting => panic!("nothing was answered"),
            busy = asking => assert!(matches!(busy.fault, Fault::Busy), "{busy}"),
        }
    }
}
