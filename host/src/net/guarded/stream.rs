//! A connection outside of the pool, for what is no exchange of requests: WebSockets, lines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::GuardedClient;
use super::connect::MAX_CONNECT;
use super::dial::dial;
use super::error::{Fault, OutError};
use super::socket::Socket;
use crate::config::{Host, Origin};
use crate::net::TimeoutPhase;

/// What is spoken over a connection, as TLS is told (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, which a WebSocket begins with (RFC 6455, section 1.2).
    Http1,
    /// A protocol that has no name there.
    Other,
}

/// A connection that is its holder's alone. It counts against its client's, and ends when it is
/// dropped.
#[derive(Debug)]
pub struct Stream(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl GuardedClient {
    /// Connects to an origin: name, TCP and, where its scheme says so, TLS. It takes 10 s at most.
    ///
    /// # Errors
    /// See [`Fault`]; nothing was said to the peer.
    pub async fn connect(&self, origin: &Origin, spoken: Spoken, within: Duration) -> Result<Stream, OutError> {
        let within = within.min(MAX_CONNECT);
        // Idle connections make room.
        drop(self.pool());
        let connected = tokio::time::timeout(within, self.open(origin, spoken)).await;
        connected
            .unwrap_or(Err(match self.connector.connections.available_permits() {
                0 => Fault::Busy,
                _ => Fault::Timeout { phase: TimeoutPhase::Connect, after: within },
            }))
            .map_err(|fault| OutError { origin: origin.clone(), fault })
    }

    async fn open(&self, origin: &Origin, spoken: Spoken) -> Result<Stream, Fault> {
        let connector = &self.connector;
        let scope = (connector.policy)(origin).ok_or(Fault::NotGranted)?;
        let permit = connector.connections.clone().acquire_owned().await.map_err(|_| Fault::Busy)?;
        let stream = dial(origin, scope, &*connector.resolver).await?;
        let socket = Socket::new(stream, permit);
        if !origin.scheme.is_encrypted() {
            return Ok(Stream(Inner::Plain(socket)));
        }
        let mut config = (*connector.trust.config().await.map_err(Fault::Trust)?).clone();
        config.alpn_protocols = match spoken {
            Spoken::Http1 => vec![b"http/1.1".to_vec()],
            Spoken::Other => Vec::new(),
        };
        let name = match &origin.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| Fault::Tls("no name of a server".into()))?
            }
        };
        let connecting = TlsConnector::from(std::sync::Arc::new(config)).connect(name, socket);
        let stream = connecting.await.map_err(|error| Fault::of_tls(&error))?;
        Ok(Stream(Inner::Tls(Box::new(stream))))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Inner::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Inner::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
