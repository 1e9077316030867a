//! A channel's life, as its own actions make it; and as the platform's recorded events do.

use std::collections::VecDeque;

use crate::runtime::bindings::channel::{
    Action, Disconnection, Event, Outcome, Request, Response, Start, TaggedResponse, TransportError,
};

use super::super::report::{Case, Trial};
use super::{Bench, STUCK, named, next_state};

/// Events of one life. A channel that polls would go on for ever.
const EVENTS: usize = 32;

/// Starts it, does what it asks for, and answers: well, badly, and not at all.
pub(super) async fn own(bench: &mut Bench<'_>) -> Case {
    let mut trial = Trial::begin("life", "answers what follows from its own actions, each time alike");
    let mut lived = 0;
    for start in [Start::New, Start::Restart, Start::Reload] {
        for mood in [Mood::Well, Mood::Badly, Mood::Silently] {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            lived += one(bench, &mut trial, start, mood).await;
        }
    }
    trial.end(format!("{lived} events in nine lives"))
}

/// How the world answers.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    Badly,
    Silently,
}

impl Mood {
    fn outcome(self) -> Outcome {
        let answer = |status, body: &[u8]| Ok(Response { status, headers: vec![], body: body.to_vec() });
        match self {
            Self::Well => answer(200, b"{}"),
            Self::Badly => answer(500, b"<html>Internal Server Error</html>"),
            Self::Silently => Err(TransportError::Unanswered("the connection was lost".into())),
        }
    }

    fn connected(self, tag: String) -> Event {
        match self {
            Self::Well => Event::Connected(tag),
            Self::Badly | Self::Silently => {
                Event::Disconnected(Disconnection { tag, code: None, reason: "refused".into() })
            }
        }
    }
}

async fn one(bench: &mut Bench<'_>, trial: &mut Trial, start: Start, mood: Mood) -> usize {
    let mut state = Vec::new();
    let mut waiting = VecDeque::from([Event::Start(start)]);
    if bench.has_webhook() {
        let url = "https://gateway.invalid/webhook/kit".to_owned();
        let request = Request { method: "POST".into(), url, headers: vec![], body: b"{}".to_vec() };
        waiting.push_back(Event::Webhook(request));
    }
    let mut lived = 0;
    while let Some(event) = waiting.pop_front() {
        let last = lived + 1 >= EVENTS;
        let event = if last { Event::Stop } else { event };
        lived += 1;
        let Ok(incoming) = bench.twice(trial, &state, &event).await else { continue };
        if last || bench.bounds.is_stuck() {
            return lived;
        }
        state = next_state(&state, &incoming.state);
        waiting.extend(incoming.actions.into_iter().filter_map(|action| match action {
            Action::Request(request) => {
                Some(Event::Response(TaggedResponse { tag: request.tag, outcome: mood.outcome() }))
            }
            Action::Connect(connection) => Some(mood.connected(connection.tag)),
            Action::SetTimer(timer) => Some(Event::Timer(timer.tag)),
            _ => None,
        }));
    }
    let _ = bench.twice(trial, &state, &Event::Stop).await;
    lived + 1
}

/// Gives it the platform's events in their order.
pub(super) async fn recorded(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("events", "takes the platform's events, each time alike");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let (mut state, mut messages) = (Vec::new(), 0);
    for (index, event) in events.iter().enumerate() {
        // Deliveries are made while the channel is up.
        if !matches!(event, Event::Stop) {
            bench.state.clone_from(&state);
        }
        if bench.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        match bench.twice(&mut trial, &state, event).await {
            Ok(incoming) => {
                messages += incoming.messages.len();
                state = next_state(&state, &incoming.state);
                let people = incoming.messages.into_iter().find(|message| !message.sender.bot);
                bench.correspondent = bench.correspondent.take().or(people);
            }
            Err(error) => trial.problem(format!("event {}, {}: {error}", index + 1, named(event))),
        }
    }
    if !matches!(events.last(), Some(Event::Stop)) {
        bench.state = state;
    }
    trial.end(format!("{messages} messages from {} events", events.len()))
}

/// Why the cases with the platform's events are left out.
pub(super) const NO_EVENTS: &str = "no events of the platform were given; record some and name them with --events";
