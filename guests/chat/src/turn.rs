//! One event on its way through a channel: the state that it changes, and what follows from it.

use exoclaw_guest::channel::{
    Action, Closing, Connection, Health, Message, Outbound, OutboundFrame, Received, TaggedOutboundFrame,
    TaggedRequest, Template, Timer, text,
};
use exoclaw_guest::{Error, Response, failed};
use serde::Serialize;

/// What becomes of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keep {
    Unchanged,
    Lazy,
    Durable,
}

/// An event is handled by changing this; [`done`](Self::done) makes of it what the host is told.
#[derive(Debug)]
pub struct Turn<S> {
    /// As the last event left it. Who changes it says so: [`lazy`](Self::lazy), [`durable`](Self::durable).
    pub state: S,
    keep: Keep,
    messages: Vec<Message>,
    actions: Vec<Action>,
    reply: Option<Response>,
}

impl<S> Turn<S> {
    /// Nothing follows yet.
    pub fn new(state: S) -> Self {
        Self { state, keep: Keep::Unchanged, messages: vec![], actions: vec![], reply: None }
    }

    /// The state changed, and a crash may bring back the one before.
    pub fn lazy(&mut self) {
        self.keep = self.keep.max(Keep::Lazy);
    }

    /// The state changed, and is stored before anything is done.
    pub fn durable(&mut self) {
        self.keep = Keep::Durable;
    }

    /// For the agent; stored together with the state.
    pub fn message(&mut self, message: Message) {
        self.messages.push(message);
        self.durable();
    }

    /// Sends a request, whose answer comes back under the tag.
    pub fn request(&mut self, tag: impl Into<String>, request: Outbound) {
        self.actions.push(Action::Request(TaggedRequest { tag: tag.into(), request }));
    }

    /// Connects, in place of what is connected under the tag.
    pub fn connect(&mut self, tag: &str, url: impl Into<String>, close_code: Option<u16>) {
        let connection = Connection { tag: tag.into(), url: text(url), headers: vec![], close_code };
        self.actions.push(Action::Connect(connection));
    }

    /// Ends a connection, of which nothing more is heard.
    pub fn disconnect(&mut self, tag: &str, code: u16, reason: &str) {
        let closing = Closing { tag: tag.into(), code, reason: reason.into() };
        self.actions.push(Action::Disconnect(closing));
    }

    /// Sends a WebSocket message.
    pub fn send(&mut self, tag: &str, template: Template) {
        let frame = TaggedOutboundFrame { tag: tag.into(), frame: OutboundFrame::Text(template) };
        self.actions.push(Action::Send(frame));
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// The value can't be written as JSON.
    pub fn send_json(&mut self, tag: &str, value: &impl Serialize) -> Result<(), Error> {
        self.send(tag, text(serde_json::to_string(value).map_err(failed)?));
        Ok(())
    }

    /// Wakes the channel under the tag, after so many milliseconds; at the earliest after ten.
    pub fn timer(&mut self, tag: &str, after_ms: u32) {
        self.actions.push(Action::SetTimer(Timer { tag: tag.into(), after_ms: after_ms.max(10) }));
    }

    /// Takes a timer back.
    pub fn cancel_timer(&mut self, tag: &str) {
        self.actions.push(Action::CancelTimer(tag.into()));
    }

    /// What the owner sees of the channel.
    pub fn report(&mut self, health: Health) {
        self.actions.push(Action::Report(health));
    }

    /// Answers the webhook's caller, once all is stored.
    pub fn reply(&mut self, response: Response) {
        self.reply = Some(response);
    }

    /// For the host.
    pub fn done(self) -> Received<S> {
        let Self { state, keep, messages, actions, reply } = self;
        let state = (keep != Keep::Unchanged).then_some(state);
        Received { state, lazy: keep == Keep::Lazy, messages, receipts: vec![], actions, reply }
    }
}
