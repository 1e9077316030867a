//! A client: JSON-RPC over WebSocket, and raw frames for what no honest client sends.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::transcript::{Transcript, ends, kind};
use super::{Gateway, within};

/// A connection. It reads only when it is asked to.
pub(crate) struct Client {
    ws: WebSocketStream<TcpStream>,
    next_id: u64,
    /// Notifications that came while something else was waited for.
    inbox: VecDeque<Value>,
    /// Answers that came while another was waited for.
    answers: Vec<Value>,
}

/// How to connect.
#[derive(Debug, Default)]
pub(crate) struct Connect<'a> {
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Bytes that the client's kernel holds unread.
    pub(crate) receive_buffer: Option<u32>,
}

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) data: Value,
}

/// A turn that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) id: String,
    pub(crate) session: String,
}

impl Client {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        Self::try_connect(gateway.address(), Connect::default()).await.expect("the gateway takes an honest client")
    }

    /// Connects, or returns the status with which the gateway refuses.
    pub(crate) async fn try_connect(address: SocketAddr, how: Connect<'_>) -> Result<Self, u16> {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(size) = how.receive_buffer {
            socket.set_recv_buffer_size(size).expect("a buffer size");
        }
        let stream = within("a connection", socket.connect(address)).await.expect("a connection");
        stream.set_nodelay(true).expect("a live socket");
        let mut request = hyper::Request::get(format!("ws://{address}/ws"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if !how.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", address.to_string());
        }
        for (name, value) in how.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match within("an upgrade", upgrade).await {
            Ok((ws, _)) => Ok(Self { ws, next_id: 1, inbox: VecDeque::new(), answers: Vec::new() }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("no upgrade: {other}"),
        }
    }

    /// Calls a method and waits for its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    /// Sends a request, and returns its id.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send_text(request.to_string()).await;
        id
    }

    /// The answer to a request.
    pub(crate) async fn answer(&mut self, id: u64) -> Result<Value, RpcError> {
        loop {
            if let Some(index) = self.answers.iter().position(|answer| answer["id"] == id) {
                let mut answer = self.answers.swap_remove(index);
                return match answer.get_mut("error") {
                    Some(error) => Err(serde_json::from_value(error.take()).expect("an error of JSON-RPC")),
                    None => Ok(answer["result"].take()),
                };
            }
            self.sort_in().await;
        }
    }

    pub(crate) async fn ping(&mut self) {
        self.call("ping", json!({})).await.expect("a ping is answered");
    }

    /// Sends a message to the main session.
    pub(crate) async fn send_chat(&mut self, content: &str) -> Turn {
        self.chat(json!({"content": content})).await
    }

    /// Sends a message to the session of `peer`.
    pub(crate) async fn send_to(&mut self, peer: &str, content: &str) -> Turn {
        self.chat(json!({"content": content, "peer": peer})).await
    }

    pub(crate) async fn chat(&mut self, params: Value) -> Turn {
        Turn::new(&self.call("chat.send", params).await.expect("the message is accepted"))
    }

    /// Sends a message and reads its turn to the end.
    pub(crate) async fn ask(&mut self, content: &str) -> Transcript {
        let turn = self.send_chat(content).await;
        self.finish(&turn).await
    }

    /// Subscribes to a session, after a seq where one is given.
    pub(crate) async fn subscribe(&mut self, session: &str, after_seq: Option<u64>) -> Value {
        let mut params = json!({"session": session});
        if let Some(seq) = after_seq {
            params["after_seq"] = seq.into();
        }
        self.call("chat.subscribe", params).await.expect("a subscription")
    }

    /// The next event of a turn.
    pub(crate) async fn event(&mut self, turn: &Turn) -> Value {
        let of_turn = |note: &Value| note["method"] == "chat.event" && note["params"]["turn"] == turn.id.as_str();
        let event = self.notification(of_turn).await;
        assert_eq!(event["session"], turn.session.as_str());
        event
    }

    /// The events of a turn up to the first of a type.
    pub(crate) async fn until(&mut self, turn: &Turn, wanted: &str) -> Transcript {
        let mut events = Vec::new();
        loop {
            let event = self.event(turn).await;
            let found = kind(&event) == wanted;
            assert!(found || !ends(&event), "no {wanted} before {event}");
            events.push(event);
            if found {
                return Transcript(events);
            }
        }
    }

    /// The events of a turn, up to its one end.
    pub(crate) async fn finish(&mut self, turn: &Turn) -> Transcript {
        let mut events = Vec::new();
        loop {
            let event = self.event(turn).await;
            let last = ends(&event);
            events.push(event);
            if last {
                break;
            }
        }
        assert!(!self.inbox.iter().any(|note| note["params"]["turn"] == turn.id.as_str()), "events after the end");
        let transcript = Transcript(events);
        assert!(transcript.seqs().is_sorted_by(|one, two| one < two), "seqs do not rise: {:?}", transcript.seqs());
        transcript
    }

    /// The parameters of the next notification that `wanted` takes.
    pub(crate) async fn notification(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(index) = self.inbox.iter().position(&wanted) {
                let mut note = self.inbox.remove(index).expect("just found");
                return note["params"].take();
            }
            self.sort_in().await;
        }
    }

    /// The notifications that came so far and were not asked for.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &Value> {
        self.inbox.iter()
    }

    /// As [`Client::unread`], and forgets them.
    pub(crate) fn take_unread(&mut self) -> Vec<Value> {
        self.inbox.drain(..).collect()
    }

    async fn sort_in(&mut self) {
        let message: Value = serde_json::from_str(&self.text().await).expect("the gateway speaks JSON");
        if message.get("method").is_some() {
            assert!(message.get("id").is_none(), "the gateway sends no requests: {message}");
            self.inbox.push_back(message);
        } else {
            self.answers.push(message);
        }
    }

    /// The next text message, as it is.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.read().await {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no text message but {other:?}"),
            }
        }
    }

    async fn read(&mut self) -> Option<Result<Message, Error>> {
        within("a message of the gateway", self.ws.next()).await
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        let sent = self.ws.send(Message::text(text.into()));
        within("the gateway takes a message", sent).await.expect("an open connection");
    }

    /// Sends text and returns the gateway's next message, as it is.
    pub(crate) async fn exchange(&mut self, text: &str) -> String {
        self.send_text(text).await;
        self.text().await
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        within("the gateway takes a message", self.ws.send(message)).await.expect("an open connection");
    }

    /// Sends a text frame whose payload may be anything.
    pub(crate) async fn send_text_frame(&mut self, payload: &[u8]) {
        let frame = Frame::message(payload.to_vec(), OpCode::Data(Data::Text), true);
        self.send_message(Message::Frame(frame)).await;
    }

    /// Sends bytes past the WebSocket layer.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.ws.get_mut().write_all(bytes).await.expect("an open connection");
    }

    /// Reads up to the gateway's close frame; what comes before it is passed over.
    pub(crate) async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.read().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }
}

impl Turn {
    pub(crate) fn new(result: &Value) -> Self {
        let text = |key: &str| result[key].as_str().unwrap_or_else(|| panic!("`{key}` in {result}")).to_owned();
        Self { id: text("turn"), session: text("session") }
    }
}
