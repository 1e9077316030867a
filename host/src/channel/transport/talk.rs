//! One connection's task: it connects, reads and writes at once, and says goodbye.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::TransportLimits;
use super::outlet::{Out, Wrote};
use super::{events, lines, websocket};
use crate::channel::outward::{Address, Outward, Protocol, Unsent};
use crate::runtime::bindings::channel::{Frame, Piece};
use crate::runtime::egress_secrets::Redactor;

/// What is redacted in one go, in bytes: some tenths of a millisecond.
const REDACTED_AT_ONCE: usize = 16 << 10;

/// The longest reason that a channel is told, in characters.
const MAX_REASON: usize = 500;

/// What a connection's task tells.
#[derive(Debug)]
pub(super) struct Heard {
    /// Which connection of its tag.
    pub(super) id: u64,
    pub(super) tag: Arc<str>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Connected,
    Frame(Frame),
    Ended(End),
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct End {
    /// What its peer closed a WebSocket with, or the status that it answered instead of opening one or
    /// a stream of events: the ones begin at 1000, the others end below.
    pub(super) code: Option<u16>,
    pub(super) reason: String,
}

impl End {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into() }
    }
}

/// With what a connection is closed.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
}

/// All that one connection's task works with.
pub(super) struct Talk {
    pub(super) out: Arc<Outward>,
    pub(super) limits: TransportLimits,
    pub(super) address: Result<Address, Unsent>,
    pub(super) headers: Vec<(String, Vec<Piece>)>,
    pub(super) ear: Ear,
    pub(super) ends: Ends,
}

/// Who listens to a connection.
pub(super) struct Ear {
    pub(super) id: u64,
    pub(super) tag: Arc<str>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) redactor: Option<Redactor>,
}

/// How a connection's owner holds it.
pub(super) struct Ends {
    pub(super) outgoing: mpsc::Receiver<Out>,
    /// Sent or dropped: the connection is to end when all is written.
    pub(super) closing: oneshot::Receiver<Close>,
    /// More was to be sent than may wait.
    pub(super) overrun: oneshot::Receiver<()>,
}

impl Talk {
    /// Runs until the connection has ended. Says so, unless its owner wanted it.
    pub(super) async fn run(mut self) {
        let address = match &self.address {
            Ok(address) => address.clone(),
            Err(error) => return self.ear.ended(End::of(error.to_string())).await,
        };
        self.ear.redactor = self.out.redactor(&address.origin);
        let end = match address.protocol {
            Protocol::WebSocket => websocket::talk(&mut self, &address).await,
            Protocol::Lines => lines::talk(&mut self, &address).await,
            Protocol::Http => events::talk(&mut self, &address).await,
        };
        if let Some(end) = end {
            self.ear.ended(end).await;
        }
    }
}

impl Ear {
    pub(super) async fn connected(&self) {
        self.hear(What::Connected).await;
    }

    /// Waits until the channel has room for a frame: meanwhile nothing more is read.
    pub(super) async fn frame(&self, frame: Frame) {
        self.hear(What::Frame(frame)).await;
    }

    pub(super) async fn ended(&self, end: End) {
        let reason = self.hide(&end.reason);
        let reason = crate::text::one_line(&reason, MAX_REASON);
        self.hear(What::Ended(End { code: end.code, reason })).await;
    }

    async fn hear(&self, what: What) {
        // Nobody listens any more: then the task ends soon, too.
        let _ = self.heard.send(Heard { id: self.id, tag: Arc::clone(&self.tag), what }).await;
    }

    /// A short text without secrets.
    pub(super) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redactor.as_ref().map_or(Cow::Borrowed(text), |redactor| redactor.text(text))
    }

    /// What came, without secrets, in pieces between which others run.
    pub(super) async fn hidden(&self, bytes: Bytes) -> Bytes {
        let Some(redactor) = &self.redactor else { return bytes };
        let mut stream = redactor.stream();
        let mut hidden = Vec::with_capacity(bytes.len());
        for piece in bytes.chunks(REDACTED_AT_ONCE) {
            hidden.extend_from_slice(&stream.push(piece));
            tokio::task::consume_budget().await;
        }
        hidden.extend_from_slice(&stream.finish());
        hidden.into()
    }

    /// The same of a text.
    pub(super) async fn hidden_text(&self, bytes: Bytes) -> String {
        let bytes = Vec::from(self.hidden(bytes).await);
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// How talking ended.
pub(super) enum Over {
    /// From the other side, or by a failure.
    Ended(End),
    /// From this side, after all was written: with this, or without a word.
    LetGo(Option<Close>),
}

impl Ends {
    /// Opens something, unless it is let go before it is open.
    pub(super) async fn unless_let_go<T>(&mut self, opening: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.closing => None,
            opened = opening => Some(opened),
        }
    }
}

/// Reads and writes at once, until one of both ends or the connection is let go.
pub(super) async fn both(
    closing: &mut oneshot::Receiver<Close>,
    overrun: &mut oneshot::Receiver<()>,
    limits: &TransportLimits,
    reading: impl Future<Output = End>,
    writing: impl Future<Output = Wrote>,
) -> Over {
    let mut close = None;
    let letting_go = async {
        close = Some((&mut *closing).await.ok());
        sleep(limits.closing).await;
    };
    let over = tokio::select! {
        biased;
        wrote = writing => match wrote {
            Wrote::All => None,
            Wrote::Failed(reason) => Some(reason.into()),
        },
        Ok(()) = overrun => Some(End::of("the platform took less than the channel had to send")),
        end = reading => Some(end),
        // What waits was not taken in time, and neither would a goodbye be.
        () = letting_go => return Over::LetGo(None),
    };
    match (over, close) {
        // Whatever happens after it was let go is of no interest.
        (Some(_), Some(_)) => Over::LetGo(None),
        (Some(end), None) => Over::Ended(end),
        (None, Some(close)) => Over::LetGo(close),
        (None, None) => Over::LetGo(closing.try_recv().ok()),
    }
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::of(reason)
    }
}

/// Does what may hang, for a while.
pub(super) async fn briefly(limits: &TransportLimits, work: impl Future) {
    // A goodbye that takes too long is none.
    let _ = timeout(limits.closing, work).await;
}
