//! The feeds of one connection: at most one a session.

use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::SelectAll;

use super::{Feed, Notice, Scope, State, Turn};
use crate::bus::Hub;
use crate::store::{DynStore, Seq, SessionKey};

/// All that a connection watches.
pub(in crate::gateway) struct Feeds {
    hub: Hub,
    store: DynStore,
    max_subscriptions: usize,
    /// Absent until first needed: most connections are idle.
    feeds: Option<SelectAll<Box<Feed>>>,
}

/// A connection has as many subscriptions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this connection has {0} subscriptions, the limit of `[gateway] max_subscriptions`: end one first")]
pub(in crate::gateway) struct TooManySubscriptions(usize);

impl Feeds {
    pub(in crate::gateway) fn new(hub: Hub, store: DynStore, max_subscriptions: usize) -> Self {
        Self { hub, store, max_subscriptions, feeds: None }
    }

    /// Shows a turn of this connection's until it ends. To be called before the turn starts.
    pub(in crate::gateway) fn follow(&mut self, session: &SessionKey, turn: Turn) {
        if let Some(feed) = find(&mut self.feeds, session) {
            // The feed's own queue goes on; of the new attachment only the snapshot is wanted.
            let open = match turn {
                Turn::New(_) => Vec::new(),
                Turn::Again(_) => self.hub.attach(session).open,
            };
            feed.follow(turn, open);
        } else {
            let (mut feed, open) = Feed::attach(&self.hub, &self.store, session);
            feed.follow(turn, open);
            self.add(feed);
        }
    }

    /// Shows a session, from now on or with what came after `after`.
    pub(in crate::gateway) fn subscribe(
        &mut self,
        session: &SessionKey,
        after: Option<Seq>,
    ) -> Result<(), TooManySubscriptions> {
        let other = |feed: &Feed| feed.scope == Scope::All && feed.state == State::Open && feed.session != *session;
        let others = self.feeds.iter().flatten().filter(|feed| other(feed)).count();
        if others >= self.max_subscriptions {
            return Err(TooManySubscriptions(self.max_subscriptions));
        }
        let mut added = None;
        let feed = match find(&mut self.feeds, session) {
            Some(feed) => feed,
            None => added.insert(Feed::attach(&self.hub, &self.store, session).0),
        };
        match after {
            Some(after) => feed.show_all_after(&self.hub, after),
            None => feed.show_all(),
        }
        if let Some(feed) = added {
            self.add(feed);
        }
        Ok(())
    }

    /// Ends a subscription, where there is one; the connection's own turns are still shown.
    pub(in crate::gateway) fn unsubscribe(&mut self, session: &SessionKey) {
        if let Some(feed) = find(&mut self.feeds, session) {
            feed.show_own();
        }
    }

    /// The next notice of any feed; pending while there is none.
    pub(in crate::gateway) fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Notice> {
        match self.feeds.as_mut().map(|feeds| feeds.poll_next_unpin(cx)) {
            Some(Poll::Ready(Some(notice))) => Poll::Ready(notice),
            // Without feeds; one that is added later is polled after the request that adds it.
            Some(Poll::Ready(None) | Poll::Pending) | None => Poll::Pending,
        }
    }

    fn add(&mut self, feed: Feed) {
        self.feeds.get_or_insert_default().push(Box::new(feed));
    }
}

fn find<'a>(feeds: &'a mut Option<SelectAll<Box<Feed>>>, session: &SessionKey) -> Option<&'a mut Feed> {
    let feeds = feeds.as_mut()?.iter_mut().map(|feed| &mut **feed);
    feeds.into_iter().find(|feed| feed.session == *session && feed.state == State::Open)
}
