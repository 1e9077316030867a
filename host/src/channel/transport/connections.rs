//! The connections of a channel, by their tags.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};

use super::outlet::{Content, FrameTicket, Out};
use super::talk::{Close, Ear, End, Ends, Heard, Talk, What};
use super::{ActionError, TransportLimits};
use crate::channel::outward::{Outward, Protocol};
use crate::config::Origin;
use crate::runtime::bindings::channel::{
    Closing, Connection, Disconnection, Event, OutboundFrame, TaggedFrame, TaggedOutboundFrame, TransportError,
};

pub(super) struct Connections {
    limits: TransportLimits,
    tasks: JoinSet<()>,
    /// By their tasks, for those that are lost.
    ids: HashMap<Id, (Arc<str>, u64)>,
    current: HashMap<Arc<str>, Current>,
    next_id: u64,
    heard: mpsc::Receiver<Heard>,
    hearing: mpsc::Sender<Heard>,
}

/// A connection that its channel knows of.
struct Current {
    id: u64,
    /// None: its address is none, as its channel will hear.
    place: Option<(Protocol, Origin)>,
    close_code: Option<u16>,
    outgoing: mpsc::Sender<Out>,
    closing: oneshot::Sender<Close>,
    overrun: Option<oneshot::Sender<()>>,
}

impl Current {
    /// Has it end when all that waits is written.
    fn let_go(self, close: Option<Close>) {
        let Self { outgoing, closing, overrun, .. } = self;
        if let Some(close) = close {
            // It may have ended by itself.
            let _ = closing.send(close);
        }
        drop((outgoing, overrun));
    }

    /// As the host ends a connection by itself.
    fn drop_by_host(self) {
        let close = self.close_code.map(|code| Close { code, reason: String::new() });
        self.let_go(close);
    }

    fn content(&self, out: &Outward, frame: &OutboundFrame) -> Result<Content, ActionError> {
        // What nobody will ever read is as good as sent: the channel hears at once why.
        let Some((protocol, origin)) = &self.place else { return Ok(Content::Binary(Vec::new())) };
        match (protocol, frame) {
            (Protocol::Http, _) => Err(ActionError::OneWay),
            (Protocol::WebSocket, OutboundFrame::Binary(bytes)) => Ok(Content::Binary(bytes.clone())),
            (Protocol::WebSocket, OutboundFrame::Text(pieces)) => Ok(Content::Text(out.text(pieces, origin)?)),
            (Protocol::Lines, OutboundFrame::Binary(_)) => Err(ActionError::NotALine),
            (Protocol::Lines, OutboundFrame::Text(pieces)) => {
                let line = out.text(pieces, origin)?;
                // The secrets in it count, too.
                match line.expose().contains(['\r', '\n', '\0']) {
                    true => Err(ActionError::NotALine),
                    false => Ok(Content::Text(line)),
                }
            }
        }
    }
}

impl Connections {
    pub(super) fn new(limits: TransportLimits) -> Self {
        let (hearing, heard) = mpsc::channel(limits.waiting);
        let (tasks, ids, current) = (JoinSet::new(), HashMap::new(), HashMap::new());
        Self { limits, tasks, ids, current, next_id: 0, heard, hearing }
    }

    pub(super) fn start(&mut self, out: &Arc<Outward>, connection: Connection) -> Result<(), ActionError> {
        let Connection { tag, url, headers, close_code } = connection;
        if let Some(old) = self.current.remove(tag.as_str()) {
            old.drop_by_host();
        }
        let limit = self.limits.connections;
        // Those that are still closing count, too, or a channel that reconnects at once had no bound.
        if self.current.len() >= limit || self.tasks.len() >= 2 * limit {
            return Err(ActionError::TooMany { what: "connections", limit });
        }
        let tag: Arc<str> = tag.into();
        let id = self.next_id;
        self.next_id += 1;
        let address = out.address(&url);
        let place = address.as_ref().ok().map(|address| (address.protocol, address.origin.clone()));
        let (outgoing, queue) = mpsc::channel(self.limits.outgoing);
        let (closing, to_close) = oneshot::channel();
        let (overrun, overran) = oneshot::channel();
        let talk = Talk {
            out: Arc::clone(out),
            limits: self.limits,
            address,
            headers,
            ear: Ear { id, tag: Arc::clone(&tag), heard: self.hearing.clone(), redactor: None },
            ends: Ends { outgoing: queue, closing: to_close, overrun: overran },
        };
        let task = self.tasks.spawn(talk.run());
        self.ids.insert(task.id(), (Arc::clone(&tag), id));
        self.current.insert(tag, Current { id, place, close_code, outgoing, closing, overrun: Some(overrun) });
        Ok(())
    }

    /// Sends a frame of the channel's own. Where too many wait, the connection is of no use any more.
    pub(super) fn send(&mut self, out: &Outward, send: &TaggedOutboundFrame) -> Result<(), ActionError> {
        let current = self.current.get_mut(send.tag.as_str());
        let current = current.ok_or_else(|| ActionError::NoConnection(crate::text::one_line(&send.tag, 64)))?;
        let content = current.content(out, &send.frame)?;
        if let Err(TrySendError::Full(_)) = current.outgoing.try_send(Out { content, written: None }) {
            // A stream with a hole in it is worse than none.
            if let Some(overrun) = current.overrun.take() {
                // It may have ended by itself.
                let _ = overrun.send(());
            }
        }
        // One that ended is heard of next.
        Ok(())
    }

    /// Sends a frame of a delivery's, which can wait.
    pub(super) fn deliver(&mut self, out: &Outward, frame: &TaggedOutboundFrame) -> Result<FrameTicket, ActionError> {
        let none = || ActionError::NoConnection(crate::text::one_line(&frame.tag, 64));
        let current = self.current.get(frame.tag.as_str()).filter(|current| current.place.is_some());
        let current = current.ok_or_else(none)?;
        let content = current.content(out, &frame.frame)?;
        let (written, ticket) = oneshot::channel::<Result<(), TransportError>>();
        match current.outgoing.try_send(Out { content, written: Some(written) }) {
            Ok(()) => Ok(FrameTicket(ticket)),
            Err(TrySendError::Full(_)) => Err(ActionError::Backlog),
            Err(TrySendError::Closed(_)) => Err(none()),
        }
    }

    pub(super) fn close(&mut self, closing: Closing) {
        if let Some(current) = self.current.remove(closing.tag.as_str()) {
            current.let_go(Some(Close { code: closing.code, reason: closing.reason }));
        }
    }

    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                Some(heard) = self.heard.recv() => {
                    if let Some(event) = self.event(heard) {
                        return event;
                    }
                }
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, lost) = match ended {
                        Ok((id, ())) => (id, false),
                        Err(lost) => {
                            tracing::error!(error = %lost, "a channel's connection was lost");
                            (lost.id(), true)
                        }
                    };
                    let Some((tag, number)) = self.ids.remove(&id) else { continue };
                    let what = What::Ended(End::of("the gateway lost the connection"));
                    if let Some(event) = lost.then(|| self.event(Heard { id: number, tag, what })).flatten() {
                        return event;
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// What the channel is told; nothing of a connection that it knows no more.
    fn event(&mut self, heard: Heard) -> Option<Event> {
        let Heard { id, tag, what } = heard;
        if self.current.get(&tag).is_none_or(|current| current.id != id) {
            return None;
        }
        let text = tag.to_string();
        Some(match what {
            What::Connected => Event::Connected(text),
            What::Frame(frame) => Event::Frame(TaggedFrame { tag: text, frame }),
            What::Ended(End { code, reason }) => {
                self.current.remove(&tag);
                Event::Disconnected(Disconnection { tag: text, code, reason })
            }
        })
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.heard.len()
    }

    pub(super) fn let_all_go(&mut self) {
        for (_, current) in self.current.drain() {
            current.drop_by_host();
        }
    }

    pub(super) async fn all_done(&mut self) {
        while !self.tasks.is_empty() {
            // Whoever waits to be heard is not, and ends.
            tokio::select! {
                _ = self.heard.recv() => {}
                _ = self.tasks.join_next() => {}
            }
        }
    }

    pub(super) async fn end(&mut self) {
        self.ids.clear();
        self.tasks.shutdown().await;
    }
}
