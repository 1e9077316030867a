//! The topics of all sessions: who watches, and what is told.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::mpsc;

use super::topic::Topic;
use crate::store::{DynStore, Event, SessionKey, StoreError};

/// The topics of all sessions that are at work or watched. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: DynStore,
    /// Events that may wait for one watcher.
    queue: usize,
    topics: Mutex<HashMap<SessionKey, Weak<Topic>>>,
    /// Sequence numbers that are set aside and that no session has taken yet.
    numbers: Mutex<Range<u64>>,
}

/// What a watcher starts with.
pub struct Attachment {
    /// The events so far of the turns that are open, in order of `seq`.
    pub open: Vec<Arc<Event>>,
    /// All events from now on.
    pub live: Live,
}

/// The events of a session as they happen.
pub struct Live {
    events: mpsc::Receiver<Arc<Event>>,
    _topic: Arc<Topic>,
}

impl Live {
    /// The next event. `None` when the watcher fell behind by more than its queue: it is then
    /// detached and may attach again.
    pub async fn recv(&mut self) -> Option<Arc<Event>> {
        self.events.recv().await
    }

    /// The next event, if it is there already.
    pub fn try_recv(&mut self) -> Option<Arc<Event>> {
        self.events.try_recv().ok()
    }
}

impl Hub {
    /// A hub without topics. `queue` events may wait for one watcher.
    #[must_use]
    pub fn new(store: DynStore, queue: usize) -> Self {
        Self {
            inner: Arc::new(Inner { store, queue: queue.max(1), topics: Mutex::default(), numbers: Mutex::new(0..0) }),
        }
    }

    /// The topic of a session.
    #[must_use]
    pub fn topic(&self, session: &SessionKey) -> Arc<Topic> {
        let mut topics = self.inner.topics();
        if let Some(topic) = topics.get(session).and_then(Weak::upgrade) {
            return topic;
        }
        let topic = Arc::new(Topic::new(session.clone(), Arc::clone(&self.inner)));
        topics.insert(session.clone(), Arc::downgrade(&topic));
        topic
    }

    /// Watches a session from now on: nothing that is published after this call is missed.
    #[must_use]
    pub fn attach(&self, session: &SessionKey) -> Attachment {
        let topic = self.topic(session);
        let (sender, events) = mpsc::channel(self.inner.queue);
        let open = topic.watch(sender);
        Attachment { open, live: Live { events, _topic: topic } }
    }

    /// Sessions that are at work or watched.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.inner.topics().len()
    }
}

/// Sequence numbers set aside at once, for all sessions: a session that wakes up does not wait for a
/// commit. A crash skips what is left of them.
const NUMBERS: u64 = 1 << 14;

impl Inner {
    /// Takes so many sequence numbers, greater than all that were taken before, and returns the first.
    pub(super) async fn numbers(&self, count: u64) -> Result<u64, StoreError> {
        loop {
            if let Some(first) = take(&mut self.left(), count) {
                return Ok(first);
            }
            let first = self.store.reserve_seq(NUMBERS.max(count)).await?.0;
            let mut left = self.left();
            // Another may have been quicker, with later numbers.
            if first >= left.end {
                *left = first..first.saturating_add(NUMBERS.max(count));
            }
        }
    }

    fn left(&self) -> MutexGuard<'_, Range<u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<SessionKey, Weak<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of so many numbers, which are taken; nothing where fewer are left.
fn take(left: &mut Range<u64>, count: u64) -> Option<u64> {
    let next = left.start.checked_add(count).filter(|next| *next <= left.end)?;
    Some(std::mem::replace(&mut left.start, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryLimits, MemoryStore, Store};

    #[tokio::test]
    async fn sessions_share_what_is_set_aside_and_no_number_is_taken_twice() {
        let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
        let hub = Hub::new(store.clone(), 1);
        let mut taken: Vec<u64> = Vec::new();
        for _ in 0..200 {
            let (one, other) = tokio::join!(hub.inner.numbers(256), hub.inner.numbers(100));
            taken.extend([one.unwrap(), other.unwrap()]);
        }
        let ordered = taken.chunks(2).all(|pair| pair[0] + 256 == pair[1] || pair[1] > pair[0]);
        assert!(ordered && taken.is_sorted(), "{taken:?}");
        // 71,200 numbers were set aside in five transactions.
        assert_eq!(store.reserve_seq(1).await.unwrap().0, 1 + 5 * NUMBERS);
    }
}
