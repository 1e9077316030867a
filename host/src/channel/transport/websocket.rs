//! WebSocket messages (RFC 6455).

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::http::request;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::TransportLimits;
use super::outlet::{Content, Outlet, write};
use super::talk::{Close, Ear, End, Over, Talk, both, briefly};
use crate::channel::outward::Address;
use crate::net::Stream;
use crate::runtime::bindings::channel::Frame;

/// What is read ahead, in bytes; it is held as long as the connection lives.
const READ_BUFFER: usize = 16 << 10;

/// The longest reason of a close, in bytes: a control frame has 125, two of which are the code (RFC
/// 6455, section 5.5).
const MAX_REASON: usize = 123;

type Socket = WebSocketStream<Stream>;

/// Why nothing more is read, and what the peer is told of it.
struct Stopped {
    end: End,
    farewell: Option<CloseCode>,
}

pub(super) async fn talk(talk: &mut Talk, address: &Address) -> Option<End> {
    let Talk { out, limits, headers, ear, ends, .. } = talk;
    let opening = async {
        let (stream, head) = out.open(address, headers).await.map_err(|error| End::of(error.to_string()))?;
        let shaking = timeout(limits.handshake, shake_hands(stream, head, limits)).await;
        shaking.unwrap_or_else(|_| Err(End::of("the platform did not answer the WebSocket's handshake")))
    };
    let socket = match ends.unless_let_go(opening).await? {
        Ok(socket) => socket,
        Err(end) => return Some(end),
    };
    ear.connected().await;
    let (sink, mut stream) = socket.split();
    let mut outlet = SocketOutlet(sink);
    let mut farewell = None;
    let reading = async {
        let stopped = read(&mut stream, limits, ear).await;
        farewell = stopped.farewell;
        stopped.end
    };
    let writing = write(&mut outlet, &mut ends.outgoing, Some(limits.ping), limits.write);
    match both(&mut ends.closing, &mut ends.overrun, limits, reading, writing).await {
        Over::Ended(end) => {
            if let Some(code) = farewell {
                briefly(limits, outlet.0.send(Message::Close(Some(CloseFrame { code, reason: "".into() })))).await;
            }
            Some(end)
        }
        Over::LetGo(Some(close)) => {
            let goodbye = async {
                if outlet.0.send(Message::Close(close_frame(close))).await.is_ok() {
                    // Until the peer has said the same.
                    while stream.next().await.is_some_and(|message| message.is_ok_and(|message| !message.is_close())) {}
                }
            };
            briefly(limits, goodbye).await;
            None
        }
        Over::LetGo(None) => None,
    }
}

async fn shake_hands(stream: Stream, head: request::Parts, limits: &TransportLimits) -> Result<Socket, End> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each frame is waited for.
        .write_buffer_size(0)
        .max_message_size(Some(limits.frame))
        .max_frame_size(Some(limits.frame));
    let mut request = head.uri.into_client_request().map_err(|error| lost(&error).end)?;
    request.headers_mut().extend(head.headers);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let code = response.status().as_u16();
            Err(End {
                code: Some(code),
                reason: format!("the platform answered {code} instead of opening a WebSocket"),
            })
        }
        Err(error) => Err(lost(&error).end),
    }
}

/// Reads until the other side ends, or is dead.
async fn read(stream: &mut SplitStream<Socket>, limits: &TransportLimits, ear: &Ear) -> Stopped {
    loop {
        // Time in which the channel takes no frames is not the platform's silence.
        let message = match timeout(limits.dead, stream.next()).await {
            Err(_) => {
                return End::of(format!("nothing came for {:?}, not even an answer to a ping", limits.dead)).into();
            }
            Ok(None) => return End::of("the platform hung up").into(),
            Ok(Some(Err(error))) => return lost(&error),
            Ok(Some(Ok(message))) => message,
        };
        let frame = match message {
            Message::Text(text) => Frame::Text(ear.hidden_text(text.into()).await),
            Message::Binary(bytes) => Frame::Binary(ear.hidden(bytes).await.into()),
            Message::Close(frame) => {
                // A look writes the answer to it; that the peer then hangs up is not waited for.
                let _ = stream.next().now_or_never();
                return closed(frame).into();
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        ear.frame(frame).await;
    }
}

fn closed(frame: Option<CloseFrame>) -> End {
    match frame {
        Some(CloseFrame { code, reason }) => End { code: Some(code.into()), reason: reason.as_str().to_owned() },
        None => End::of("the platform closed the WebSocket without a code"),
    }
}

/// What a failure means to the channel, and to the peer.
fn lost(error: &Error) -> Stopped {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    let (reason, farewell) = match error {
        Error::Capacity(_) => {
            ("a message of the platform's is larger than it may be".to_owned(), Some(CloseCode::Size))
        }
        Error::Utf8(_) => ("a text of the platform's is not UTF-8".to_owned(), Some(CloseCode::Invalid)),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed => {
            ("the platform hung up".to_owned(), None)
        }
        Error::Io(error) => (format!("the connection broke: {error}"), None),
        Error::Protocol(error) => {
            (format!("what the platform speaks is no WebSocket: {error}"), Some(CloseCode::Protocol))
        }
        error => (error.to_string(), None),
    };
    Stopped { end: End::of(reason), farewell }
}

impl From<End> for Stopped {
    fn from(end: End) -> Self {
        Self { end, farewell: None }
    }
}

/// A close that may be written; nothing where its code may not be (RFC 6455, section 7.4).
fn close_frame(close: Close) -> Option<CloseFrame> {
    let code = CloseCode::from(close.code);
    let mut reason = close.reason;
    let end = (0..=MAX_REASON.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    code.is_allowed().then(|| CloseFrame { code, reason: reason.into() })
}

struct SocketOutlet(SplitSink<Socket, Message>);

impl Outlet for SocketOutlet {
    async fn put(&mut self, content: Content) -> Result<(), String> {
        let message = match content {
            Content::Text(text) => Message::text(text.expose()),
            Content::Binary(bytes) => Message::binary(bytes),
        };
        self.0.send(message).await.map_err(|error| lost(&error).end.reason)
    }

    async fn ping(&mut self) -> Result<(), String> {
        self.0.send(Message::Ping(Bytes::new())).await.map_err(|error| lost(&error).end.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_has_a_code_that_may_be_sent_and_a_reason_that_fits() {
        let frame = |code, reason: &str| close_frame(Close { code, reason: reason.into() });
        for code in [1000, 1001, 3000, 4000, 4999] {
            assert_eq!(frame(code, "bye").map(|frame| u16::from(frame.code)), Some(code));
        }
        for code in [0, 999, 1005, 1006, 1015, 5000] {
            assert!(frame(code, "bye").is_none(), "{code}");
        }
        let long = format!("{}\u{1f980}", "x".repeat(122));
        assert_eq!(frame(1000, &long).unwrap().reason.as_str(), "x".repeat(122));
    }
}
