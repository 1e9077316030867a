//! The ledger: one record for each call of a model, opened before the provider is asked and settled
//! after it answered. A part of [`super::Store`].

use std::fmt;

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

use super::{
    CallCause, MAX_CALL_COST, NanoDollars, Page, SessionKey, Spent, StoreError, Timestamp, TokenFactor, TokenUsage,
    TurnId, UsageFilter, UsageGroup, UsageKey, UsageQuery, UsageRow,
};

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
    /// Why it is made.
    #[serde(default)]
    pub cause: CallCause,
    /// What is set aside for it: the estimate of its input, and as output the most that it may write.
    pub estimate: TokenUsage,
    /// What that would cost; absent where the price is unknown, or nothing asked for it.
    #[serde(default)]
    pub reserved_cost: Option<NanoDollars>,
    /// When it began. In every sum it counts then, whenever it ended.
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
    /// What that cost, rounded up to a whole nano-dollar; absent where the price is unknown.
    #[serde(default)]
    pub cost: Option<NanoDollars>,
    /// The version of the table of prices by which the cost was computed.
    #[serde(default)]
    pub price: Option<String>,
    /// How much less it cost than it would have without the provider's cache, in nano-dollars; negative where
    /// writing to the cache cost more than reading from it saved. Absent where the price is unknown.
    #[serde(default)]
    pub cache_saving: Option<i64>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// When.
    pub at: Timestamp,
}

impl ModelCall {
    /// This call, with counts and a cost that can be added up ([`super::MAX_CALL_TOKENS`], [`MAX_CALL_COST`]).
    pub(super) fn bounded(self) -> Self {
        let reserved_cost = self.reserved_cost.map(|cost| cost.min(MAX_CALL_COST));
        Self { estimate: self.estimate.bounded(), reserved_cost, ..self }
    }
}

impl ModelCallEnd {
    /// This end, with counts and costs that can be added up ([`super::MAX_CALL_TOKENS`], [`MAX_CALL_COST`]).
    pub(super) fn bounded(self) -> Self {
        let most = i64::try_from(MAX_CALL_COST.as_nanos()).unwrap_or(i64::MAX);
        Self {
            tokens: self.tokens.bounded(),
            cost: self.cost.map(|cost| cost.min(MAX_CALL_COST)),
            cache_saving: self.cache_saving.map(|saving| saving.clamp(-most, most)),
            ..self
        }
    }
}

/// A change of the ledger, within a turn's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEntry {
    /// A call is about to be made. One whose id is there changes nothing.
    Begin(ModelCall),
    /// A call ended. Of one that ended before, or was never begun, nothing is changed: it is added up once.
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

/// The ledger, as the store keeps it, and what is added up of it. A part of [`super::Store`]; records are
/// written by the transactions of turns.
///
/// Neither records nor sums go with a session, or with what is kept of it for long enough. What an engine
/// that keeps all in memory forgets, it says itself ([`super::MemoryStore`]).
pub trait Ledger: Send + Sync + 'static {
    /// A page of records in the order of their ids, after `after`.
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>>;

    /// Calls that were begun and not settled, in the order of their ids, after `after`: when a process
    /// starts, what the one before it left.
    fn unsettled(
        &self,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<ModelCall, ModelCallId>, StoreError>>;

    /// Settles calls whose turn is not there to do it: it went with its session. As
    /// [`LedgerEntry::Settle`] does; all of them, or none.
    fn settle(&self, ends: Vec<ModelCallEnd>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// A page of sums over calls that ended, in the order of their keys.
    fn usage(&self, query: UsageQuery) -> BoxFuture<'_, Result<Page<UsageRow, UsageKey>, StoreError>>;

    /// What the calls that are `filter`'s, began at `since` or later and before `until`, and ended
    /// count against a budget.
    fn spent(
        &self,
        filter: UsageFilter,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Spent, StoreError>> {
        let usage = self.usage(UsageQuery { since, until, group: UsageGroup::Total, filter, after: None, limit: 1 });
        async move { Ok(usage.await?.items.first().map_or_else(Spent::default, |row| Spent::from(&row.sums))) }.boxed()
    }

    /// What was learnt of how models count tokens, by provider and model.
    fn token_factors(&self) -> BoxFuture<'_, Result<Vec<TokenFactor>, StoreError>>;

    /// Keeps what was learnt of one model, in place of what was known of it.
    fn save_token_factor(&self, factor: TokenFactor) -> BoxFuture<'_, Result<(), StoreError>>;
}
