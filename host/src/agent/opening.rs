//! The first request of a turn, made before its message is stored.
//!
//! A request needs a record before it leaves, and its message must be stored before its turn runs. Made
//! beforehand, both are one transaction: nothing else that has to reach the disk stands between a message
//! and the first word of its answer. It is made where the turn will run at once, since what waits behind
//! another turn is answered in that one's light.

use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, Trim, Window};
use super::lane::Entry;
use super::{Agent, context};
use crate::config::PromptCache;
use crate::metering::{Held, Wanted};
use crate::provider::{CacheKey, CachePolicy, Request, Tools};
use crate::store::{
    Block, CallCause, FirstCall, Message, ModelCall, ModelCallId, Position, SessionKey, StoredMessage, Timestamp,
    TurnId,
};

/// The most messages of earlier turns that are read back to make a context of.
const CONTEXT_MESSAGES: usize = 400;

/// What a turn asks first.
pub(super) struct Opening {
    pub(super) request: Arc<Request>,
    /// Its record, which is stored with the message of the turn.
    pub(super) call: ModelCall,
    /// What is set aside for it. Where the message is not stored, it is given back.
    pub(super) _held: Held,
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
    /// What the turn will ask first, with what that may cost set aside. Nothing, where it will not run at once, or
    /// shows files; nor where there is no model to ask, no history to be read, or no budget for it, of which the turn
    /// itself tells.
    pub(super) async fn opening(&self, entry: &Entry) -> Option<Opening> {
        let request = self.request(entry).await?;
        let first = self.agent.models.as_ref().ok()?.models().first()?;
        let wanted = Wanted {
            id: ModelCallId { turn: self.turn, index: 0 },
            session: self.session,
            cause: CallCause::Message,
            provider: first.provider.name(),
            model: &first.model,
            request: &request,
            now: self.now,
        };
        let meter = &entry.shared().meter;
        let held = meter.hold(self.turn);
        let call = meter.begin(wanted).await.ok()?;
        Some(Opening { request, call, _held: held })
    }

    async fn request(&self, entry: &Entry) -> Option<Arc<Request>> {
        let Self { agent, session, turn, message, now } = self;
        agent.models.as_ref().ok()?.models().first()?;
        if !entry.runs_at_once() {
            return None;
        }
        let shared = entry.shared();
        let mut history = shared.store.recent(session, agent.context_messages(shared.queued)).await.ok()?;
        let position = Position(history.last().map_or(0, |last| last.position.0.saturating_add(1)));
        history.push(StoredMessage { position, turn: *turn, at: *now, message: Arc::clone(message) });
        let Context { messages, pause } = context::assemble(&history, *turn, agent.window(shared.queued));
        // What was sent along may have to be fetched first, for which nobody who sends a message waits.
        let sent_along =
            |message: &Arc<Message>| message.blocks.iter().any(|block| matches!(block, Block::Attachment(_)));
        if messages.iter().any(sent_along) {
            return None;
        }
        Some(Arc::new(agent.request(messages, agent.cache_policy(session, pause))))
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

    /// What of a session fits into a request. What the provider keeps is cut in hops.
    pub(super) fn window(&self, queued: usize) -> Window {
        let trim = match self.config.prompt_cache {
            PromptCache::Off => Trim::Closely,
            PromptCache::FiveMinutes | PromptCache::OneHour => Trim::InHops,
        };
        Window { tokens: self.config.context_tokens, messages: self.context_messages(queued), trim }
    }

    /// What of a turn's requests is worth keeping, where the session was silent for `pause` before.
    pub(super) fn cache_policy(&self, session: &SessionKey, pause: Option<Duration>) -> CachePolicy {
        let tools = if self.tools.now().specs().is_empty() { Tools::None } else { Tools::Offered };
        CachePolicy::new(self.config.prompt_cache, pause, tools, CacheKey::of(session))
    }

    /// What its models are asked.
    pub(super) fn request(&self, messages: Vec<Arc<Message>>, cache: CachePolicy) -> Request {
        let config = &self.config;
        Request {
            system: self.system.clone(),
            messages,
            tools: self.tools.now().specs(),
            max_tokens: config.max_tokens,
            thinking_tokens: (config.thinking_tokens > 0).then_some(config.thinking_tokens),
            temperature: config.temperature,
            cache,
        }
    }
}

impl Opening {
    /// Its record, without what is its turn's.
    pub(super) fn record(&self) -> FirstCall {
        let ModelCall { provider, model, estimate, reserved_cost, .. } = self.call.clone();
        FirstCall { provider, model, estimate, reserved_cost }
    }
}
