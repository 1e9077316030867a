//! Whether a channel's new version can go on from where the old one is.
//!
//! Before it takes over, the new version is started on a copy of the old one's state. Where it
//! fails, nothing has happened: the old version never stopped, and its state is what it was.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::config::PluginName;
use crate::store::Timestamp;

use super::bindings::channel::{Event, Incoming, Start};
use super::channel::{ChannelCall, ChannelPlugin};
use super::error::CallError;
use super::registry::{Consent, Objection, Proposal, SwapGuard};

/// Why a channel's new version does not take over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the new version of channel `{channel}` does not start from the old one's state: {error}")]
pub struct TrialError {
    /// The channel's plugin.
    pub channel: PluginName,
    /// What it did instead.
    pub error: CallError,
}

/// Starts `new` on a copy of the old version's `state`, as a reload. Its answer is the first thing
/// that the new version wants: who switches to it stores the state of the answer and carries out
/// the actions, and who does not drops it.
///
/// # Errors
/// The new version refuses the state, traps on it, or takes longer or more than it may.
pub async fn trial(new: &ChannelPlugin, call: ChannelCall<'_>, state: &[u8]) -> Result<Incoming, TrialError> {
    let started = new.parse_incoming(call, state, &Event::Start(Start::Reload)).await;
    started.map_err(|error| TrialError { channel: new.plugin().name().clone(), error })
}

/// Guards channels that nothing drives: they have no state yet, so a new version has to start from
/// an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatelessTrial;

impl SwapGuard for StatelessTrial {
    fn consider<'a>(&'a self, proposal: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>> {
        async move {
            for (old, new) in proposal.replaced() {
                if let (Some(_), Some(new)) = (old.channel(), new.channel()) {
                    // The answer is dropped, so any chance will do.
                    let now = Timestamp::now();
                    let call = ChannelCall { id: "reload", webhook_url: None, now, random: 0, attempt: 1 };
                    trial(&new, call, b"").await.map_err(|error| Objection(error.to_string()))?;
                }
            }
            Ok(Consent::plain())
        }
        .boxed()
    }
}
