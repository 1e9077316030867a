//! Calls of the plugin for a delivery, and what its failures mean.

use std::time::Duration;

use super::Shared;
use crate::channel::line::chance;
use crate::runtime::bindings::channel::{Outcome, Outgoing, Step};
use crate::runtime::{CallError, PluginError};

/// How often a call is made that fails by the plugin's fault; the plugin is told which time it is.
const ATTEMPTS: u32 = 3;

/// Why there is no next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There may be later: after so long, or when the host thinks fit.
    Later { after: Option<Duration>, reason: String },
    /// There will never be.
    Dead(String),
}

/// Asks the plugin how a delivery begins or goes on.
pub(super) async fn format(shared: &Shared, outgoing: &Outgoing, progress: &[u8]) -> Result<Step, Trouble> {
    let (plugin, state) = (shared.line.plugin(), shared.line.state());
    for attempt in 1.. {
        let call = shared.line.call(&outgoing.id, attempt, shared.now());
        match plugin.format_outgoing(call, &state, outgoing, progress).await {
            Ok(step) => return Ok(step),
            Err(error) => trouble(error, attempt)?,
        }
    }
    Err(Trouble::Dead("it was never tried".to_owned()))
}

/// Tells the plugin what came of its request.
pub(super) async fn parse(
    shared: &Shared,
    outgoing: &Outgoing,
    progress: &[u8],
    outcome: &Outcome,
) -> Result<Step, Trouble> {
    let (plugin, state) = (shared.line.plugin(), shared.line.state());
    for attempt in 1.. {
        let call = shared.line.call(&outgoing.id, attempt, shared.now());
        match plugin.parse_delivery(call, &state, outgoing, progress, outcome).await {
            Ok(step) => return Ok(step),
            Err(error) => trouble(error, attempt)?,
        }
    }
    Err(Trouble::Dead("it was never tried".to_owned()))
}

/// What a failure means; nothing where the call is made again at once.
fn trouble(error: CallError, attempt: u32) -> Result<(), Trouble> {
    let reason = error.to_string();
    let later = |after| Err(Trouble::Later { after, reason: reason.clone() });
    match error {
        CallError::Plugin(PluginError::Unavailable(after)) => later(Some(after)),
        CallError::Rate { retry_in, .. } | CallError::Quarantined { retry_in, .. } => {
            // All that waited would come at the same moment.
            later(Some(retry_in + super::backoff::of(1, chance())))
        }
        CallError::Busy => later(None),
        CallError::Plugin(PluginError::InvalidInput(_) | PluginError::Unsupported(_)) => Err(Trouble::Dead(reason)),
        _ if attempt < ATTEMPTS => Ok(()),
        _ => Err(Trouble::Dead(format!("the channel's plugin failed {ATTEMPTS} times at it: {reason}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_tried_again_later_or_never_by_what_it_is() {
        let plugin = |error| CallError::Plugin(error);
        let later = |error, attempt| matches!(trouble(error, attempt), Err(Trouble::Later { .. }));
        assert_eq!(trouble(plugin(PluginError::Failed("x".into())), 1), Ok(()));
        assert_eq!(trouble(CallError::Exit(1), 2), Ok(()));
        assert!(matches!(trouble(CallError::Exit(1), 3), Err(Trouble::Dead(_))));
        for error in [PluginError::InvalidInput("x".into()), PluginError::Unsupported("x".into())] {
            assert!(matches!(trouble(plugin(error), 1), Err(Trouble::Dead(_))), "the same again has no use");
        }
        assert!(later(plugin(PluginError::Unavailable(Duration::from_secs(1))), 3));
        assert!(later(CallError::Busy, 3), "that is not its fault");
        assert!(later(CallError::Quarantined { retry_in: Duration::from_secs(9), last: String::new() }, 3));
    }
}
