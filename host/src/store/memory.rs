//! The engine that keeps everything in maps and forgets it at exit. Bounded: past its limits the
//! sessions that were idle longest go, with all that belongs to them, and within a session its
//! oldest messages and events. Files and plugins' data are refused beyond their limits; of what
//! belongs to no session, the oldest goes.

mod channels;
mod files;
mod keys;
mod kv;
mod ledger;
mod outbox;
mod pairings;
mod portable;
mod recall;
mod retain;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod turns;
mod usage;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{self, BoxFuture, FutureExt};

use self::channels::{Channel, SetAsides};
use self::kv::KeyValues;
use self::ledger::Records;
use self::outbox::Deliveries;
use self::pairings::Writers;
use self::recall::Facts;
use self::session::Session;
use super::{SessionKey, StoreError, Timestamp, TokenFactor, TurnId};
use crate::config::ByteSize;

/// How much the engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Sessions in all.
    pub sessions: usize,
    /// Messages in a session.
    pub messages: usize,
    /// Ended turns of a session whose events can be replayed.
    pub turns: usize,
    /// Idempotency keys in a session.
    pub keys: usize,
    /// The files of all sessions.
    pub files: ByteSize,
    /// The files of one session.
    pub session_files: ByteSize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            sessions: 1_000,
            messages: 2_000,
            turns: 64,
            keys: 1_024,
            files: ByteSize::mib(256),
            session_files: ByteSize::mib(64),
        }
    }
}

/// The in-memory engine.
///
/// Of the ledger it keeps the newest 100,000 calls that ended, and as many sums, each over a quarter of an hour of
/// one session. Sums reach further back than calls; a span that begins or ends within a quarter whose calls are
/// forgotten misses these.
#[derive(Debug)]
pub struct MemoryStore {
    limits: MemoryLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<SessionKey, Session>,
    /// Keys by when they were last used, for eviction.
    by_use: BTreeMap<u64, SessionKey>,
    uses: u64,
    /// The last epoch that was given.
    epoch: u64,
    /// One counter for all sessions, so that a session that was evicted and came back reuses none.
    next_seq: u64,
    /// Turns that are open, in the order in which their messages were stored.
    open: BTreeMap<u64, (SessionKey, TurnId)>,
    next_turn: u64,
    ledger: Records,
    /// By provider and model.
    token_factors: BTreeMap<(String, String), TokenFactor>,
    key_values: KeyValues,
    /// What the files of all sessions count.
    files_used: u64,
    channels: HashMap<String, Channel>,
    set_aside: SetAsides,
    outbox: Deliveries,
    pairings: Writers,
    facts: Facts,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Opens a session in which nobody wrote, for calls of plugins outside of a gateway.
    ///
    /// # Errors
    /// All sessions that the limit allows are at work.
    pub fn open_session(&self, session: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        self.state().touch(session, now, self.limits.sessions).map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the maps whole before it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The session, created where there is none, marked as used.
    fn touch(&mut self, key: &SessionKey, now: Timestamp, limit: usize) -> Result<&mut Session, StoreError> {
        if !self.sessions.contains_key(key) && self.sessions.len() >= limit {
            let evicted = self.by_use.values().find(|key| self.is_idle(key)).cloned();
            self.remove(&evicted.ok_or(StoreError::Full { limit })?);
        }
        self.uses += 1;
        let uses = self.uses;
        let session = self.sessions.entry(key.clone()).or_insert_with(|| Session::new(key.clone(), now));
        self.by_use.remove(&session.last_use);
        self.by_use.insert(uses, key.clone());
        session.last_use = uses;
        Ok(session)
    }

    /// Whether nothing of a session is under way: no turn, and nothing that is to be sent.
    fn is_idle(&self, key: &SessionKey) -> bool {
        self.sessions.get(key).is_some_and(|session| session.open.is_empty()) && !self.outbox.is_at_work(key)
    }

    /// Forgets a session and all that belongs to it. Says whether there was one.
    fn remove(&mut self, key: &SessionKey) -> bool {
        let Some(session) = self.sessions.remove(key) else { return false };
        self.by_use.remove(&session.last_use);
        self.files_used -= session.files.used();
        for turn in session.open.values() {
            self.open.remove(&turn.order);
        }
        self.key_values.forget(key);
        self.outbox.forget(key);
        self.facts.forget(key);
        true
    }

    fn existing(&mut self, key: &SessionKey) -> Result<&mut Session, StoreError> {
        self.sessions.get_mut(key).ok_or_else(|| StoreError::NoSession(key.clone()))
    }
}

fn done<'a, T: Send + 'a>(value: Result<T, StoreError>) -> BoxFuture<'a, Result<T, StoreError>> {
    future::ready(value).boxed()
}

/// The items of a page, and whether more follow.
fn page<T>(mut items: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, bool) {
    let page = items.by_ref().take(limit).collect();
    (page, items.next().is_some())
}
