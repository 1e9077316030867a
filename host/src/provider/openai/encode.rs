//! A request in the format of Chat Completions, borrowed from the conversation and written once.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::{Request, ToolSpec};
use crate::store::{Block, Message, Role, ToolContent, ToolResult};

/// Whose Chat Completions they are, which decides on the fields that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's own. Its reasoning models insist on `max_completion_tokens`, and `prompt_cache_key` brings requests
    /// that begin alike to the machine that keeps their beginning.
    OpenAi,
    /// Azure's, which has the same models; some of its versions refuse the newest fields.
    Azure,
    /// A compatible server's: many know `max_tokens` alone, and refuse what they do not know.
    Compatible,
}

impl Dialect {
    pub(super) fn of_host(host: &str) -> Self {
        match host {
            "api.openai.com" => Self::OpenAi,
            _ if host.ends_with(".openai.azure.com") => Self::Azure,
            _ => Self::Compatible,
        }
    }
}

/// The body of `POST /chat/completions`. Reasoning is not sent back: the format has no place for
/// it.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Entry<'a> {
    System {
        content: &'a str,
    },
    User {
        content: UserContent<'a>,
    },
    Assistant {
        content: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Cow<'a, str>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum UserContent<'a> {
    /// What every server takes.
    Text(Cow<'a, str>),
    /// What images need.
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: FunctionKind,
    function: FunctionCall<'a>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    /// JSON within a JSON string.
    arguments: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: FunctionKind,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum FunctionKind {
    Function,
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, dialect: Dialect) -> Self {
        let system = request.system.as_deref().filter(|system| !system.trim().is_empty());
        let mut messages: Vec<_> = system.map(|content| Entry::System { content }).into_iter().collect();
        for message in &request.messages {
            match message.role {
                Role::User => user(message, &mut messages),
                Role::Assistant => messages.extend(assistant(message)),
            }
        }
        Self {
            model,
            messages,
            tools: request.tools.iter().map(Tool::new).collect(),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            max_completion_tokens: (dialect != Dialect::Compatible).then_some(request.max_tokens),
            max_tokens: (dialect == Dialect::Compatible).then_some(request.max_tokens),
            temperature: request.temperature,
            prompt_cache_key: request.cache.key.filter(|_| dialect == Dialect::OpenAi).map(|key| key.to_string()),
        }
    }
}

impl<'a> Tool<'a> {
    fn new(spec: &'a ToolSpec) -> Self {
        let function = Function { name: &spec.name, description: &spec.description, parameters: &spec.input_schema };
        Self { kind: FunctionKind::Function, function }
    }
}

/// A user's message: first the results, which must stand right behind the calls, then the images
/// among them, which a `tool` message can't hold, then what the user said.
fn user<'a>(message: &'a Message, entries: &mut Vec<Entry<'a>>) {
    let mut images = Vec::new();
    for block in &message.blocks {
        if let Block::ToolResult(result) = block {
            let content = result_text(result, &mut images);
            entries.push(Entry::Tool { tool_call_id: &result.tool_use_id, content });
        }
    }
    if !images.is_empty() {
        images.insert(0, Part::Text { text: "The images that the tools returned, in order:".into() });
        entries.push(Entry::User { content: UserContent::Parts(images) });
    }
    let shown = message.blocks.iter().filter_map(|block| match block {
        Block::Image { mime_type, data } => Some(image(mime_type, data)),
        _ => None,
    });
    let text = texts(message);
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() {
        let text = text.map(|text| Part::Text { text });
        entries.push(Entry::User { content: UserContent::Parts(text.into_iter().chain(shown).collect()) });
    } else if let Some(text) = text {
        entries.push(Entry::User { content: UserContent::Text(text) });
    }
}

fn image<'a>(mime_type: &str, data: &str) -> Part<'a> {
    Part::ImageUrl { image_url: ImageUrl { url: format!("data:{mime_type};base64,{data}") } }
}

fn assistant(message: &Message) -> Option<Entry<'_>> {
    let content = texts(message);
    let calls = message.blocks.iter().filter_map(|block| match block {
        Block::ToolUse(call) => {
            let function = FunctionCall { name: &call.name, arguments: call.input.get() };
            Some(Call { id: &call.id, kind: FunctionKind::Function, function })
        }
        _ => None,
    });
    let tool_calls: Vec<_> = calls.collect();
    (content.is_some() || !tool_calls.is_empty()).then_some(Entry::Assistant { content, tool_calls })
}

/// The texts of a message in one; most have one to begin with.
fn texts(message: &Message) -> Option<Cow<'_, str>> {
    let texts = message.blocks.iter().filter_map(|block| match block {
        Block::Text { text } if !text.trim().is_empty() => Some(Cow::Borrowed(text.as_str())),
        _ => None,
    });
    texts.reduce(joined)
}

fn joined<'a>(mut before: Cow<'a, str>, after: Cow<'a, str>) -> Cow<'a, str> {
    let text = before.to_mut();
    text.push_str("\n\n");
    text.push_str(&after);
    before
}

fn result_text<'a>(result: &'a ToolResult, images: &mut Vec<Part<'a>>) -> Cow<'a, str> {
    let piece = |content: &'a ToolContent| match content {
        ToolContent::Text { text } | ToolContent::Json { json: text } => Cow::Borrowed(text.as_str()),
        ToolContent::Media { mime_type, data } if mime_type.starts_with("image/") => {
            images.push(image(mime_type, data));
            Cow::Borrowed("[an image, which follows]")
        }
        ToolContent::Media { mime_type, .. } => Cow::Owned(format!("[{mime_type}, which cannot be shown here]")),
        ToolContent::File(file) => Cow::Owned(file.to_string()),
    };
    let text = result.content.iter().map(piece).reduce(joined).unwrap_or_default();
    // The format has no mark for a failure.
    match result.is_error {
        true => Cow::Owned(format!("The call failed: {text}")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{CacheKey, CachePolicy};
    use crate::store::ToolUse;
    use serde_json::json;
    use std::sync::Arc;

    fn call(id: &str) -> Block {
        let input = RawValue::from_string(r#"{"a":1}"#.into()).expect("JSON").into();
        Block::ToolUse(ToolUse { id: id.into(), name: "t".into(), input })
    }

    fn result(id: &str, content: Vec<ToolContent>, is_error: bool) -> Block {
        Block::ToolResult(ToolResult { tool_use_id: id.into(), content, is_error })
    }

    #[test]
    fn a_tool_loop_is_written_in_this_format_and_in_no_other() {
        let schema = RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON");
        let tool = ToolSpec { name: "t".into(), description: "d".into(), input_schema: schema.into() };
        let png = ToolContent::Media { mime_type: "image/png".into(), data: "aGk=".into() };
        let thought = Block::Thinking { text: "hm".into(), signature: Some("sig".into()) };
        let messages = vec![
            Message::text(Role::User, "hi"),
            Message {
                role: Role::Assistant,
                blocks: vec![thought.clone(), Block::Text { text: "so".into() }, call("1"), call("2")],
            },
            Message {
                role: Role::User,
                blocks: vec![
                    Block::Text { text: "and".into() },
                    result("1", vec![ToolContent::text("seen"), png], false),
                    result("2", vec![ToolContent::text("no")], true),
                ],
            },
            Message { role: Role::Assistant, blocks: vec![thought] },
        ];
        let request = Request {
            system: Some("Be brief.".into()),
            messages: messages.into_iter().map(Arc::new).collect(),
            tools: Arc::new([tool]),
            max_tokens: 100,
            thinking_tokens: Some(50),
            temperature: None,
            cache: CachePolicy::default(),
        };
        let function = json!({"name": "t", "arguments": "{\"a\":1}"});
        let expected = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 100,
            "tools": [{"type": "function", "function":
                {"name": "t", "description": "d", "parameters": {"type": "object"}}}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "so", "tool_calls": [
                    {"id": "1", "type": "function", "function": function},
                    {"id": "2", "type": "function", "function": function},
                ]},
                {"role": "tool", "tool_call_id": "1", "content": "seen\n\n[an image, which follows]"},
                {"role": "tool", "tool_call_id": "2", "content": "The call failed: no"},
                {"role": "user", "content": [
                    {"type": "text", "text": "The images that the tools returned, in order:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                ]},
                {"role": "user", "content": "and"},
            ],
        });
        assert_eq!(serde_json::to_value(Body::new("m", &request, Dialect::Compatible)).expect("JSON"), expected);
    }

    #[test]
    fn each_host_gets_the_fields_that_it_knows() {
        let key = CacheKey::of(&"default:websocket:local:main".parse().expect("a session key"));
        let request = Request {
            system: None,
            messages: Vec::new(),
            tools: Arc::new([]),
            max_tokens: 9,
            thinking_tokens: None,
            temperature: None,
            cache: CachePolicy { key: Some(key), ..CachePolicy::default() },
        };
        let sent = |host: &str| {
            let body = Body::new("m", &request, Dialect::of_host(host));
            serde_json::to_value(body).expect("JSON")
        };
        let openai = sent("api.openai.com");
        assert_eq!((&openai["max_completion_tokens"], openai.get("max_tokens")), (&json!(9), None));
        assert_eq!(openai["prompt_cache_key"], key.to_string());
        let azure = sent("x.openai.azure.com");
        assert_eq!((&azure["max_completion_tokens"], azure.get("prompt_cache_key")), (&json!(9), None));
        let local = sent("localhost");
        assert_eq!((&local["max_tokens"], local.get("max_completion_tokens")), (&json!(9), None));
        assert_eq!(local.get("prompt_cache_key"), None, "a compatible server may refuse what it does not know");
    }

    #[test]
    fn images_that_a_person_sent_stand_behind_the_words() {
        let image = Block::Image { mime_type: "image/png".into(), data: "aGk=".into() };
        let said = Message { role: Role::User, blocks: vec![image, Block::Text { text: "look".into() }] };
        let mut entries = Vec::new();
        user(&said, &mut entries);
        let content = json!([
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ]);
        assert_eq!(serde_json::to_value(entries).expect("JSON"), json!([{"role": "user", "content": content}]));
    }
}
