//! A WebSocket over a TCP stream, polled by the one task that owns it.
//!
//! tungstenite does the protocol. tokio-tungstenite would add two shared wakers for a reader and a
//! writer in different tasks, and hides [`WebSocketContext::set_config`], by which a client that
//! has not authenticated is held to small messages.
//!
//! [`WebSocketContext::set_config`]: tungstenite::protocol::WebSocketContext::set_config

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes, WebSocket};

/// Allocated for as long as the connection lives, and the larger part of what an idle one costs.
const READ_BUFFER: usize = 4 << 10;

/// What is gathered before it is written without having been asked for.
const WRITE_BUFFER: usize = 16 << 10;

/// How long a client may take to answer a close and hang up.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection's socket.
pub(super) struct Socket {
    inner: WebSocket<Stream>,
    output: Output,
}

/// What has become of everything that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// The system has it.
    Flushed,
    /// Some of it waits for a flush.
    Buffered,
    /// The client does not take it: nothing may be added.
    Blocked,
}

/// What a client sent.
#[derive(Debug)]
pub(super) enum Received {
    /// A whole text.
    Text(Utf8Bytes),
    /// A ping or a pong: a sign of life.
    Sign,
}

/// Why nothing more comes from a client.
#[derive(Debug)]
pub(super) enum Lost {
    /// It said so.
    Closed,
    /// The connection broke.
    Gone,
    /// It broke the protocol's rules, or ours.
    Violation(CloseCode, &'static str),
}

impl Socket {
    /// Takes over a connection after its handshake, with what was already read of it. Messages
    /// larger than `max_message` bytes end it.
    pub(super) fn new(stream: TcpStream, read: &[u8], max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let stream = Stream { tcp: stream, waker: Waker::noop().clone(), written: 0 };
        let inner = WebSocket::from_partially_read(stream, read.to_vec(), Role::Server, Some(config));
        Self { inner, output: Output::Flushed }
    }

    /// From now on, messages of up to so many bytes.
    pub(super) fn set_max_message(&mut self, bytes: usize) {
        self.inner.set_config(|config| {
            config.max_message_size = Some(bytes);
            config.max_frame_size = Some(bytes);
        });
    }

    /// Whether the client takes nothing at present. Neither read nor write then.
    pub(super) fn is_blocked(&self) -> bool {
        self.output == Output::Blocked
    }

    /// Bytes that the system has taken so far.
    pub(super) fn written(&self) -> u64 {
        self.inner.get_ref().written
    }

    /// The next message. After an error, only [`Socket::end`] may follow.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Lost>> {
        self.inner.get_mut().wake_with(cx);
        let message = match self.inner.read() {
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            result => result.map_err(|error| lost(&error))?,
        };
        Poll::Ready(match message {
            Message::Text(text) => Ok(Received::Text(text)),
            Message::Ping(_) => {
                // The answer goes out before another ping is read: whoever sends pings and reads
                // nothing would grow the buffer with answers.
                self.output = Output::Blocked;
                match self.poll_flush(cx) {
                    Poll::Ready(Err(lost)) => Err(lost),
                    Poll::Ready(Ok(())) | Poll::Pending => Ok(Received::Sign),
                }
            }
            Message::Pong(_) => Ok(Received::Sign),
            Message::Close(_) => Err(Lost::Closed),
            Message::Binary(_) | Message::Frame(_) => {
                Err(Lost::Violation(CloseCode::Unsupported, "only text messages are understood"))
            }
        })
    }

    /// Adds a text to what goes out. Only while not blocked.
    pub(super) fn send(&mut self, text: String) -> Result<(), Lost> {
        self.write(Message::Text(text.into()))
    }

    /// Asks for a sign of life. Only while not blocked.
    pub(super) fn ping(&mut self) -> Result<(), Lost> {
        self.write(Message::Ping(Bytes::new()))
    }

    fn write(&mut self, message: Message) -> Result<(), Lost> {
        match self.inner.write(message) {
            Ok(()) => self.output = Output::Buffered,
            // The message is in the buffer.
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.output = Output::Blocked;
            }
            Err(error) => return Err(lost(&error)),
        }
        Ok(())
    }

    /// Hands everything to the system.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.output == Output::Flushed {
            return Poll::Ready(Ok(()));
        }
        self.inner.get_mut().wake_with(cx);
        match self.inner.flush() {
            Ok(()) => {
                self.output = Output::Flushed;
                Poll::Ready(Ok(()))
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.output = Output::Blocked;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(lost(&error))),
        }
    }

    /// Closes, for the client's reason or with ours, within [`CLOSE_TIMEOUT`].
    pub(super) async fn end(mut self, reason: Option<(CloseCode, &'static str)>) {
        let end = async {
            if let Some((code, reason)) = reason {
                // The frame is in the buffer even where this says that it would block.
                let _ = self.inner.close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
            }
            self.output = Output::Buffered;
            let _ = poll_fn(|cx| self.poll_flush(cx)).await;
            linger(&mut self.inner.get_mut().tcp).await;
        };
        let _ = timeout(CLOSE_TIMEOUT, end).await;
    }
}

/// Hangs up, then takes what the other side still sends until it hangs up too: closing with
/// unread input resets the connection, and the other side may lose what it was last told.
pub(super) async fn linger(stream: &mut TcpStream) {
    if stream.shutdown().await.is_ok() {
        // On the heap: an array would count for every idle connection's task.
        let mut waste = vec![0; 4 << 10];
        while matches!(stream.read(&mut waste).await, Ok(1..)) {}
    }
}

fn lost(error: &tungstenite::Error) -> Lost {
    use tungstenite::Error;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Lost::Closed,
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Lost::Violation(CloseCode::Size, "the message is too large")
        }
        Error::Utf8(_) => Lost::Violation(CloseCode::Invalid, "the text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => Lost::Gone,
        _ => Lost::Violation(CloseCode::Protocol, "a frame broke the WebSocket protocol"),
    }
}

/// A TCP stream as tungstenite wants it: what would wait is an error, and wakes the task later.
struct Stream {
    tcp: TcpStream,
    waker: Waker,
    written: u64,
}

impl Stream {
    fn wake_with(&mut self, cx: &Context<'_>) {
        self.waker.clone_from(cx.waker());
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.tcp).poll_read(&mut cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        let written = now(Pin::new(&mut self.tcp).poll_write(&mut cx, bytes))?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.tcp).poll_flush(&mut cx))
    }
}
