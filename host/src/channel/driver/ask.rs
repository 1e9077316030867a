//! One event put to the plugin, until it answers or is given up.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::bindings::channel::{Event, Incoming, NextState};
use crate::runtime::{CallError, PluginError};
use crate::store::{MAX_CHANNEL_STATE, Timestamp};

use super::super::line::Line;

/// How often an event is put to a plugin that fails on it (`wit/channel.wit`, `context.attempt`).
const ATTEMPTS: u32 = 3;

/// How long an event is kept for a plugin that cannot take it now.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The longest single wait for a plugin.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The shortest: a plugin that answers `unavailable(0)` for ever is no busy loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Whether whoever sent the event comes again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It does: a webhook's caller, who is told to.
    Repeats,
    /// It does not: the event is held until it was heard.
    Once,
}

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

/// Puts an event to the plugin.
pub(super) async fn ask(line: &Line, id: &str, event: &Event, source: Source) -> Asked {
    let since = Instant::now();
    let mut attempt = 1;
    loop {
        let (plugin, state) = (line.plugin(), line.state());
        let heard = plugin.parse_incoming(line.call(id, attempt, Timestamp::now()), &state, event).await;
        let error = match heard.and_then(fits) {
            Ok(incoming) => return Asked::Heard(Box::new(incoming)),
            Err(error) => error,
        };
        match failure(error) {
            Failure::InvalidInput(reason) => return Asked::InvalidInput(reason),
            Failure::Unsupported(reason) => return Asked::Unsupported(reason),
            Failure::Later(wait) => {
                if source == Source::Repeats {
                    return Asked::Unavailable(wait);
                }
                if since.elapsed() > PATIENCE {
                    return Asked::GivenUp(format!("it was not available for {PATIENCE:?}"));
                }
                tokio::time::sleep(wait).await;
            }
            Failure::Own(reason) => {
                tracing::warn!(channel = %line.name, event = id, attempt, %reason, "the channel failed on an event");
                if attempt == ATTEMPTS {
                    return Asked::GivenUp(reason);
                }
                attempt += 1;
            }
            Failure::Hopeless(reason) => return Asked::GivenUp(reason),
        }
    }
}

/// Whether the answer is within the contract's bounds.
fn fits(incoming: Incoming) -> Result<Incoming, CallError> {
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
