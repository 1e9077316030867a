//! Anthropic's stream as a state machine: server-sent events in, [`StreamEvent`]s out, no I/O.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::{Tally, Usage};
use crate::net::sse;
use crate::provider::StreamEvent;
use crate::provider::count::Lenient;
use crate::provider::refusal::Refusal;
use crate::provider::stream::{Decode, DecodeError, Flow, MAX_PART, object, unfinished};
use crate::store::{StopReason, ToolUse};

/// Blocks that may be open at once. The API opens one after the other.
const MAX_OPEN: usize = 64;

/// Where a stream stands.
#[derive(Default)]
pub(super) struct Decoder {
    tally: Tally,
    /// The blocks that have not stopped, by their index.
    open: Vec<(u64, Open)>,
    /// A stopped call whose arguments are empty or broken: whole where the model went on after
    /// it, and half where it ran out of tokens.
    doubtful: Option<Call>,
    /// Calls that were handed on.
    calls: usize,
    reason: Option<StopReason>,
}

enum Open {
    Text,
    Thinking {
        signature: String,
    },
    Call(Call),
    /// Of a type that is none of ours.
    Other,
}

struct Call {
    id: String,
    name: String,
    /// What the block's start had; the deltas replace it.
    initial: Option<Box<RawValue>>,
    json: String,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MessageStart {
    message: StartedMessage,
}

#[derive(Deserialize)]
struct StartedMessage {
    model: Option<String>,
    #[serde(default)]
    usage: Lenient<Usage>,
}

#[derive(Deserialize)]
struct BlockStart<'a> {
    index: u64,
    #[serde(borrow)]
    content_block: &'a RawValue,
}

#[derive(Deserialize)]
struct TextBlock {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct ThinkingBlock {
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
}

#[derive(Deserialize)]
struct RedactedBlock {
    data: String,
}

#[derive(Deserialize)]
struct CallBlock {
    id: String,
    name: String,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    index: u64,
    #[serde(borrow)]
    delta: &'a RawValue,
}

/// One of the deltas that are read; the kind says which.
#[derive(Deserialize)]
struct Delta {
    #[serde(alias = "text", alias = "thinking", alias = "partial_json", alias = "signature")]
    content: String,
}

#[derive(Deserialize)]
struct BlockStop {
    index: u64,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: StopDelta,
    #[serde(default)]
    usage: Lenient<Usage>,
}

#[derive(Deserialize)]
struct StopDelta {
    stop_reason: Option<String>,
}

impl Decode for Decoder {
    fn event(&mut self, event: sse::Event<'_>, out: &mut VecDeque<StreamEvent>) -> Result<Flow, DecodeError> {
        let data = event.data;
        let kind = match event.name {
            "error" => Cow::Borrowed("error"),
            name => parse::<Kind<'_>>(name, data)?.kind,
        };
        match &*kind {
            "message_start" => {
                let started: MessageStart = parse("message_start", data)?;
                out.push_back(StreamEvent::Started { model: started.message.model });
                self.count(started.message.usage, out);
            }
            "content_block_start" => self.start(&parse("content_block_start", data)?, out)?,
            "content_block_delta" => self.delta(&parse("content_block_delta", data)?, out)?,
            "content_block_stop" => {
                let stop: BlockStop = parse("content_block_stop", data)?;
                self.stop(stop.index, out);
            }
            "message_delta" => {
                let delta: MessageDelta = parse("message_delta", data)?;
                self.count(delta.usage, out);
                if let Some(reason) = delta.delta.stop_reason {
                    self.reason = Some(reason_of(&reason));
                }
            }
            "message_stop" => return self.message_stop(out).map(Flow::Stopped),
            "error" => {
                let document = serde_json::from_str(data).map_err(|error| DecodeError::json("error", &error))?;
                let refusal = Refusal::from_json(&document);
                let unknown = || Refusal::said(None, "an error without explanation".into());
                return Err(DecodeError::Refused(refusal.unwrap_or_else(unknown)));
            }
            // `ping`, and what the API will add: it promises that unknown events may be ignored.
            _ => {}
        }
        Ok(Flow::Continue)
    }

    fn end(&mut self) -> Result<StopReason, DecodeError> {
        Err(DecodeError::Cut("the stream ended without `message_stop`"))
    }
}

impl Decoder {
    fn start(&mut self, start: &BlockStart<'_>, out: &mut VecDeque<StreamEvent>) -> Result<(), DecodeError> {
        const EVENT: &str = "content_block_start";
        // The model went on, so the call before was whole.
        self.settle(out)?;
        let block = start.content_block.get();
        let open = match &*parse::<Kind<'_>>(EVENT, block)?.kind {
            "text" => {
                push(out, StreamEvent::Text, parse::<TextBlock>(EVENT, block)?.text);
                Open::Text
            }
            "thinking" => {
                let block: ThinkingBlock = parse(EVENT, block)?;
                push(out, StreamEvent::Thinking, block.thinking);
                Open::Thinking { signature: block.signature }
            }
            "redacted_thinking" => {
                out.push_back(StreamEvent::RedactedThinking(parse::<RedactedBlock>(EVENT, block)?.data));
                Open::Other
            }
            "tool_use" => {
                let CallBlock { id, name, input } = parse(EVENT, block)?;
                Open::Call(Call { id, name, initial: input, json: String::new() })
            }
            _ => Open::Other,
        };
        if self.open.len() == MAX_OPEN || self.open.iter().any(|(index, _)| *index == start.index) {
            return Err(DecodeError::Malformed(format!("block {} began out of turn", start.index)));
        }
        self.open.push((start.index, open));
        Ok(())
    }

    fn delta(&mut self, delta: &BlockDelta<'_>, out: &mut VecDeque<StreamEvent>) -> Result<(), DecodeError> {
        const EVENT: &str = "content_block_delta";
        let Some((_, open)) = self.open.iter_mut().find(|(index, _)| *index == delta.index) else {
            return Err(DecodeError::Malformed(format!("a delta for block {}, which is not open", delta.index)));
        };
        let content = || parse::<Delta>(EVENT, delta.delta.get()).map(|delta| delta.content);
        match (&*parse::<Kind<'_>>(EVENT, delta.delta.get())?.kind, open) {
            ("text_delta", Open::Text) => push(out, StreamEvent::Text, content()?),
            ("thinking_delta", Open::Thinking { .. }) => push(out, StreamEvent::Thinking, content()?),
            ("signature_delta", Open::Thinking { signature }) => *signature = content()?,
            ("input_json_delta", Open::Call(call)) => {
                let piece = content()?;
                if call.json.len() + piece.len() > MAX_PART {
                    return Err(DecodeError::TooLarge("the arguments of a tool call"));
                }
                call.json.push_str(&piece);
                push(out, StreamEvent::ToolInput, piece);
            }
            // Citations, and what the API will add.
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, index: u64, out: &mut VecDeque<StreamEvent>) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == index) else { return };
        match self.open.remove(at).1 {
            Open::Thinking { signature } => push(out, StreamEvent::ThinkingSignature, signature),
            Open::Call(call) if call.json.is_empty() => self.doubtful = Some(call),
            Open::Call(call) => match object(&call.json) {
                Some(input) => self.hand_on(call.id, call.name, input, out),
                None => self.doubtful = Some(call),
            },
            Open::Text | Open::Other => {}
        }
    }

    /// Takes the call in doubt as whole: without any argument it has none.
    fn settle(&mut self, out: &mut VecDeque<StreamEvent>) -> Result<(), DecodeError> {
        let Some(call) = self.doubtful.take() else { return Ok(()) };
        let input = match call.json.is_empty() {
            true => call.initial.as_ref().map_or(Some("{}"), |initial| Some(initial.get())).and_then(object),
            false => None,
        };
        let Some(input) = input else { return Err(unfinished(&call.name)) };
        self.hand_on(call.id, call.name, input, out);
        Ok(())
    }

    fn hand_on(&mut self, id: String, name: String, input: Arc<RawValue>, out: &mut VecDeque<StreamEvent>) {
        self.calls += 1;
        out.push_back(StreamEvent::ToolUse(ToolUse { id, name, input }));
    }

    fn message_stop(&mut self, out: &mut VecDeque<StreamEvent>) -> Result<StopReason, DecodeError> {
        let Some(reason) = self.reason else {
            return Err(DecodeError::Malformed("`message_stop` without a `stop_reason`".into()));
        };
        if matches!(reason, StopReason::ToolUse | StopReason::EndTurn | StopReason::Pause) {
            self.settle(out)?;
        }
        if reason == StopReason::ToolUse {
            if let Some(name) = self.open.iter().find_map(|(_, open)| match open {
                Open::Call(call) => Some(&call.name),
                _ => None,
            }) {
                return Err(unfinished(name));
            }
            if self.calls == 0 {
                return Err(DecodeError::Malformed("the model stopped for a tool and called none".into()));
            }
        }
        Ok(reason)
    }

    fn count(&mut self, usage: Lenient<Usage>, out: &mut VecDeque<StreamEvent>) {
        if let Some(usage) = usage.0 {
            self.tally.update(usage);
            out.push_back(StreamEvent::Usage(self.tally.usage()));
        }
    }
}

fn reason_of(reason: &str) -> StopReason {
    match reason {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        // `end_turn`, `stop_sequence`, and what the API will add.
        _ => StopReason::EndTurn,
    }
}

fn push(out: &mut VecDeque<StreamEvent>, event: fn(String) -> StreamEvent, text: String) {
    if !text.is_empty() {
        out.push_back(event(text));
    }
}

fn parse<'a, T: Deserialize<'a>>(event: &str, json: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| DecodeError::json(event, &error))
}

#[cfg(test)]
mod tests;
