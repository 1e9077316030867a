//! One event put to the plugin, until it answers or is given up.

use std::time::Duration;

use crate::runtime::bindings::channel::{Event, Incoming, NextState};
use crate::runtime::{CallError, PluginError};
use crate::store::{MAX_CHANNEL_STATE, Timestamp};

use super::super::line::Line;

/// How often an event is put to a plugin that fails on it (`wit/channel.wit`, `context.attempt`).
const ATTEMPTS: u32 = 3;

/// The longest single wait for a plugin.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The shortest: a plugin that answers `unavailable(0)` for ever is no busy loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Messages that one event may bring. Platforms send tens.
const MAX_MESSAGES: usize = 1_000;

/// Actions that may follow from one event.
const MAX_ACTIONS: usize = 1_000;

/// What became of an event.
#[derive(Debug)]
pub(super) enum Asked {
    /// The plugin took it.
    Heard(Box<Incoming>),
    /// It is malformed, or not the plugin's.
    InvalidInput(String),
    /// It is understood, and nothing is made of it.
    Unsupported(String),
    /// Not now.
    Unavailable(Duration),
    /// The plugin did not get past it.
    GivenUp(String),
}

/// Puts an event to the plugin. `attempt` counts those that it failed, also over several goes.
pub(super) async fn ask(line: &Line, id: &str, event: &Event, attempt: &mut u32) -> Asked {
    loop {
        let (plugin, state) = (line.plugin(), line.state());
        let heard = plugin.parse_incoming(line.call(id, *attempt, Timestamp::now()), &state, event).await;
        let error = match heard.and_then(fits) {
            Ok(incoming) => return Asked::Heard(Box::new(incoming)),
            Err(error) => error,
        };
        match failure(error) {
            Failure::InvalidInput(reason) => return Asked::InvalidInput(reason),
            Failure::Unsupported(reason) => return Asked::Unsupported(reason),
            Failure::Later(wait) => return Asked::Unavailable(wait),
            Failure::Own(reason) => {
                tracing::warn!(channel = %line.name, event = id, attempt = *attempt, %reason, "the channel failed on an event");
                if *attempt >= ATTEMPTS {
                    return Asked::GivenUp(reason);
                }
                *attempt += 1;
            }
            Failure::Hopeless(reason) => return Asked::GivenUp(reason),
        }
    }
}

/// Whether the answer is within the contract's bounds, and the host's.
fn fits(incoming: Incoming) -> Result<Incoming, CallError> {
    let (messages, actions) = (incoming.messages.len(), incoming.actions.len());
    if messages > MAX_MESSAGES || actions > MAX_ACTIONS {
        let problem = format!("it made {messages} messages and {actions} actions of one event, of {MAX_MESSAGES} each");
        return Err(CallError::InvalidResult(problem));
    }
    match &incoming.state {
        NextState::Lazy(state) | NextState::Durable(state) if state.len() > MAX_CHANNEL_STATE => {
            let size = state.len();
            let problem = format!("its state has {size} bytes, and {MAX_CHANNEL_STATE} are allowed");
            Err(CallError::InvalidResult(problem))
        }
        _ => Ok(incoming),
    }
}

/// What a failed call means for its event.
enum Failure {
    InvalidInput(String),
    Unsupported(String),
    /// It has nothing to do with this event.
    Later(Duration),
    /// The plugin's own, which a further attempt may get past.
    Own(String),
    /// Another attempt would be the same.
    Hopeless(String),
}

fn failure(error: CallError) -> Failure {
    let bounded = |wait: Duration| wait.clamp(SHORTEST_WAIT, LONGEST_WAIT);
    match error {
        CallError::Plugin(PluginError::InvalidInput(reason)) => Failure::InvalidInput(reason),
        CallError::Plugin(PluginError::Unsupported(reason)) => Failure::Unsupported(reason),
        CallError::Plugin(PluginError::Unavailable(wait)) => Failure::Later(bounded(wait)),
        CallError::Rate { retry_in, .. } | CallError::Quarantined { retry_in, .. } => Failure::Later(bounded(retry_in)),
        CallError::Busy => Failure::Later(Duration::from_secs(1)),
        error @ (CallError::ArgumentsTooLarge { .. } | CallError::InvalidArguments(_)) => {
            Failure::Hopeless(error.to_string())
        }
        error => Failure::Own(error.to_string()),
    }
}
