//! What of a conversation a model is shown.
//!
//! The conversation is cut between turns, never inside one, so that no tool call is separated
//! from its result and no answer from its question. Turns that were accepted later than the one
//! at hand, and wait, are not part of it.
//!
//! A provider that keeps the beginning of a conversation has to be sent the same beginning again. A context that
//! were always as full as it may be would begin one turn later each time; so where it counts, it is cut seldom, and
//! then by up to a half ([`Trim::InHops`]). With a context of 4,000 tokens, turns of 300 and the prices of
//! [`crate::provider::CachePolicy`], a turn then costs a third of what it costs without a cache; cut
//! each time, it would cost more than without.

use std::sync::Arc;
use std::time::Duration;

use crate::metering::message_tokens;
use crate::store::{Block, Message, Role, StoredMessage, ToolContent, ToolResult, TurnId};

/// What stands in for the result of a call that never got one.
const NO_RESULT: &str = "This call was interrupted; whether it had an effect is not known.";

/// How much of a conversation fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Tokens of earlier turns.
    pub(super) tokens: u32,
    /// Messages that were read back of the session, at most; there may be more that were not.
    pub(super) messages: usize,
    pub(super) trim: Trim,
}

/// How a conversation is cut that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trim {
    /// As little as possible.
    Closely,
    /// So that it begins at the same place for many turns. At least half of what fits is shown, unless it is
    /// of larger turns than that.
    InHops,
}

/// What a model is shown.
#[derive(Debug)]
pub(super) struct Context {
    /// Oldest first, ending with those of the turn at hand.
    pub(super) messages: Vec<Arc<Message>>,
    /// How long before the turn at hand anything else happened in the session; nothing, where nothing did.
    pub(super) pause: Option<Duration>,
}

/// A turn's messages.
struct Past<'a> {
    id: TurnId,
    /// Where it begins in the history.
    position: u64,
    messages: Vec<&'a StoredMessage>,
}

/// The context of `turn`. Earlier turns are taken newest first while they fit into `window`; the turn
/// at hand is always there whole.
#[must_use]
pub(super) fn assemble(history: &[StoredMessage], turn: TurnId, window: Window) -> Context {
    let mut turns: Vec<Past<'_>> = Vec::new();
    for stored in history {
        match turns.iter_mut().rev().find(|past| past.id == stored.turn) {
            Some(past) => past.messages.push(stored),
            None => turns.push(Past { id: stored.turn, position: stored.position.0, messages: vec![stored] }),
        }
    }
    let current = turns.iter().position(|past| past.id == turn).unwrap_or(turns.len());
    turns.truncate(current + 1);

    let first = first_shown(&turns, current.min(turns.len()), &window, history.len());
    let at = |past: &Past<'_>| past.messages.iter().map(|stored| stored.at).max();
    let before = turns.get(..current).into_iter().flatten().filter_map(at).max();
    let own = turns.get(current).and_then(|past| past.messages.first());
    Context {
        messages: turns.iter().skip(first).flat_map(|past| complete(&past.messages, past.id == turn)).collect(),
        pause: own.zip(before).map(|(own, before)| own.at.since(before)),
    }
}

/// The first of `turns` that is shown, where `current` is the one at hand and `read` messages were read.
fn first_shown(turns: &[Past<'_>], current: usize, window: &Window, read: usize) -> usize {
    let (mut left, mut shown) = (window.tokens, 0);
    let mut first = current;
    // Of those that fit, the last one that may be the first shown.
    let mut latest = None;
    while let Some(past) = first.checked_sub(1).and_then(|index| turns.get(index)) {
        let cost = past.messages.iter().map(|stored| message_tokens(&stored.message)).fold(0, u32::saturating_add);
        // A history that begins in the middle of a turn was cut by retention: its rest is of no use.
        let begins = past.messages.first().map(|stored| &stored.message);
        let whole = begins.is_some_and(|message| message.role == Role::User && !message.answers_tools());
        match left.checked_sub(cost) {
            Some(rest) if whole => left = rest,
            _ => break,
        }
        first -= 1;
        shown += past.messages.len();
        if latest.is_none() && (left <= window.tokens / 2 || shown > window.messages / 2) {
            latest = Some(first);
        }
    }
    let cut = first > 0 || read >= window.messages;
    match latest {
        Some(latest) if cut && window.trim == Trim::InHops => {
            (first..=latest).max_by_key(|&index| landmark(turns, index)).unwrap_or(first)
        }
        _ => first,
    }
}

/// How far a turn is seen as the beginning of a context: by the largest power of two of which a multiple is among the
/// positions from its first message to the next turn's. Of any stretch of a history one turn stands out so, and as
/// the stretch moves on, it is the same one until it is left behind, or one that stands out for longer is reached.
fn landmark(turns: &[Past<'_>], index: usize) -> u32 {
    let position = |index: usize| turns.get(index).map(|past| past.position);
    match (position(index), position(index + 1)) {
        (Some(0), _) => u64::BITS,
        // The highest bit in which the last position differs from the one before the first.
        (Some(first), Some(next)) => u64::BITS - ((first - 1) ^ next.saturating_sub(1).max(first)).leading_zeros(),
        _ => 0,
    }
}

/// A turn's messages, with a result for every call. The last calls of the turn at hand get theirs
/// from whoever runs it.
fn complete(messages: &[&StoredMessage], at_hand: bool) -> Vec<Arc<Message>> {
    let mut whole = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().map(|stored| &stored.message).enumerate() {
        whole.push(Arc::clone(message));
        if at_hand && index + 1 == messages.len() {
            break;
        }
        let calls = message.blocks.iter().filter_map(|block| match block {
            Block::ToolUse(call) => Some(&call.id),
            _ => None,
        });
        let answered = |id: &String| {
            messages.get(index + 1).is_some_and(|next| {
                next.message
                    .blocks
                    .iter()
                    .any(|block| matches!(block, Block::ToolResult(result) if result.tool_use_id == *id))
            })
        };
        let missing: Vec<_> = calls.filter(|id| !answered(id)).map(|id| interrupted(id)).collect();
        if !missing.is_empty() {
            whole.push(Arc::new(Message { role: Role::User, blocks: missing }));
        }
    }
    whole
}

fn interrupted(id: &str) -> Block {
    let content = vec![ToolContent::text(NO_RESULT)];
    Block::ToolResult(ToolResult { tool_use_id: id.to_owned(), content, is_error: true })
}

#[cfg(test)]
mod tests;
