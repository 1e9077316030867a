//! Turns, as they are kept: from the message that opens one to what ended it, with all that is
//! needed to go on after a crash.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    CallCause, Epoch, Event, LedgerEntry, Message, ModelCall, ModelCallId, NanoDollars, NewDelivery, SessionKey,
    StoreError, Timestamp, TokenUsage, ToolResult, TurnId,
};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A message that was received.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Where it belongs.
    pub session: SessionKey,
    /// The turn that it opens.
    pub turn: TurnId,
    /// What was said.
    pub message: Arc<Message>,
    /// Where its answer goes; absent where whoever sent it watches the turn.
    pub destination: Option<Destination>,
    /// The turn's first call of a model, which is about to be made: recorded with the message, so that it
    /// needs no transaction of its own. Not recorded for a repeat.
    pub begin: Option<FirstCall>,
    /// Under which a repeat is recognised.
    pub idempotency: Option<Idempotency>,
    /// Whose lane it enters.
    pub epoch: Epoch,
    /// When.
    pub now: Timestamp,
}

/// The first call of a model that a turn makes: a [`ModelCall`] of which the rest is its turn's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstCall {
    /// The provider's name in the config.
    pub provider: String,
    /// The model.
    pub model: String,
    /// What is set aside for it.
    pub estimate: TokenUsage,
    /// What that would cost; absent where the price is unknown, or nothing asked for it.
    pub reserved_cost: Option<NanoDollars>,
}

impl Accept {
    /// The call that is recorded with the message.
    #[must_use]
    pub fn first_call(&self) -> Option<ModelCall> {
        let FirstCall { provider, model, estimate, reserved_cost } = self.begin.clone()?;
        let id = ModelCallId { turn: self.turn, index: 0 };
        let (session, cause, at) = (self.session.clone(), CallCause::Message, self.now);
        Some(ModelCall { id, session, provider, model, cause, estimate, reserved_cost, at })
    }

    /// Whether it may be stored, whatever there is already.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let address = self.destination.as_ref().map_or(0, |destination| destination.address.len());
        if address > MAX_ADDRESS {
            return Err(StoreError::TooLarge { what: "the address of an answer", limit: MAX_ADDRESS });
        }
        Ok(())
    }
}

/// A client's key for a message, kept for [`IDEMPOTENCY_WINDOW`] within the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// Of the parameters: the same key with others is a mistake.
    pub digest: [u8; 32],
}

/// The largest address of a [`Destination`], in bytes.
pub const MAX_ADDRESS: usize = 64 << 10;

/// Where a turn's answer goes. Kept with the turn until it ends, and no longer, so that one that is taken up again
/// still knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The channel's name in the config.
    pub channel: String,
    /// Within the channel: what goes there keeps its order.
    pub conversation: String,
    /// As the channel's driver writes it; at most [`MAX_ADDRESS`].
    pub address: Bytes,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored, its turn open.
    New,
    /// The key was used before, with the same parameters, by this turn.
    Duplicate(TurnId),
    /// The key was used before, with other parameters.
    KeyReused,
}

/// What a turn adds before it ends, in one transaction.
#[derive(Debug, Clone)]
pub struct Step {
    /// The session.
    pub session: SessionKey,
    /// The turn.
    pub turn: TurnId,
    /// Messages for the history. Answers of calls that a message here holds the results of are kept
    /// no longer ([`CallState`]).
    pub messages: Vec<Arc<Message>>,
    /// The turn's events since the last transaction, in order of `seq`.
    pub events: Vec<Arc<Event>>,
    /// What its calls of models did to the ledger.
    pub ledger: Vec<LedgerEntry>,
    /// Whose lane it is.
    pub epoch: Epoch,
    /// When.
    pub now: Timestamp,
}

impl Step {
    /// A step that adds nothing yet.
    #[must_use]
    pub fn of(session: SessionKey, turn: TurnId, epoch: Epoch, now: Timestamp) -> Self {
        Self { session, turn, messages: Vec::new(), events: Vec::new(), ledger: Vec::new(), epoch, now }
    }
}

/// The intent to run calls of tools: stored before the first of them is dispatched, so that after a
/// crash it is known what may have run.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The session, the turn, the events so far. It adds no messages.
    pub step: Step,
    /// The calls, by the provider's ids.
    pub calls: Vec<String>,
}

/// A call of a tool that has its result.
#[derive(Debug, Clone)]
pub struct CallAnswered {
    /// The session, the turn, the events so far. It adds no messages.
    pub step: Step,
    /// The result, which names its call.
    pub result: ToolResult,
}

/// The end of a turn.
#[derive(Debug, Clone)]
pub struct TurnEnd {
    /// The session, the turn, its last messages, events and records.
    pub step: Step,
    /// What is sent to the channel that the message came from. One that is open already gets its
    /// final content.
    pub deliveries: Vec<NewDelivery>,
}

/// A turn that did not end, as a start finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTurn {
    /// Its session.
    pub session: SessionKey,
    /// Which.
    pub turn: TurnId,
    /// When its message was stored.
    pub accepted_at: Timestamp,
}

/// Takes an open turn up again.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Its session.
    pub session: SessionKey,
    /// Which.
    pub turn: TurnId,
    /// Who takes it up.
    pub epoch: Epoch,
}

/// Where an open turn stands.
#[derive(Debug, Clone)]
pub struct TurnState {
    /// Where its answer goes.
    pub destination: Option<Destination>,
    /// How often it was taken up, this time included: one that ends the process again and again is
    /// not taken up for ever.
    pub resumes: u32,
    /// Its events so far, in order of `seq`.
    pub events: Vec<Arc<Event>>,
    /// Calls of tools that were dispatched, and whose results are in no message yet.
    pub calls: Vec<(String, CallState)>,
    /// Calls of models that were begun and not settled ([`super::LedgerEntry`]).
    pub unsettled: Vec<ModelCall>,
    /// How many calls of models it began, which is the index of the next.
    pub model_calls: u32,
}

/// What is known of a call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum CallState {
    /// It may have run, or may not.
    Dispatched,
    /// It has run.
    Answered(ToolResult),
}
