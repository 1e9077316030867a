//! OpenAI Chat Completions: what the platform refuses, and how it streams.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::reply::{Part, Reply, Stop};
use super::{Request, Step, Wire};

type Rule = Result<(), String>;

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
];

/// Whether the platform would accept a request.
pub(super) fn check(request: &Request) -> Rule {
    let body = &request.body;
    require(request.method == "POST", "the method is POST")?;
    require(
        request.path == "/v1/chat/completions",
        &format!("the path is /v1/chat/completions, not {}", request.path),
    )?;
    let bearer = format!("Bearer {}", Wire::OpenAi.key());
    require(request.header("authorization") == Some(&bearer), "authorization bears the key")?;
    require(request.header("x-api-key").is_none(), "no header of another platform's")?;
    require(request.header("content-type") == Some("application/json"), "content-type is application/json")?;
    let fields = body.as_object().ok_or("the body is a JSON object")?;
    if let Some(extra) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!("unrecognized request argument supplied: {extra}"));
    }
    require(body["model"].as_str().is_some_and(|model| !model.is_empty()), "model is a name")?;
    require(body["stream"] == true, "the gateway streams")?;
    require(body["stream_options"]["include_usage"] == true, "stream_options.include_usage is true")?;
    let limits = ["max_tokens", "max_completion_tokens"].map(|field| body.get(field));
    require(limits.iter().flatten().count() <= 1, "max_tokens and max_completion_tokens exclude one another")?;
    require(limits.iter().flatten().all(|limit| limit.as_u64() > Some(0)), "a limit on tokens is at least 1")?;
    tools(body)?;
    messages(body)
}

fn require(holds: bool, rule: &str) -> Rule {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn name(value: &Value) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    value.as_str().is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(allowed))
}

fn tools(body: &Value) -> Rule {
    let Some(tools) = body.get("tools") else { return Ok(()) };
    let tools = tools.as_array().filter(|tools| !tools.is_empty()).ok_or("tools is a list that is not empty")?;
    let mut names = HashSet::new();
    for tool in tools {
        let function = &tool["function"];
        require(tool["type"] == "function", "a tool's type is function")?;
        require(name(&function["name"]), "a function's name is up to 64 of a-z, A-Z, 0-9, _ and -")?;
        require(names.insert(&function["name"]), "function names are unique")?;
        require(function["parameters"]["type"] == "object", "function.parameters.type is object")?;
    }
    Ok(())
}

fn messages(body: &Value) -> Rule {
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("messages is a list that is not empty")?;
    let mut open: HashSet<&str> = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        let rule = |rule: &str| format!("messages.{index}: {rule}");
        let role = message["role"].as_str().unwrap_or("none");
        require(role == "tool" || open.is_empty(), &rule("tool messages follow tool_calls, one for each id"))?;
        match role {
            "system" | "developer" => require(text(&message["content"]), &rule("content is a text"))?,
            "user" => require(text(&message["content"]) || parts(&message["content"]), &rule("content is not empty"))?,
            "assistant" => {
                let calls = message.get("tool_calls");
                let content = &message["content"];
                require(calls.is_some() || text(content), &rule("an assistant says something or calls tools"))?;
                require(content.is_null() || content.is_string(), &rule("content is a text or null"))?;
                if let Some(calls) = calls {
                    let calls = calls.as_array().filter(|calls| !calls.is_empty());
                    for call in calls.ok_or_else(|| rule("tool_calls is not empty"))? {
                        check_call(call).map_err(|why| rule(&why))?;
                        let id = call["id"].as_str().ok_or_else(|| rule("a call has an id"))?;
                        require(open.insert(id), &rule("call ids are unique"))?;
                    }
                }
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                require(open.remove(id), &rule("a tool message answers one call of the message before"))?;
                require(message["content"].is_string(), &rule("a tool message's content is a text"))?;
            }
            other => return Err(rule(&format!("there is no role {other}"))),
        }
    }
    require(open.is_empty(), "every tool call is answered")?;
    let last = messages.last().map_or("none", |last| last["role"].as_str().unwrap_or_default());
    require(["user", "tool"].contains(&last), "the last message is the user's or a tool's")
}

fn text(content: &Value) -> bool {
    content.as_str().is_some_and(|text| !text.is_empty())
}

fn parts(content: &Value) -> bool {
    let known = |part: &Value| match part["type"].as_str() {
        Some("text") => text(&part["text"]),
        Some("image_url") => part["image_url"]["url"].is_string(),
        _ => false,
    };
    content.as_array().is_some_and(|parts| !parts.is_empty() && parts.iter().all(known))
}

fn check_call(call: &Value) -> Rule {
    require(call["type"] == "function", "a call's type is function")?;
    require(name(&call["function"]["name"]), "a call names its function")?;
    let arguments = call["function"]["arguments"].as_str().ok_or("arguments is JSON within a string")?;
    let parsed: Value = serde_json::from_str(arguments).map_err(|error| format!("arguments: {error}"))?;
    require(parsed.is_object(), "arguments is an object")
}

/// How the platform streams a reply. It has no reasoning to show.
pub(super) fn stream(reply: &Reply) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut calls = 0;
    let chunk = |delta: Value, finish: Option<&str>| {
        data(&json!({
            "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": reply.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}], "usage": null,
        }))
    };
    steps.push(chunk(json!({"role": "assistant", "content": "", "refusal": null}), None));
    for part in &reply.parts {
        match part {
            Part::Text(text) => steps.push(chunk(json!({"content": text}), None)),
            Part::Thinking { .. } | Part::Redacted(_) => {}
            Part::Call(call) => {
                let function = json!({"name": call.name, "arguments": ""});
                let first = json!({"index": calls, "id": call.id, "type": "function", "function": function});
                steps.push(chunk(json!({"tool_calls": [first]}), None));
                for piece in &call.pieces {
                    let next = json!({"index": calls, "function": {"arguments": piece}});
                    steps.push(chunk(json!({"tool_calls": [next]}), None));
                }
                calls += 1;
            }
            Part::Wait(gate) => steps.push(Step::Wait(gate.clone())),
            Part::Error { kind, message } => {
                steps.push(data(&json!({"error": {"type": kind, "message": message, "param": null, "code": null}})));
                return steps;
            }
            Part::End => return steps,
            Part::Cut => {
                steps.push(Step::Cut);
                return steps;
            }
        }
    }
    let finish = match reply.stop() {
        Stop::EndTurn => "stop",
        Stop::MaxTokens => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Refusal => "content_filter",
    };
    steps.push(chunk(json!({}), Some(finish)));
    let counts = &reply.consumed();
    let prompt = counts.input + counts.cache_read;
    steps.push(data(&json!({
        "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": reply.model,
        "choices": [], "usage": {
            "prompt_tokens": prompt, "completion_tokens": counts.output, "total_tokens": prompt + counts.output,
            "prompt_tokens_details": {"cached_tokens": counts.cache_read, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
    })));
    steps.push(Step::Bytes(b"data: [DONE]\n\n".to_vec()));
    steps
}

fn data(value: &Value) -> Step {
    Step::Bytes(format!("data: {value}\n\n").into_bytes())
}
