//! Sessions and turns: the product's operations, each of them one transaction.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{
    Accept, Accepted, CallAnswered, Dispatch, Epoch, Event, Health, OpenTurn, Page, Position, Resume, Retention, Seq,
    SessionKey, SessionRecord, Step, Store, StoreError, StoredMessage, Timestamp, TurnEnd, TurnId, TurnState,
};

impl Store for SqliteStore {
    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>> {
        todo!()
    }

    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>> {
        todo!()
    }

    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>> {
        todo!()
    }

    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        todo!()
    }

    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>> {
        todo!()
    }

    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>> {
        todo!()
    }

    fn reserve_seq<'a>(&'a self, session: &'a SessionKey, count: u64) -> BoxFuture<'a, Result<Seq, StoreError>> {
        todo!()
    }

    fn session<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreError>> {
        todo!()
    }

    fn sessions<'a>(
        &'a self,
        after: Option<&'a SessionKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SessionRecord, SessionKey>, StoreError>> {
        todo!()
    }

    fn reset<'a>(&'a self, session: &'a SessionKey, now: Timestamp) -> BoxFuture<'a, Result<bool, StoreError>> {
        todo!()
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
        self.db.health()
    }
}
