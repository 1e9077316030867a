//! What one connection is shown of one session, in order: first what it missed, then what
//! happens.
//!
//! A feed is a stream that its connection polls when the client takes output, so a slow client
//! makes nobody wait: events gather in the hub's bounded queue for this feed, and past it the hub
//! lets go of the feed, which then ends with [`Notice::Lagged`].

mod replay;
mod set;

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_util::Stream;

use replay::Replay;
pub(super) use set::Feeds;

use crate::bus::{Hub, Live};
use crate::store::{DynStore, Event, Seq, SessionKey, TurnId};

/// What a client is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// Something happened.
    Event(Arc<Event>),
    /// The feed ended before the session did. Everything up to and with `after_seq` was told.
    Lagged {
        /// The session.
        session: SessionKey,
        /// From where to resume.
        after_seq: Seq,
    },
}

/// Which events of the session are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those of the turns that this connection sent.
    Own,
    /// All.
    All,
}

/// A turn of this connection's, at the moment when it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Not announced yet: all its events are to come.
    New(TurnId),
    /// Sent before, under the same idempotency key: shown from its beginning.
    Again(TurnId),
}

/// One connection's view of one session.
pub(super) struct Feed {
    session: SessionKey,
    store: DynStore,
    scope: Scope,
    own: HashSet<TurnId>,
    /// Up to where replays have shown turns whose later events are live.
    shown: HashMap<TurnId, Seq>,
    replays: VecDeque<Replay>,
    live: Live,
    /// The first live event, if a replay had to look at it.
    first_live: Option<Arc<Event>>,
    /// Up to here everything that passes was told.
    told: Seq,
    /// Up to here a replay of the session has shown it. The end of a turn is in the store before it
    /// is live, so that both may have it.
    replayed: Seq,
    state: State,
    /// Who waits for the next event.
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl Feed {
    /// Watches a session from now on, and shows nothing of it yet.
    fn attach(hub: &Hub, store: &DynStore, session: &SessionKey) -> (Self, Vec<Arc<Event>>) {
        let attachment = hub.attach(session);
        let feed = Self {
            session: session.clone(),
            store: Arc::clone(store),
            scope: Scope::Own,
            own: HashSet::new(),
            shown: HashMap::new(),
            replays: VecDeque::new(),
            live: attachment.live,
            first_live: None,
            told: Seq(0),
            replayed: Seq(0),
            state: State::Open,
            waker: None,
        };
        (feed, attachment.open)
    }

    /// Shows a turn until it ends. `open` are the events so far of the session's open turns.
    fn follow(&mut self, turn: Turn, open: Vec<Arc<Event>>) {
        match turn {
            Turn::New(turn) => {
                self.own.insert(turn);
            }
            Turn::Again(turn) => {
                self.own.insert(turn);
                let open: VecDeque<_> = open.into_iter().filter(|event| event.turn == turn).collect();
                self.note_shown(&open);
                self.replays.push_back(match open.is_empty() {
                    true => Replay::of_turn(Arc::clone(&self.store), self.session.clone(), turn),
                    false => Replay::of_open(open),
                });
            }
        }
        self.wake();
    }

    /// Shows everything from now on.
    fn show_all(&mut self) {
        self.scope = Scope::All;
    }

    /// Shows everything after `after`, for which the feed attaches anew.
    fn show_all_after(&mut self, hub: &Hub, after: Seq) {
        let attachment = hub.attach(&self.session);
        self.live = attachment.live;
        self.first_live = None;
        self.replays.retain(|replay| !replay.is_of_session());
        self.note_shown(&attachment.open);
        self.replays.push_back(Replay::of_session(
            Arc::clone(&self.store),
            self.session.clone(),
            after,
            attachment.open,
        ));
        self.told = after;
        self.replayed = Seq(0);
        self.scope = Scope::All;
        self.wake();
    }

    /// Shows no more than the turns that this connection sent. A replay that runs goes on, since
    /// it may be all that shows an earlier part of these.
    fn show_own(&mut self) {
        self.scope = Scope::Own;
        self.wake();
    }

    fn note_shown<'a>(&mut self, open: impl IntoIterator<Item = &'a Arc<Event>>) {
        self.shown.extend(open.into_iter().map(|event| (event.turn, event.seq)));
    }

    /// A change from outside may let a feed that waits go on.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wants(&self, turn: TurnId) -> bool {
        self.scope == Scope::All || self.own.contains(&turn)
    }

    /// Whether a live event is to be told.
    fn passes(&mut self, event: &Event) -> bool {
        let shown = self.shown.get(&event.turn).is_some_and(|shown| event.seq <= *shown);
        let told = shown || event.seq <= self.replayed;
        let passes = !told && self.wants(event.turn);
        // Live events come in order: what a replay showed of lower ones cannot come again.
        self.shown.retain(|_, shown| *shown > event.seq);
        if event.body.ends_turn() {
            self.own.remove(&event.turn);
        }
        passes
    }

    fn poll_replay(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        while let Some(replay) = self.replays.front_mut() {
            let of_session = replay.is_of_session();
            let event = match ready!(replay.poll_next(cx, &mut self.live, &mut self.first_live)) {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    tracing::warn!(session = %self.session, %error, "a client's replay failed");
                    return Poll::Ready(Some(self.lagged()));
                }
                None => {
                    self.replays.pop_front();
                    continue;
                }
            };
            let wanted = self.wants(event.turn);
            if of_session {
                (self.told, self.replayed) = (event.seq, event.seq);
            } else {
                self.note_shown([&event]);
            }
            if event.body.ends_turn() {
                self.own.remove(&event.turn);
            }
            if wanted {
                return Poll::Ready(Some(Notice::Event(event)));
            }
        }
        Poll::Ready(None)
    }

    fn lagged(&mut self) -> Notice {
        self.state = State::Ended;
        Notice::Lagged { session: self.session.clone(), after_seq: self.told }
    }

    fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        if let Some(notice) = ready!(self.poll_replay(cx)) {
            return Poll::Ready(Some(notice));
        }
        while self.scope == Scope::All || !self.own.is_empty() {
            let event = match self.first_live.take() {
                Some(event) => Some(event),
                None => ready!(pin!(self.live.recv()).poll(cx)),
            };
            let Some(event) = event else { return Poll::Ready(Some(self.lagged())) };
            self.told = event.seq.max(self.told);
            if self.passes(&event) {
                return Poll::Ready(Some(Notice::Event(event)));
            }
        }
        self.state = State::Ended;
        Poll::Ready(None)
    }
}

impl Stream for Feed {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.waker = None;
        let poll = self.poll_notice(cx);
        if poll.is_pending() {
            self.waker = Some(cx.waker().clone());
        }
        poll
    }
}

#[cfg(test)]
mod tests;
