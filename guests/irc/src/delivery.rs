//! What the agent says, line by line.

use exoclaw_chat::{Limit, Plain, Unit, render};
use exoclaw_guest::channel::{Content, Next, OutboundFrame, Outgoing, Step, TaggedOutboundFrame, text};
use serde::{Deserialize, Serialize};

use crate::TAG;
use crate::line::{is_channel, is_param};
use crate::state::{Phase, State};
use crate::text::lines;

/// So many lines at a stroke. RFC 1459, section 8.10, lets a client be ten seconds ahead, at two a
/// line; but what other conversations are told just now counts, too, and no delivery sees another.
const BURST: usize = 2;
/// Then one in so many milliseconds.
const PACE: u32 = 2_000;
/// How long to wait for a connection before looking again, at least and at most, in milliseconds.
const LOOK: (u64, u64) = (1_000, 600_000);
/// Until when an answer is worth sending, in milliseconds after it was made.
const WORTH: u64 = 21_600_000;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Lines given to the host.
    pub sent: usize,
    /// The connection that they went to; empty where that does not matter any more.
    pub connection: String,
    /// Whether it has waited since the last one.
    pub rested: bool,
}

pub fn next(now: u64, state: &State, outgoing: &Outgoing, progress: Progress) -> Step<Progress> {
    let markdown = match &outgoing.content {
        Content::Markdown(markdown) => markdown,
        // Nobody would see it.
        Content::Typing | Content::Draft(_) => return Next::Done(vec![]).into(),
        Content::File(file) => return Next::Rejected(format!("IRC carries no files: {}", file.name)).into(),
        Content::Reaction(_) => return Next::Rejected("IRC has no reactions".into()).into(),
    };
    // Nothing tells whether a line arrived. As long as the connection stands, all before did.
    if progress.sent > 0 && !progress.connection.is_empty() && progress.connection != state.connection {
        let why = format!("the connection was lost behind line {}", progress.sent);
        // If it is to be said again, then from this line on.
        let progress = Progress { sent: progress.sent - 1, ..Progress::default() };
        return Step { progress, ..Next::Unknown(why).into() };
    }
    let age = now.saturating_sub(outgoing.created_at);
    if state.phase != Phase::Ready {
        return match u32::try_from((age / 4).clamp(LOOK.0, LOOK.1)) {
            Ok(wait) if age < WORTH => Step { progress, ..Next::Wait(wait).into() },
            _ => Next::Rejected("there was no connection for six hours".into()).into(),
        };
    }
    let target = target(outgoing);
    let lines = Some(target).filter(|target| is_param(target)).and_then(|target| lines(&plain(markdown), target));
    let Some(lines) = lines else {
        return Next::Rejected(format!("{target:?} is nobody to whom a message could be sent")).into();
    };
    let Some(line) = lines.get(progress.sent) else {
        // IRC has no ids of what was said.
        return Next::Done(vec![]).into();
    };
    if progress.sent >= BURST && !progress.rested {
        return Step { progress: Progress { rested: true, ..progress }, ..Next::Wait(PACE).into() };
    }
    let frame = OutboundFrame::Text(text(format!("PRIVMSG {target} :{line}")));
    Step {
        progress: Progress { sent: progress.sent + 1, connection: state.connection.clone(), rested: false },
        ..Next::Frame(TaggedOutboundFrame { tag: TAG.into(), frame }).into()
    }
}

/// A channel, or whoever wrote last. Without a handle, an account is called as its nick mostly is.
fn target(outgoing: &Outgoing) -> &str {
    let peer = outgoing.address.peer.as_str();
    if is_channel(peer) {
        return peer;
    }
    let nick = outgoing.handle.as_deref().and_then(|handle| std::str::from_utf8(handle).ok());
    nick.filter(|nick| !nick.is_empty()).unwrap_or_else(|| peer.split_once('!').map_or(peer, |(nick, _)| nick))
}

/// Without any markup; it is cut into lines afterwards.
fn plain(markdown: &str) -> String {
    let parts = render(markdown, &Plain, Limit::new(usize::MAX, Unit::Bytes));
    parts.into_iter().map(|part| part.markup).collect()
}
