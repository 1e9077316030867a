//! Real events with texts that a stranger would choose: as long as can be, and as misleading.

use serde_json::Value;

use crate::runtime::bindings::channel::{
    Action, Body, Event, FieldValue, Frame, Incoming, Outbound, OutboundFrame, Piece, TaggedFrame, TaggedResponse,
};

use super::super::report::{Case, Trial};
use super::life::NO_EVENTS;
use super::{Bench, STUCK, named, next_state, no_crash};

/// Bytes of a text that is too long for any platform, and with its message within the result of a call.
const LONG: usize = 768 << 10;
/// Items of a list that is too long.
const MANY: usize = 500;
/// Bytes of a text that is found within another.
const DISTINCT: usize = 8;
/// Messages whose text is replaced.
const MESSAGES: usize = 4;

/// An event that gave a message with this text, and the state that it met.
struct Said {
    state: Vec<u8>,
    event: Event,
    text: String,
    incoming: Incoming,
}

/// Those events of a recording whose text can be replaced.
async fn said(bench: &mut Bench<'_>, events: &[Event]) -> Vec<Said> {
    let (mut state, mut found) = (Vec::new(), Vec::<Said>::new());
    for event in events {
        let Ok(incoming) = bench.event(&state, event, 1).await else { continue };
        let texts = incoming.messages.iter().map(|message| &message.text);
        let text = texts.filter(|text| text.len() > 1).find(|text| with_text(event, text, "?").is_some());
        if let Some(text) = text.cloned().filter(|_| found.len() < MESSAGES) {
            found.push(Said { state: state.clone(), event: event.clone(), text, incoming: incoming.clone() });
        }
        state = next_state(&state, &incoming.state);
    }
    found
}

/// The event with another text in place of one. None where that does not stand in it.
fn with_text(event: &Event, from: &str, to: &str) -> Option<Event> {
    changed(event, |document| {
        let mut count = 0;
        replace(document, from, to, &mut count);
        count > 0
    })
    .or_else(|| {
        let Event::Frame(TaggedFrame { tag, frame: Frame::Text(line) }) = event else { return None };
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
        let line = (!is_json && line.contains(from)).then(|| line.replace(from, to))?;
        Some(Event::Frame(TaggedFrame { tag: tag.clone(), frame: Frame::Text(line) }))
    })
}

fn replace(value: &mut Value, from: &str, to: &str, count: &mut usize) {
    match value {
        // A name before it, or the like, is not the text's.
        Value::String(text) if text == from || (from.len() >= DISTINCT && text.contains(from)) => {
            *text = text.replace(from, to);
            *count += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to, count)),
        Value::Object(members) => members.values_mut().for_each(|item| replace(item, from, to, count)),
        _ => {}
    }
}

/// The event with every list of objects as long as none should be.
fn with_many(event: &Event) -> Option<Event> {
    changed(event, |document| {
        let mut count = 0;
        repeat(document, &mut count);
        count > 0
    })
}

fn repeat(value: &mut Value, count: &mut usize) {
    match value {
        // The outermost list: what is inside stays, or it would grow by the power.
        Value::Array(items) if items.iter().any(Value::is_object) => {
            *count += 1;
            let whole = items.clone();
            items.extend(whole.into_iter().cycle().take(MANY));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| repeat(item, count)),
        Value::Object(members) => members.values_mut().for_each(|item| repeat(item, count)),
        _ => {}
    }
}

/// The event with its JSON document changed. None where it has none, or `change` says that nothing changed.
fn changed(event: &Event, change: impl FnOnce(&mut Value) -> bool) -> Option<Event> {
    let edit = |json: &[u8]| -> Option<String> {
        let mut document = serde_json::from_slice(json).ok()?;
        change(&mut document).then(|| document.to_string())
    };
    let mut event = event.clone();
    match &mut event {
        Event::Webhook(request) => request.body = edit(&request.body)?.into_bytes(),
        Event::Response(TaggedResponse { outcome: Ok(response), .. }) => {
            response.body = edit(&response.body)?.into_bytes();
        }
        Event::Frame(TaggedFrame { frame: Frame::Text(text), .. }) => *text = edit(text.as_bytes())?,
        Event::Frame(TaggedFrame { frame: Frame::Event(event), .. }) => event.data = edit(event.data.as_bytes())?,
        _ => return None,
    }
    Some(event)
}

pub(super) async fn oversized(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("oversized", "survives events that are larger than any platform's");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let mut tried = 0;
    for Said { state, event, text, .. } in said(bench, events).await {
        let long = with_text(&event, &text, &"All work and no play. ".repeat(LONG / 22));
        // What is repeated has the ids that it had, which is no fault of the channel's.
        let seen = bench.seen.len();
        for event in [long, with_many(&event)].into_iter().flatten() {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            tried += 1;
            let result = bench.event(&state, &event, 1).await;
            no_crash(&mut trial, &|| named(&event), &result);
        }
        bench.seen.truncate(seen);
    }
    if tried == 0 { trial.skip(NO_TEXTS) } else { trial.end(format!("{tried} events")) }
}

const NO_TEXTS: &str = "no text of a message stands as such in its event";

/// What people write to see what happens.
fn texts(bench: &Bench<'_>) -> Vec<String> {
    let secrets = bench.setup.secrets.iter().map(|name| format!("{{{name}}} ${{{name}}} {name}"));
    let mut texts: Vec<String> = secrets.collect();
    texts.extend(
        [
            "\u{202e}gnp.exe\u{202c} \u{2066}x\u{2069}",
            "a\u{200b}b\u{200d}c\u{feff}d\u{2060}e",
            "{body} {url} {header:authorization} {{x}} %s %n $(id) `id`",
            "<b>x</b> <@U1> <!channel> @everyone [x](tg://user?id=1) \"}],\"a\":[{\"",
            "\u{1b}[2J\u{7}\u{8}\u{7f}",
            "👩‍👩‍👧‍👧 e\u{301}\u{301}\u{301} \u{10ffff} \u{fffd}",
        ]
        .map(str::to_owned),
    );
    texts
}

pub(super) async fn hostile(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("hostile", "takes no text for anything else: a secret, a template, markup");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let mut tried = 0;
    for Said { state, event, text, incoming } in said(bench, events).await {
        for hostile in texts(bench) {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let Some(event) = with_text(&event, &text, &hostile) else { continue };
            tried += 1;
            let what = || format!("{} with the text {}", named(&event), super::super::report::quote(&hostile));
            match bench.event(&state, &event, 1).await {
                Err(error) => trial.problem(format!("{}: {error}", what())),
                Ok(found) => {
                    let (before, now) = (incoming.messages.len(), found.messages.len());
                    trial.require(before == now, || format!("{}: {now} messages instead of {before}", what()));
                    trial.require(secrets(&incoming) == secrets(&found), || {
                        format!("{}: its actions use other secrets", what())
                    });
                }
            }
        }
    }
    if tried == 0 { trial.skip(NO_TEXTS) } else { trial.end(format!("{tried} events")) }
}

/// The secrets of all templates, in order.
fn secrets(incoming: &Incoming) -> Vec<&str> {
    let mut found = Vec::new();
    for action in &incoming.actions {
        match action {
            Action::Request(tagged) => found.extend(secrets_of(&tagged.request)),
            Action::Connect(connection) => {
                found.extend(named_in(&connection.url));
                found.extend(connection.headers.iter().flat_map(|(_, value)| named_in(value)));
            }
            Action::Send(tagged) => {
                if let OutboundFrame::Text(template) = &tagged.frame {
                    found.extend(named_in(template));
                }
            }
            _ => {}
        }
    }
    found
}

/// The secrets of a request, in order.
pub(super) fn secrets_of(request: &Outbound) -> Vec<&str> {
    let mut found: Vec<&str> = named_in(&request.url).collect();
    found.extend(request.headers.iter().flat_map(|(_, value)| named_in(value)));
    match &request.body {
        Body::Text(template) => found.extend(named_in(template)),
        Body::Form(fields) => found.extend(fields.iter().flat_map(|field| match &field.value {
            FieldValue::Text(template) => named_in(template).collect::<Vec<_>>(),
            FieldValue::File(_) => Vec::new(),
        })),
        Body::Bytes(_) | Body::File(_) => {}
    }
    found
}

fn named_in(template: &[Piece]) -> impl Iterator<Item = &str> {
    template.iter().filter_map(|piece| match piece {
        Piece::Secret(name) => Some(name.as_str()),
        Piece::Text(_) => None,
    })
}
