//! Opening connections: plain ones at once, TLS ones with the trust store read on demand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::trust::Trust;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long any connection may take, name and TLS included. Callers have shorter deadlines of
/// their own; this one ends the attempts that they left behind.
const LIMIT: Duration = Duration::from_secs(60);

/// TCP keep-alive: silence before the first probe.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The connector below the pool.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    trust: Arc<Trust>,
}

impl Connector {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Requests and events are small, and each is waited for.
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        Self { tcp, trust }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        // `poll_ready` spoke for the original, so the original goes and the clone stays.
        let fresh = self.tcp.clone();
        let mut tcp = std::mem::replace(&mut self.tcp, fresh);
        let trust = Arc::clone(&self.trust);
        let connecting = async move {
            if target.scheme_str() == Some("https") {
                let config = trust.config().await?;
                HttpsConnector::from((tcp, config)).call(target).await
            } else {
                Ok(MaybeHttpsStream::Http(tcp.call(target).await?))
            }
        };
        Box::pin(async move { tokio::time::timeout(LIMIT, connecting).await? })
    }
}
