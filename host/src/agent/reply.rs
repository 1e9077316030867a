//! One answer of a model, as it grows: the message that it becomes, and what watchers are told.

use crate::provider::StreamEvent;
use crate::store::{Block, Delta, EventBody, Message, Role, StopReason, TokenUsage, ToolUse};

/// An answer that may still grow.
#[derive(Debug, Default)]
pub(super) struct Reply {
    blocks: Vec<Block>,
    text_bytes: u64,
    thinking_bytes: u64,
    /// The arguments of calls that are not whole.
    arriving: String,
    started: bool,
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
            StreamEvent::ToolInput(piece) => {
                self.arriving.push_str(&piece);
                None
            }
            StreamEvent::ToolUse(call) => {
                self.arriving.clear();
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
            StreamEvent::Started { .. } => {
                self.started = true;
                None
            }
            StreamEvent::Text(_) | StreamEvent::Thinking(_) => None,
        }
    }

    /// Why it ended, once it has.
    pub(super) fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// Whether the provider began to answer, and so to charge: it has read the request by then.
    pub(super) fn began(&self) -> bool {
        self.started || self.usage.is_some() || !self.blocks.is_empty()
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

    /// What it consumed, and whether that is the provider's word.
    ///
    /// An answer that was cut counts what the provider had said, which is all of the input where it says that
    /// first, as Anthropic does; and what came of the output, where that is more than was said of it. `input` is
    /// asked where the provider said nothing of the input, as OpenAI before the last of its chunks; `count` counts a
    /// text that came. No request is
    /// empty, so that 0 says nothing, nor does it of an answer in which something is written. All of this is an
    /// estimate.
    pub(super) fn usage(&self, input: impl FnOnce() -> u64, count: impl Fn(&str) -> u64) -> (TokenUsage, Counted) {
        let mut usage = self.usage.unwrap_or_default();
        let mut counted = if self.stop.is_some() { Counted::ByProvider } else { Counted::Estimated };
        if usage.input_tokens == 0 && usage.cache_read_tokens == 0 && usage.cache_write_tokens == 0 {
            usage.input_tokens = input();
            counted = Counted::Estimated;
        }
        if self.stop.is_none() || usage.output_tokens == 0 {
            let written = self.written(count);
            if written > usage.output_tokens {
                usage.output_tokens = written;
                counted = Counted::Estimated;
            }
        }
        (usage, counted)
    }

    /// What has come of it, in tokens.
    fn written(&self, count: impl Fn(&str) -> u64) -> u64 {
        let tokens = |block: &Block| match block {
            Block::Text { text } | Block::Thinking { text, .. } => count(text),
            Block::RedactedThinking { data } => count(data),
            Block::ToolUse(call) => count(&call.name).saturating_add(count(call.input.get())),
            Block::ToolResult(_) | Block::Attachment(_) | Block::Image { .. } => 0,
        };
        self.blocks.iter().map(tokens).fold(count(&self.arriving), u64::saturating_add)
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
    use crate::metering::text_tokens;

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

    /// What an answer of these events counts as, where 1000 is estimated for the input.
    fn counted(events: impl IntoIterator<Item = StreamEvent>) -> (TokenUsage, Counted) {
        offsets(events).0.usage(|| 1000, |text| text_tokens(text).into())
    }

    fn tokens(input_tokens: u64, output_tokens: u64) -> TokenUsage {
        TokenUsage { input_tokens, output_tokens, ..TokenUsage::default() }
    }

    fn words(count: usize) -> StreamEvent {
        StreamEvent::Text("word".repeat(count))
    }

    #[test]
    fn a_whole_answer_counts_what_the_provider_says() {
        let said = TokenUsage { cache_read_tokens: 50, ..tokens(9, 3) };
        let events = [words(20), StreamEvent::Usage(said), StreamEvent::Stopped(StopReason::EndTurn)];
        assert_eq!(counted(events), (said, Counted::ByProvider));
        let silent = [StreamEvent::Usage(tokens(9, 0)), StreamEvent::Stopped(StopReason::EndTurn)];
        assert_eq!(counted(silent), (tokens(9, 0), Counted::ByProvider));
    }

    #[test]
    fn a_cut_answer_keeps_the_input_that_was_counted_and_estimates_what_came() {
        let started = TokenUsage { cache_read_tokens: 50, cache_write_tokens: 7, ..tokens(9, 1) };
        let expected = TokenUsage { output_tokens: 20, ..started };
        assert_eq!(counted([StreamEvent::Usage(started), words(20)]), (expected, Counted::Estimated));
        let ahead = [StreamEvent::Usage(tokens(9, 90)), words(20)];
        assert_eq!(counted(ahead), (tokens(9, 90), Counted::Estimated), "the provider knew of more");
    }

    #[test]
    fn where_the_counts_would_have_come_at_the_end_a_cut_answer_is_estimated_whole() {
        assert_eq!(counted([words(20)]), (tokens(1000, 20), Counted::Estimated));
    }

    #[test]
    fn thinking_and_the_arguments_of_a_call_on_its_way_are_counted_too() {
        let input = |text: &str| StreamEvent::ToolInput(text.into());
        let half = [StreamEvent::Thinking("hmhm".into()), words(2), input("{\"path\":"), input("\"/tmp/fi")];
        assert_eq!(counted(half), (tokens(1000, 1 + 2 + 4), Counted::Estimated));
        let json = "{\"a\":123}".to_owned();
        let whole = ToolUse {
            id: "c".into(),
            name: "tool".into(),
            input: serde_json::value::RawValue::from_string(json.clone()).expect("JSON").into(),
        };
        let events = [StreamEvent::ToolInput(json), StreamEvent::ToolUse(whole)];
        assert_eq!(counted(events), (tokens(1000, 1 + 3), Counted::Estimated), "and once");
    }

    #[test]
    fn a_provider_that_counts_nothing_is_not_believed() {
        let stopped = || StreamEvent::Stopped(StopReason::EndTurn);
        assert_eq!(counted([words(20), stopped()]), (tokens(1000, 20), Counted::Estimated));
        let zeros = [words(20), StreamEvent::Usage(tokens(0, 0)), stopped()];
        assert_eq!(counted(zeros), (tokens(1000, 20), Counted::Estimated));
        let half = [words(20), StreamEvent::Usage(tokens(30, 0)), stopped()];
        assert_eq!(counted(half), (tokens(30, 20), Counted::Estimated));
    }

    #[test]
    fn a_provider_has_read_the_request_as_soon_as_it_says_anything() {
        assert!(!Reply::default().began());
        assert!(offsets([StreamEvent::Started { model: None }]).0.began());
    }

    #[test]
    fn what_is_kept_of_a_cut_answer_is_its_text() {
        let (reply, _) = offsets([StreamEvent::Thinking("hm".into()), StreamEvent::Text("so far".into())]);
        let message = reply.into_cut_message().expect("a message");
        assert!(matches!(&message.blocks[..], [Block::Text { text }] if text == "so far"));
    }
}
