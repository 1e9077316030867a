//! The engine that keeps everything in maps and forgets it at exit. Bounded: past its limits the
//! sessions that were idle longest go, with all that plugins kept for them, and within a session its
//! oldest messages and events. Files and plugins' data are refused beyond their limits.

mod channels;
mod files;
mod kv;
mod ledger;
mod outbox;
mod portable;
mod recall;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{self, BoxFuture, FutureExt};

use self::files::Files;
use self::kv::KeyValues;
use super::{
    Accept, Accepted, CallAnswered, Dispatch, Epoch, Event, Health, IDEMPOTENCY_WINDOW, Idempotency, OpenTurn, Page,
    Position, Resume, Retention, Seq, SessionKey, SessionRecord, Step, Store, StoreError, StoredMessage, Timestamp,
    TurnEnd, TurnId, TurnState,
};
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
    /// One counter for all sessions, so that a session that was evicted and came back reuses none.
    next_seq: u64,
    key_values: KeyValues,
    /// What the files of all sessions count.
    files_used: u64,
}

#[derive(Debug)]
struct Session {
    record: SessionRecord,
    messages: VecDeque<StoredMessage>,
    next_position: u64,
    /// The model sees nothing before this.
    context_from: Position,
    open: HashSet<TurnId>,
    ended: VecDeque<(TurnId, Vec<Arc<Event>>)>,
    keys: HashMap<String, KeyUse>,
    key_order: VecDeque<(Timestamp, String)>,
    files: Files,
    last_use: u64,
}

#[derive(Debug)]
struct KeyUse {
    digest: [u8; 32],
    turn: TurnId,
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
            let idle = self.by_use.iter().find_map(|(&used, key)| {
                self.sessions.get(key).is_some_and(|session| session.open.is_empty()).then_some(used)
            });
            let evicted = idle.and_then(|used| self.by_use.remove(&used)).ok_or(StoreError::Full { limit })?;
            self.remove(&evicted);
        }
        self.uses += 1;
        let uses = self.uses;
        let session = self.sessions.entry(key.clone()).or_insert_with(|| Session::new(key.clone(), now));
        self.by_use.remove(&session.last_use);
        self.by_use.insert(uses, key.clone());
        session.last_use = uses;
        Ok(session)
    }

    /// Forgets a session and all that belongs to it.
    fn remove(&mut self, key: &SessionKey) {
        if let Some(session) = self.sessions.remove(key) {
            self.by_use.remove(&session.last_use);
            self.files_used -= session.files.used();
        }
        self.key_values.forget(key);
    }

    fn existing(&mut self, key: &SessionKey) -> Result<&mut Session, StoreError> {
        self.sessions.get_mut(key).ok_or_else(|| StoreError::NoSession(key.clone()))
    }
}

impl Session {
    fn new(session: SessionKey, now: Timestamp) -> Self {
        Self {
            record: SessionRecord { session, created_at: now, updated_at: now, messages: 0, turns: 0 },
            messages: VecDeque::new(),
            next_position: 0,
            context_from: Position(0),
            open: HashSet::new(),
            ended: VecDeque::new(),
            keys: HashMap::new(),
            key_order: VecDeque::new(),
            files: Files::default(),
            last_use: 0,
        }
    }

    /// What an idempotency key says of a message.
    fn repeated(&self, idempotency: &Idempotency) -> Option<Accepted> {
        self.keys.get(&idempotency.key).map(|used| {
            if used.digest == idempotency.digest { Accepted::Duplicate(used.turn) } else { Accepted::KeyReused }
        })
    }

    fn forget_keys(&mut self, now: Timestamp, limit: usize) {
        while let Some((at, key)) = self.key_order.front() {
            if self.key_order.len() <= limit && now.since(*at) < IDEMPOTENCY_WINDOW {
                break;
            }
            self.keys.remove(key);
            self.key_order.pop_front();
        }
    }

    fn append(&mut self, step: Step, limit: usize) {
        for message in step.messages {
            let position = Position(self.next_position);
            self.next_position += 1;
            self.messages.push_back(StoredMessage { position, turn: step.turn, at: step.now, message });
        }
        while self.messages.len() > limit {
            self.messages.pop_front();
        }
        self.record.messages = self.messages.len() as u64;
        self.record.updated_at = self.record.updated_at.max(step.now);
    }
}

fn done<'a, T: Send + 'a>(value: Result<T, StoreError>) -> BoxFuture<'a, Result<T, StoreError>> {
    future::ready(value).boxed()
}

impl Store for MemoryStore {
    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>> {
        let limits = self.limits;
        let mut state = self.state();
        done(state.touch(&accept.session, accept.now, limits.sessions).map(|session| {
            session.forget_keys(accept.now, limits.keys.saturating_sub(1));
            if let Some(idempotency) = accept.idempotency {
                if let Some(earlier) = session.repeated(&idempotency) {
                    return earlier;
                }
                session.key_order.push_back((accept.now, idempotency.key.clone()));
                session.keys.insert(idempotency.key, KeyUse { digest: idempotency.digest, turn: accept.turn });
            }
            session.open.insert(accept.turn);
            session.record.turns += 1;
            let step = Step {
                messages: vec![accept.message],
                ..Step::of(accept.session, accept.turn, accept.epoch, accept.now)
            };
            session.append(step, limits.messages);
            Accepted::New
        }))
    }

    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>> {
        let limit = self.limits.messages;
        done(self.state().existing(&step.session.clone()).map(|session| session.append(step, limit)))
    }

    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>> {
        let limits = self.limits;
        done(self.state().existing(&end.step.session.clone()).map(|session| {
            let (turn, events) = (end.step.turn, end.step.events.clone());
            session.append(end.step, limits.messages);
            session.open.remove(&turn);
            session.ended.push_back((turn, events));
            while session.ended.len() > limits.turns {
                session.ended.pop_front();
            }
        }))
    }

    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        let state = self.state();
        let messages = state.sessions.get(session).map_or_else(Vec::new, |session| {
            let visible = session.messages.iter().filter(|message| message.position >= session.context_from);
            let mut newest: Vec<_> = visible.rev().take(limit).cloned().collect();
            newest.reverse();
            newest
        });
        done(Ok(messages))
    }

    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>> {
        done(self.state().existing(session).map(|session| {
            let end = before.map_or(session.messages.len(), |before| {
                session.messages.partition_point(|message| message.position < before)
            });
            let start = end.saturating_sub(limit);
            let items: Vec<_> = session.messages.range(start..end).cloned().collect();
            let next = items.first().filter(|_| start > 0).map(|message| message.position);
            Page { items, next }
        }))
    }

    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>> {
        let state = self.state();
        let mut events: Vec<_> = state.sessions.get(session).map_or_else(Vec::new, |session| {
            let turns = session.ended.iter().filter(|(ended, _)| turn.is_none_or(|turn| turn == *ended));
            turns.flat_map(|(_, events)| events).filter(|event| event.seq > after).cloned().collect()
        });
        events.sort_by_key(|event| event.seq);
        events.truncate(limit);
        done(Ok(events))
    }

    fn reserve_seq<'a>(&'a self, _: &'a SessionKey, count: u64) -> BoxFuture<'a, Result<Seq, StoreError>> {
        let mut state = self.state();
        // 0 is before every event, so that `after_seq: 0` replays all.
        let first = state.next_seq.max(1);
        state.next_seq = first + count;
        done(Ok(Seq(first)))
    }

    fn session<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreError>> {
        done(Ok(self.state().sessions.get(session).map(|session| session.record.clone())))
    }

    fn sessions<'a>(
        &'a self,
        after: Option<&'a SessionKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SessionRecord, SessionKey>, StoreError>> {
        use std::ops::Bound;
        let state = self.state();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.sessions.range::<SessionKey, _>((from, Bound::Unbounded));
        let items: Vec<_> = rest.by_ref().take(limit).map(|(_, session)| session.record.clone()).collect();
        let next = rest.next().and(items.last()).map(|record| record.session.clone());
        done(Ok(Page { items, next }))
    }

    fn reset<'a>(&'a self, session: &'a SessionKey, now: Timestamp) -> BoxFuture<'a, Result<bool, StoreError>> {
        let mut state = self.state();
        done(Ok(state.sessions.get_mut(session).is_some_and(|session| {
            session.context_from = Position(session.next_position);
            session.record.updated_at = session.record.updated_at.max(now);
            true
        })))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        todo!()
    }

    fn dispatch(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<(), StoreError>> {
        todo!()
    }

    fn answered(&self, answered: CallAnswered) -> BoxFuture<'_, Result<(), StoreError>> {
        todo!()
    }

    fn open_turns(&self, after: Option<OpenTurn>, limit: usize) -> BoxFuture<'_, Result<Vec<OpenTurn>, StoreError>> {
        todo!()
    }

    fn resume(&self, resume: Resume) -> BoxFuture<'_, Result<Option<TurnState>, StoreError>> {
        todo!()
    }

    fn delete<'a>(&'a self, session: &'a SessionKey, epoch: Epoch) -> BoxFuture<'a, Result<bool, StoreError>> {
        todo!()
    }

    fn retain(&self, retention: Retention) -> BoxFuture<'_, Result<bool, StoreError>> {
        todo!()
    }

    fn health(&self) -> Health {
        Health::Well
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Role, contract};
    use super::*;
    use proptest::prelude::*;

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    fn accept(peer: &str, turn: u64, now: u64, key: Option<(&str, u8)>) -> Accept {
        Accept {
            session: session(peer),
            turn: TurnId::new(Timestamp(now), turn),
            message: Arc::new(Message::text(Role::User, format!("message {turn}"))),
            idempotency: key.map(|(key, digest)| Idempotency { key: key.into(), digest: [digest; 32] }),
            epoch: Epoch(0),
            now: Timestamp(now),
        }
    }

    fn session(peer: &str) -> SessionKey {
        format!("a:b:c:{peer}").parse().expect("a key")
    }

    fn end(peer: &str, turn: u64, now: u64) -> TurnEnd {
        let turn = TurnId::new(Timestamp(now), turn);
        let step = Step::of(session(peer), turn, Epoch(0), Timestamp(now));
        TurnEnd { step, deliveries: Vec::new() }
    }

    #[tokio::test]
    async fn a_key_is_one_turn_for_a_day_and_free_after_it() -> Result {
        let store = MemoryStore::new(MemoryLimits::default());
        let day = 24 * 60 * 60 * 1000;
        let first = accept("p", 1, 5, Some(("k", 1)));
        assert_eq!(store.accept(first.clone()).await?, Accepted::New);
        assert_eq!(store.accept(accept("p", 2, day, Some(("k", 1)))).await?, Accepted::Duplicate(first.turn));
        assert_eq!(store.accept(accept("p", 3, day, Some(("k", 2)))).await?, Accepted::KeyReused);
        assert_eq!(store.accept(accept("other", 4, day, Some(("k", 2)))).await?, Accepted::New);
        assert_eq!(store.accept(accept("p", 5, day + 5, Some(("k", 2)))).await?, Accepted::New);
        assert_eq!(store.recent(&session("p"), 10).await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn past_the_limit_the_session_idle_longest_goes_and_one_at_work_stays() -> Result {
        let store = MemoryStore::new(MemoryLimits { sessions: 2, ..MemoryLimits::default() });
        store.accept(accept("working", 1, 1, None)).await?;
        store.accept(accept("idle", 2, 2, None)).await?;
        store.finish(end("idle", 2, 2)).await?;
        store.accept(accept("new", 3, 3, None)).await?;
        assert!(store.session(&session("working")).await?.is_some());
        assert!(store.session(&session("idle")).await?.is_none());
        assert!(matches!(store.accept(accept("more", 4, 4, None)).await, Err(StoreError::Full { limit: 2 })));
        Ok(())
    }

    proptest! {
        #[test]
        fn plugins_keep_what_they_set_within_their_quota(uses in contract::uses()) {
            let store = MemoryStore::new(MemoryLimits::default());
            let tokio = tokio::runtime::Builder::new_current_thread().build()?;
            tokio.block_on(contract::keys_and_values_are_maps_within_a_quota(&store, uses))?;
        }
    }

    #[tokio::test]
    async fn a_file_is_of_one_session() -> Result {
        contract::a_file_is_of_one_session(&MemoryStore::new(MemoryLimits::default())).await
    }

    #[tokio::test]
    async fn files_stay_within_their_limits() -> Result {
        let (files, session_files) = (ByteSize::kib(16), ByteSize::kib(12));
        let limits = MemoryLimits { files, session_files, ..MemoryLimits::default() };
        contract::files_stay_within_their_limits(&MemoryStore::new(limits)).await
    }

    #[tokio::test]
    async fn what_plugins_keep_for_a_session_goes_with_it() -> Result {
        let store = MemoryStore::new(MemoryLimits { sessions: 1, ..MemoryLimits::default() });
        let evict = async |session: &SessionKey, turn| {
            let step = Step::of(session.clone(), turn, Epoch(0), Timestamp(2));
            store.finish(TurnEnd { step, deliveries: Vec::new() }).await.expect("a session");
            store.accept(accept("another", 3, 3, None)).await.expect("room");
        };
        contract::what_is_of_a_session_goes_with_it(&store, evict).await?;
        assert_eq!(store.state().files_used, 0);
        Ok(())
    }

    #[tokio::test]
    async fn pages_cover_the_history_without_gap_or_repeat() -> Result {
        let store = MemoryStore::new(MemoryLimits::default());
        for turn in 0..7 {
            store.accept(accept("p", turn, turn, None)).await?;
        }
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = store.history(&session("p"), before, 3).await?;
            seen.splice(0..0, page.items.iter().map(|message| message.position.0));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..7).collect::<Vec<_>>());
        Ok(())
    }

    #[tokio::test]
    async fn a_reset_hides_the_past_from_the_model_and_keeps_the_history() -> Result {
        let store = MemoryStore::new(MemoryLimits::default());
        store.accept(accept("p", 1, 1, None)).await?;
        assert!(store.reset(&session("p"), Timestamp(2)).await?);
        assert!(store.recent(&session("p"), 10).await?.is_empty());
        assert_eq!(store.history(&session("p"), None, 10).await?.items.len(), 1);
        assert!(!store.reset(&session("nobody"), Timestamp(2)).await?);
        Ok(())
    }
}
