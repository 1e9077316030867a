//! Chat Completions' stream as a state machine: chunks in, [`StreamEvent`]s out, no I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::net::sse;
use crate::provider::StreamEvent;
use crate::provider::refusal::Refusal;
use crate::provider::stream::{Decode, DecodeError, Flow, MAX_PART, object, unfinished};
use crate::store::{StopReason, TokenUsage, ToolUse};

/// The event after the last chunk.
const DONE: &str = "[DONE]";

/// Calls of one answer. OpenAI allows 128 tools.
const MAX_CALLS: usize = 128;

/// Where a stream stands.
pub(super) struct Decoder {
    /// For calls to which the server gives no id.
    id_seed: u64,
    started: bool,
    refused: bool,
    calls: Vec<Call>,
    reason: Option<StopReason>,
}

/// A call, as far as it has come.
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Counts>,
    error: Option<Value>,
    object: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    /// DeepSeek's and vLLM's name for it.
    reasoning_content: Option<String>,
    /// Ollama's and OpenRouter's.
    reasoning: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl From<Counts> for TokenUsage {
    fn from(counts: Counts) -> Self {
        // The service counts what it read from its cache within the prompt.
        let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        Self {
            input_tokens: counts.prompt_tokens.saturating_sub(cached),
            output_tokens: counts.completion_tokens,
            cache_read_tokens: cached.min(counts.prompt_tokens),
            ..Self::default()
        }
    }
}

impl Decode for Decoder {
    fn event(&mut self, event: sse::Event<'_>, out: &mut VecDeque<StreamEvent>) -> Result<Flow, DecodeError> {
        if event.data.trim() == DONE {
            return self.end().map(Flow::Stopped);
        }
        let parsed: Result<Chunk, _> = serde_json::from_str(event.data);
        let chunk = match parsed {
            Ok(chunk) if chunk.error.is_none() && chunk.object.as_deref() != Some("error") => chunk,
            Ok(_) => return Err(refused(event.data)),
            Err(error) if event.name == "error" => {
                tracing::debug!(%error, "an error event that is no JSON");
                return Err(refused(event.data));
            }
            Err(error) => return Err(DecodeError::json("chunk", &error)),
        };
        let model = chunk.model.filter(|model| !model.is_empty());
        let choices = chunk.choices.unwrap_or_default();
        if !self.started && (model.is_some() || !choices.is_empty()) {
            self.started = true;
            out.push_back(StreamEvent::Started { model });
        }
        // Only one answer was asked for; Azure opens with none, and usage comes without.
        if let Some(choice) = choices.into_iter().next() {
            if let Some(delta) = choice.delta {
                self.delta(delta, out)?;
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty())
                && self.reason.is_none()
            {
                self.reason = Some(self.finish(&reason, out)?);
            }
        }
        if let Some(counts) = chunk.usage {
            out.push_back(StreamEvent::Usage(counts.into()));
        }
        Ok(Flow::Continue)
    }

    /// Some compatible servers close without `[DONE]`; the reason is what counts.
    fn end(&mut self) -> Result<StopReason, DecodeError> {
        self.reason.ok_or(DecodeError::Cut("the stream ended without a `finish_reason`"))
    }
}

impl Decoder {
    /// A decoder at the start of a stream. Calls without an id get one made of `id_seed`, which
    /// should differ from stream to stream.
    pub(super) fn new(id_seed: u64) -> Self {
        Self { id_seed, started: false, refused: false, calls: Vec::new(), reason: None }
    }

    fn delta(&mut self, delta: Delta, out: &mut VecDeque<StreamEvent>) -> Result<(), DecodeError> {
        let full = |text: &String| !text.is_empty();
        if let Some(text) = delta.reasoning_content.or(delta.reasoning).filter(full) {
            out.push_back(StreamEvent::Thinking(text));
        }
        if let Some(text) = delta.content.filter(full) {
            out.push_back(StreamEvent::Text(text));
        }
        if let Some(text) = delta.refusal.filter(full) {
            self.refused = true;
            out.push_back(StreamEvent::Text(text));
        }
        delta.tool_calls.into_iter().flatten().try_for_each(|call| self.call(call))
    }

    /// Adds a delta to its call: the one with its index, or, where there is no index, the newest.
    /// A new id begins a new call whatever the index says, since some servers give every whole
    /// call the index 0; so does a name where index and id are missing.
    fn call(&mut self, delta: CallDelta) -> Result<(), DecodeError> {
        let id = delta.id.unwrap_or_default();
        let (name, arguments) = delta.function.map_or((None, None), |function| (function.name, function.arguments));
        let name = name.unwrap_or_default();
        let begins_another = |call: &Call| match delta.index {
            _ if !id.is_empty() => !call.id.is_empty() && call.id != id,
            Some(_) => false,
            None => !name.is_empty(),
        };
        let same_index = |call: &Call| delta.index.is_none() || call.index == delta.index;
        let known = self.calls.iter().rposition(same_index).filter(|&at| !begins_another(&self.calls[at]));
        let at = match known {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => {
                return Err(DecodeError::Malformed(format!("more than {MAX_CALLS} calls of tools")));
            }
            None => {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                self.calls.push(Call { index: delta.index, id, name, arguments });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match arguments {
            None | Some(Value::Null) => {}
            Some(Value::String(piece)) => call.arguments.push_str(&piece),
            // Not a string within the JSON, but the JSON itself.
            Some(whole) => call.arguments = whole.to_string(),
        }
        if call.arguments.len() > MAX_PART {
            return Err(DecodeError::TooLarge("the arguments of a tool call"));
        }
        Ok(())
    }

    /// The model stopped: hands on the calls, all of them whole, or none.
    fn finish(&mut self, reason: &str, out: &mut VecDeque<StreamEvent>) -> Result<StopReason, DecodeError> {
        match reason {
            "length" | "max_tokens" => return Ok(StopReason::MaxTokens),
            "content_filter" => return Ok(StopReason::Refusal),
            "error" | "insufficient_system_resource" => {
                return Err(DecodeError::Refused(Refusal::said(None, format!("`finish_reason` is `{reason}`"))));
            }
            "tool_calls" | "function_call" if self.calls.is_empty() => {
                return Err(DecodeError::Malformed("the model stopped for a tool and called none".into()));
            }
            _ if self.refused => return Ok(StopReason::Refusal),
            // `stop`, with which some servers end calls too, and words of their own.
            _ if self.calls.is_empty() => return Ok(StopReason::EndTurn),
            _ => {}
        }
        for (number, call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            if call.name.is_empty() {
                return Err(DecodeError::Malformed("a call of a tool without a name".into()));
            }
            let input = self.input(&call)?;
            let id = if call.id.is_empty() { format!("call_{:016x}_{number}", self.id_seed) } else { call.id };
            out.push_back(StreamEvent::ToolUse(ToolUse { id, name: call.name, input }));
        }
        Ok(StopReason::ToolUse)
    }

    fn input(&self, call: &Call) -> Result<Arc<RawValue>, DecodeError> {
        // A tool without arguments is called with none.
        let json = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        object(json).ok_or_else(|| unfinished(&call.name))
    }
}

fn refused(data: &str) -> DecodeError {
    let said = serde_json::from_str(data).ok().and_then(|document| Refusal::from_json(&document));
    DecodeError::Refused(said.unwrap_or_else(|| Refusal::said(None, crate::provider::refusal::bounded(data))))
}

#[cfg(test)]
mod tests;
