//! A client's connection that may break at any moment.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::within;

/// The gateway is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A refusal, as JSON-RPC has it: `code`, `message`.
pub(crate) type Refusal = Value;

/// A connection.
pub(crate) struct Link {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    /// Notifications that came while an answer was waited for.
    notes: VecDeque<Value>,
}

impl Link {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Gone> {
        let connecting = tokio_tungstenite::connect_async_with_config(format!("ws://{address}/ws"), None, true);
        let (ws, _) = within("a connection, or none", connecting).await.map_err(|_| Gone)?;
        Ok(Self { ws, next_id: 1, notes: VecDeque::new() })
    }

    /// Calls a method and waits for its answer, which may be a refusal.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Result<Value, Refusal>, Gone> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let sent = self.ws.send(Message::text(request.to_string()));
        within("the gateway takes a message", sent).await.map_err(|_| Gone)?;
        loop {
            let mut message = within(&format!("an answer to {method}"), self.read()).await?;
            if message.get("method").is_some() {
                self.notes.push_back(message);
                continue;
            }
            assert_eq!(message["id"], id, "an answer to no question: {message}");
            return Ok(match message.get_mut("error") {
                Some(refusal) => Err(refusal.take()),
                None => Ok(message["result"].take()),
            });
        }
    }

    /// As [`Link::call`], where a refusal is a fault.
    pub(crate) async fn must(&mut self, method: &str, params: Value) -> Result<Value, Gone> {
        let answer = self.call(method, params.clone()).await?;
        Ok(answer.unwrap_or_else(|refusal| panic!("{method} {params} was refused: {refusal}")))
    }

    /// Shows a session's events after a seq.
    pub(crate) async fn subscribe(&mut self, session: &str, after: u64) -> Result<(), Gone> {
        self.must("chat.subscribe", json!({"session": session, "after_seq": after})).await.map(|_| ())
    }

    /// The next notification. May be dropped at any time, and loses none.
    pub(crate) async fn note(&mut self) -> Result<Value, Gone> {
        match self.notes.pop_front() {
            Some(note) => Ok(note),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Value, Gone> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("the gateway speaks JSON"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(Gone),
            }
        }
    }
}
