//! A channel that breaks one promise of the contract: the one that its setting `mode` names. It is
//! what the conformance kit is tested with.
//!
//! A frame's text is the id of a message: a number. Its state is the number of messages that it has seen.

use serde::Deserialize;

use crate::exports::exoclaw::plugin::channel::{
    Action, Address, Body, Content, Context, Conversation, Description, Error, Event, Features, Fetch, Frame, Guest,
    Incoming, Kind, LimitedRequest, Message, Next, NextState, Outbound, Outcome, Outgoing, Piece, Response, Sender,
    Setup, Start, Step, TaggedFrame, TaggedRequest, Timer, TransportError,
};

wit_bindgen::generate!({ world: "channel-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"mode": {"type": "string", "description": "What is wrong."}},
    "required": ["mode"],
    "additionalProperties": false
}"#;

/// With so many messages seen, a lossy one takes no more.
const FULL: u64 = 1_000;

#[derive(Deserialize)]
struct Settings {
    mode: String,
}

fn mode(settings: &str) -> Result<String, Error> {
    let settings: Settings = serde_json::from_str(settings).map_err(|error| Error::InvalidInput(error.to_string()))?;
    Ok(settings.mode)
}

struct Unruly;

impl Guest for Unruly {
    fn describe() -> Description {
        Description { platform: "unruly".into(), settings_schema: SETTINGS_SCHEMA.into() }
    }

    fn configure(settings: String) -> Result<Setup, Error> {
        let origin = if mode(&settings)? == "setup" { "https://a.invalid/path" } else { "https://a.invalid" };
        let features = Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false };
        Ok(Setup { secrets: vec!["token".into()], origins: vec![origin.into()], webhook: None, features })
    }

    fn parse_incoming(context: Context, state: Vec<u8>, event: Event) -> Result<Incoming, Error> {
        let mode = mode(&context.settings)?;
        let seen = match core::str::from_utf8(&state).ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(seen) => seen,
            None if state.is_empty() => 0,
            None if mode == "state-trap" => panic!("no such state"),
            None => return Err(Error::InvalidInput("this state is not mine".into())),
        };
        let quiet = |actions| Incoming {
            state: NextState::Unchanged,
            messages: vec![],
            receipts: vec![],
            actions,
            reply: None,
        };
        let text = match event {
            Event::Start(Start::Restart) if mode == "lossy" => {
                return Ok(Incoming { state: NextState::Durable(FULL.to_string().into_bytes()), ..quiet(vec![]) });
            }
            Event::Start(_) => return Ok(quiet(start(&mode))),
            Event::Frame(TaggedFrame { frame: Frame::Text(text), .. }) => {
                let is_id = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
                if !is_id {
                    return Err(Error::InvalidInput("a frame is the number of a message".into()));
                }
                text
            }
            Event::Frame(_) if mode == "event-trap" => panic!("no such frame"),
            _ => return Ok(quiet(vec![])),
        };
        if mode == "stuck" && context.attempt > 1 {
            return Err(Error::InvalidInput("not again".into()));
        }
        let state = match mode.as_str() {
            "large-state" => NextState::Durable(vec![b'0'; 300 << 10]),
            "lazy" => NextState::Lazy((seen + 1).to_string().into_bytes()),
            _ => NextState::Durable((seen + 1).to_string().into_bytes()),
        };
        let bot = text == "2" && mode != "echo";
        let mut messages = match mode.as_str() {
            "lossy" if seen >= FULL => vec![],
            "counted" => vec![message(&format!("{seen}"), text)],
            "nameless" => vec![message("", text)],
            _ => vec![message(&text.clone(), text)],
        };
        // Its own, by their number.
        messages.iter_mut().for_each(|message| message.sender.bot = bot);
        Ok(Incoming { state, messages, receipts: vec![], actions: vec![], reply: None })
    }

    fn format_outgoing(context: Context, _: Vec<u8>, outgoing: Outgoing, _: Vec<u8>) -> Result<Step, Error> {
        let next = match (mode(&context.settings)?.as_str(), outgoing.content) {
            ("endless", _) => Next::Wait(1_000),
            ("delivery-trap", Content::Typing) => panic!("nobody types"),
            (_, Content::Markdown(_)) => {
                Next::Request(LimitedRequest { request: request("https://a.invalid/send", "token"), keys: vec![] })
            }
            _ => Next::Done(vec![]),
        };
        Ok(Step { progress: vec![1], holds: vec![], next })
    }

    fn parse_delivery(
        context: Context,
        _: Vec<u8>,
        _: Outgoing,
        progress: Vec<u8>,
        outcome: Outcome,
    ) -> Result<Step, Error> {
        let next = match (mode(&context.settings)?.as_str(), outcome) {
            ("liar", _) => Next::Done(vec!["1".into()]),
            (_, Ok(_)) => Next::Done(vec!["1".into()]),
            ("resends", Err(_)) | (_, Err(TransportError::NotSent(_))) => Next::Wait(1_000),
            (_, Err(TransportError::Unanswered(why))) => Next::Unknown(why),
        };
        Ok(Step { progress, holds: vec![], next })
    }

    fn fetch_attachment(_: Context, _: Vec<u8>, _: Vec<u8>, _: Option<Response>) -> Result<Fetch, Error> {
        Err(Error::Unsupported("it has no attachments".into()))
    }
}

fn start(mode: &str) -> Vec<Action> {
    let asks = |request| vec![Action::Request(TaggedRequest { tag: "t".into(), request })];
    match mode {
        "origin" => asks(request("https://b.invalid/", "token")),
        "secret" => asks(request("https://a.invalid/", "another")),
        "timer" => vec![Action::SetTimer(Timer { tag: "t".into(), after_ms: 0 })],
        _ => asks(request("https://a.invalid/", "token")),
    }
}

fn request(url: &str, secret: &str) -> Outbound {
    let headers = vec![("authorization".into(), vec![Piece::Secret(secret.into())])];
    Outbound {
        method: "POST".into(),
        url: vec![Piece::Text(url.into())],
        headers,
        body: Body::Bytes(vec![]),
        timeout_ms: 1_000,
    }
}

fn message(event_id: &str, text: String) -> Message {
    Message {
        event_id: event_id.into(),
        id: text.clone(),
        kind: Kind::New,
        address: Address { account: None, peer: "ada".into(), guild: None, team: None, thread: None },
        sender: Sender { id: "ada".into(), name: None, bot: false },
        text,
        attachments: vec![],
        reply_to: None,
        conversation: Conversation::Direct,
        mentions_agent: false,
        sent_at: None,
        handle: vec![],
    }
}

export!(Unruly);
