//! The first request of a turn, made before its message is stored.
//!
//! A request needs a record before it leaves, and its message must be stored before its turn runs. Made
//! beforehand, both are one transaction: nothing else that has to reach the disk stands between a message
//! and the first word of its answer. It is made where the turn will run at once, since what waits behind
//! another turn is answered in that one's light.

use std::sync::Arc;

use super::lane::Entry;
use super::{Agent, context};
use crate::metering::{message_tokens, text_tokens};
use crate::provider::Request;
use crate::store::{
    Accept, Block, FirstCall, Message, ModelCall, Position, SessionKey, StoredMessage, Timestamp, TokenUsage, TurnId,
};

/// The most messages of earlier turns that are read back to make a context of.
const CONTEXT_MESSAGES: usize = 400;

/// What a turn asks first.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) request: Arc<Request>,
    /// Its record, which is stored with the message of the turn.
    pub(super) call: ModelCall,
}

/// What is known of a turn whose message is to be stored.
pub(super) struct Coming<'a> {
    pub(super) agent: &'a Agent,
    pub(super) session: &'a SessionKey,
    pub(super) turn: TurnId,
    pub(super) message: &'a Arc<Message>,
    pub(super) now: Timestamp,
}

impl Coming<'_> {
    /// What the turn will ask first. Nothing, where it will not run at once, or shows files; nor where there is no
    /// model to ask or no history to be read, of which the turn itself tells.
    pub(super) async fn request(&self, entry: &Entry) -> Option<Arc<Request>> {
        let Self { agent, session, turn, message, now } = self;
        agent.models.as_ref().ok()?.models().first()?;
        if !entry.runs_at_once() {
            return None;
        }
        let shared = entry.shared();
        let mut history = shared.store.recent(session, agent.context_messages(shared.queued)).await.ok()?;
        let position = Position(history.last().map_or(0, |last| last.position.0.saturating_add(1)));
        history.push(StoredMessage { position, turn: *turn, at: *now, message: Arc::clone(message) });
        let messages = context::assemble(&history, *turn, agent.config.context_tokens);
        // What was sent along may have to be fetched first, for which nobody who sends a message waits.
        let sent_along =
            |message: &Arc<Message>| message.blocks.iter().any(|block| matches!(block, Block::Attachment(_)));
        if messages.iter().any(sent_along) {
            return None;
        }
        Some(Arc::new(agent.request(messages)))
    }
}

impl Agent {
    /// How many of a session's newest messages hold all of a turn, and enough of those before it. What waits
    /// behind it, at most `queued`, is in the history already, and must not crowd it out.
    pub(super) fn context_messages(&self, queued: usize) -> usize {
        // Its question, and for each step an answer and the results of its calls.
        let own = 1 + 2 * usize::try_from(self.config.max_steps).unwrap_or(usize::MAX / 4);
        // One more waits while it is counted as entering.
        CONTEXT_MESSAGES.saturating_add(own).saturating_add(queued).saturating_add(1)
    }

    /// What its models are asked.
    pub(super) fn request(&self, messages: Vec<Arc<Message>>) -> Request {
        let config = &self.config;
        Request {
            system: self.system.clone(),
            messages,
            tools: self.tools.now().specs(),
            max_tokens: config.max_tokens,
            thinking_tokens: (config.thinking_tokens > 0).then_some(config.thinking_tokens),
            temperature: config.temperature,
        }
    }

    /// The record of a request to the model that is asked first.
    pub(super) fn first_call(&self, request: &Request) -> Option<FirstCall> {
        let first = self.models.as_ref().ok()?.models().first()?;
        let (provider, model) = (first.provider.name().to_owned(), first.model.to_string());
        Some(FirstCall { provider, model, estimate: estimate(request), reserved_cost: None })
    }
}

impl Opening {
    /// What is asked first by the turn of a message that was stored, where that was recorded.
    pub(super) fn of(accept: &Accept, request: Option<Arc<Request>>) -> Option<Self> {
        Some(Self { request: request?, call: accept.first_call()? })
    }
}

/// What a request is expected to consume.
pub(super) fn estimate(request: &Request) -> TokenUsage {
    let system = request.system.as_deref().map_or(0, text_tokens);
    let tools = request.tools.iter().map(|tool| text_tokens(&tool.description) + text_tokens(tool.input_schema.get()));
    let messages = request.messages.iter().map(|message| message_tokens(message));
    let input_tokens = u64::from(tools.chain(messages).fold(system, u32::saturating_add));
    TokenUsage { input_tokens, ..TokenUsage::default() }
}
