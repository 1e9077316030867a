//! Sessions and turns: the product's operations, each of them one transaction.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::counters::{self, Counter};
use super::{SqliteStore, events, messages, retain, sessions, turns};
use crate::store::{
    Accept, Accepted, CallAnswered, Dispatch, Epoch, Event, Health, OpenTurn, Page, Position, Resume, Retention, Seq,
    SessionKey, SessionRecord, Step, Store, StoreError, StoredMessage, Timestamp, TurnEnd, TurnId, TurnState,
};

impl Store for SqliteStore {
    fn take_over(&self) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        self.db.write(|connection| Ok(Epoch(counters::take(connection, Counter::Epoch, 1)?))).boxed()
    }

    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>> {
        self.db.write(move |connection| sessions::accept(connection, &accept)).boxed()
    }

    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| turns::step(connection, &step).map(drop)).boxed()
    }

    fn dispatch(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| turns::dispatch(connection, &dispatch)).boxed()
    }

    fn answered(&self, answered: CallAnswered) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| turns::answered(connection, &answered)).boxed()
    }

    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| turns::finish(connection, &end)).boxed()
    }

    fn open_turns(&self, after: Option<OpenTurn>, limit: usize) -> BoxFuture<'_, Result<Vec<OpenTurn>, StoreError>> {
        self.db.read(move |connection| turns::open_after(connection, after.as_ref(), limit)).boxed()
    }

    fn resume(&self, resume: Resume) -> BoxFuture<'_, Result<Option<TurnState>, StoreError>> {
        self.db.write(move |connection| turns::resume(connection, &resume)).boxed()
    }

    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        let (session, recent) = (session.clone(), Arc::clone(&self.recent));
        self.db.read(move |connection| recent.read(connection, &session, limit)).boxed()
    }

    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>> {
        let session = session.clone();
        self.db.read(move |connection| messages::history(connection, &session, before, limit)).boxed()
    }

    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>> {
        let session = session.clone();
        self.db.read(move |connection| events::after(connection, &session, turn, after, limit)).boxed()
    }

    fn reserve_seq(&self, count: u64) -> BoxFuture<'_, Result<Seq, StoreError>> {
        // One counter for all sessions, so that one that was deleted and comes back reuses none.
        self.db.write(move |connection| Ok(Seq(counters::take(connection, Counter::Seq, count)?))).boxed()
    }

    fn session<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreError>> {
        let session = session.clone();
        self.db.read(move |connection| sessions::one(connection, &session)).boxed()
    }

    fn sessions<'a>(
        &'a self,
        after: Option<&'a SessionKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SessionRecord, SessionKey>, StoreError>> {
        let after = after.cloned();
        self.db.read(move |connection| sessions::page(connection, after.as_ref(), limit)).boxed()
    }

    fn reset<'a>(&'a self, session: &'a SessionKey, now: Timestamp) -> BoxFuture<'a, Result<bool, StoreError>> {
        let session = session.clone();
        self.db.write(move |connection| sessions::reset(connection, &session, now)).boxed()
    }

    fn delete<'a>(&'a self, session: &'a SessionKey, epoch: Epoch) -> BoxFuture<'a, Result<bool, StoreError>> {
        let session = session.clone();
        self.db.write(move |connection| sessions::delete(connection, &session, epoch)).boxed()
    }

    fn retain(&self, retention: Retention) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.db.write(move |connection| retain::retain(connection, &retention)).boxed()
    }

    fn health(&self) -> Health {
        self.db.health()
    }
}

#[cfg(test)]
mod tests;
