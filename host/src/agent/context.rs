//! What of a conversation a model is shown.
//!
//! The conversation is cut between turns, never inside one, so that no tool call is separated
//! from its result and no answer from its question. Turns that were accepted later than the one
//! at hand, and wait, are not part of it.

use std::sync::Arc;

use crate::metering::message_tokens;
use crate::store::{Block, Message, Role, StoredMessage, ToolContent, ToolResult, TurnId};

/// What stands in for the result of a call that never got one.
const NO_RESULT: &str = "This call was interrupted; whether it had an effect is not known.";

/// The messages for a model, oldest first, ending with those of `turn`. Earlier turns are taken
/// newest first while they fit into `budget` tokens; the turn at hand is always there whole.
#[must_use]
pub(super) fn assemble(history: &[StoredMessage], turn: TurnId, budget: u32) -> Vec<Arc<Message>> {
    let mut turns: Vec<(TurnId, Vec<&Arc<Message>>)> = Vec::new();
    for stored in history {
        match turns.iter_mut().find(|(id, _)| *id == stored.turn) {
            Some((_, messages)) => messages.push(&stored.message),
            None => turns.push((stored.turn, vec![&stored.message])),
        }
    }
    let current = turns.iter().position(|(id, _)| *id == turn).unwrap_or(turns.len());
    turns.truncate(current + 1);

    let mut left = budget;
    let mut first = current.min(turns.len());
    while let Some((_, messages)) = first.checked_sub(1).and_then(|index| turns.get(index)) {
        let cost = messages.iter().map(|message| message_tokens(message)).fold(0, u32::saturating_add);
        // A history that begins in the middle of a turn was cut by retention: its rest is of no use.
        let whole = messages.first().is_some_and(|message| message.role == Role::User && !message.answers_tools());
        match left.checked_sub(cost) {
            Some(rest) if whole => left = rest,
            _ => break,
        }
        first -= 1;
    }
    turns.iter().skip(first).flat_map(|(id, messages)| complete(messages, *id == turn)).collect()
}

/// A turn's messages, with a result for every call. The last calls of the turn at hand get theirs
/// from whoever runs it.
fn complete(messages: &[&Arc<Message>], at_hand: bool) -> Vec<Arc<Message>> {
    let mut whole = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
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
                next.blocks.iter().any(|block| matches!(block, Block::ToolResult(result) if result.tool_use_id == *id))
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
mod tests {
    use super::*;
    use crate::metering::text_tokens;
    use crate::store::{Position, Timestamp, ToolUse};
    use proptest::prelude::*;

    fn turn(n: u64) -> TurnId {
        TurnId::new(Timestamp(n), n)
    }

    fn stored(position: u64, of: u64, message: Message) -> StoredMessage {
        StoredMessage { position: Position(position), turn: turn(of), at: Timestamp(0), message: Arc::new(message) }
    }

    fn call(id: &str) -> Message {
        let input = serde_json::value::to_raw_value(&serde_json::json!({})).expect("raw").into();
        let call = ToolUse { id: id.into(), name: "t".into(), input };
        Message { role: Role::Assistant, blocks: vec![Block::ToolUse(call)] }
    }

    fn result(id: &str) -> Message {
        let result = ToolResult { tool_use_id: id.into(), content: vec![ToolContent::text("r")], is_error: false };
        Message { role: Role::User, blocks: vec![Block::ToolResult(result)] }
    }

    fn texts(messages: &[Arc<Message>]) -> Vec<String> {
        let text = |message: &Arc<Message>| match &message.blocks[0] {
            Block::Text { text } => text.clone(),
            Block::ToolUse(call) => format!("call {}", call.id),
            Block::ToolResult(result) => format!("result {} {}", result.tool_use_id, result.is_error),
            _ => String::new(),
        };
        messages.iter().map(text).collect()
    }

    #[test]
    fn a_message_that_waits_is_not_part_of_the_turn_before_it() {
        let history = [
            stored(0, 1, Message::text(Role::User, "first")),
            stored(1, 2, Message::text(Role::User, "second")),
            stored(2, 1, Message::text(Role::Assistant, "answer")),
        ];
        assert_eq!(texts(&assemble(&history, turn(1), 1000)), ["first", "answer"]);
        assert_eq!(texts(&assemble(&history, turn(2), 1000)), ["first", "answer", "second"]);
    }

    #[test]
    fn a_call_without_a_result_gets_one_that_says_so() {
        let history = [
            stored(0, 1, Message::text(Role::User, "q")),
            stored(1, 1, call("c")),
            stored(2, 2, Message::text(Role::User, "again")),
        ];
        assert_eq!(texts(&assemble(&history, turn(2), 1000)), ["q", "call c", "result c true", "again"]);
    }

    #[test]
    fn the_turn_at_hand_is_there_whatever_it_costs() {
        let history = [
            stored(0, 1, Message::text(Role::User, "old")),
            stored(1, 2, Message::text(Role::User, "long ".repeat(1000))),
        ];
        assert_eq!(assemble(&history, turn(2), 0).len(), 1);
        assert_eq!(assemble(&history, turn(2), text_tokens("old") + 3).len(), 2);
    }

    proptest! {
        #[test]
        fn no_call_is_ever_without_its_result_and_no_result_without_its_call(
            turns in prop::collection::vec((0_usize..4, 1_usize..40), 1..20),
            budget in 0_u32..400,
            cut in 0_usize..10,
        ) {
            let mut history = Vec::new();
            for (index, (calls, words)) in turns.iter().enumerate() {
                let of = index as u64;
                let mut messages = vec![Message::text(Role::User, "word ".repeat(*words))];
                for n in 0..*calls {
                    messages.extend([call(&format!("{index}.{n}")), result(&format!("{index}.{n}"))]);
                }
                messages.push(Message::text(Role::Assistant, "ok"));
                for message in messages {
                    history.push(stored(history.len() as u64, of, message));
                }
            }
            let last = turns.len() as u64 - 1;
            let first_of_last = history.iter().position(|stored| stored.turn == turn(last)).unwrap_or(0);
            history.drain(..cut.min(first_of_last));
            let shown = assemble(&history, turn(last), budget);
            prop_assert_eq!(shown.first().map(|message| message.role), Some(Role::User));
            let mut open = Vec::new();
            for text in texts(&shown) {
                if let Some(id) = text.strip_prefix("call ") {
                    open.push(id.to_owned());
                } else if let Some(rest) = text.strip_prefix("result ") {
                    prop_assert_eq!(rest.split(' ').next().map(str::to_owned), open.pop());
                } else {
                    prop_assert!(open.is_empty());
                }
            }
            prop_assert!(open.is_empty());
        }
    }
}
