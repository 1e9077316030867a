//! A turn in its lane: what it needs to run, by what it is stopped, and when it is announced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Agent;
use super::opening::Opening;
use crate::bus::Topic;
use crate::metering::Held;
use crate::store::{Destination, EventBody, SessionKey, TurnError, TurnId};

/// How long an abort waits for the turn to let go. Ending one takes a commit.
pub(super) const ABORT_WAIT: Duration = Duration::from_secs(10);

/// Why a turn is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Someone asked for it.
    Aborted,
    /// The gateway goes down.
    Shutdown,
}

/// By which a turn is stopped, and its end awaited.
#[derive(Debug)]
pub(super) struct Handle {
    turn: TurnId,
    cause: OnceLock<Cause>,
    stop: CancellationToken,
    /// The turn ended because of `stop`, and not just before it.
    heeded: AtomicBool,
    /// The sender has been answered; the turn may be told of.
    released: CancellationToken,
    ended: CancellationToken,
}

impl Handle {
    pub(super) fn new(turn: TurnId) -> Self {
        Self {
            turn,
            cause: OnceLock::new(),
            stop: CancellationToken::new(),
            heeded: AtomicBool::new(false),
            released: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn turn(&self) -> TurnId {
        self.turn
    }

    pub(super) fn stop(&self, cause: Cause) {
        // The first cause stands.
        let _ = self.cause.set(cause);
        self.stop.cancel();
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Lets the turn run: whoever sent its message has been answered.
    pub(super) fn release(&self) {
        self.released.cancel();
    }

    pub(super) async fn released(&self) {
        self.released.cancelled().await;
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.is_cancelled()
    }

    /// The turn is out of its lane.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Whether the turn ended because it was stopped.
    pub(super) fn was_heeded(&self) -> bool {
        self.heeded.load(Ordering::Acquire)
    }

    /// Waits for the end of a stopped turn and says whether it came. A turn whose sender is still
    /// to be answered is not waited for: the one who waits may be that sender, and the turn will
    /// do nothing but end.
    pub(super) async fn gone(&self) -> bool {
        if !self.is_released() {
            return false;
        }
        let ended = tokio::time::timeout(ABORT_WAIT, self.ended.cancelled()).await.is_ok();
        if !ended {
            error!(turn = %self.turn, "a stopped turn did not end within {ABORT_WAIT:?}");
        }
        ended
    }

    /// Why it is to stop.
    pub(super) fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::Aborted)
    }

    /// Why the turn ends, for the turn that ends for it.
    pub(super) fn heed(&self) -> Cause {
        self.heeded.store(true, Ordering::Release);
        self.cause()
    }
}

/// A turn, with all that it needs to run.
pub(super) struct Job {
    pub(super) session: SessionKey,
    pub(super) turn: TurnId,
    pub(super) agent: Arc<Agent>,
    pub(super) topic: Arc<Topic>,
    pub(super) handle: Arc<Handle>,
    pub(super) origin: Origin,
    /// Where its answer goes, as far as that is known before it is taken up again.
    pub(super) destination: Option<Destination>,
    /// What it asks first, where that was made with its message, and its record with that.
    pub(super) opening: Option<Opening>,
    /// Whatever becomes of it, nothing that was set aside for its calls outlives it.
    pub(super) _held: Held,
}

/// Where a turn comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its message was just stored.
    Accepted,
    /// It was found open at the start.
    Reopened,
}

impl Job {
    /// Ends the turn for whoever watches, when nothing can be stored.
    pub(super) fn give_up(&self, error: TurnError) {
        self.topic.abandon(self.turn, EventBody::Error(error));
    }
}

/// A turn that is stored and in its lane, but not announced.
///
/// It starts when the ticket is used or dropped, so that the answer to the sender can go first
/// and a sender that vanished changes nothing.
#[derive(Debug)]
pub struct Ticket {
    topic: Option<Arc<Topic>>,
    handle: Arc<Handle>,
}

impl Ticket {
    pub(super) fn new(topic: Arc<Topic>, handle: Arc<Handle>) -> Self {
        Self { topic: Some(topic), handle }
    }

    /// Announces the turn and lets it run.
    pub fn start(self) {
        drop(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(topic) = self.topic.take() {
            topic.announce(self.handle.turn, EventBody::Queued);
        }
        self.handle.release();
    }
}
