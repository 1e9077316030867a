//! Requests, connections and timers of one channel, each under a tag that the channel chose.
//!
//! [`Transports::carry_out`] starts what an action asks for and never waits; [`Transports::next`]
//! gives what became of it, one event at a time. Of a tag that was replaced, cancelled or closed
//! nothing more is heard. Timers that are due go before everything that waits.
//!
//! All is bounded: how much is under way, how large a frame is, how many frames wait in either
//! direction. A connection whose frames nobody takes is not read from, so that its platform feels it.
//! Every task is owned here and ends with what owns it.

mod connections;
mod events;
mod lines;
mod outlet;
mod requests;
mod talk;
#[cfg(test)]
mod tests;
mod timers;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::outward::{Outward, Unsent};
use crate::runtime::bindings::channel::{Action, Event, TaggedOutboundFrame};

use connections::Connections;
pub(super) use outlet::FrameTicket;
use requests::Requests;
use timers::Timers;

/// The longest tag, in bytes.
const MAX_TAG: usize = 1 << 10;

/// What one channel may have under way, and how long its connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransportLimits {
    /// Connections at once. As many again may still be closing.
    pub(super) connections: usize,
    /// Requests at once.
    pub(super) requests: usize,
    /// Timers at once.
    pub(super) timers: usize,
    /// The largest frame, event or line from a platform, in bytes.
    pub(super) frame: usize,
    /// Frames that wait for the channel, over all connections, besides one for each of them.
    pub(super) waiting: usize,
    /// Frames that wait for one platform to take them.
    pub(super) outgoing: usize,
    /// Until the head of a stream of events or the answer to a WebSocket's handshake is there.
    pub(super) handshake: Duration,
    /// Between two pings over a WebSocket.
    pub(super) ping: Duration,
    /// How long a WebSocket may be silent, pongs included, before its peer is taken for dead.
    pub(super) dead: Duration,
    /// How long a stream of events may be silent.
    pub(super) idle: Duration,
    /// How long a platform may take to take a frame.
    pub(super) write: Duration,
    /// How long a connection that is to be closed may take to write what waits and say goodbye.
    pub(super) closing: Duration,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            connections: 16,
            requests: 64,
            timers: 64,
            frame: 1 << 20,
            waiting: 16,
            outgoing: 64,
            handshake: Duration::from_secs(20),
            // Common balancers cut what is silent for 60 s.
            ping: Duration::from_secs(20),
            // Two pings that were not answered, and some time on the way.
            dead: Duration::from_secs(50),
            // Services send a comment every 15 to 30 s, as the HTML standard advises (section 9.2.7).
            idle: Duration::from_secs(300),
            write: Duration::from_secs(30),
            closing: Duration::from_secs(5),
        }
    }
}

/// An action that could not be carried out. Nothing comes of it, and nothing is heard of it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ActionError {
    #[error("{limit} {what} are under way already, which is the most that a channel may have")]
    TooMany { what: &'static str, limit: usize },
    #[error("a tag is longer than {MAX_TAG} bytes")]
    Tag,
    #[error("there is no connection {0:?} to send a frame over")]
    NoConnection(String),
    #[error("a connection of server-sent events takes no frames")]
    OneWay,
    #[error("a line is text without CR, LF and NUL")]
    NotALine,
    #[error("too many frames wait for the platform to take them")]
    Backlog,
    #[error(transparent)]
    Frame(#[from] Unsent),
}

/// What one channel has under way.
pub(super) struct Transports {
    out: Arc<Outward>,
    timers: Timers,
    requests: Requests,
    connections: Connections,
}

impl Transports {
    /// Nothing is under way.
    pub(super) fn new(out: Arc<Outward>, limits: TransportLimits) -> Self {
        Self {
            out,
            timers: Timers::new(limits.timers),
            requests: Requests::new(limits.requests),
            connections: Connections::new(limits),
        }
    }

    /// From now on, requests and connections go out by this. What is under way is not touched, but for
    /// the secrets of frames to come.
    pub(super) fn replace_outward(&mut self, out: Arc<Outward>) {
        self.out = out;
    }

    /// Starts or ends what an action says. `report` is not for here and does nothing.
    ///
    /// # Errors
    /// See [`ActionError`].
    pub(super) fn carry_out(&mut self, action: Action) -> Result<(), ActionError> {
        match action {
            Action::Request(asked) => self.requests.start(&self.out, checked(asked.tag)?, asked.request),
            Action::CancelRequest(tag) => {
                self.requests.cancel(&tag);
                Ok(())
            }
            Action::Connect(mut connection) => {
                connection.tag = checked(connection.tag)?;
                self.connections.start(&self.out, connection)
            }
            Action::Send(send) => self.connections.send(&self.out, &send),
            Action::Disconnect(closing) => {
                self.connections.close(closing);
                Ok(())
            }
            Action::SetTimer(timer) => self.timers.set(checked(timer.tag)?, timer.after_ms),
            Action::CancelTimer(tag) => {
                self.timers.cancel(&tag);
                Ok(())
            }
            Action::Report(_) => Ok(()),
        }
    }

    /// Sends a delivery's frame over a connection of the channel's. What is returned tells when the
    /// frame was written.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(super) fn send_frame(&mut self, frame: &TaggedOutboundFrame) -> Result<FrameTicket, ActionError> {
        self.connections.deliver(&self.out, frame)
    }

    /// What happened next. Waits for ever where nothing is under way. Dropping it loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        let Self { timers, requests, connections, .. } = self;
        tokio::select! {
            biased;
            tag = timers.next() => Event::Timer(tag),
            // Among these, whoever is ready has the same chance.
            event = async {
                tokio::select! {
                    response = requests.next() => Event::Response(response),
                    event = connections.next() => event,
                }
            } => event,
        }
    }

    /// Ends the requests that are under way. Before a channel's last actions, it lets those be told
    /// from what only waits, so that [`close`](Self::close) waits for them alone.
    pub(super) fn cancel_requests(&mut self) {
        self.requests.clear();
    }

    /// Ends everything: connections by their close codes, after what waits to be sent; requests when
    /// they are answered. What is not done `within` is dropped. Nothing is heard of any of it.
    pub(super) async fn close(&mut self, within: Duration) {
        self.timers.clear();
        self.connections.let_all_go();
        let ending = async {
            tokio::join!(self.requests.all_done(), self.connections.all_done());
        };
        // What is late is dropped below.
        let _ = timeout(within, ending).await;
        tokio::join!(self.requests.end(), self.connections.end());
    }
}

#[cfg(test)]
impl Transports {
    /// Frames that wait to be heard.
    fn connections_waiting(&self) -> usize {
        self.connections.waiting()
    }
}

fn checked(tag: String) -> Result<String, ActionError> {
    if tag.len() > MAX_TAG { Err(ActionError::Tag) } else { Ok(tag) }
}
