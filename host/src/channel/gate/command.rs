//! Commands that the host answers itself, on every channel.

use std::fmt::Write as _;

use crate::runtime::bindings::channel::{Kind, Message};
use crate::store::{SessionKey, StoreError, UsageFilter, UsageGroup, UsageQuery, UsageRow};

use super::super::line::{ChannelHealth, Line};

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channel) enum Command {
    /// `/stop`: ends what the agent is doing here.
    Stop,
    /// `/new`: the agent begins anew here.
    New,
    /// `/status`.
    Status,
    /// `/usage`.
    Usage,
    /// `/help`.
    Help,
}

/// Each with what `/help` says of it.
const COMMANDS: &[(&str, Command, &str)] = &[
    ("/stop", Command::Stop, "end the answer that I am working on"),
    ("/new", Command::New, "begin anew: I forget what was said here before"),
    ("/status", Command::Status, "how I am"),
    ("/usage", Command::Usage, "what this conversation has consumed"),
    ("/help", Command::Help, "this list"),
];

impl Command {
    /// The command that a message is. It stands alone, so that no text that merely begins like one is
    /// taken for it, and an edit or a reaction is none.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if message.kind != Kind::New || !message.attachments.is_empty() {
            return None;
        }
        let text = message.text.trim();
        COMMANDS.iter().find(|(name, ..)| text.eq_ignore_ascii_case(name)).map(|(_, command, _)| *command)
    }

    /// Carries it out, and says what is answered. Done twice, it does no harm: after a crash it may be.
    ///
    /// # Errors
    /// The store failed.
    pub(in crate::channel) async fn carry_out(self, line: &Line, session: &SessionKey) -> Result<String, StoreError> {
        Ok(match self {
            Self::Stop => match line.dispatcher.abort(session, None).await {
                true => "Stopped.".to_owned(),
                false => "There is nothing to stop.".to_owned(),
            },
            Self::New => {
                line.dispatcher.reset(session).await?;
                "We begin anew.".to_owned()
            }
            Self::Status => status(line, session).await?,
            Self::Usage => usage(line, session).await?,
            Self::Help => {
                let mut text = "Write to me as you would to anyone. These I understand as commands:\n".to_owned();
                for (name, _, what) in COMMANDS {
                    let _ = write!(text, "\n- `{name}`: {what}");
                }
                text
            }
        })
    }
}

async fn status(line: &Line, session: &SessionKey) -> Result<String, StoreError> {
    let load = line.dispatcher.load();
    let health = match line.health().health {
        ChannelHealth::Ready => "I am here.",
        ChannelHealth::Connecting { .. } => "I am connecting.",
        ChannelHealth::Degraded { .. } => "I am here, but not all works.",
        ChannelHealth::Failed { .. } | ChannelHealth::Quarantined { .. } => "Something is wrong with this channel.",
    };
    let record = line.store.session(session).await?;
    let mut text = health.to_owned();
    let _ = write!(text, " You are talking to `{}`.", session.agent());
    if let Some(record) = record {
        let _ = write!(text, " This conversation has {} messages.", record.messages);
    }
    if load.running + load.queued > 0 {
        let _ = write!(text, " {} answers are in the making, {} messages wait.", load.running, load.queued);
    }
    Ok(text)
}

async fn usage(line: &Line, session: &SessionKey) -> Result<String, StoreError> {
    let filter = UsageFilter { session: Some(session.clone()), ..UsageFilter::default() };
    let all = UsageQuery { since: None, until: None, group: UsageGroup::Total, filter, after: None, limit: 1 };
    let Some(UsageRow { sums, .. }) = line.store.usage(all).await?.items.pop() else {
        return Ok("This conversation has consumed nothing yet.".to_owned());
    };
    let output = sums.tokens.output_tokens;
    let input = sums.tokens.total().saturating_sub(output);
    let mut text = match sums.calls {
        1 => "This conversation has taken one call of a model".to_owned(),
        calls => format!("This conversation has taken {calls} calls of a model"),
    };
    let _ = write!(text, ": {input} tokens in, {output} out");
    // A sum that lacks some of it would look like all.
    if sums.unpriced == 0 {
        let _ = write!(text, ", {}", sums.cost);
    }
    text.push('.');
    Ok(text)
}
