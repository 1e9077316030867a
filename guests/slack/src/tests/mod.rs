//! The channel as the host drives it: one event at a time, with nothing kept but the state.

mod delivery;
mod incoming;
mod socket;

use exoclaw_guest::channel::{
    Action, Context, Disconnection, Event, Frame, Health, Message, NextState, Outbound, OutboundFrame, Piece, Start,
    TaggedFrame, TaggedResponse, glue,
};
use exoclaw_guest::{Error, Header, Request, Response};

use crate::Slack;

/// A channel between events.
pub struct Life {
    pub settings: &'static str,
    pub state: Vec<u8>,
    pub attempt: u32,
    pub messages: Vec<Message>,
    pub reply: Option<Response>,
}

impl Life {
    pub fn new() -> Self {
        Self { settings: "{}", state: vec![], attempt: 1, messages: vec![], reply: None }
    }

    /// One that knows who it is, on the connection `socket-odd`.
    pub fn up() -> Self {
        let mut life = Self::new();
        life.event(Event::Start(Start::New));
        life.answer("auth", r#"{"ok": true, "user_id": "U0AGENT", "bot_id": "B0AGENT"}"#);
        life.answer("open", OPENED);
        life.event(Event::Connected("socket-odd".into()));
        assert_eq!(life.frame("socket-odd", HELLO), ["no timer hello", "ready"]);
        life
    }

    pub fn try_event(&mut self, event: Event) -> Result<Vec<String>, Error> {
        let context = Context {
            settings: self.settings.into(),
            webhook_url: None,
            now: 1_773_497_366_000,
            random: 0,
            attempt: self.attempt,
        };
        let incoming = glue::receive::<Slack>(&context, &self.state, event)?;
        self.messages = incoming.messages;
        self.reply = incoming.reply;
        if let NextState::Lazy(state) | NextState::Durable(state) = incoming.state {
            self.state = state;
        }
        Ok(incoming.actions.iter().map(words).collect())
    }

    /// What follows, in words: `connect wss://…`, `timer again 1000`.
    pub fn event(&mut self, event: Event) -> Vec<String> {
        self.try_event(event).unwrap()
    }

    pub fn frame(&mut self, tag: &str, text: &str) -> Vec<String> {
        self.event(Event::Frame(TaggedFrame { tag: tag.into(), frame: Frame::Text(text.into()) }))
    }

    pub fn answer(&mut self, tag: &str, body: &str) -> Vec<String> {
        let response = Response { status: 200, headers: vec![], body: body.into() };
        self.event(Event::Response(TaggedResponse { tag: tag.into(), outcome: Ok(response) }))
    }

    pub fn closed(&mut self, tag: &str) -> Vec<String> {
        let (code, reason) = (Some(1006), "reset".into());
        self.event(Event::Disconnected(Disconnection { tag: tag.into(), code, reason }))
    }

    pub fn post(&mut self, mime: &str, body: &str) -> Result<Vec<String>, Error> {
        let headers = vec![Header { name: "Content-Type".into(), value: mime.into() }];
        self.try_event(Event::Webhook(Request { method: "POST".into(), url: "/".into(), headers, body: body.into() }))
    }
}

pub const OPENED: &str = r#"{"ok": true, "url": "wss://wss-primary.slack.com/link/?ticket=1&app_id=2"}"#;
pub const HELLO: &str = r#"{"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}"#;

/// A template's text, with the names of secrets in braces.
pub fn joined(template: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(name) => format!("{{{name}}}"),
    };
    template.iter().map(piece).collect()
}

/// A request in words, with the secret that it carries.
pub fn request(request: &Outbound) -> String {
    let secret = request.headers.iter().find(|(name, _)| name == "authorization");
    let secret = secret.map(|(_, value)| format!(" {}", joined(value))).unwrap_or_default();
    format!("{} {}{secret}", request.method, joined(&request.url))
}

fn words(action: &Action) -> String {
    match action {
        Action::Request(asked) => request(&asked.request),
        Action::CancelRequest(tag) => format!("cancel {tag}"),
        Action::Connect(connection) => format!("connect {} {}", connection.tag, joined(&connection.url)),
        Action::Send(send) => match &send.frame {
            OutboundFrame::Text(template) => format!("send {} {}", send.tag, joined(template)),
            OutboundFrame::Binary(_) => "send bytes".into(),
        },
        Action::Disconnect(closing) => format!("disconnect {}", closing.tag),
        Action::SetTimer(timer) => format!("timer {} {}", timer.tag, timer.after_ms),
        Action::CancelTimer(tag) => format!("no timer {tag}"),
        Action::Report(Health::Connecting(_)) => "connecting".into(),
        Action::Report(Health::Ready) => "ready".into(),
        Action::Report(Health::Degraded(why)) => format!("degraded: {why}"),
        Action::Report(Health::Failed(why)) => format!("failed: {why}"),
    }
}
