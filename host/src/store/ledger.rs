//! The ledger: one record for each call of a model, opened before the provider is asked and settled
//! after it answered. A part of [`super::Store`].

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Page, SessionKey, StoreError, Timestamp, TokenUsage, TurnId};

/// Names a call of a model: the turn that made it, and which of its calls it was, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelCallId {
    /// The turn.
    pub turn: TurnId,
    /// Which, counted over all attempts and steps.
    pub index: u32,
}

impl fmt::Display for ModelCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.turn, self.index)
    }
}

/// A call of a model that begins. Stored before the provider is asked, so that no crash hides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// Which.
    pub id: ModelCallId,
    /// For whom.
    pub session: SessionKey,
    /// The provider's name in the config.
    pub provider: String,
    /// The model, as the provider calls it.
    pub model: String,
    /// What it is expected to consume at least: the estimate of its input.
    pub estimate: TokenUsage,
    /// When it began.
    pub at: Timestamp,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The model said all.
    Finished,
    /// The answer was cut: by an error in its middle, an abort, a deadline.
    Cut,
    /// The provider refused it or could not be reached, before it began to answer.
    Failed,
    /// The gateway went down in its middle, and what became of it is not known.
    Lost,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCallEnd {
    /// Which.
    pub id: ModelCallId,
    /// What it consumed.
    pub tokens: TokenUsage,
    /// The counts are ours, because the provider's never came.
    pub estimated: bool,
    /// How it ended.
    pub outcome: CallOutcome,
    /// When.
    pub at: Timestamp,
}

/// A change of the ledger, within a turn's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEntry {
    /// A call is about to be made. One whose id is there changes nothing.
    Begin(ModelCall),
    /// A call ended. Of one that ended before, or was never begun, nothing is changed.
    Settle(ModelCallEnd),
}

/// A record of the ledger. Records are never changed once they are settled, and outlive their
/// session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// How it began.
    pub call: ModelCall,
    /// How it ended; absent while it runs.
    pub end: Option<ModelCallEnd>,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Of this session.
    pub session: Option<SessionKey>,
    /// Begun then or later.
    pub since: Option<Timestamp>,
    /// Begun before.
    pub until: Option<Timestamp>,
}

/// The ledger, as the store keeps it. A part of [`super::Store`]; records are written by the
/// transactions of turns.
pub trait Ledger: Send + Sync + 'static {
    /// A page of records in the order of their ids, after `after`.
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>>;
}
