//! One answer of a model, as it grows: the message that it becomes, and what watchers are told.

use crate::metering::text_tokens;
use crate::provider::StreamEvent;
use crate::store::{Block, Delta, EventBody, Message, Role, StopReason, TokenUsage, ToolUse};

/// An answer that may still grow.
#[derive(Debug, Default)]
pub(super) struct Reply {
    blocks: Vec<Block>,
    text_bytes: u64,
    thinking_bytes: u64,
    usage: Option<TokenUsage>,
    stop: Option<StopReason>,
}

impl Reply {
    /// Takes a piece in. Returns what watchers are told of it.
    pub(super) fn take(&mut self, event: StreamEvent, step: u32) -> Option<EventBody> {
        match event {
            StreamEvent::Text(delta) if !delta.is_empty() => {
                let offset = advance(&mut self.text_bytes, &delta);
                match self.blocks.last_mut() {
                    Some(Block::Text { text }) => text.push_str(&delta),
                    _ => self.blocks.push(Block::Text { text: delta.clone() }),
                }
                Some(EventBody::Text(Delta { delta, step, offset }))
            }
            StreamEvent::Thinking(delta) if !delta.is_empty() => {
                let offset = advance(&mut self.thinking_bytes, &delta);
                match self.blocks.last_mut() {
                    Some(Block::Thinking { text, signature: None }) => text.push_str(&delta),
                    _ => self.blocks.push(Block::Thinking { text: delta.clone(), signature: None }),
                }
                Some(EventBody::Thinking(Delta { delta, step, offset }))
            }
            StreamEvent::ThinkingSignature(proof) => {
                match self.blocks.last_mut() {
                    Some(Block::Thinking { signature: signature @ None, .. }) => *signature = Some(proof),
                    // Some models show nothing of what they thought, but prove it.
                    _ => self.blocks.push(Block::Thinking { text: String::new(), signature: Some(proof) }),
                }
                None
            }
            StreamEvent::RedactedThinking(data) => {
                self.blocks.push(Block::RedactedThinking { data });
                None
            }
            StreamEvent::ToolUse(call) => {
                self.blocks.push(Block::ToolUse(call));
                None
            }
            StreamEvent::Usage(usage) => {
                self.usage = Some(usage);
                None
            }
            StreamEvent::Stopped(stop) => {
                self.stop = Some(stop);
                None
            }
            StreamEvent::Started { .. } | StreamEvent::Text(_) | StreamEvent::Thinking(_) => None,
        }
    }

    /// Why it ended, once it has.
    pub(super) fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// Whether the provider began to answer, and so to charge.
    pub(super) fn began(&self) -> bool {
        self.usage.is_some() || !self.blocks.is_empty()
    }

    /// Whether a watcher was shown anything of it.
    pub(super) fn was_shown(&self) -> bool {
        self.text_bytes + self.thinking_bytes > 0
    }

    /// Its text, all blocks together.
    pub(super) fn text(&self) -> String {
        let text = |block: &Block| match block {
            Block::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.blocks.iter().filter_map(text).collect()
    }

    /// The calls that it asks for.
    pub(super) fn calls(&self) -> impl Iterator<Item = &ToolUse> {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolUse(call) => Some(call),
            _ => None,
        })
    }

    /// What it consumed, and whether that is the provider's word: an answer that was cut, or
    /// whose provider does not count, is estimated from what was sent and what came.
    pub(super) fn usage(&self, input: impl FnOnce() -> u64) -> (TokenUsage, Counted) {
        match self.usage {
            Some(usage) if self.stop.is_some() => (usage, Counted::ByProvider),
            Some(usage) => {
                let output_tokens = usage.output_tokens.max(self.written());
                (TokenUsage { output_tokens, ..usage }, Counted::Estimated)
            }
            None => {
                let usage =
                    TokenUsage { input_tokens: input(), output_tokens: self.written(), ..TokenUsage::default() };
                (usage, Counted::Estimated)
            }
        }
    }

    fn written(&self) -> u64 {
        let tokens = |block: &Block| match block {
            Block::Text { text } | Block::Thinking { text, .. } => text_tokens(text),
            Block::RedactedThinking { data } => text_tokens(data),
            Block::ToolUse(call) => text_tokens(call.input.get()),
            Block::ToolResult(_) | Block::Attachment(_) | Block::Image { .. } => 0,
        };
        self.blocks.iter().map(|block| u64::from(tokens(block))).sum()
    }

    /// The message that a whole answer is.
    pub(super) fn into_message(self, calls: Calls) -> Option<Message> {
        let mut blocks = self.blocks;
        if calls == Calls::Dropped {
            blocks.retain(|block| !matches!(block, Block::ToolUse(_)));
        }
        // Reasoning alone is no message that a provider takes back.
        let says = blocks.iter().any(|block| matches!(block, Block::Text { .. } | Block::ToolUse(_)));
        says.then_some(Message { role: Role::Assistant, blocks })
    }

    /// The message that an answer is which was cut: what the user saw. Calls that were never
    /// made and reasoning without its proof are of no use to anyone.
    pub(super) fn into_cut_message(self) -> Option<Message> {
        let text = self.text();
        (!text.trim().is_empty()).then(|| Message::text(Role::Assistant, text))
    }
}

/// What becomes of the calls that an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// They get results.
    Kept,
    /// They are not made, and a call without a result must not stay in the conversation.
    Dropped,
}

/// Whose word a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The provider's.
    ByProvider,
    /// Ours.
    Estimated,
}

fn advance(bytes: &mut u64, delta: &str) -> u64 {
    let offset = *bytes;
    *bytes += delta.len() as u64;
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(events: impl IntoIterator<Item = StreamEvent>) -> (Reply, Vec<u64>) {
        let mut reply = Reply::default();
        let told = events.into_iter().filter_map(|event| reply.take(event, 0));
        let offset = |body| match body {
            EventBody::Text(delta) | EventBody::Thinking(delta) => delta.offset,
            _ => u64::MAX,
        };
        let offsets = told.map(offset).collect();
        (reply, offsets)
    }

    #[test]
    fn offsets_count_bytes_of_the_steps_text_over_all_its_blocks() {
        let call = ToolUse {
            id: "c".into(),
            name: "t".into(),
            input: serde_json::value::to_raw_value(&serde_json::json!({})).expect("raw").into(),
        };
        let (reply, offsets) = offsets([
            StreamEvent::Text("Né".into()),
            StreamEvent::ToolUse(call),
            StreamEvent::Text(String::new()),
            StreamEvent::Text("xt".into()),
        ]);
        assert_eq!(offsets, [0, 3]);
        assert_eq!(reply.text(), "Néxt");
        assert_eq!(reply.calls().count(), 1);
    }

    #[test]
    fn an_answer_that_was_cut_counts_at_least_what_came_and_says_that_it_is_an_estimate() {
        let started = TokenUsage { input_tokens: 9, output_tokens: 1, ..TokenUsage::default() };
        let (reply, _) = offsets([StreamEvent::Usage(started), StreamEvent::Text("word ".repeat(20))]);
        let (usage, counted) = reply.usage(|| 1000);
        assert_eq!((usage.input_tokens, usage.output_tokens, counted), (9, 25, Counted::Estimated));
    }

    #[test]
    fn what_is_kept_of_a_cut_answer_is_its_text() {
        let (reply, _) = offsets([StreamEvent::Thinking("hm".into()), StreamEvent::Text("so far".into())]);
        let message = reply.into_cut_message().expect("a message");
        assert!(matches!(&message.blocks[..], [Block::Text { text }] if text == "so far"));
    }
}
