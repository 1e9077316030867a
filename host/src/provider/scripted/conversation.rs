//! A request to the scripted model, read as strictly as the real service reads it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use hyper::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A valid request.
pub(super) struct Conversation {
    pub(super) model: String,
    /// The most tokens of the answer.
    pub(super) max_tokens: usize,
    pub(super) messages: Vec<Message>,
    /// The names of the tools that may be called.
    pub(super) tools: Vec<String>,
    /// The request's length, for its count of tokens.
    pub(super) bytes: usize,
    /// Of the request, so that the ids of its answer differ from all others.
    pub(super) digest: u64,
}

pub(super) struct Message {
    pub(super) role: Role,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

/// What a message consists of. Fields that the script does not read are there to be required.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(dead_code, reason = "the real service requires them")]
pub(super) enum Block {
    Text { text: String },
    Image { source: Map<String, Value> },
    Thinking { thinking: String, signature: String },
    RedactedThinking { data: String },
    ToolUse { id: String, name: String, input: Map<String, Value> },
    ToolResult { tool_use_id: String, content: Option<Content>, is_error: Option<bool> },
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Body {
    model: String,
    max_tokens: usize,
    #[serde(default)]
    stream: bool,
    messages: Vec<WireMessage>,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct WireMessage {
    role: Role,
    content: Content,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    input_schema: Map<String, Value>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Request(String),
    TooLarge,
    NotFound(String),
    Method,
}

impl Invalid {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The error in Anthropic's shape.
    pub(super) fn document(&self) -> Value {
        let (kind, message) = match self {
            Self::Request(message) => ("invalid_request_error", message.clone()),
            Self::TooLarge => ("request_too_large", "the request is too large or came too slowly".into()),
            Self::NotFound(path) => ("not_found_error", format!("there is no `{path}`; ask `/v1/messages`")),
            Self::Method => ("invalid_request_error", "this path takes POST".into()),
        };
        json!({ "type": "error", "error": { "type": kind, "message": message } })
    }
}

impl Content {
    fn into_blocks(self) -> Vec<Block> {
        match self {
            Self::Text(text) => vec![Block::Text { text }],
            Self::Blocks(blocks) => blocks,
        }
    }

    /// The texts, joined.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Blocks(blocks) => texts(blocks),
        }
    }
}

impl Message {
    /// The texts, joined.
    pub(super) fn text(&self) -> String {
        texts(&self.blocks)
    }

    fn calls(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }

    fn results(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolResult { tool_use_id, .. } => Some(tool_use_id.as_str()),
            _ => None,
        })
    }
}

fn texts(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

impl Conversation {
    /// Reads and checks a request's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let invalid = |message: &str| Err(Invalid::Request(message.into()));
        let parsed: Body = serde_json::from_slice(body).map_err(|error| Invalid::Request(error.to_string()))?;
        if parsed.model.is_empty() {
            return invalid("model: must not be empty");
        }
        if parsed.max_tokens == 0 {
            return invalid("max_tokens: must be greater than 0");
        }
        if !parsed.stream {
            return invalid("stream: the scripted model only streams");
        }
        let mut names = HashSet::new();
        for tool in &parsed.tools {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !(1..=64).contains(&tool.name.len()) || !tool.name.bytes().all(valid) {
                return invalid("tools: a name must match ^[a-zA-Z0-9_-]{1,64}$");
            }
            if !names.insert(tool.name.as_str()) {
                return invalid("tools: names must be unique");
            }
            if tool.input_schema.get("type") != Some(&Value::from("object")) {
                return invalid("tools: input_schema.type must be `object`");
            }
        }
        let messages = parsed.messages.into_iter();
        let messages: Vec<_> =
            messages.map(|message| Message { role: message.role, blocks: message.content.into_blocks() }).collect();
        check(&messages)?;

        let mut digest = DefaultHasher::new();
        digest.write(body);
        Ok(Self {
            model: parsed.model,
            max_tokens: parsed.max_tokens,
            messages,
            tools: parsed.tools.into_iter().map(|tool| tool.name).collect(),
            bytes: body.len(),
            digest: digest.finish(),
        })
    }

    /// The newest message. A checked conversation has one.
    pub(super) fn last(&self) -> &[Block] {
        self.messages.last().map_or(&[], |message| &message.blocks)
    }
}

/// What the service requires of a conversation: it begins and ends with the user, the roles take
/// turns, nothing is empty, and every call has its result at the head of the next message.
fn check(messages: &[Message]) -> Result<(), Invalid> {
    let invalid = |at: usize, message: &str| Err(Invalid::Request(format!("messages.{at}: {message}")));
    let Some(last) = messages.last() else { return Err(Invalid::Request("messages: at least one is required".into())) };
    if last.role != Role::User {
        return invalid(messages.len() - 1, "the last message must be the user's");
    }
    let mut ids = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let expected = if at % 2 == 0 { Role::User } else { Role::Assistant };
        if message.role != expected {
            return invalid(at, "the first message must be the user's, and the roles must alternate");
        }
        if message.blocks.is_empty() {
            return invalid(at, "content must not be empty");
        }
        for block in &message.blocks {
            match (block, message.role) {
                (Block::Text { text }, _) if text.trim().is_empty() => return invalid(at, "text must not be empty"),
                (Block::ToolResult { .. } | Block::Image { .. }, Role::Assistant)
                | (Block::ToolUse { .. } | Block::Thinking { .. } | Block::RedactedThinking { .. }, Role::User) => {
                    return invalid(at, "a block of the other role's");
                }
                (Block::ToolUse { id, .. }, _) if !ids.insert(id.as_str()) => {
                    return invalid(at, "`tool_use` ids must be unique");
                }
                _ => {}
            }
        }
        let is_result = |block: &Block| matches!(block, Block::ToolResult { .. });
        if message.blocks.iter().skip_while(|block| is_result(block)).any(is_result) {
            return invalid(at, "`tool_result` blocks must stand before all others");
        }
        let called: HashSet<&str> = at.checked_sub(1).into_iter().flat_map(|before| messages[before].calls()).collect();
        let answered: Vec<&str> = message.results().collect();
        if let Some(stray) = answered.iter().find(|id| !called.contains(*id)) {
            return invalid(at, &format!("`tool_result` for `{stray}`, which the message before did not call"));
        }
        if message.role == Role::User && answered.len() != called.len() {
            return invalid(at, "every `tool_use` must have exactly one `tool_result` in the next message");
        }
    }
    Ok(())
}
