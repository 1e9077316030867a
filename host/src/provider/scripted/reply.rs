//! An answer in Anthropic's stream format.

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::script::Answer;

/// One server-sent event.
pub(super) struct Event {
    pub(super) text: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word of the text.
    Word,
    Other,
}

/// Bytes of one piece of a tool's arguments: small, so that they come in several.
const INPUT_PIECE: usize = 12;

/// About what tokenizers make of English.
const BYTES_PER_TOKEN: usize = 4;

/// The events of an answer, cut off where `max_tokens` ends it.
pub(super) fn events(conversation: &Conversation, answer: &Answer) -> Vec<Event> {
    let mut reply = Reply {
        events: Vec::new(),
        room: conversation.max_tokens.saturating_mul(BYTES_PER_TOKEN),
        written: 0,
        index: 0,
    };
    let usage = json!({ "input_tokens": conversation.bytes.div_ceil(BYTES_PER_TOKEN), "output_tokens": 1,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0 });
    let message = json!({ "id": format!("msg_{:016x}", conversation.digest), "type": "message", "role": "assistant",
        "model": conversation.model, "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage });
    reply.event("message_start", json!({ "message": message }));
    reply.event("ping", json!({}));
    let whole = reply.text(&answer.text) && reply.calls(conversation.digest, answer);
    let reason = match (whole, answer.calls.is_empty()) {
        (false, _) => "max_tokens",
        (true, true) => "end_turn",
        (true, false) => "tool_use",
    };
    let usage = json!({ "output_tokens": reply.written.div_ceil(BYTES_PER_TOKEN) });
    reply.event("message_delta", json!({ "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": usage }));
    reply.event("message_stop", json!({}));
    reply.events
}

struct Reply {
    events: Vec<Event>,
    /// Bytes that may still be written.
    room: usize,
    written: usize,
    /// Of the next block.
    index: usize,
}

impl Reply {
    fn event(&mut self, name: &str, members: Value) {
        self.push(name, members, Kind::Other);
    }

    fn push(&mut self, name: &str, mut members: Value, kind: Kind) {
        members["type"] = name.into();
        self.events.push(Event { text: format!("event: {name}\ndata: {members}\n\n"), kind });
    }

    /// One piece of a block. Says whether there was room for it.
    fn delta(&mut self, delta: Value, bytes: usize, kind: Kind) -> bool {
        let fits = bytes <= self.room;
        if fits {
            self.room -= bytes;
            self.written += bytes;
            let members = json!({ "index": self.index, "delta": delta });
            self.push("content_block_delta", members, kind);
        }
        fits
    }

    fn start(&mut self, block: Value) {
        self.event("content_block_start", json!({ "index": self.index, "content_block": block }));
    }

    fn stop(&mut self) {
        self.event("content_block_stop", json!({ "index": self.index }));
        self.index += 1;
    }

    /// The text, word by word, each with the space behind it. Says whether all of it fitted.
    fn text(&mut self, text: &str) -> bool {
        self.start(json!({ "type": "text", "text": "" }));
        let whole = text
            .split_inclusive(' ')
            .all(|word| self.delta(json!({ "type": "text_delta", "text": word }), word.len(), Kind::Word));
        if whole {
            self.stop();
        }
        whole
    }

    fn calls(&mut self, digest: u64, answer: &Answer) -> bool {
        for (number, call) in answer.calls.iter().enumerate() {
            let id = format!("toolu_{digest:016x}_{number}");
            self.start(json!({ "type": "tool_use", "id": id, "name": call.tool, "input": {} }));
            let piece = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
            self.delta(piece(""), 0, Kind::Other);
            let input = if call.input == json!({}) { String::new() } else { call.input.to_string() };
            let mut rest = input.as_str();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(rest.ceil_char_boundary(INPUT_PIECE));
                if !self.delta(piece(head), head.len(), Kind::Other) {
                    return false;
                }
                rest = tail;
            }
            self.stop();
        }
        true
    }
}
