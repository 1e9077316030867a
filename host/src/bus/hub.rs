//! The topics of all sessions: who watches, and what is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::mpsc;

use super::topic::Topic;
use crate::store::{DynStore, Event, SessionKey};

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
        Self { inner: Arc::new(Inner { store, queue: queue.max(1), topics: Mutex::default() }) }
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

impl Inner {
    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<SessionKey, Weak<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
