//! A request in Anthropic's format, borrowed from the conversation and written once.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::breakpoints::{self, CacheControl};
use crate::provider::{Request, ToolSpec};
use crate::store::{Block, Message, Role, ToolContent, ToolResult};

/// The least that the API accepts as `budget_tokens`.
const MIN_THINKING: u32 = 1024;

/// The image types that the API accepts.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The body of `POST /v1/messages`.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<System<'a>>,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
}

/// The system prompt: a text, or a list of one, which can bear a mark.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum System<'a> {
    Text(&'a str),
    List([Piece<'a>; 1]),
}

#[derive(Serialize)]
pub(super) struct Tool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Enabled { budget_tokens: u32 },
}

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: Role,
    pub(super) content: Vec<Piece<'a>>,
}

/// A block, and whether the prompt up to it is to be kept.
#[derive(Serialize)]
pub(super) struct Piece<'a> {
    #[serde(flatten)]
    pub(super) content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Image {
        source: Source<'a>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request) -> Self {
        let messages = turns(&request.messages);
        let thinking = thinking(request, &messages);
        let system = request.system.as_deref().filter(|system| !system.trim().is_empty());
        let mut body = Self {
            model,
            max_tokens: request.max_tokens,
            stream: true,
            system: system.map(System::Text),
            tools: request.tools.iter().map(Tool::new).collect(),
            // The API takes no temperature beside thinking.
            temperature: request.temperature.filter(|_| thinking.is_none()),
            messages,
            thinking,
        };
        breakpoints::place(&mut body, &request.cache);
        body
    }

    pub(super) fn model(&self) -> &str {
        self.model
    }
}

impl<'a> Tool<'a> {
    fn new(spec: &'a ToolSpec) -> Self {
        let ToolSpec { name, description, input_schema } = spec;
        Self { name, description, input_schema, cache_control: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.input_schema.get().len()
    }
}

impl<'a> From<Content<'a>> for Piece<'a> {
    fn from(content: Content<'a>) -> Self {
        Self { content, cache_control: None }
    }
}

/// The thinking that the API will accept: at least [`MIN_THINKING`] and less than the answer; and
/// none within a tool loop whose last step did not begin with any, as after a fallback.
fn thinking(request: &Request, turns: &[Turn<'_>]) -> Option<Thinking> {
    let budget_tokens = request.thinking_tokens?.max(MIN_THINKING).min(request.max_tokens.saturating_sub(1));
    let may_think = match turns {
        [.., step, results] if results.content.iter().any(|piece| piece.content.is_tool_result()) => {
            step.content.first().is_some_and(|piece| piece.content.is_thinking())
        }
        _ => true,
    };
    (may_think && budget_tokens >= MIN_THINKING).then_some(Thinking::Enabled { budget_tokens })
}

/// The conversation: neighbours of one role made one, what the API would refuse left out.
fn turns(messages: &[Arc<Message>]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(messages.len());
    for message in messages {
        let content = message.blocks.iter().filter_map(Content::new).map(Piece::from);
        match turns.last_mut() {
            Some(last) if last.role == message.role => last.content.extend(content),
            _ => turns.push(Turn { role: message.role, content: content.collect() }),
        }
        // An empty one would part its neighbours.
        turns.pop_if(|turn| turn.content.is_empty());
    }
    for turn in turns.iter_mut().filter(|turn| turn.role == Role::User) {
        // The API wants results before everything else.
        turn.content.sort_by_key(|piece| !piece.content.is_tool_result());
    }
    turns
}

impl<'a> Content<'a> {
    /// A block, unless the API would refuse it: an empty text, or reasoning without its proof.
    fn new(block: &'a Block) -> Option<Self> {
        match block {
            Block::Text { text } => Self::text(text),
            Block::Thinking { text, signature } => {
                signature.as_deref().map(|signature| Self::Thinking { thinking: text, signature })
            }
            Block::RedactedThinking { data } => Some(Self::RedactedThinking { data }),
            Block::ToolUse(call) => Some(Self::ToolUse { id: id(&call.id), name: &call.name, input: &call.input }),
            Block::ToolResult(result) => Some(Self::result(result)),
            Block::Image { mime_type, data } if IMAGES.contains(&mime_type.as_str()) => {
                Some(Self::Image { source: Source::Base64 { media_type: mime_type, data } })
            }
            Block::Image { mime_type, .. } => Self::text(format!("[{mime_type}, which cannot be shown here]")),
            // Whoever sends a message has put in its place what became of it.
            Block::Attachment(_) => None,
        }
    }

    fn text(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        (!text.trim().is_empty()).then_some(Self::Text { text })
    }

    fn result(result: &'a ToolResult) -> Self {
        let piece = |content: &'a ToolContent| match content {
            ToolContent::Text { text } | ToolContent::Json { json: text } => Self::text(text),
            ToolContent::Media { mime_type, data } if IMAGES.contains(&mime_type.as_str()) => {
                Some(Self::Image { source: Source::Base64 { media_type: mime_type, data } })
            }
            ToolContent::Media { mime_type, .. } => Self::text(format!("[{mime_type}, which cannot be shown here]")),
            ToolContent::File(file) => Self::text(file.to_string()),
        };
        Self::ToolResult {
            tool_use_id: id(&result.tool_use_id),
            content: result.content.iter().filter_map(piece).collect(),
            is_error: result.is_error,
        }
    }

    fn is_tool_result(&self) -> bool {
        matches!(self, Self::ToolResult { .. })
    }

    pub(super) fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking { .. } | Self::RedactedThinking { .. })
    }

    /// What of it a model reads, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text { text } => text.len(),
            Self::Thinking { thinking, .. } => thinking.len(),
            Self::RedactedThinking { data } => data.len(),
            Self::ToolUse { name, input, .. } => name.len() + input.get().len(),
            Self::ToolResult { content, .. } => content.iter().map(Self::bytes).sum(),
            Self::Image { source: Source::Base64 { data, .. } } => data.len(),
        }
    }
}

/// A call's id in the alphabet that the API accepts, `[a-zA-Z0-9_-]`: the calls of a session may
/// come from several providers.
fn id(id: &str) -> Cow<'_, str> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match id.chars().all(valid) {
        true => Cow::Borrowed(id),
        false => Cow::Owned(id.chars().map(|c| if valid(c) { c } else { '_' }).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::CachePolicy;
    use crate::store::ToolUse;
    use serde_json::{Value, json};

    fn call(id: &str) -> Block {
        let input = RawValue::from_string(r#"{"a" : 1.0}"#.into()).expect("JSON").into();
        Block::ToolUse(ToolUse { id: id.into(), name: "t".into(), input })
    }

    fn result(id: &str, content: Vec<ToolContent>) -> Block {
        Block::ToolResult(ToolResult { tool_use_id: id.into(), content, is_error: true })
    }

    fn message(role: Role, blocks: Vec<Block>) -> Arc<Message> {
        Arc::new(Message { role, blocks })
    }

    fn text(text: &str) -> Block {
        Block::Text { text: text.into() }
    }

    fn request(messages: Vec<Arc<Message>>) -> Request {
        Request {
            system: Some("Be brief.".into()),
            messages,
            tools: Arc::new([]),
            max_tokens: 4096,
            thinking_tokens: None,
            temperature: Some(0.5),
            cache: CachePolicy::default(),
        }
    }

    fn encoded(request: &Request) -> Value {
        serde_json::to_value(Body::new("m", request)).expect("JSON")
    }

    #[test]
    fn a_tool_loop_goes_back_whole_in_order_and_unchanged() {
        let schema = RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON");
        let tool = ToolSpec { name: "t".into(), description: "d".into(), input_schema: schema.into() };
        let thought = Block::Thinking { text: "hm".into(), signature: Some("sig".into()) };
        let png = ToolContent::Media { mime_type: "image/png".into(), data: "aGk=".into() };
        let request = Request {
            tools: Arc::new([tool]),
            ..request(vec![
                message(Role::User, vec![text("one")]),
                message(Role::User, vec![text("two"), text(" \n")]),
                message(
                    Role::Assistant,
                    vec![thought, Block::RedactedThinking { data: "xyz".into() }, text("so"), call("toolu_1")],
                ),
                message(Role::User, vec![text("also"), result("toolu_1", vec![ToolContent::text("bad"), png])]),
            ])
        };
        let expected = json!({
            "model": "m", "max_tokens": 4096, "stream": true, "system": "Be brief.", "temperature": 0.5,
            "tools": [{"name": "t", "description": "d", "input_schema": {"type": "object"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    {"type": "text", "text": "so"},
                    {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"a": 1.0}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                        {"type": "text", "text": "bad"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    ]},
                    {"type": "text", "text": "also"},
                ]},
            ],
        });
        assert_eq!(encoded(&request), expected);
    }

    #[test]
    fn what_the_api_would_refuse_is_left_out() {
        let unproved = Block::Thinking { text: "hm".into(), signature: None };
        let sound = ToolContent::Media { mime_type: "audio/wav".into(), data: "aGk=".into() };
        let request = request(vec![
            message(Role::User, vec![text("hi")]),
            message(Role::Assistant, vec![unproved, text("")]),
            message(Role::User, vec![text("still there?")]),
            message(Role::Assistant, vec![call("call:1/é")]),
            message(Role::User, vec![result("call:1/é", vec![ToolContent::text(""), sound])]),
        ]);
        let body = encoded(&request);
        assert_eq!(body["messages"][0]["content"].as_array().map(Vec::len), Some(2));
        assert_eq!(body["messages"][1]["content"][0]["id"], "call_1__");
        let result = &body["messages"][2]["content"][0];
        assert_eq!(result["tool_use_id"], "call_1__");
        assert_eq!(result["content"], json!([{"type": "text", "text": "[audio/wav, which cannot be shown here]"}]));
        assert!(body.get("tools").is_none());
    }

    #[test]
    fn thinking_excludes_temperature_and_stays_within_the_answer() {
        let thinking = |max_tokens, thinking_tokens| {
            let hello = vec![message(Role::User, vec![text("hi")])];
            encoded(&Request { max_tokens, thinking_tokens: Some(thinking_tokens), ..request(hello) })
        };
        let body = thinking(4096, 2048);
        assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 2048}));
        assert!(body.get("temperature").is_none());
        assert_eq!(thinking(4096, 10)["thinking"]["budget_tokens"], 1024);
        assert_eq!(thinking(4096, 9999)["thinking"]["budget_tokens"], 4095);
        let none = thinking(1000, 500);
        assert!(none.get("thinking").is_none() && none["temperature"] == 0.5);
    }

    #[test]
    fn thinking_does_not_begin_in_the_middle_of_a_tool_loop() {
        let conversation = |first: Option<Block>| {
            let assistant = first.into_iter().chain([call("c")]).collect();
            let messages = vec![
                message(Role::User, vec![text("hi")]),
                message(Role::Assistant, assistant),
                message(Role::User, vec![result("c", Vec::new())]),
            ];
            encoded(&Request { thinking_tokens: Some(2048), ..request(messages) })
        };
        assert!(conversation(None).get("thinking").is_none());
        let thought = Block::Thinking { text: "hm".into(), signature: Some("sig".into()) };
        assert!(conversation(Some(thought)).get("thinking").is_some());
    }

    #[test]
    fn an_image_that_a_person_sent_is_shown_where_it_stands() {
        let image = |mime_type: &str| Block::Image { mime_type: mime_type.into(), data: "AAAA".into() };
        let file = crate::store::Attachment {
            file: "f".into(),
            channel: "c".into(),
            mime_type: "image/png".into(),
            name: None,
            size: None,
            handle: String::new(),
        };
        let messages =
            [message(Role::User, vec![text("look"), image("image/png"), image("image/tiff"), Block::Attachment(file)])];
        let sent = serde_json::to_value(turns(&messages)).expect("JSON");
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
        let note = "[image/tiff, which cannot be shown here]";
        let content = json!([
            { "type": "text", "text": "look" },
            { "type": "image", "source": source },
            { "type": "text", "text": note },
        ]);
        assert_eq!(sent, json!([{ "role": "user", "content": content }]));
    }
}
