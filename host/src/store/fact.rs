//! Facts: what is remembered beyond a conversation, and found again by its words. A part of
//! [`super::Store`].

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{SessionKey, StoreError, StoredMessage, Timestamp, TurnId};

/// The longest fact, in bytes.
pub const MAX_FACT: usize = 16 << 10;

/// Names a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct FactId(pub u64);

/// A fact to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFact {
    /// About whom or what: facts of one owner are never shown to another.
    pub owner: String,
    /// The fact.
    pub text: String,
    /// From which session it was learnt, with which it goes, and in which turn.
    pub source: Option<(SessionKey, TurnId)>,
    /// When.
    pub now: Timestamp,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Which.
    pub id: FactId,
    /// About whom or what.
    pub owner: String,
    /// The fact.
    pub text: String,
    /// Where it was learnt.
    pub source: Option<(SessionKey, TurnId)>,
    /// When it was learnt.
    pub created_at: Timestamp,
}

/// What is remembered, and what is found by its words. A part of [`super::Store`].
///
/// A search takes any text: no character of it has a meaning of its own. Its words are its runs of
/// letters and digits, without regard to case; what holds at least one of them is found, best first
/// as the engine ranks it. A text without words finds nothing.
pub trait Recall: Send + Sync + 'static {
    /// Remembers a fact.
    ///
    /// # Errors
    /// [`StoreError::NoSession`], where its source is no more.
    fn fact_add(&self, fact: NewFact) -> BoxFuture<'_, Result<FactId, StoreError>>;

    /// Forgets a fact of an owner. Says whether there was one.
    fn fact_forget<'a>(&'a self, owner: &'a str, id: FactId) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The facts of an owner in the order of their ids, after `after`.
    fn facts<'a>(
        &'a self,
        owner: &'a str,
        after: Option<FactId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>>;

    /// The facts of an owner that a text finds.
    fn fact_search<'a>(
        &'a self,
        owner: &'a str,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>>;

    /// The messages of a session that a text finds, by their text blocks.
    fn message_search<'a>(
        &'a self,
        session: &'a SessionKey,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;
}
