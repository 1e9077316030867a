//! A channel that goes on only from a state of its own kind: what a new version is that cannot
//! read what the old one has left.
//!
//! With the setting `fails` it is what a version is that should be replaced: `"start"` traps when it is started,
//! `"timer"` on the first event after that.

use crate::exports::exoclaw::plugin::channel::{
    Action, Context, Description, Error, Event, Features, Fetch, Guest, Health, Incoming, NextState, Outcome, Outgoing,
    Response, Setup, Start, Step, Timer,
};

wit_bindgen::generate!({ world: "channel-plugin", path: "../../wit" });

/// What a state of its own begins with.
const MARK: &[u8] = b"stubborn:";

struct Stubborn;

impl Guest for Stubborn {
    fn describe() -> Description {
        Description { platform: "stubborn".into(), settings_schema: r#"{"type":"object"}"#.into() }
    }

    fn configure(_settings: String) -> Result<Setup, Error> {
        let features = Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false };
        Ok(Setup { secrets: vec![], origins: vec![], webhook: None, features })
    }

    fn parse_incoming(context: Context, state: Vec<u8>, event: Event) -> Result<Incoming, Error> {
        // As the host writes a table of texts.
        let fails = |when| context.settings.contains(&format!(r#""fails":"{when}""#));
        match event {
            Event::Start(Start::New | Start::Restart) if fails("start") => core::arch::wasm32::unreachable(),
            Event::Timer(_) => core::arch::wasm32::unreachable(),
            _ => {}
        }
        let state = match event {
            Event::Start(Start::Reload) => match state.as_slice() {
                b"trap" => core::arch::wasm32::unreachable(),
                b"spin" => loop {
                    std::hint::black_box(());
                },
                state if state.starts_with(MARK) => NextState::Durable([state, b"+".as_slice()].concat()),
                _ => return Err(Error::InvalidInput("the state is of another version".into())),
            },
            _ => NextState::Unchanged,
        };
        let mut actions = vec![Action::Report(Health::Ready)];
        if fails("timer") {
            actions.push(Action::SetTimer(Timer { tag: "fails".into(), after_ms: 1 }));
        }
        Ok(Incoming { state, messages: vec![], receipts: vec![], actions, reply: None })
    }

    fn format_outgoing(_: Context, _: Vec<u8>, _: Outgoing, _: Vec<u8>) -> Result<Step, Error> {
        Err(Error::Unsupported("it says nothing".into()))
    }

    fn parse_delivery(_: Context, _: Vec<u8>, _: Outgoing, _: Vec<u8>, _: Outcome) -> Result<Step, Error> {
        Err(Error::Unsupported("it says nothing".into()))
    }

    fn fetch_attachment(_: Context, _: Vec<u8>, _: Vec<u8>, _: Option<Response>) -> Result<Fetch, Error> {
        Err(Error::Unsupported("it has no attachments".into()))
    }
}

export!(Stubborn);
