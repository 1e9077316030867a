//! The channel as the host drives it: one event at a time, with nothing kept but the state.

mod delivery;
mod gateway;
mod incoming;

use exoclaw_guest::Response;
use exoclaw_guest::channel::{
    Action, Context, Disconnection, Event, Frame, Health, Message, NextState, OutboundFrame, TaggedFrame,
    TaggedResponse, glue,
};

use crate::Discord;
use crate::rest::tests::{joined, url};

/// A channel between events.
pub struct Life {
    pub state: Vec<u8>,
    pub random: u64,
    pub attempt: u32,
    /// What the last event left to be stored.
    pub stored: Stored,
    pub messages: Vec<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Nothing,
    Lazily,
    Durably,
}

impl Life {
    pub fn new() -> Self {
        Self { state: vec![], random: 500, attempt: 1, stored: Stored::Nothing, messages: vec![] }
    }

    /// One that is connected, has the session `abc`, and has seen `seq` 1.
    pub fn ready() -> Self {
        let mut life = Self::new();
        life.event(Event::Start(exoclaw_guest::channel::Start::New));
        life.asked(200, r#"{"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": {"total": 1000, "remaining": 999, "reset_after": 14400000, "max_concurrency": 1}}"#);
        life.event(Event::Connected("gateway".into()));
        life.frame(r#"{"op": 10, "d": {"heartbeat_interval": 41250}, "s": null, "t": null}"#);
        life.frame(
            r#"{"op": 0, "t": "READY", "s": 1, "d": {"v": 10, "session_id": "abc", "resume_gateway_url": "wss://gateway-us-east1-b.discord.gg", "user": {"id": "42", "username": "agent", "bot": true}, "guilds": [], "application": {"id": "42", "flags": 0}}}"#,
        );
        life
    }

    /// What follows, in words: `connect wss://…`, `timer heartbeat 1000`.
    pub fn event(&mut self, event: Event) -> Vec<String> {
        let context = Context {
            settings: "{}".into(),
            webhook_url: None,
            now: 1_773_497_366_000,
            random: self.random,
            attempt: self.attempt,
        };
        let incoming = glue::receive::<Discord>(&context, &self.state, event).unwrap();
        self.messages = incoming.messages;
        (self.state, self.stored) = match incoming.state {
            NextState::Unchanged => (std::mem::take(&mut self.state), Stored::Nothing),
            NextState::Lazy(state) => (state, Stored::Lazily),
            NextState::Durable(state) => (state, Stored::Durably),
        };
        incoming.actions.iter().map(words).collect()
    }

    pub fn frame(&mut self, text: &str) -> Vec<String> {
        self.event(Event::Frame(TaggedFrame { tag: "gateway".into(), frame: Frame::Text(text.into()) }))
    }

    pub fn asked(&mut self, status: u16, body: &str) -> Vec<String> {
        self.response("gateway-bot", status, body)
    }

    pub fn response(&mut self, tag: &str, status: u16, body: &str) -> Vec<String> {
        let response = Response { status, headers: vec![], body: body.into() };
        self.event(Event::Response(TaggedResponse { tag: tag.into(), outcome: Ok(response) }))
    }

    pub fn closed(&mut self, code: Option<u16>) -> Vec<String> {
        let reason = String::new();
        self.event(Event::Disconnected(Disconnection { tag: "gateway".into(), code, reason }))
    }

    pub fn timer(&mut self, tag: &str) -> Vec<String> {
        self.event(Event::Timer(tag.into()))
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Request(asked) => format!("{} {}", asked.request.method, url(&asked.request)),
        Action::CancelRequest(tag) => format!("cancel {tag}"),
        Action::Connect(connection) => {
            assert_eq!(connection.close_code, Some(4000), "the session must stay to be resumed");
            format!("connect {}", joined(&connection.url))
        }
        Action::Send(send) => match &send.frame {
            OutboundFrame::Text(template) => format!("send {}", joined(template)),
            OutboundFrame::Binary(_) => "send bytes".into(),
        },
        Action::Disconnect(closing) => format!("disconnect {}", closing.code),
        Action::SetTimer(timer) => format!("timer {} {}", timer.tag, timer.after_ms),
        Action::CancelTimer(tag) => format!("no timer {tag}"),
        Action::Report(Health::Connecting(_)) => "connecting".into(),
        Action::Report(Health::Ready) => "ready".into(),
        Action::Report(Health::Degraded(why)) => format!("degraded: {why}"),
        Action::Report(Health::Failed(why)) => format!("failed: {why}"),
    }
}
