//! What a client missed, in order of `seq`.
//!
//! Ended turns come from the store, open ones from a snapshot that the hub took when the feed
//! attached, and later events from the live queue that began with the snapshot. No event is in
//! two of them, by two rules: a turn of the snapshot is never taken from the store, though it may
//! end meanwhile; and nothing is taken from the store that is not older than the first live event,
//! since a turn that began after the snapshot is wholly live.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use crate::bus::Live;
use crate::store::{DynStore, Event, Seq, SessionKey, StoreError, TurnId};

/// Events that are read from the store at once.
const PAGE: usize = 256;

/// Past events of a session or of one turn.
pub(super) struct Replay {
    /// What is in order and can be told.
    ready: VecDeque<Arc<Event>>,
    /// Events of turns that were open when the feed attached.
    open: VecDeque<Arc<Event>>,
    source: Option<Source>,
    subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Turn,
    Session,
}

/// What is still to be read from the store.
struct Source {
    store: DynStore,
    session: SessionKey,
    turn: Option<TurnId>,
    after: Seq,
    open_turns: HashSet<TurnId>,
    loading: Option<BoxFuture<'static, Result<Vec<Arc<Event>>, StoreError>>>,
}

impl Replay {
    /// A turn that ended.
    pub(super) fn of_turn(store: DynStore, session: SessionKey, turn: TurnId) -> Self {
        let source = Source::new(store, session, Some(turn), Seq(0), HashSet::new());
        Self { ready: VecDeque::new(), open: VecDeque::new(), source: Some(source), subject: Subject::Turn }
    }

    /// A turn that is open, with its events so far.
    pub(super) fn of_open(events: VecDeque<Arc<Event>>) -> Self {
        Self { ready: events, open: VecDeque::new(), source: None, subject: Subject::Turn }
    }

    /// Everything after `after`. `open` are the events of the session's open turns at the moment
    /// from which the feed's live queue has the later ones.
    pub(super) fn of_session(store: DynStore, session: SessionKey, after: Seq, open: Vec<Arc<Event>>) -> Self {
        let open_turns = open.iter().map(|event| event.turn).collect();
        let open = open.into_iter().filter(|event| event.seq > after).collect();
        let source = Source::new(store, session, None, after, open_turns);
        Self { ready: VecDeque::new(), open, source: Some(source), subject: Subject::Session }
    }

    pub(super) fn is_of_session(&self) -> bool {
        self.subject == Subject::Session
    }

    /// The next event; `None` when live events follow. `first_live` is where the first of them
    /// goes if it has to be looked at.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        live: &mut Live,
        first_live: &mut Option<Arc<Event>>,
    ) -> Poll<Option<Result<Arc<Event>, StoreError>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            let page = match ready!(source.poll_page(cx)) {
                Ok(page) => page,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let until = match self.subject {
                // One turn's events are told apart from live ones by the feed.
                Subject::Turn => None,
                Subject::Session => {
                    if first_live.is_none() {
                        *first_live = live.try_recv();
                    }
                    first_live.as_ref().map(|event| event.seq)
                }
            };
            let full = page.len() == PAGE;
            let last = page.last().map(|event| event.seq);
            let more = full && until.zip(last).is_none_or(|(until, last)| last < until);
            self.ready = merge(page, &mut self.open, &source.open_turns, until, more);
            match last.filter(|_| more) {
                Some(last) => source.after = last,
                None => self.source = None,
            }
        }
    }
}

impl Source {
    fn new(
        store: DynStore,
        session: SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        open_turns: HashSet<TurnId>,
    ) -> Self {
        Self { store, session, turn, after, open_turns, loading: None }
    }

    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Arc<Event>>, StoreError>> {
        let Self { store, session, turn, after, loading, .. } = self;
        let future = loading.get_or_insert_with(|| {
            let (store, session, turn, after) = (Arc::clone(store), session.clone(), *turn, *after);
            Box::pin(async move { store.events(&session, turn, after, PAGE).await })
        });
        let page = ready!(future.as_mut().poll(cx));
        *loading = None;
        Poll::Ready(page)
    }
}

/// Joins a page of the store with the snapshot of the open turns, both in order. Where `more`
/// pages follow, what belongs behind this page stays in the snapshot.
fn merge(
    page: Vec<Arc<Event>>,
    open: &mut VecDeque<Arc<Event>>,
    open_turns: &HashSet<TurnId>,
    until: Option<Seq>,
    more: bool,
) -> VecDeque<Arc<Event>> {
    let last = page.last().map(|event| event.seq);
    let mut merged = VecDeque::with_capacity(page.len() + open.len());
    let stored = page.into_iter().filter(|event| !open_turns.contains(&event.turn));
    for event in stored.take_while(|event| until.is_none_or(|until| event.seq < until)) {
        while let Some(earlier) = open.pop_front_if(|open| open.seq < event.seq) {
            merged.push_back(earlier);
        }
        merged.push_back(event);
    }
    while let Some(event) = open.pop_front_if(|open| !more || Some(open.seq) < last) {
        merged.push_back(event);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EventBody, Timestamp};

    fn event(turn: u64, seq: u64) -> Arc<Event> {
        let session = "a:b:c:d".parse().expect("a key");
        let turn = TurnId::new(Timestamp(turn), turn);
        Arc::new(Event { turn, session, seq: Seq(seq), body: EventBody::Started })
    }

    fn merged(page: &[(u64, u64)], open: &[(u64, u64)], until: Option<u64>, more: bool) -> (Vec<u64>, Vec<u64>) {
        let events = |list: &[(u64, u64)]| list.iter().map(|&(turn, seq)| event(turn, seq)).collect::<Vec<_>>();
        let seqs = |events: &VecDeque<Arc<Event>>| events.iter().map(|event| event.seq.0).collect();
        let mut open = VecDeque::from(events(open));
        let open_turns = open.iter().map(|event| event.turn).collect();
        let merged = merge(events(page), &mut open, &open_turns, until.map(Seq), more);
        (seqs(&merged), seqs(&open))
    }

    #[test]
    fn stored_and_open_turns_are_told_in_one_order() {
        assert_eq!(merged(&[(1, 1), (1, 4), (1, 6)], &[(2, 2), (2, 5), (2, 9)], None, false).0, [1, 2, 4, 5, 6, 9]);
    }

    #[test]
    fn what_belongs_behind_a_page_waits_for_the_next() {
        let (told, waits) = merged(&[(1, 1), (1, 4)], &[(2, 2), (2, 9)], None, true);
        assert_eq!((told, waits), (vec![1, 2, 4], vec![9]));
    }

    #[test]
    fn a_turn_that_ended_after_the_snapshot_is_not_told_twice() {
        let (told, _) = merged(&[(1, 1), (2, 2), (2, 3), (2, 12)], &[(2, 2), (2, 3)], Some(11), false);
        assert_eq!(told, [1, 2, 3], "the snapshot has the beginning, the live queue the rest");
    }

    #[test]
    fn a_turn_that_began_after_the_snapshot_is_left_to_the_live_queue() {
        assert_eq!(merged(&[(1, 1), (3, 12), (3, 13)], &[], Some(10), false).0, [1]);
    }
}
