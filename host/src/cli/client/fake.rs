//! A gateway for tests: a real WebSocket server whose answers a test writes.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Target;

pub(in crate::cli) const TURN: &str = "01hzzzzzzzzzzzzzzzzz";
pub(in crate::cli) const SESSION: &str = "default:websocket:local:main";

/// One connection, from the gateway's side.
pub(in crate::cli) struct Peer(pub(in crate::cli) WebSocketStream<TcpStream>);

impl Peer {
    /// The next request, which must be of this method: its id and parameters.
    pub(in crate::cli) async fn expect(&mut self, method: &str) -> (Value, Value) {
        loop {
            let message = self.0.next().await.expect("a request").expect("a message");
            if let Message::Text(text) = message {
                let mut request: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!((request["jsonrpc"].as_str(), request["method"].as_str()), (Some("2.0"), Some(method)));
                return (request["id"].take(), request["params"].take());
            }
        }
    }

    pub(in crate::cli) async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("a client that listens");
    }

    pub(in crate::cli) async fn answer(&mut self, id: Value, result: Value) {
        self.send(json!({ "jsonrpc": "2.0", "id": id, "result": result })).await;
    }

    /// Accepts a message as the turn that events are of.
    pub(in crate::cli) async fn accept(&mut self) -> Value {
        let (id, params) = self.expect("chat.send").await;
        self.answer(id, json!({ "turn": TURN, "session": SESSION })).await;
        params
    }

    pub(in crate::cli) async fn event(&mut self, seq: u64, mut body: Value) {
        body["turn"] = TURN.into();
        body["session"] = SESSION.into();
        body["seq"] = seq.into();
        self.send(json!({ "jsonrpc": "2.0", "method": "chat.event", "params": body })).await;
    }

    pub(in crate::cli) async fn text(&mut self, seq: u64, offset: u64, delta: &str) {
        self.event(seq, json!({ "type": "text", "delta": delta, "step": 0, "offset": offset })).await;
    }

    pub(in crate::cli) async fn done(&mut self, seq: u64, reason: &str) {
        self.event(seq, json!({ "type": "done", "stop_reason": reason, "text": "" })).await;
    }
}

/// Listens on a free port. What `serve` returns is what the test then awaits.
pub(in crate::cli) async fn gateway<F, T>(serve: impl FnOnce(Door) -> F) -> (Target, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (Target::at(IpAddr::V4(Ipv4Addr::LOCALHOST), port), tokio::spawn(serve(Door(listener))))
}

/// Where clients come in.
pub(in crate::cli) struct Door(pub(in crate::cli) TcpListener);

impl Door {
    pub(in crate::cli) async fn next(&self) -> Peer {
        let (stream, _) = self.0.accept().await.expect("a client");
        Peer(tokio_tungstenite::accept_async(stream).await.expect("a handshake"))
    }
}
