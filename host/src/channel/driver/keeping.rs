//! What a channel made of an event, on its way into the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{error, warn};

use super::intake::{Batch, IntakeError};
use super::recorded::Recorded;
use super::waiting::{Heed, Idle};
use super::{Driver, Source, Superseded};
use crate::runtime::bindings::channel::{Event, Incoming, NextState};
use crate::store::{MAX_SET_ASIDE, NewSetAside, SetAsideId, Timestamp};

/// How long a `lazy` state may wait to be stored.
const LAZY: Duration = Duration::from_secs(2);

/// Waits between attempts to store: the first, and the longest.
pub(super) const STORE_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What became of a batch.
pub(super) enum Stored {
    Whole,
    /// Not now.
    Later,
    /// Nor at any other time.
    Never(String),
}

/// What became of an event that the plugin took.
pub(super) enum Took {
    Stored,
    /// It is not stored, and may come again.
    Later,
    /// It can't be stored.
    Never(String),
}

impl Driver {
    /// Stores what the channel made of an event, and then does what it asks for.
    pub(super) async fn take(
        &mut self,
        incoming: Incoming,
        replays: Option<SetAsideId>,
        source: Source,
    ) -> Result<Took, Superseded> {
        let Incoming { state, messages, receipts, actions, reply: _ } = incoming;
        let durable = !messages.is_empty() || !receipts.is_empty() || replays.is_some();
        let (lazy, state) = match state {
            NextState::Unchanged => (None, None),
            NextState::Lazy(state) if durable => (None, Some(Bytes::from(state))),
            NextState::Lazy(state) => (Some(Bytes::from(state)), None),
            NextState::Durable(state) => (None, Some(Bytes::from(state))),
        };
        // What it rests on may be a lazy one: then that is stored with it.
        let pending = self.lazy.as_ref().filter(|_| durable).map(|(state, _)| state.clone());
        let batch = Batch { state: state.clone().or(pending), messages, receipts, set_aside: None, replays };
        match self.store(&batch, source).await? {
            Stored::Whole => {}
            Stored::Later => return Ok(Took::Later),
            Stored::Never(reason) => return Ok(Took::Never(reason)),
        }
        if batch.state.is_some() {
            self.lazy = None;
        }
        if let Some(state) = state.or(lazy.clone()) {
            self.parts.line.set_state(state);
        }
        if let Some(state) = lazy {
            let due = self.lazy.take().map_or_else(|| Instant::now() + LAZY, |(_, due)| due);
            self.lazy = Some((state, due));
        }
        self.carry_out(actions);
        Ok(Took::Stored)
    }

    /// Stores a batch. What no one repeats is tried until it is stored.
    pub(super) async fn store(&mut self, batch: &Batch, source: Source) -> Result<Stored, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let mut wait = STORE_WAITS.0;
        loop {
            match batch.store(&line, Timestamp::now()).await {
                Ok(taken) => {
                    line.counts.took(&taken);
                    if taken.replied {
                        self.parts.outbox.wake();
                    }
                    return Ok(Stored::Whole);
                }
                Err(IntakeError::Superseded(_)) => return Err(Superseded),
                Err(IntakeError::Refused(error)) => return Ok(Stored::Never(error.to_string())),
                Err(IntakeError::Later(reason)) => {
                    warn!(channel = %line.name, %reason, "what the channel heard is not stored yet");
                    let stopped = |idle| matches!(idle, Idle::Stopped);
                    if source == Source::Repeats || stopped(self.idle(Instant::now() + wait, Heed::Nothing).await) {
                        return Ok(Stored::Later);
                    }
                    wait = (wait * 2).min(STORE_WAITS.1);
                }
            }
        }
    }

    /// Puts an event that the plugin did not get past aside, and has the channel started anew.
    pub(super) async fn set_aside(&mut self, event: &Event, reason: String) -> Result<(), Superseded> {
        if let Stored::Never(error) = self.store(&set_aside(event, reason.clone()), Source::Once).await? {
            error!(channel = %self.parts.line.name, %reason, %error, "an event can't even be set aside, and is dropped");
        }
        self.again = Some(reason);
        Ok(())
    }

    /// Stores the state that was not worth a commit of its own yet.
    pub(super) async fn store_lazy(&mut self) -> Result<(), Superseded> {
        let Some((state, _)) = self.lazy.take() else { return Ok(()) };
        let batch = Batch { state: Some(state), ..Batch::default() };
        self.store(&batch, Source::Once).await.map(drop)
    }
}

pub(super) fn set_aside(event: &Event, reason: String) -> Batch {
    let mut event = Recorded::of(event).to_bytes();
    if event.len() > MAX_SET_ASIDE {
        // It cannot be replayed, but it is told of.
        let excerpt = String::from_utf8_lossy(event.get(..1 << 10).unwrap_or_default()).into_owned();
        event = serde_json::json!({ "too-large": event.len(), "excerpt": excerpt }).to_string().into();
    }
    Batch { set_aside: Some(NewSetAside { event, reason }), ..Batch::default() }
}
