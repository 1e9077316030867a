//! Language models, behind one streaming interface.
//!
//! A [`Provider`] opens one streamed call; [`Models`] puts retries and fallback models around
//! it. Both providers' wires are turned into the same [`StreamEvent`]s, and a call that did not
//! end as its protocol says it must is an error, never a success.

mod anthropic;
mod build;
mod cache;
mod call;
mod count;
mod endpoint;
mod error;
mod openai;
mod refusal;
mod retry;
pub mod scripted;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::value::RawValue;

use crate::store::{Message, StopReason, TokenUsage};

pub use build::Providers;
pub use cache::{CacheKey, CacheLifetime, CachePolicy, Tools};
pub use call::{CallEvent, CallStream, Models};
pub use error::ProviderError;
pub use refusal::Refusal;
pub use retry::Jitter;

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The rules and the agent's character: the provider's system field.
    pub system: Option<Arc<str>>,
    /// The conversation, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// The tools that it may call.
    pub tools: Arc<[ToolSpec]>,
    /// The most tokens that it may write.
    pub max_tokens: u32,
    /// The tokens that it may think, of `max_tokens`; none where absent.
    pub thinking_tokens: Option<u32>,
    /// Randomness, 0 to 1 or 2 by provider; the provider's default where absent.
    pub temperature: Option<f64>,
    /// What of it is worth keeping for the next one.
    pub cache: CachePolicy,
}

/// A tool, as a model is told of it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Arc<RawValue>,
}

/// A piece of a model's answer, in the order in which it was written.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// The first news of the call.
    Started {
        /// The model that answers, as the provider names it; absent where it does not say.
        model: Option<String>,
    },
    /// The counts so far; each replaces the one before.
    Usage(TokenUsage),
    /// Text for the user.
    Text(String),
    /// Reasoning.
    Thinking(String),
    /// The reasoning since the last other event is whole; its proof. Comes alone where the
    /// provider keeps the reasoning itself to itself.
    ThinkingSignature(String),
    /// Encrypted reasoning, whole.
    RedactedThinking(String),
    /// A piece of the arguments of a call that is still being written. It is counted if the answer is cut, and
    /// nothing else.
    ToolInput(String),
    /// A tool call, whole: its arguments are a JSON object. Half ones never get here.
    ToolUse(crate::store::ToolUse),
    /// The model stopped; nothing follows. Tools are to be run on [`StopReason::ToolUse`] only.
    Stopped(StopReason),
}

/// The answer of one call: events up to [`StreamEvent::Stopped`], or an error and nothing after
/// it. Dropping it ends the connection's reading at once.
pub type EventStream = BoxStream<'static, Result<StreamEvent, ProviderError>>;

/// A service that runs models.
pub trait Provider: Send + Sync + 'static {
    /// Its name in the config.
    fn name(&self) -> &str;

    /// Attempts after the first that [`Models`] may make.
    fn max_retries(&self) -> u32;

    /// Opens one call, without retries. The future ends when the response's head is there.
    fn open<'a>(&'a self, model: &'a str, request: &'a Request) -> BoxFuture<'a, Result<EventStream, ProviderError>>;
}

/// One model of one provider.
#[derive(Clone)]
pub struct ModelRef {
    /// The service.
    pub provider: Arc<dyn Provider>,
    /// The model, as the service names it.
    pub model: Arc<str>,
}

impl std::fmt::Debug for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.name(), self.model)
    }
}
