//! Sessions and turns: the product's operations, each under one lock.

use std::ops::Bound;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{MemoryStore, done, page};
use crate::store::{
    Accept, Accepted, CallAnswered, Dispatch, Epoch, Event, Health, OpenTurn, Page, Permanence, Position, Resume,
    Retention, Seq, SessionKey, SessionRecord, Step, Store, StoreError, StoredMessage, Timestamp, TurnEnd, TurnId,
    TurnState,
};

impl Store for MemoryStore {
    fn take_over(&self) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        let mut state = self.state();
        state.epoch += 1;
        done(Ok(Epoch(state.epoch)))
    }

    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>> {
        done(self.state().accept(accept, self.limits))
    }

    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>> {
        done(self.state().step(step, self.limits).map(drop))
    }

    fn dispatch(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<(), StoreError>> {
        let Dispatch { step, calls } = dispatch;
        done(self.state().step(step, self.limits).map(|open| calls.into_iter().for_each(|call| open.dispatch(call))))
    }

    fn answered(&self, answered: CallAnswered) -> BoxFuture<'_, Result<(), StoreError>> {
        let CallAnswered { step, result } = answered;
        done(self.state().answer(step, result, self.limits))
    }

    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>> {
        done(self.state().finish(end, self.limits))
    }

    fn open_turns(&self, after: Option<OpenTurn>, limit: usize) -> BoxFuture<'_, Result<Vec<OpenTurn>, StoreError>> {
        done(Ok(self.state().open_turns(after.as_ref(), limit)))
    }

    fn resume(&self, resume: Resume) -> BoxFuture<'_, Result<Option<TurnState>, StoreError>> {
        done(self.state().resume(&resume))
    }

    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        done(Ok(self.state().sessions.get(session).map_or_else(Vec::new, |session| session.recent(limit))))
    }

    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>> {
        done(self.state().existing(session).map(|session| session.history(before, limit)))
    }

    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>> {
        let state = self.state();
        done(Ok(state.sessions.get(session).map_or_else(Vec::new, |session| session.events(turn, after, limit))))
    }

    fn reserve_seq(&self, count: u64) -> BoxFuture<'_, Result<Seq, StoreError>> {
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
        let state = self.state();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = state.sessions.range::<SessionKey, _>((from, Bound::Unbounded));
        let (items, more) = page(rest.map(|(_, session)| session.record.clone()), limit);
        let next = items.last().filter(|_| more).map(|record| record.session.clone());
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

    fn delete<'a>(&'a self, session: &'a SessionKey, epoch: Epoch) -> BoxFuture<'a, Result<bool, StoreError>> {
        let mut state = self.state();
        let allowed = state.sessions.get(session).map_or(Ok(()), |session| session.allows(epoch));
        done(allowed.map(|()| state.remove(session)))
    }

    fn retain(&self, retention: Retention) -> BoxFuture<'_, Result<bool, StoreError>> {
        done(Ok(self.state().retain(&retention)))
    }

    fn health(&self) -> Health {
        Health::Well
    }

    fn permanence(&self) -> Permanence {
        Permanence::Process
    }
}
