//! An event that a channel could not get past, as the store keeps it and its owner sees it.

use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::runtime::bindings::{channel, types};

/// An event, in the form that `exoclaw plugin test --events` reads, so that an author can try it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::channel) enum Recorded {
    Webhook {
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        #[serde(flatten)]
        body: Body,
    },
    Response {
        tag: String,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Connected(String),
    Frame {
        tag: String,
        #[serde(flatten)]
        frame: Frame,
    },
    Disconnected {
        tag: String,
        code: Option<u16>,
        reason: String,
    },
    Timer(String),
    Start(Start),
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::channel) enum Start {
    New,
    Restart,
    Reload,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::channel) enum Body {
    Body(String),
    Base64(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::channel) enum Outcome {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(flatten)]
        body: Body,
    },
    NotSent {
        #[serde(rename = "not-sent")]
        not_sent: String,
    },
    Unanswered {
        unanswered: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::channel) enum Frame {
    Text(String),
    Base64(String),
    Event { event: Option<String>, id: Option<String>, data: String },
}

impl Recorded {
    pub(in crate::channel) fn of(event: &channel::Event) -> Self {
        use channel::Event;
        match event.clone() {
            Event::Start(channel::Start::New) => Self::Start(Start::New),
            Event::Start(channel::Start::Restart) => Self::Start(Start::Restart),
            Event::Start(channel::Start::Reload) => Self::Start(Start::Reload),
            Event::Stop => Self::Stop,
            Event::Webhook(types::Request { method, url, headers, body }) => {
                Self::Webhook { method, url, headers: pairs(headers), body: Body::of(body) }
            }
            Event::Response(channel::TaggedResponse { tag, outcome }) => {
                let outcome = match outcome {
                    Ok(types::Response { status, headers, body }) => {
                        Outcome::Answer { status, headers: pairs(headers), body: Body::of(body) }
                    }
                    Err(channel::TransportError::NotSent(not_sent)) => Outcome::NotSent { not_sent },
                    Err(channel::TransportError::Unanswered(unanswered)) => Outcome::Unanswered { unanswered },
                };
                Self::Response { tag, outcome }
            }
            Event::Connected(tag) => Self::Connected(tag),
            Event::Frame(channel::TaggedFrame { tag, frame }) => {
                let frame = match frame {
                    channel::Frame::Text(text) => Frame::Text(text),
                    channel::Frame::Binary(bytes) => Frame::Base64(BASE64.encode(&bytes)),
                    channel::Frame::Event(channel::ServerEvent { event, id, data }) => Frame::Event { event, id, data },
                };
                Self::Frame { tag, frame }
            }
            Event::Disconnected(channel::Disconnection { tag, code, reason }) => {
                Self::Disconnected { tag, code, reason }
            }
            Event::Timer(tag) => Self::Timer(tag),
        }
    }

    /// The event again; nothing where the record was spoilt.
    pub(in crate::channel) fn event(self) -> Option<channel::Event> {
        use channel::Event;
        Some(match self {
            Self::Start(Start::New) => Event::Start(channel::Start::New),
            Self::Start(Start::Restart) => Event::Start(channel::Start::Restart),
            Self::Start(Start::Reload) => Event::Start(channel::Start::Reload),
            Self::Stop => Event::Stop,
            Self::Webhook { method, url, headers, body } => {
                Event::Webhook(types::Request { method, url, headers: listed(headers), body: body.bytes()? })
            }
            Self::Response { tag, outcome } => {
                let outcome = match outcome {
                    Outcome::Answer { status, headers, body } => {
                        Ok(types::Response { status, headers: listed(headers), body: body.bytes()? })
                    }
                    Outcome::NotSent { not_sent } => Err(channel::TransportError::NotSent(not_sent)),
                    Outcome::Unanswered { unanswered } => Err(channel::TransportError::Unanswered(unanswered)),
                };
                Event::Response(channel::TaggedResponse { tag, outcome })
            }
            Self::Connected(tag) => Event::Connected(tag),
            Self::Frame { tag, frame } => {
                let frame = match frame {
                    Frame::Text(text) => channel::Frame::Text(text),
                    Frame::Base64(text) => channel::Frame::Binary(BASE64.decode(text.as_bytes()).ok()?),
                    Frame::Event { event, id, data } => channel::Frame::Event(channel::ServerEvent { event, id, data }),
                };
                Event::Frame(channel::TaggedFrame { tag, frame })
            }
            Self::Disconnected { tag, code, reason } => {
                Event::Disconnected(channel::Disconnection { tag, code, reason })
            }
            Self::Timer(tag) => Event::Timer(tag),
        })
    }

    pub(in crate::channel) fn to_bytes(&self) -> Bytes {
        // A tree of texts always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(in crate::channel) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Body {
    fn of(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Body(text),
            Err(error) => Self::Base64(BASE64.encode(error.as_bytes())),
        }
    }

    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Body(text) => Some(text.into_bytes()),
            Self::Base64(text) => BASE64.decode(text.as_bytes()).ok(),
        }
    }
}

fn pairs(headers: Vec<types::Header>) -> Vec<(String, String)> {
    headers.into_iter().map(|types::Header { name, value }| (name, value)).collect()
}

fn listed(headers: Vec<(String, String)>) -> Vec<types::Header> {
    headers.into_iter().map(|(name, value)| types::Header { name, value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_comes_back_as_it_was() {
        use channel::{Disconnection, Event, Frame, ServerEvent, TaggedFrame, TaggedResponse, TransportError};
        let header = types::Header { name: "x-a".into(), value: "1".into() };
        let request = |body: &[u8]| types::Request {
            method: "POST".into(),
            url: "https://host.example/?a=b".into(),
            headers: vec![header.clone(), header.clone()],
            body: body.to_vec(),
        };
        let answer = types::Response { status: 429, headers: vec![header.clone()], body: vec![0, 255] };
        let response = |outcome| Event::Response(TaggedResponse { tag: "poll".into(), outcome });
        let frame = |frame| Event::Frame(TaggedFrame { tag: "t".into(), frame });
        let events = [
            Event::Start(channel::Start::New),
            Event::Start(channel::Start::Restart),
            Event::Start(channel::Start::Reload),
            Event::Stop,
            Event::Webhook(request(b"{\"a\": 1}")),
            Event::Webhook(request(&[0xff, 0])),
            response(Ok(answer)),
            response(Err(TransportError::NotSent("refused".into()))),
            response(Err(TransportError::Unanswered("a timeout".into()))),
            Event::Connected("t".into()),
            frame(Frame::Text("hi".into())),
            frame(Frame::Binary(vec![1, 2, 0xff])),
            frame(Frame::Event(ServerEvent { event: None, id: Some("1".into()), data: "d".into() })),
            Event::Disconnected(Disconnection { tag: "t".into(), code: Some(4004), reason: "no".into() }),
            Event::Disconnected(Disconnection { tag: "t".into(), code: None, reason: String::new() }),
            Event::Timer("again".into()),
        ];
        for event in events {
            let bytes = Recorded::of(&event).to_bytes();
            let again = Recorded::from_bytes(&bytes).and_then(Recorded::event);
            assert_eq!(again.as_ref(), Some(&event), "{}", String::from_utf8_lossy(&bytes));
        }
        assert_eq!(Recorded::from_bytes(b"{\"frame\": {\"tag\": \"t\"}}"), None);
    }
}
