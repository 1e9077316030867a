//! A client of a running gateway: JSON-RPC 2.0 over one WebSocket.

mod error;
mod target;
mod wire;

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Message};

pub use error::ClientError;
pub use target::Target;
pub use wire::{Incoming, Notification, RpcError};

/// How long a connection and its handshake may take, each.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. A turn's is its acceptance, not its end.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a frame may take to be sent.
const WRITE: Duration = Duration::from_secs(10);
/// After so long a silence the gateway is pinged.
const PING: Duration = Duration::from_secs(20);
/// After so long a silence it is given up.
const SILENCE: Duration = Duration::from_secs(40);
/// Notifications that may come before an answer.
const BACKLOG: usize = 4096;

/// A connection.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
    /// Came while an answer was awaited.
    backlog: VecDeque<Notification>,
    /// When the gateway was last heard.
    heard: Instant,
    pinged: bool,
}

impl Client {
    /// Connects, with the target's token.
    ///
    /// # Errors
    /// Nobody answers there within 5 s, it is no gateway, or it refuses.
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: target.shown().to_owned(), source };
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let stream = timeout(CONNECT, TcpStream::connect((target.host(), target.port()))).await;
        let stream = stream.map_err(|_| late()).flatten().map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;

        let mut request = target.url().into_client_request().map_err(|error| error::handshake(target, error))?;
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(concat!("exoclaw/", env!("CARGO_PKG_VERSION"))));
        if let Some(token) = target.token() {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let handshake = timeout(CONNECT, tokio_tungstenite::client_async(request, stream)).await;
        let (socket, _) =
            handshake.map_err(|_| unreachable(late()))?.map_err(|error| error::handshake(target, error))?;
        Ok(Self { socket, next_id: 1, backlog: VecDeque::new(), heard: Instant::now(), pinged: false })
    }

    /// Sends a request and returns its id; the answer comes by [`Client::next`].
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, method: &str, params: &Value) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(Message::text(wire::request(id, method, params))).await?;
        Ok(id)
    }

    /// Asks, and waits for the answer. Notifications that come before it wait for
    /// [`Client::next`].
    ///
    /// # Errors
    /// The gateway answers with an error, or not within 30 s, or the connection is lost.
    pub async fn call(&mut self, method: &str, params: &Value) -> Result<Box<RawValue>, ClientError> {
        self.call_within(ANSWER, method, params).await
    }

    /// Asks, and waits for the answer for as long as that.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub async fn call_within(
        &mut self,
        patience: Duration,
        method: &str,
        params: &Value,
    ) -> Result<Box<RawValue>, ClientError> {
        let asked = self.send(method, params).await?;
        let deadline = Instant::now() + patience;
        loop {
            let incoming = timeout_at(deadline, self.receive()).await;
            match incoming.map_err(|_| ClientError::Late { method: method.to_owned() })?? {
                Incoming::Answer { id, outcome } if id == Some(asked) => return outcome.map_err(ClientError::Rpc),
                // A request that nobody waits for any more, or one that could not be read.
                Incoming::Answer { .. } => {}
                Incoming::Notification(_) if self.backlog.len() == BACKLOG => return Err(ClientError::Flooded),
                Incoming::Notification(notification) => self.backlog.push_back(notification),
            }
        }
    }

    /// The next answer or notification. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// The connection is lost, or the gateway has been silent for 40 s.
    pub async fn next(&mut self) -> Result<Incoming, ClientError> {
        match self.backlog.pop_front() {
            Some(notification) => Ok(Incoming::Notification(notification)),
            None => self.receive().await,
        }
    }

    /// Says goodbye, if the gateway listens.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }

    async fn receive(&mut self) -> Result<Incoming, ClientError> {
        loop {
            let silence = if self.pinged { SILENCE } else { PING };
            let Ok(message) = timeout_at(self.heard + silence, self.socket.next()).await else {
                if self.pinged {
                    return Err(ClientError::Silent);
                }
                self.write(Message::Ping(Bytes::new())).await?;
                self.pinged = true;
                continue;
            };
            let message = message.ok_or_else(ClientError::closed)?.map_err(ClientError::lost)?;
            self.heard = Instant::now();
            self.pinged = false;
            match message {
                Message::Text(text) => return wire::incoming(&text),
                Message::Close(frame) => return Err(ClientError::closed_with(frame.as_ref())),
                // The library answers pings by itself.
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), ClientError> {
        timeout(WRITE, self.socket.send(message)).await.map_err(|_| ClientError::Silent)?.map_err(ClientError::lost)
    }
}
