//! Opening one connection for the pool: a permit, the policy, TCP, TLS.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::client::Policy;
use super::dial::dial;
use super::error::Fault;
use super::resolve::Resolve;
use super::socket::Socket;
use crate::config::{Origin, Scheme};
use crate::net::TimeoutPhase;
use crate::net::trust::Trust;

/// How long any connection may take. Requests have deadlines of their own; this one ends the
/// attempts that they left behind.
pub(super) const MAX_CONNECT: Duration = Duration::from_secs(10);

/// The connector below one client's pool.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) policy: Policy,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) trust: Arc<Trust>,
    pub(super) connections: Arc<Semaphore>,
}

type Stream = MaybeHttpsStream<TokioIo<Socket>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Fault>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let late = Fault::Timeout { phase: TimeoutPhase::Connect, after: MAX_CONNECT };
            tokio::time::timeout(MAX_CONNECT, connector.connect(target)).await.unwrap_or(Err(late))
        })
    }
}

impl Connector {
    async fn connect(self, target: Uri) -> Result<Stream, Fault> {
        let origin = Origin::of(&target).ok_or(Fault::NotGranted)?;
        let scope = (self.policy)(&origin).ok_or(Fault::NotGranted)?;
        let permit = self.connections.acquire_owned().await.map_err(|_| Fault::Busy)?;
        let stream = dial(&origin, scope, &*self.resolver).await?;
        let socket = TokioIo::new(Socket::new(stream, permit));
        match origin.scheme {
            Scheme::Http => Ok(MaybeHttpsStream::Http(socket)),
            Scheme::Tls | Scheme::Tcp => Err(Fault::NotGranted),
            Scheme::Https => {
                let config = self.trust.config().await.map_err(Fault::Trust)?;
                let mut tls = HttpsConnector::from((Connected(Some(socket)), config));
                tls.call(target).await.map_err(|error| Fault::of_tls(&*error))
            }
        }
    }
}

/// A connection that is there, for [`HttpsConnector`], which asks for one.
struct Connected(Option<TokioIo<Socket>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Socket>;
    type Error = Fault;
    type Future = std::future::Ready<Result<TokioIo<Socket>, Fault>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or(Fault::Busy))
    }
}
