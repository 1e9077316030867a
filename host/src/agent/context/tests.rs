//! What is shown of histories of all kinds, and how long it begins at the same place.

use super::*;
use crate::metering::text_tokens;
use crate::store::{Position, Timestamp, ToolUse};
use proptest::prelude::*;

/// A window that is as wide as may be.
fn window(tokens: u32, trim: Trim) -> Window {
    Window { tokens, messages: usize::MAX, trim }
}

/// What is shown of a history that is cut closely.
fn closely(history: &[StoredMessage], turn: TurnId, tokens: u32) -> Vec<Arc<Message>> {
    assemble(history, turn, window(tokens, Trim::Closely)).messages
}

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
    assert_eq!(texts(&closely(&history, turn(1), 1000)), ["first", "answer"]);
    assert_eq!(texts(&closely(&history, turn(2), 1000)), ["first", "answer", "second"]);
}

#[test]
fn a_call_without_a_result_gets_one_that_says_so() {
    let history = [
        stored(0, 1, Message::text(Role::User, "q")),
        stored(1, 1, call("c")),
        stored(2, 2, Message::text(Role::User, "again")),
    ];
    assert_eq!(texts(&closely(&history, turn(2), 1000)), ["q", "call c", "result c true", "again"]);
}

#[test]
fn the_turn_at_hand_is_there_whatever_it_costs() {
    let history =
        [stored(0, 1, Message::text(Role::User, "old")), stored(1, 2, Message::text(Role::User, "long ".repeat(1000)))];
    assert_eq!(closely(&history, turn(2), 0).len(), 1);
    assert_eq!(closely(&history, turn(2), text_tokens("old") + 3).len(), 2);
}

/// A turn of a question and an answer.
fn exchange(history: &mut Vec<StoredMessage>, of: u64, words: usize) {
    for (role, text) in [(Role::User, format!("question {of}")), (Role::Assistant, "word ".repeat(words))] {
        history.push(stored(history.len() as u64, of, Message::text(role, text)));
    }
}

/// What the first message of each context is over a conversation of such turns, and how many tokens of earlier
/// turns it shows.
fn beginnings(sizes: &[usize], window: Window) -> Vec<(String, u32)> {
    let mut history = Vec::new();
    let mut all = Vec::new();
    for (of, words) in sizes.iter().enumerate() {
        let of = of as u64;
        let position = history.len() as u64;
        history.push(stored(position, of, Message::text(Role::User, format!("question {of}"))));
        let read = history.len().saturating_sub(window.messages);
        let shown = assemble(&history[read..], turn(of), window).messages;
        let tokens = shown[..shown.len() - 1].iter().map(|message| message_tokens(message)).sum();
        all.push((texts(&shown).swap_remove(0), tokens));
        history.pop();
        exchange(&mut history, of, *words);
    }
    all
}

/// For how many turns a context begins at the same place, on average.
fn held(all: &[(String, u32)]) -> f64 {
    let changes = all.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    all.len() as f64 / (changes + 1) as f64
}

#[test]
fn a_long_conversation_begins_at_the_same_place_for_many_turns() {
    // Turns of about 300 tokens, of which 13 fit: that is seven that may be cut at once.
    let (words, wide) = (vec![225; 500], window(4000, Trim::InHops));
    let all = beginnings(&words, wide);
    assert!(held(&all) >= 4.0, "{}", held(&all));
    assert!(all.iter().skip(13).all(|(_, tokens)| (2000..=4000).contains(tokens)), "at least half is shown");
    let narrow = beginnings(&words, window(4000, Trim::Closely));
    assert!(held(&narrow) < 1.1, "cut closely, it begins elsewhere with every turn: {}", held(&narrow));
}

#[test]
fn a_long_conversation_of_which_only_so_many_messages_are_read_begins_at_the_same_place_too() {
    let limit = Window { tokens: u32::MAX, messages: 60, trim: Trim::InHops };
    let all = beginnings(&[5; 500], limit);
    assert!(held(&all) >= 8.0, "{}", held(&all));
}

#[test]
fn a_conversation_that_fits_is_shown_whole_and_one_of_giants_as_far_as_it_fits() {
    let all = beginnings(&[30; 20], window(4000, Trim::InHops));
    assert!(all.iter().all(|(first, _)| first == "question 0"), "{all:?}");
    // One of these fits, and makes more than half.
    let all = beginnings(&[2000; 5], window(4000, Trim::InHops));
    assert_eq!(all[4].0, "question 3");
}

#[test]
fn the_pause_before_a_turn_is_that_since_the_last_word_of_an_earlier_one() {
    let pause = |times: &[(u64, u64)], of: u64| {
        let message = |(index, (turn_of, at)): (usize, &(u64, u64))| {
            let mut message = stored(index as u64, *turn_of, Message::text(Role::User, "x"));
            message.at = Timestamp(*at);
            message
        };
        let history: Vec<_> = times.iter().enumerate().map(message).collect();
        assemble(&history, turn(of), window(1000, Trim::InHops)).pause
    };
    assert_eq!(pause(&[(1, 5)], 1), None);
    assert_eq!(pause(&[(1, 0), (1, 4_000), (2, 9_000)], 2), Some(Duration::from_secs(5)));
    assert_eq!(pause(&[(1, 0), (2, 1_000), (1, 4_000)], 2), Some(Duration::ZERO), "it waited for its turn");
    assert_eq!(pause(&[(1, 0), (2, 1_000), (3, 2_000), (1, 500)], 2), Some(Duration::from_millis(500)));
}

proptest! {
    #[test]
    fn no_call_is_ever_without_its_result_no_result_without_its_call_and_the_budget_never_passed(
        turns in prop::collection::vec((0_usize..4, 1_usize..40), 1..20),
        budget in 0_u32..400,
        cut in 0_usize..10,
        trim in prop_oneof![Just(Trim::Closely), Just(Trim::InHops)],
        read in 1_usize..60,
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
        let shown = assemble(&history, turn(last), Window { tokens: budget, messages: read, trim }).messages;
        let own = history.iter().filter(|stored| stored.turn == turn(last)).count();
        let earlier: u32 = shown[..shown.len() - own].iter().map(|message| message_tokens(message)).sum();
        prop_assert!(earlier <= budget, "{} of {}", earlier, budget);
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
