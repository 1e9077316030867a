//! What must outlive a call: sessions, messages, turns, events.
//!
//! [`Store`] speaks in the product's own operations, each of them one transaction: it happened
//! whole or not at all, and once it returned it stays. Nothing above this module can tell which
//! engine is underneath.

#[cfg(test)]
mod contract;
mod event;
mod file;
mod id;
mod key;
mod kv;
mod memory;
mod message;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use event::{Delta, DoneReason, ErrorCode, Event, EventBody, TurnError, Usage};
pub use file::{
    FILE_OVERHEAD, FileAppend, FileId, FileIdError, FileName, FileNameError, FileOutcome, FileRecord, FileRef,
    MAX_FILE_NAME, MAX_FILE_PIECE, MimeType, MimeTypeError, NewFile, SessionFiles,
};
pub use id::{Position, Seq, Timestamp, TurnId, TurnIdError};
pub use key::{KeyError, MAX_KEY_BYTES, SessionKey};
pub use kv::{
    KV_OVERHEAD, KvExpected, KvKey, KvKeyError, KvOutcome, KvScope, KvSet, KvSpace, KvValue, KvValueError, MAX_KV_KEY,
    MAX_KV_PAGE, MAX_KV_VALUE, PluginData, kv_cost,
};
pub use memory::{MemoryLimits, MemoryStore};
pub use message::{Block, Message, Role, StopReason, StoredMessage, TokenUsage, ToolContent, ToolResult, ToolUse};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A store, of whichever engine.
pub type DynStore = Arc<dyn Store>;

/// The operations of the product on what it keeps; those on plugins' data and on files stand in
/// [`PluginData`] and [`SessionFiles`].
pub trait Store: PluginData + SessionFiles {
    /// Stores a user's message and opens its turn; creates the session where there is none. A
    /// repeated idempotency key opens nothing.
    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>>;

    /// Appends what one step of a turn added to the history: the model's message, or the
    /// results of the tools that it called.
    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a turn: its last messages and all its events, in order of `seq`.
    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest messages since the session was last reset, oldest first, at most `limit`.
    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// A page of the history, oldest first, ending before `before` (or with the newest).
    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>>;

    /// Events of ended turns after `after`, in order, at most `limit`.
    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>>;

    /// Sets aside `count` sequence numbers of a session and returns the first. What was set
    /// aside is never given again, used or not.
    fn reserve_seq<'a>(&'a self, session: &'a SessionKey, count: u64) -> BoxFuture<'a, Result<Seq, StoreError>>;

    /// One session.
    fn session<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreError>>;

    /// A page of sessions in the order of their keys, after `after`.
    fn sessions<'a>(
        &'a self,
        after: Option<&'a SessionKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SessionRecord, SessionKey>, StoreError>>;

    /// From now on the model sees nothing of what came before; the history keeps it. Says
    /// whether there was such a session.
    fn reset<'a>(&'a self, session: &'a SessionKey, now: Timestamp) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// A message that was received.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Where it belongs.
    pub session: SessionKey,
    /// The turn that it opens.
    pub turn: TurnId,
    /// What was said.
    pub message: Arc<Message>,
    /// Under which a repeat is recognised.
    pub idempotency: Option<Idempotency>,
    /// When.
    pub now: Timestamp,
}

/// A client's key for a message, kept for [`IDEMPOTENCY_WINDOW`] within the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// Of the parameters: the same key with others is a mistake.
    pub digest: [u8; 32],
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

/// Messages that a turn adds before it ends.
#[derive(Debug, Clone)]
pub struct Step {
    /// The session.
    pub session: SessionKey,
    /// The turn.
    pub turn: TurnId,
    /// What is added.
    pub messages: Vec<Arc<Message>>,
    /// When.
    pub now: Timestamp,
}

/// The end of a turn.
#[derive(Debug, Clone)]
pub struct TurnEnd {
    /// The session, the turn, its last messages.
    pub step: Step,
    /// All the turn's events.
    pub events: Vec<Arc<Event>>,
}

/// A session, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SessionRecord {
    /// Its key.
    pub session: SessionKey,
    /// When its first message was stored.
    pub created_at: Timestamp,
    /// When its newest message was stored.
    pub updated_at: Timestamp,
    /// How many messages its history holds.
    pub messages: u64,
    /// How many turns it has seen.
    pub turns: u64,
}

/// Part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; absent on the last one.
    pub next: Option<C>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// All sessions that the limit allows are at work.
    #[error("{limit} sessions are in use, the limit of `[limits] sessions`; try again when one is idle, or raise it")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// No such session.
    #[error("there is no session `{0}`")]
    NoSession(SessionKey),
}
