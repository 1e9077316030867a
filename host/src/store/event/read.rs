//! Reads events back. By hand: what serde derives for a tagged enum goes through a buffer, in
//! which a tool's arguments (raw JSON) get lost.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::super::{Seq, SessionKey, TokenUsage, ToolContent, TurnId};
use super::{Delta, DoneReason, ErrorCode, Event, EventBody, TurnError, Usage};

/// The members of every type of event, side by side.
#[derive(serde::Deserialize)]
struct Wire<'a> {
    turn: TurnId,
    session: SessionKey,
    seq: Seq,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    delta: Option<String>,
    text: Option<String>,
    step: Option<u32>,
    offset: Option<u64>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Arc<RawValue>>,
    tool_use_id: Option<String>,
    done: Option<u64>,
    total: Option<u64>,
    content: Option<Vec<ToolContent>>,
    is_error: Option<bool>,
    provider: Option<String>,
    model: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    #[serde(default)]
    cache_write_1h_tokens: u64,
    #[serde(default)]
    reasoning_tokens: u64,
    cost_usd: Option<f64>,
    estimated: Option<bool>,
    stop_reason: Option<DoneReason>,
    code: Option<ErrorCode>,
    message: Option<String>,
    retryable: Option<bool>,
}

const TYPES: &[&str] = &[
    "queued",
    "started",
    "text",
    "thinking",
    "rewind",
    "tool_use",
    "progress",
    "tool_result",
    "usage",
    "done",
    "error",
];

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn need<T, E: Error>(member: Option<T>, name: &'static str) -> Result<T, E> {
            member.ok_or_else(|| E::missing_field(name))
        }
        let wire = Wire::deserialize(deserializer)?;
        let delta = |delta, step, offset| -> Result<Delta, D::Error> {
            Ok(Delta { delta: need(delta, "delta")?, step: need(step, "step")?, offset: need(offset, "offset")? })
        };
        let body = match &*wire.kind {
            "queued" => EventBody::Queued,
            "started" => EventBody::Started,
            "text" => EventBody::Text(delta(wire.delta, wire.step, wire.offset)?),
            "thinking" => EventBody::Thinking(delta(wire.delta, wire.step, wire.offset)?),
            "rewind" => EventBody::Rewind { step: need(wire.step, "step")? },
            "tool_use" => EventBody::ToolUse {
                id: need(wire.id, "id")?,
                name: need(wire.name, "name")?,
                input: need(wire.input, "input")?,
            },
            "progress" => EventBody::Progress {
                tool_use_id: need(wire.tool_use_id, "tool_use_id")?,
                message: need(wire.message, "message")?,
                done: need(wire.done, "done")?,
                total: wire.total,
            },
            "tool_result" => EventBody::ToolResult {
                tool_use_id: need(wire.tool_use_id, "tool_use_id")?,
                content: need(wire.content, "content")?,
                is_error: need(wire.is_error, "is_error")?,
            },
            "usage" => EventBody::Usage(Usage {
                provider: need(wire.provider, "provider")?,
                model: need(wire.model, "model")?,
                tokens: TokenUsage {
                    input_tokens: need(wire.input_tokens, "input_tokens")?,
                    output_tokens: need(wire.output_tokens, "output_tokens")?,
                    cache_read_tokens: need(wire.cache_read_tokens, "cache_read_tokens")?,
                    cache_write_tokens: need(wire.cache_write_tokens, "cache_write_tokens")?,
                    cache_write_1h_tokens: wire.cache_write_1h_tokens,
                    reasoning_tokens: wire.reasoning_tokens,
                },
                cost_usd: wire.cost_usd,
                estimated: need(wire.estimated, "estimated")?,
            }),
            "done" => {
                EventBody::Done { stop_reason: need(wire.stop_reason, "stop_reason")?, text: need(wire.text, "text")? }
            }
            "error" => EventBody::Error(TurnError {
                code: need(wire.code, "code")?,
                message: need(wire.message, "message")?,
                retryable: need(wire.retryable, "retryable")?,
            }),
            other => return Err(D::Error::unknown_variant(other, TYPES)),
        };
        Ok(Self { turn: wire.turn, session: wire.session, seq: wire.seq, body })
    }
}
