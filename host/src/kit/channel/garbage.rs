//! What no platform sends and no host hands back, which a channel must still survive: an error is
//! an answer, a crash stops the channel.

use crate::runtime::bindings::channel::{
    Disconnection, Event, Fetch, Frame, Outcome, Request, Response, ServerEvent, Start, TaggedFrame, TaggedResponse,
    TransportError,
};
use crate::runtime::bindings::types::Header;

use super::super::chance::Chance;
use super::super::malformed;
use super::super::report::{Case, Trial};
use super::promises::{self, MAX_STATE};
use super::{Bench, STUCK, named, no_crash};

/// Bodies of every kind.
fn bodies(chance: &mut Chance) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = malformed::documents().into_iter().map(|(_, text)| text.into_bytes()).collect();
    bodies.extend([vec![0xff, 0xfe, 0x00], b"\xed\xa0\x80".to_vec(), chance.bytes(1_000), vec![0; 64 << 10]]);
    bodies
}

/// One event of every kind around each body, and the events that have none.
pub(super) fn all(chance: &mut Chance) -> Vec<Event> {
    let tag = || "no such tag".to_owned();
    let mut events = vec![
        Event::Start(Start::New),
        Event::Start(Start::Restart),
        Event::Start(Start::Reload),
        Event::Stop,
        Event::Connected(String::new()),
        Event::Connected(tag()),
        Event::Timer(String::new()),
        Event::Timer(tag()),
        Event::Disconnected(Disconnection { tag: tag(), code: None, reason: String::new() }),
        Event::Disconnected(Disconnection { tag: tag(), code: Some(u16::MAX), reason: "\u{0}".repeat(123) }),
    ];
    let response = |outcome: Outcome| Event::Response(TaggedResponse { tag: tag(), outcome });
    for error in [TransportError::NotSent(String::new()), TransportError::Unanswered("x".repeat(10_000))] {
        events.push(response(Err(error)));
    }
    for status in [0, 100, 204, 302, 401, 429, 503, 999] {
        let headers = vec![Header { name: "retry-after".into(), value: "soon".into() }];
        events.push(response(Ok(Response { status, headers, body: vec![] })));
    }
    for body in bodies(chance) {
        let text = String::from_utf8_lossy(&body).into_owned();
        let headers = vec![Header { name: "content-type".into(), value: "application/json".into() }];
        let url = "https://gateway.invalid/webhook/kit?x=%ff".to_owned();
        let frame = |frame| Event::Frame(TaggedFrame { tag: tag(), frame });
        events.extend([
            frame(Frame::Text(text.clone())),
            frame(Frame::Event(ServerEvent { event: Some("x".into()), id: None, data: text })),
            frame(Frame::Binary(body.clone())),
            response(Ok(Response { status: 200, headers: vec![], body: body.clone() })),
            Event::Webhook(Request { method: "POST".into(), url, headers, body }),
        ]);
    }
    events
}

pub(super) async fn events(bench: &mut Bench<'_>) -> Case {
    let mut trial = Trial::begin("garbage.events", "survives events that are garbage");
    let (mut refused, mut tried) = (0, 0);
    for event in all(&mut Chance::new(bench.seed)) {
        // As a first attempt, and as one after a crash.
        for attempt in [1, 3] {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let result = bench.event(b"", &event, attempt).await;
            no_crash(&mut trial, &|| named(&event), &result);
            tried += 1;
            refused += usize::from(result.is_err());
        }
    }
    trial.end(format!("{refused} of {tried} refused"))
}

/// States that it never returned. A host hands back what it was given, but a state may be of
/// another version of the plugin.
pub(super) async fn states(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("garbage.states", "survives states that are not its own");
    let mut chance = Chance::new(bench.seed);
    let mut states: Vec<Vec<u8>> = malformed::documents().into_iter().map(|(_, text)| text.into_bytes()).collect();
    states.extend([chance.bytes(64), chance.bytes(4 << 10), vec![0; MAX_STATE]]);
    let url = "https://gateway.invalid/webhook/kit".to_owned();
    let request = Request { method: "POST".into(), url, headers: vec![], body: b"{}".to_vec() };
    let own = [Event::Start(Start::Restart), Event::Timer("x".into()), Event::Stop, Event::Webhook(request)];
    let (mut refused, mut tried) = (0, 0);
    for state in &states {
        for event in own.iter().chain(events.iter().take(4)) {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let result = bench.event(state, event, 1).await;
            no_crash(&mut trial, &|| format!("{} after a foreign state", named(event)), &result);
            tried += 1;
            refused += usize::from(result.is_err());
        }
    }
    trial.end(format!("{refused} of {tried} refused"))
}

/// Handles of attachments: its own, from the messages that were seen, and garbage.
pub(super) async fn attachments(bench: &mut Bench<'_>) -> Case {
    let mut trial =
        Trial::begin("attachments", "fetches attachments by requests that its setup names, whatever the handle");
    let messages = bench.seen.iter().flat_map(|seen| &seen.incoming.messages);
    let mut handles: Vec<Vec<u8>> =
        messages.flat_map(|message| &message.attachments).map(|attachment| attachment.handle.clone()).take(8).collect();
    let own = handles.len();
    let mut chance = Chance::new(bench.seed);
    handles.extend([vec![], chance.bytes(64), vec![0xff; 64 << 10], b"{}".to_vec(), b"../../etc/passwd".to_vec()]);
    let answer = |status, body: &[u8]| Some(Response { status, headers: vec![], body: body.to_vec() });
    let previous = [None, answer(200, b"{}"), answer(404, b""), answer(200, b"\xff\xfe")];
    for handle in &handles {
        for previous in &previous {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let told = bench.told(1);
            let (result, stats) = bench.probe.fetch_attachment(told, b"", handle, previous.as_ref()).await;
            bench.bounds.count(&|| "fetch-attachment".into(), &result, stats);
            no_crash(&mut trial, &|| "fetch-attachment".into(), &result);
            let (again, stats) = bench.probe.fetch_attachment(told, b"", handle, previous.as_ref()).await;
            bench.bounds.count(&|| "fetch-attachment".into(), &again, stats);
            trial.require(result == again, || "fetch-attachment: the same handle gave two different requests".into());
            if let Ok(Fetch::Lookup(request) | Fetch::Download(request)) = &result {
                promises::request(&mut trial, "fetch-attachment", request, bench.setup, None);
            }
        }
    }
    trial.end(format!("{own} handles of its own, {} of garbage", handles.len() - own))
}
