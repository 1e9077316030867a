//! Anthropic Messages: what the platform refuses, and how it streams.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::reply::{Call, Part, Reply, Stop};
use super::{Request, Step, Wire, cache};

/// A rule that a request breaks.
type Rule = Result<(), String>;

const FIELDS: &[&str] =
    &["model", "max_tokens", "messages", "stream", "system", "temperature", "thinking", "tool_choice", "tools"];

/// Whether the platform would accept a request.
pub(super) fn check(request: &Request) -> Rule {
    let body = &request.body;
    require(request.method == "POST", "the method is POST")?;
    require(request.path == "/v1/messages", &format!("the path is /v1/messages, not {}", request.path))?;
    require(request.header("x-api-key") == Some(Wire::Anthropic.key()), "x-api-key is the key")?;
    require(request.header("authorization").is_none(), "the key stands in one header")?;
    require(request.header("anthropic-version") == Some("2023-06-01"), "anthropic-version is 2023-06-01")?;
    require(request.header("content-type") == Some("application/json"), "content-type is application/json")?;
    let fields = body.as_object().ok_or("the body is a JSON object")?;
    if let Some(extra) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!("{extra}: extra inputs are not permitted"));
    }
    require(body["model"].as_str().is_some_and(|model| !model.is_empty()), "model is a name")?;
    let max_tokens = body["max_tokens"].as_u64().unwrap_or(0);
    require(max_tokens > 0, "max_tokens is at least 1")?;
    require(body["stream"] == true, "the gateway streams")?;
    require(body.get("system").is_none_or(is_system), "system is a text, or a list of texts")?;
    cache::check(body)?;
    tools(body)?;
    thinking(body, max_tokens)?;
    messages(body)
}

fn require(holds: bool, rule: &str) -> Rule {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn has_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn is_system(value: &Value) -> bool {
    let text = |block: &Value| block["type"] == "text" && has_text(&block["text"]);
    has_text(value) || value.as_array().is_some_and(|blocks| !blocks.is_empty() && blocks.iter().all(text))
}

fn name(value: &Value, limit: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    value.as_str().is_some_and(|name| (1..=limit).contains(&name.len()) && name.bytes().all(allowed))
}

fn tools(body: &Value) -> Rule {
    let mut names = HashSet::new();
    let tools = body.get("tools").map(|tools| tools.as_array().ok_or("tools is a list")).transpose()?;
    for tool in tools.into_iter().flatten() {
        require(name(&tool["name"], 128), "a tool's name is up to 128 of a-z, A-Z, 0-9, _ and -")?;
        require(names.insert(&tool["name"]), "tool names are unique")?;
        require(tool["input_schema"]["type"] == "object", "input_schema.type is object")?;
    }
    Ok(())
}

fn thinking(body: &Value, max_tokens: u64) -> Rule {
    let Some(thinking) = body.get("thinking") else { return Ok(()) };
    let budget = thinking["budget_tokens"].as_u64().unwrap_or(0);
    require(thinking["type"] == "enabled" && budget >= 1024, "thinking.budget_tokens is at least 1024")?;
    require(budget < max_tokens, "max_tokens is greater than thinking.budget_tokens")?;
    require(body.get("temperature").is_none_or(|value| value == 1), "temperature is 1 where thinking is enabled")
}

fn messages(body: &Value) -> Rule {
    let messages = body["messages"].as_array().ok_or("messages is a list")?;
    require(messages.first().is_some_and(|first| first["role"] == "user"), "the first message is the user's")?;
    require(messages.last().is_some_and(|last| last["role"] == "user"), "the last message is the user's")?;
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let expected = if index % 2 == 0 { "user" } else { "assistant" };
        require(message["role"] == expected, &format!("messages.{index}: roles alternate"))?;
        let whole = match &message["content"] {
            Value::String(_) => vec![json!({"type": "text", "text": message["content"]})],
            Value::Array(blocks) if !blocks.is_empty() => blocks.clone(),
            _ => return Err(format!("messages.{index}: content is not empty")),
        };
        let answered = results(&whole).map_err(|rule| format!("messages.{index}: {rule}"))?;
        require(
            answered.len() == open.len() && open.iter().all(|id| answered.iter().any(|answer| answer == id)),
            &format!("messages.{index}: every tool_use has one tool_result in the next message, and no other has one"),
        )?;
        open.clear();
        for block in &whole {
            check_block(block, expected).map_err(|rule| format!("messages.{index}: {rule}"))?;
        }
        if let Value::Array(blocks) = &message["content"] {
            open.extend(blocks.iter().filter(|block| block["type"] == "tool_use").filter_map(|b| b["id"].as_str()));
        }
        require(open.iter().collect::<HashSet<_>>().len() == open.len(), "tool_use ids are unique")?;
        require(
            (open.is_empty() && answered.is_empty()) || body.get("tools").is_some(),
            "requests which include tool_use or tool_result blocks must define tools",
        )?;
    }
    Ok(())
}

/// The ids that a message's results answer; they stand before all else.
fn results(blocks: &[Value]) -> Result<Vec<String>, String> {
    let is_result = |block: &&Value| block["type"] == "tool_result";
    let first = blocks.iter().take_while(is_result);
    let ids: Vec<String> = first.filter_map(|block| block["tool_use_id"].as_str().map(str::to_owned)).collect();
    require(ids.len() == blocks.iter().filter(is_result).count(), "tool_result blocks come first and have an id")?;
    Ok(ids)
}

fn check_block(block: &Value, role: &str) -> Rule {
    let kind = block["type"].as_str().unwrap_or("none");
    match (role, kind) {
        (_, "text") => require(has_text(&block["text"]), "text content blocks must contain non-whitespace text"),
        ("assistant", "thinking") => {
            require(block["thinking"].is_string() && block["signature"].is_string(), "thinking has its signature")
        }
        ("assistant", "redacted_thinking") => require(block["data"].is_string(), "redacted_thinking has its data"),
        ("assistant", "tool_use") => {
            require(name(&block["id"], 1024), "a tool_use id matches ^[a-zA-Z0-9_-]+$")?;
            require(name(&block["name"], 128), "a tool_use has a name")?;
            require(block["input"].is_object(), "tool_use.input is a dictionary")
        }
        ("user", "tool_result") => match &block["content"] {
            Value::Null | Value::String(_) => Ok(()),
            Value::Array(inner) => inner.iter().try_for_each(|inner| match inner["type"].as_str() {
                Some("text") => require(has_text(&inner["text"]), "text content blocks must be non-empty"),
                Some("image") => Ok(()),
                other => Err(format!("a tool_result holds no {other:?}")),
            }),
            _ => Err("tool_result.content is text or a list".into()),
        },
        ("user", "image") => Ok(()),
        _ => Err(format!("a message of the {role} holds no block of type {kind}")),
    }
}

/// How the platform streams a reply.
pub(super) fn stream(reply: &Reply) -> Vec<Step> {
    let mut stream = Stream { steps: Vec::new(), index: 0, open: None };
    let counts = &reply.consumed();
    stream.event(json!({"type": "message_start", "message": {
        "id": "msg_fake", "type": "message", "role": "assistant", "model": reply.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": counts.input, "output_tokens": 1,
            "cache_creation_input_tokens": counts.cache_write, "cache_read_input_tokens": counts.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts.cache_write - counts.cache_write_1h,
                "ephemeral_1h_input_tokens": counts.cache_write_1h,
            },
            "service_tier": "standard",
        },
    }}));
    stream.event(json!({"type": "ping"}));
    for part in &reply.parts {
        match part {
            Part::Text(text) => {
                stream.open("text", || json!({"type": "text", "text": ""}));
                stream.delta(json!({"type": "text_delta", "text": text}));
            }
            Part::Thinking { text, signature } => {
                stream.close();
                stream.open("thinking", || json!({"type": "thinking", "thinking": "", "signature": ""}));
                stream.delta(json!({"type": "thinking_delta", "thinking": text}));
                stream.delta(json!({"type": "signature_delta", "signature": signature}));
                stream.close();
            }
            Part::Redacted(data) => {
                stream.close();
                stream.open("redacted", || json!({"type": "redacted_thinking", "data": data}));
                stream.close();
            }
            Part::Call(call) => stream.call(call),
            Part::Wait(gate) => stream.steps.push(Step::Wait(gate.clone())),
            Part::Error { kind, message } => {
                stream.event(json!({"type": "error", "error": {"type": kind, "message": message}}));
                return stream.steps;
            }
            Part::End => return stream.steps,
            Part::Cut => {
                stream.steps.push(Step::Cut);
                return stream.steps;
            }
        }
    }
    let stop = match reply.stop() {
        Stop::EndTurn => "end_turn",
        Stop::MaxTokens => "max_tokens",
        Stop::ToolUse => "tool_use",
        Stop::Refusal => "refusal",
    };
    // Where the model ran out of tokens, the platform leaves the last block open.
    if stop != "max_tokens" {
        stream.close();
    }
    stream.event(json!({
        "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {
            "input_tokens": counts.input, "output_tokens": counts.output,
            "cache_creation_input_tokens": counts.cache_write, "cache_read_input_tokens": counts.cache_read,
            "output_tokens_details": {"thinking_tokens": 0}, "server_tool_use": null,
        },
    }));
    stream.event(json!({"type": "message_stop"}));
    stream.steps
}

struct Stream {
    steps: Vec<Step>,
    index: usize,
    open: Option<&'static str>,
}

impl Stream {
    fn event(&mut self, data: Value) {
        let name = data["type"].as_str().unwrap_or_default();
        self.steps.push(Step::Bytes(format!("event: {name}\ndata: {data}\n\n").into_bytes()));
    }

    fn open(&mut self, kind: &'static str, block: impl FnOnce() -> Value) {
        if self.open == Some(kind) {
            return;
        }
        self.close();
        self.open = Some(kind);
        self.event(json!({"type": "content_block_start", "index": self.index, "content_block": block()}));
    }

    fn delta(&mut self, delta: Value) {
        self.event(json!({"type": "content_block_delta", "index": self.index, "delta": delta}));
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.event(json!({"type": "content_block_stop", "index": self.index}));
            self.index += 1;
        }
    }

    fn call(&mut self, call: &Call) {
        self.close();
        self.open("call", || json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}));
        self.delta(json!({"type": "input_json_delta", "partial_json": ""}));
        for piece in &call.pieces {
            self.delta(json!({"type": "input_json_delta", "partial_json": piece}));
        }
        if call.whole {
            self.close();
        }
    }
}
