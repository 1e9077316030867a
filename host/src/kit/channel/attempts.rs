//! Events that come again because they were too much, and events that are the channel's own echo.

use std::collections::BTreeSet;

use crate::runtime::bindings::channel::{Action, Event, Incoming};

use super::super::events::Recorded;
use super::super::report::{Case, Trial, quote};
use super::life::NO_EVENTS;
use super::{Bench, STUCK, named, next_state, no_crash};

/// After a third attempt the host sets an event aside and starts the channel again.
const ATTEMPTS: [u32; 2] = [2, 3];

pub(super) async fn case(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("attempts", "gets past an event that failed before, and goes on");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let mut state = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if bench.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        let Ok(first) = bench.event(&state, event, 1).await else { continue };
        for attempt in ATTEMPTS {
            let what = || format!("event {}, {}, attempt {attempt}", index + 1, named(event));
            let result = bench.event(&state, event, attempt).await;
            no_crash(&mut trial, &what, &result);
            match &result {
                Err(error) => trial.problem(format!("{}: {error}", what())),
                Ok(again) => held(&mut trial, &what, &first, again),
            }
        }
        state = next_state(&state, &first.state);
    }
    trial.end(format!("{} events, three times each", events.len()))
}

/// A later attempt may do less, but nothing else.
fn held(trial: &mut Trial, what: &dyn Fn() -> String, first: &Incoming, again: &Incoming) {
    let known: BTreeSet<&str> = first.messages.iter().map(|message| message.event_id.as_str()).collect();
    for message in &again.messages {
        trial.require(known.contains(message.event_id.as_str()), || {
            format!("{}: the message {} is not of the first attempt", what(), quote(&message.event_id))
        });
    }
    trial.require(!goes_on(first) || goes_on(again), || {
        format!("{}: it asks for nothing any more, and would hear nothing for ever", what())
    });
}

fn goes_on(incoming: &Incoming) -> bool {
    let hears = |action: &Action| matches!(action, Action::Request(_) | Action::Connect(_) | Action::SetTimer(_));
    incoming.actions.iter().any(hears)
}

pub(super) async fn echoes(bench: &mut Bench<'_>, events: &[Recorded]) -> Case {
    let mut trial = Trial::begin("echoes", "tells what it said itself, and what other bots say, from what people say");
    if !events.iter().any(|recorded| recorded.echo) {
        return trial.skip("none of the given events is an `echo`");
    }
    let (mut state, mut echoes, mut people) = (Vec::new(), 0, 0);
    for (index, Recorded { event, echo }) in events.iter().enumerate() {
        let Ok(incoming) = bench.event(&state, event, 1).await else { continue };
        let bots = incoming.messages.iter().filter(|message| message.sender.bot).count();
        trial.require(!echo || bots == incoming.messages.len(), || {
            format!(
                "event {}, {}: {} messages, {bots} of them marked as a bot's",
                index + 1,
                named(event),
                incoming.messages.len()
            )
        });
        echoes += usize::from(*echo);
        people += incoming.messages.len() - bots;
        state = next_state(&state, &incoming.state);
    }
    trial.require(people > 0, || "every message is marked as a bot's".into());
    trial.end(format!("{echoes} echoes"))
}
