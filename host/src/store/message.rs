//! What a conversation consists of, in no provider's format.

mod read;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{FileRef, Position, Timestamp, TurnId};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or a tool's results on their way to the model.
    User,
    /// The model.
    Assistant,
}

/// One message: blocks, in order.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub blocks: Vec<Block>,
}

impl Message {
    /// A message of one text.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, blocks: vec![Block::Text { text: text.into() }] }
    }

    /// Whether it carries tool results, and so belongs to the assistant's message before it.
    #[must_use]
    pub fn answers_tools(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::ToolResult(_)))
    }
}

/// A piece of a message.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Plain text or Markdown.
    Text {
        /// Never empty in what a provider is sent.
        text: String,
    },
    /// The model's reasoning, which goes back unchanged with its signature.
    Thinking {
        /// What was thought.
        text: String,
        /// The provider's proof that it thought so; absent where it gives none.
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Reasoning that the provider encrypted; goes back unchanged.
    RedactedThinking {
        /// Opaque.
        data: String,
    },
    /// The model wants a tool called.
    ToolUse(ToolUse),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// A file that a person sent along with a message. A model is never sent it, but what became of
    /// it: the file's name and id, or an [`Block::Image`].
    Attachment(Attachment),
    /// An image, for a model. It is in no history: there its file is.
    Image {
        /// `image/png`.
        mime_type: String,
        /// The bytes, in base64.
        data: Arc<str>,
    },
}

/// A file that a person sent along, which the platform holds until the message's turn begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attachment {
    /// The id of the session's file that it becomes.
    pub file: String,
    /// The channel that it came by, and that can fetch it.
    pub channel: String,
    /// As the platform says: `image/png`.
    pub mime_type: String,
    /// As its sender called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes, as the platform says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// By which the channel fetches it, in base64.
    pub handle: String,
}

/// A call that the model asks for. Only whole ones are made: `input` is an object.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToolUse {
    /// The provider's id for the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, as the model wrote them: a JSON object.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub input: Arc<RawValue>,
}

/// The answer to a [`ToolUse`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToolResult {
    /// The `id` of the call.
    pub tool_use_id: String,
    /// What the model is given.
    pub content: Vec<ToolContent>,
    /// The call failed; the content says how.
    #[serde(default)]
    pub is_error: bool,
}

/// A piece of a tool's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolContent {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// A JSON document.
    Json {
        /// Its text.
        json: String,
    },
    /// An image or a sound.
    Media {
        /// `image/png`, `audio/wav`.
        mime_type: String,
        /// The bytes, in base64.
        data: String,
    },
    /// A file of the session, which the host holds.
    File(FileRef),
}

impl ToolContent {
    /// A plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// Why a model stopped speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said all.
    EndTurn,
    /// It wants tools called.
    ToolUse,
    /// The limit on output tokens.
    MaxTokens,
    /// It, or its provider's filter, declined.
    Refusal,
    /// A long turn was paused; it goes on when sent back as it is.
    Pause,
}

/// What one call of a model consumed, in tokens, by the provider's own count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenUsage {
    /// Input that was neither read from nor written to a cache.
    pub input_tokens: u64,
    /// Output, reasoning included.
    pub output_tokens: u64,
    /// Input read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Input written to the provider's cache, for however long.
    pub cache_write_tokens: u64,
    /// Of what was written to the cache, what it keeps for an hour.
    #[serde(default)]
    pub cache_write_1h_tokens: u64,
    /// Of the output, what was reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

/// A message of a session's history.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct StoredMessage {
    /// Where it stands in the history.
    pub position: Position,
    /// The turn that it belongs to.
    pub turn: TurnId,
    /// When it was stored.
    pub at: Timestamp,
    /// The message.
    #[serde(flatten)]
    pub message: Arc<Message>,
}
