//! Takes up a turn that a crash or a shutdown cut, from what is stored of it.
//!
//! The turn goes on behind its last message. A call of a model that was under way is lost: it is
//! counted as an estimate, its step begins anew, and watchers are told to discard what they were
//! shown of it. A call of a tool whose result is stored keeps it; one that may have run and must not
//! run twice gets a result that says so; any other is run.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::info;

use super::calls::{Call, Stage, Told};
use super::{Begun, Turn, Work, error, model, until_well};
use crate::agent::tools::failed;
use crate::store::{
    Block, CallState, DoneReason, ErrorCode, Event, EventBody, Message, Resume, Role, StoreError, ToolResult, ToolUse,
    TurnState,
};

/// How often a turn is taken up: one that ends the process each time must not do so for ever.
const MAX_RESUMES: u32 = 3;

/// The result of a call that was dispatched before a crash.
const UNKNOWN: &str = "The gateway was stopped while this call ran; whether it had an effect is not known. \
    It was not run again.";

/// What became of taking a turn up.
pub(super) enum TakenUp {
    /// It goes on.
    Goes(Box<Work>),
    /// It ends at once, with this.
    Ends(Box<Work>, EventBody),
    /// It is not open: it ended, or its session was deleted.
    Gone,
}

/// Rebuilds what a turn had done, and has its topic show it.
///
/// # Errors
/// The store failed for good.
pub(super) async fn take_up(turn: Turn<'_>) -> Result<TakenUp, StoreError> {
    let (shared, job) = (turn.shared, turn.job);
    let resume = Resume { session: job.session.clone(), turn: job.turn, epoch: shared.epoch };
    let Some(state) = until_well(shared, || shared.store.resume(resume.clone())).await? else {
        job.topic.leave(job.turn);
        return Ok(TakenUp::Gone);
    };
    let history = turn.history().await?;
    let own: Vec<_> = history.iter().filter(|stored| stored.turn == job.turn).map(|stored| &*stored.message).collect();
    info!(resumes = state.resumes, messages = own.len(), "a turn is taken up again");

    job.topic.reopen(job.turn, &state.events);
    let mut work =
        Box::new(Work { model_calls: state.model_calls, destination: state.destination.clone(), ..Work::default() });
    work.rebuild(&own, &state, job.agent.config.max_repeats);
    if !state.events.iter().any(|event| matches!(event.body, EventBody::Queued)) {
        turn.tell(EventBody::Queued).await?;
    }
    let cut = work.calls.is_empty() && shows(&state, work.step);
    for call in state.unsettled {
        model::lost(turn, &mut work, call).await?;
    }
    if cut {
        turn.tell(EventBody::Rewind { step: work.step }).await?;
    }
    if state.resumes > MAX_RESUMES {
        let message = format!("the gateway went down {MAX_RESUMES} times while this turn ran; it is not tried again");
        return Ok(TakenUp::Ends(work, error(ErrorCode::Internal, &message, true)));
    }
    if own.is_empty() {
        // Its session was reset since: there is nothing left to answer.
        let end = work.done(DoneReason::Aborted);
        return Ok(TakenUp::Ends(work, end));
    }
    Ok(TakenUp::Goes(work))
}

/// Whether a watcher may have been shown something of a step that is not stored as a message.
fn shows(state: &TurnState, step: u32) -> bool {
    let of_step = |event: &Arc<Event>| match &event.body {
        EventBody::Text(delta) | EventBody::Thinking(delta) => delta.step == step,
        _ => false,
    };
    !state.unsettled.is_empty() || state.events.iter().any(of_step)
}

impl Work {
    /// Takes in the turn's stored messages, in order, and what is known of the calls of the last.
    fn rebuild(&mut self, own: &[&Message], state: &TurnState, max_repeats: u32) {
        if state.events.iter().any(|event| matches!(event.body, EventBody::Started)) {
            self.begun = Begun::Told;
        }
        for (index, message) in own.iter().enumerate() {
            if message.role != Role::Assistant {
                self.keep_files(message);
                continue;
            }
            self.texts.push(text(message));
            let calls = message.blocks.iter().filter_map(|block| match block {
                Block::ToolUse(call) => Some(call.clone()),
                _ => None,
            });
            if index + 1 < own.len() {
                for call in calls {
                    self.count(&call, max_repeats);
                }
                self.step += 1;
            } else {
                let known = Known::of(state);
                self.calls = calls.map(|call| known.call(call)).collect();
                // The step goes on with its calls; without any, the next one begins.
                self.step += u32::from(self.calls.is_empty());
            }
        }
    }
}

/// What is stored of the calls of a turn's last step.
struct Known<'a> {
    states: HashMap<&'a str, &'a CallState>,
    told: HashMap<&'a str, Told>,
    results: HashMap<&'a str, ToolResult>,
}

impl<'a> Known<'a> {
    fn of(state: &'a TurnState) -> Self {
        let states = state.calls.iter().map(|(id, state)| (id.as_str(), state)).collect();
        let mut known = Self { states, told: HashMap::new(), results: HashMap::new() };
        // A provider may use an id again in a later step. What its answer consumed is told before
        // the first of its calls.
        let usage = state.events.iter().rposition(|event| matches!(event.body, EventBody::Usage(_)));
        for event in state.events.iter().skip(usage.map_or(0, |usage| usage + 1)) {
            match &event.body {
                EventBody::ToolUse { id, .. } => drop(known.told.insert(id, Told::Call)),
                EventBody::ToolResult { tool_use_id, content, is_error } => {
                    known.told.insert(tool_use_id, Told::Result);
                    let id = tool_use_id.as_str();
                    let (tool_use_id, content) = (tool_use_id.clone(), content.clone());
                    known.results.insert(id, ToolResult { tool_use_id, content, is_error: *is_error });
                }
                _ => {}
            }
        }
        known
    }

    fn call(&self, call: ToolUse) -> Call {
        let id = call.id.as_str();
        let told = self.told.get(id).copied().unwrap_or(Told::Nothing);
        let stage = match (self.states.get(id), self.results.get(id)) {
            (Some(CallState::Answered(result)), _) => Stage::Answered(result.clone()),
            // A result that watchers were told stands, though its message was not stored.
            (_, Some(result)) => Stage::Answered(result.clone()),
            (Some(CallState::Dispatched), None) => Stage::Answered(failed(id.to_owned(), UNKNOWN)),
            (None, None) => Stage::Waiting,
        };
        Call { call, stage, told }
    }
}

fn text(message: &Message) -> String {
    let texts = message.blocks.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
