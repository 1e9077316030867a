//! What must outlive a call: sessions, messages, turns, events.
//!
//! [`Store`] speaks in the product's own operations, each of them one transaction: it happened
//! whole or not at all, and once it returned it stays. Nothing above this module can tell which
//! engine is underneath.

mod cause;
mod channel;
#[cfg(test)]
mod contract;
mod delivery;
mod error;
mod event;
mod fact;
mod file;
mod health;
mod id;
mod key;
mod kv;
mod ledger;
mod memory;
mod message;
mod pairing;
mod portable;
mod retention;
mod schema;
pub mod sqlite;
mod turn;
mod usage;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use crate::money::{MoneyError, NanoDollars};
pub use cause::{CallCause, CallCauseError};
pub use channel::{
    ChannelCommit, Channels, EVENT_WINDOW, EventId, Incoming, IncomingOutcome, MAX_CHANNEL_STATE, MAX_SET_ASIDE,
    NewSetAside, SetAside, SetAsideId,
};
pub use delivery::{
    DELIVERY_WINDOW, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryUpdate, MAX_SHOWN, NewDelivery,
    NewReceipt, Outbox, Receipt,
};
pub use error::StoreError;
pub use event::{Delta, DoneReason, ErrorCode, Event, EventBody, TurnError, Usage};
pub use fact::{Fact, FactId, MAX_FACT, NewFact, Recall};
pub use file::{
    FILE_OVERHEAD, FileAppend, FileId, FileIdError, FileName, FileNameError, FileOutcome, FileRecord, FileRef,
    MAX_FILE_NAME, MAX_FILE_PIECE, MimeType, MimeTypeError, NewFile, SessionFiles,
};
pub use health::{Health, Sickness};
pub use id::{Epoch, Position, Seq, Timestamp, TurnId, TurnIdError};
pub use key::{KeyError, MAX_KEY_BYTES, SessionKey};
pub use kv::{
    KV_OVERHEAD, KvExpected, KvKey, KvKeyError, KvOutcome, KvScope, KvSet, KvSpace, KvValue, KvValueError, MAX_KV_KEY,
    MAX_KV_PAGE, MAX_KV_VALUE, PluginData, kv_cost,
};
pub use ledger::{CallOutcome, Ledger, LedgerEntry, LedgerFilter, LedgerRecord, ModelCall, ModelCallEnd, ModelCallId};
pub use memory::{MemoryLimits, MemoryStore};
pub use message::{
    Attachment, Block, Message, Role, StopReason, StoredMessage, TokenUsage, ToolContent, ToolResult, ToolUse,
};
pub use pairing::{MAX_PENDING, NewPairing, PAIRING_WINDOW, Pairing, PairingState, Pairings, Writer, WriterKind};
pub use portable::{
    ExportCursor, ExportPage, OLDEST_PORTABLE_VERSION, PORTABLE_VERSION, Portable, PortableDestination, Record,
};
pub use retention::Retention;
pub use turn::{
    Accept, Accepted, CallAnswered, CallState, Destination, Dispatch, FirstCall, IDEMPOTENCY_WINDOW, Idempotency,
    MAX_ADDRESS, OpenTurn, Resume, Step, TurnEnd, TurnState,
};
pub use usage::{
    MAX_CALL_COST, MAX_CALL_TOKENS, Spent, TokenFactor, UsageFilter, UsageGroup, UsageKey, UsagePeer, UsageQuery,
    UsageRow, UsageSums,
};

/// A store, of whichever engine.
pub type DynStore = Arc<dyn Store>;

/// The operations of the product on what it keeps. This trait has those on sessions and turns; its
/// supertraits have the others.
///
/// Whoever advances a session's lane, a channel or a delivery says in which [`Epoch`] it owns the store. Each
/// of them keeps the epoch of whoever advanced it last, and an older one is refused
/// ([`StoreError::Superseded`]): a gateway that was taken for dead changes nothing any more.
pub trait Store: PluginData + SessionFiles + Channels + Outbox + Pairings + Ledger + Recall + Portable {
    /// Becomes an owner: an epoch later than all that were given before.
    fn take_over(&self) -> BoxFuture<'_, Result<Epoch, StoreError>>;

    /// Stores a user's message and opens its turn; creates the session where there is none. A
    /// repeated idempotency key opens nothing.
    ///
    /// # Errors
    /// Nothing was stored. [`StoreError::TooLarge`], where the address of its destination is.
    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>>;

    /// Stores what a turn did since its last transaction.
    ///
    /// # Errors
    /// Nothing was stored. [`StoreError::NoTurn`], where the turn is not open.
    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Stores the intent to run calls of tools. One that is there already stays as it is.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn dispatch(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Stores the result of a call, until a message holds it.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn answered(&self, answered: CallAnswered) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a turn: its last messages, events and records, and its deliveries.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The turns that are open, in the order in which their messages were stored, after `after`.
    fn open_turns(&self, after: Option<OpenTurn>, limit: usize) -> BoxFuture<'_, Result<Vec<OpenTurn>, StoreError>>;

    /// Takes an open turn up again, and says where it stands. Nothing, where it is not open.
    ///
    /// # Errors
    /// [`StoreError::Superseded`].
    fn resume(&self, resume: Resume) -> BoxFuture<'_, Result<Option<TurnState>, StoreError>>;

    /// The newest messages since the session was last reset, oldest first, at most `limit`.
    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// A page of the history, oldest first, ending before `before` (or with the newest).
    ///
    /// # Errors
    /// [`StoreError::NoSession`].
    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>>;

    /// Events of turns after `after`, in order, at most `limit`: all of ended turns, and of open ones
    /// what is stored of them.
    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>>;

    /// Sets aside `count` sequence numbers, for events of any sessions, and returns the first. What was
    /// set aside is never given again, used or not, and what is set aside later is greater.
    fn reserve_seq(&self, count: u64) -> BoxFuture<'_, Result<Seq, StoreError>>;

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

    /// Removes a session and all that belongs to it: messages, turns, open ones too, events, keys,
    /// plugins' data, files, deliveries, facts that were learnt in it. The ledger stays, since what was
    /// spent was spent. Says whether there was such a session.
    ///
    /// # Errors
    /// [`StoreError::Superseded`].
    fn delete<'a>(&'a self, session: &'a SessionKey, epoch: Epoch) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Removes what is older or more than is to be kept of an agent's sessions, and what has passed its
    /// window everywhere (keys, events that were seen, settled deliveries of no session, codes); turns that are open stay whole. Does a bounded amount of work, and says
    /// whether there is more of it.
    fn retain(&self, retention: Retention) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// How the store is.
    fn health(&self) -> Health;

    /// Whether what is stored outlives the process.
    fn permanence(&self) -> Permanence {
        Permanence::Durable
    }
}

/// How long what is stored stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permanence {
    /// Until the process ends.
    Process,
    /// It is there at the next start: what is open then can be left to it.
    Durable,
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
