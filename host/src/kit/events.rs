//! Events of a channel as JSON, so that an author can record what a platform really sends.
//!
//! A list, each event named as in `wit/channel.wit`:
//!
//! ```json
//! [
//!   { "start": "new" },
//!   { "connected": "gateway" },
//!   { "frame": { "tag": "gateway", "text": { "op": 10 } } },
//!   { "webhook": { "method": "POST", "url": "https://host.example/", "headers": {}, "body": { "id": 1 } } },
//!   { "response": { "tag": "poll", "status": 200, "body": "..." } },
//!   { "response": { "tag": "poll", "unanswered": "a timeout" } },
//!   { "timer": "again" },
//!   { "disconnected": { "tag": "gateway", "code": 1006, "reason": "" } },
//!   { "echo": { "frame": { "tag": "gateway", "text": { "author": "another bot" } } } },
//!   "stop"
//! ]
//! ```
//!
//! A body or text that is no JSON string stands for its JSON text; `base64` gives bytes. An `echo` is an event all of
//! whose messages are the channel's own or another bot's.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::runtime::bindings::{channel, types};

/// Why a list of events can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// It is not JSON, or not such a list.
    #[error("the events are not as they should be: {0}")]
    Json(#[from] serde_json::Error),
    /// An event says too much or too little.
    #[error("event {index}: {problem}")]
    Event {
        /// From 1.
        index: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

/// An event that a platform sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What happened.
    pub event: channel::Event,
    /// All messages in it are the channel's own, or another bot's.
    pub echo: bool,
}

/// Reads a list of events.
///
/// # Errors
/// See [`EventsError`].
pub fn read(json: &str) -> Result<Vec<Recorded>, EventsError> {
    let events: Vec<Written> = serde_json::from_str(json)?;
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(index, event)| event.recorded().map_err(|problem| EventsError::Event { index: index + 1, problem }))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Written {
    Echo(Box<Written>),
    Start(Start),
    Stop,
    Webhook(Request),
    Response(Response),
    Connected(String),
    Frame(Frame),
    Disconnected(Disconnected),
    Timer(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    New,
    Restart,
    Reload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    tag: String,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    base64: Option<String>,
    not_sent: Option<String>,
    unanswered: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    tag: String,
    text: Option<Value>,
    base64: Option<String>,
    event: Option<ServerEvent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEvent {
    event: Option<String>,
    id: Option<String>,
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnected {
    tag: String,
    code: Option<u16>,
    #[serde(default)]
    reason: String,
}

impl Written {
    fn recorded(self) -> Result<Recorded, &'static str> {
        match self {
            Self::Echo(event) => Ok(Recorded { event: event.event()?, echo: true }),
            event => Ok(Recorded { event: event.event()?, echo: false }),
        }
    }

    fn event(self) -> Result<channel::Event, &'static str> {
        Ok(match self {
            Self::Echo(_) => return Err("an `echo` is of one event"),
            Self::Start(start) => channel::Event::Start(match start {
                Start::New => channel::Start::New,
                Start::Restart => channel::Start::Restart,
                Start::Reload => channel::Start::Reload,
            }),
            Self::Stop => channel::Event::Stop,
            Self::Webhook(Request { method, url, headers, body, base64 }) => {
                let body = bytes(body, base64)?;
                channel::Event::Webhook(channel::Request { method, url, headers: self::headers(headers), body })
            }
            Self::Response(response) => channel::Event::Response(response.tagged()?),
            Self::Connected(tag) => channel::Event::Connected(tag),
            Self::Frame(Frame { tag, text: body, base64, event }) => {
                let frame = match (body, base64, event) {
                    (Some(body), None, None) => channel::Frame::Text(text(body)),
                    (None, Some(base64), None) => channel::Frame::Binary(decoded(&base64)?),
                    (None, None, Some(ServerEvent { event, id, data })) => {
                        channel::Frame::Event(channel::ServerEvent { event, id, data: text(data) })
                    }
                    _ => return Err("a frame has one of `text`, `base64` and `event`"),
                };
                channel::Event::Frame(channel::TaggedFrame { tag, frame })
            }
            Self::Disconnected(Disconnected { tag, code, reason }) => {
                channel::Event::Disconnected(channel::Disconnection { tag, code, reason })
            }
            Self::Timer(tag) => channel::Event::Timer(tag),
        })
    }
}

impl Response {
    fn tagged(self) -> Result<channel::TaggedResponse, &'static str> {
        let Self { tag, status, headers, body, base64, not_sent, unanswered } = self;
        let outcome = match (status, not_sent, unanswered) {
            (Some(status), None, None) => {
                Ok(channel::Response { status, headers: self::headers(headers), body: bytes(body, base64)? })
            }
            (None, Some(why), None) => Err(channel::TransportError::NotSent(why)),
            (None, None, Some(why)) => Err(channel::TransportError::Unanswered(why)),
            _ => return Err("a response has one of `status`, `not_sent` and `unanswered`"),
        };
        Ok(channel::TaggedResponse { tag, outcome })
    }
}

fn headers(headers: BTreeMap<String, String>) -> Vec<types::Header> {
    headers.into_iter().map(|(name, value)| types::Header { name, value }).collect()
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

fn bytes(body: Option<Value>, base64: Option<String>) -> Result<Vec<u8>, &'static str> {
    match (body, base64) {
        (Some(_), Some(_)) => Err("a body is either `body` or `base64`"),
        (Some(body), None) => Ok(text(body).into_bytes()),
        (None, Some(base64)) => decoded(&base64),
        (None, None) => Ok(Vec::new()),
    }
}

fn decoded(base64: &str) -> Result<Vec<u8>, &'static str> {
    data_encoding::BASE64.decode(base64.as_bytes()).map_err(|_| "`base64` is not base64 (RFC 4648, section 4)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let source = include_str!("events.rs");
        let lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start);
        let example: String =
            lines.skip_while(|line| *line != "```json").skip(1).take_while(|line| *line != "```").collect();
        let events = read(&example).unwrap();
        assert_eq!(events.len(), 10);
        assert!(events[8].echo && !events[7].echo);
        let channel::Event::Frame(frame) = &events[2].event else { panic!("{:?}", events[2]) };
        assert_eq!(frame.frame, channel::Frame::Text(r#"{"op":10}"#.into()));
        assert_eq!(events[9].event, channel::Event::Stop);
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_number() {
        let error = read(r#"["stop", { "frame": { "tag": "a" } }]"#).unwrap_err().to_string();
        assert_eq!(error, "event 2: a frame has one of `text`, `base64` and `event`");
        assert!(read(r#"[{ "frame": { "tag": "a", "txt": "" } }]"#).unwrap_err().to_string().contains("txt"));
        assert!(read(r#"[{ "response": { "tag": "a" } }]"#).is_err());
    }
}
