//! Whether it matters where the stream of a platform's events is cut.
//!
//! A host may stop after any event. What it stored is the state that the event returned, together
//! with its messages; a `lazy` state may be lost, and then the last one before it counts. It then
//! starts the channel again, and the platform sends again what it thinks was not received: at
//! worst, everything. Whatever happens, the host ends with the same messages:
//!
//! - none is lost: each was returned before the cut or is returned after it;
//! - none is doubled: what is returned again has the event id that it had, by which the host drops
//!   it, and says the same.
//!
//! Each event here runs in a fresh instance with nothing but the state, so that a cut without a
//! restart changes nothing is what purity (`life`, `events`) shows already.

use std::collections::{BTreeMap, BTreeSet};

use crate::runtime::bindings::channel::{Event, Message, NextState, Start};

use super::super::report::{Case, Trial, quote};
use super::life::NO_EVENTS;
use super::{Bench, STUCK, named, next_state};

/// Cuts that are tried; of a longer stream, evenly spread ones.
const CUTS: usize = 24;

const NO_MESSAGES: &str = "none of the given events gave a message";

/// After each event: what is stored, and what the event returned.
struct Step {
    state: Vec<u8>,
    /// The last state that is not lost in a crash.
    durable: Vec<u8>,
    messages: Vec<Message>,
}

/// The stream without a cut.
async fn straight(bench: &mut Bench<'_>, events: &[Event]) -> Vec<Step> {
    let (mut state, mut durable) = (Vec::new(), Vec::new());
    let mut steps = Vec::with_capacity(events.len());
    for event in events {
        let mut messages = Vec::new();
        if let Ok(incoming) = bench.event(&state, event, 1).await {
            state = next_state(&state, &incoming.state);
            if matches!(incoming.state, NextState::Durable(_)) {
                durable.clone_from(&state);
            }
            messages = incoming.messages;
        }
        steps.push(Step { state: state.clone(), durable: durable.clone(), messages });
    }
    steps
}

/// What of a message must not change when it is returned again. A handle may: it is only of use
/// while it is new.
fn content(message: &Message) -> Message {
    Message { handle: Vec::new(), sent_at: None, ..message.clone() }
}

pub(super) async fn restarts(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let trial = Trial::begin("restarts", "loses and doubles no message, wherever it restarts between two events");
    cut(bench, events, trial, |step| Some(&step.state)).await
}

pub(super) async fn lost_states(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let trial = Trial::begin("lost-states", "loses and doubles no message when a crash takes its lazy states");
    cut(bench, events, trial, |step| (step.state != step.durable).then_some(&step.durable)).await
}

/// Cuts the stream after each event for which there is a state to go on from, restarts, and sends
/// all of it again.
async fn cut(
    bench: &mut Bench<'_>,
    events: &[Event],
    mut trial: Trial,
    resume: impl Fn(&Step) -> Option<&Vec<u8>>,
) -> Case {
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let steps = straight(bench, events).await;
    let all: BTreeMap<String, Message> =
        steps.iter().flat_map(|step| &step.messages).map(|one| (one.event_id.clone(), content(one))).collect();
    if all.is_empty() {
        return trial.skip(NO_MESSAGES);
    }
    let cuts: Vec<usize> = (0..steps.len()).filter(|index| resume(&steps[*index]).is_some()).collect();
    if cuts.is_empty() {
        return trial.skip("it returned no lazy state that differs from the last durable one");
    }
    let tried: Vec<usize> = cuts.iter().copied().step_by(cuts.len().div_ceil(CUTS)).collect();
    for index in &tried {
        if bench.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        let Some(state) = resume(&steps[*index]) else { continue };
        let mut missing: BTreeMap<&str, &Message> = all.iter().map(|(id, message)| (id.as_str(), message)).collect();
        for message in steps[..=*index].iter().flat_map(|step| &step.messages) {
            missing.remove(message.event_id.as_str());
        }
        for message in again(bench, state, events).await {
            missing.remove(message.event_id.as_str());
            let known = all.get(&message.event_id);
            trial.require(known.is_some(), || {
                format!("cut after event {}: a message has the new event id {}", index + 1, quote(&message.event_id))
            });
            trial.require(known.is_none_or(|known| *known == content(&message)), || {
                format!("cut after event {}: the message {} says something else", index + 1, quote(&message.event_id))
            });
        }
        for id in missing.keys() {
            trial.problem(format!("cut after event {}: the message {} is lost", index + 1, quote(id)));
        }
    }
    trial.end(format!("{} messages, cut in {} places", all.len(), tried.len()))
}

/// A restart, and all events once more.
async fn again(bench: &mut Bench<'_>, state: &[u8], events: &[Event]) -> Vec<Message> {
    let mut state = state.to_vec();
    let mut messages = Vec::new();
    let restart = Event::Start(Start::Restart);
    let later = events.iter().filter(|event| !matches!(event, Event::Start(_)));
    for event in std::iter::once(&restart).chain(later) {
        if let Ok(incoming) = bench.event(&state, event, 1).await {
            state = next_state(&state, &incoming.state);
            messages.extend(incoming.messages);
        }
    }
    messages
}

/// A platform that was not answered in time sends an event again at once.
pub(super) async fn repeats(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("repeats", "gives a repeated event the event id that it had");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let steps = straight(bench, events).await;
    let mut repeated = 0;
    for (index, (event, step)) in events.iter().zip(&steps).enumerate() {
        if bench.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        if step.messages.is_empty() {
            continue;
        }
        repeated += 1;
        let Ok(incoming) = bench.event(&step.state, event, 1).await else { continue };
        for message in &incoming.messages {
            trial.require(step.messages.iter().any(|first| first.event_id == message.event_id), || {
                format!(
                    "event {}, {}: the repeat has the new event id {}",
                    index + 1,
                    named(event),
                    quote(&message.event_id)
                )
            });
        }
    }
    if repeated == 0 { trial.skip(NO_MESSAGES) } else { trial.end(format!("{repeated} events, each sent twice")) }
}

/// Calls of a webhook may overtake each other: they are held against the same ones the other way round.
pub(super) async fn reordered(bench: &mut Bench<'_>, events: &[Event]) -> Case {
    let mut trial = Trial::begin("reordered", "loses no message of webhook calls that overtake each other");
    if events.is_empty() {
        return trial.skip(NO_EVENTS);
    }
    let is_call = |event: &Event| matches!(event, Event::Webhook(_));
    let mut turned = events.to_vec();
    let mut count = 0;
    for calls in turned.chunk_by_mut(|one, next| is_call(one) && is_call(next)) {
        if calls.len() > 1 {
            count += calls.len();
            calls.reverse();
        }
    }
    if count == 0 {
        return trial.skip("there are no two webhook calls in a row among the given events");
    }
    let ids = |steps: Vec<Step>| -> BTreeSet<String> {
        steps.into_iter().flat_map(|step| step.messages).map(|message| message.event_id).collect()
    };
    let (in_order, turned) = (ids(straight(bench, events).await), ids(straight(bench, &turned).await));
    for id in in_order.symmetric_difference(&turned) {
        let lost = in_order.contains(id);
        trial.problem(format!("the message {} is {}", quote(id), if lost { "lost" } else { "there only then" }));
    }
    trial.end(format!("{count} calls, {} messages", in_order.len()))
}
