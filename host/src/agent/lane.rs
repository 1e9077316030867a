//! One turn at a time in a session, all sessions side by side.
//!
//! A lane exists while its session has turns. Its turns run in the order in which their messages
//! were stored: a message takes its place in the lane under the same lock under which it is
//! stored. Each lane is one task; a fault in a turn ends that turn alone.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span};

use super::Agent;
use super::turn::{self, Shared};
use crate::bus::Topic;
use crate::store::{Epoch, ErrorCode, EventBody, SessionKey, Step, StoreError, Timestamp, TurnError, TurnId};

/// How long an abort waits for the turn to let go. Ending one takes a commit.
const ABORT_WAIT: Duration = Duration::from_secs(10);

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Load {
    /// Turns that run.
    pub running: usize,
    /// Turns that wait.
    pub queued: usize,
}

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
    fn stop(&self, cause: Cause) {
        // The first cause stands.
        let _ = self.cause.set(cause);
        self.stop.cancel();
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    fn is_released(&self) -> bool {
        self.released.is_cancelled()
    }

    /// Waits for the end of a stopped turn and says whether it came. A turn whose sender is still
    /// to be answered is not waited for: the one who waits may be that sender, and the turn will
    /// do nothing but end.
    async fn gone(&self) -> bool {
        if !self.is_released() {
            return false;
        }
        let ended = tokio::time::timeout(ABORT_WAIT, self.ended.cancelled()).await.is_ok();
        if !ended {
            error!(turn = %self.turn, "a stopped turn did not end within {ABORT_WAIT:?}");
        }
        ended
    }

    /// Why the turn ends, for the turn that ends for it.
    pub(super) fn heed(&self) -> Cause {
        self.heeded.store(true, Ordering::Release);
        self.cause.get().copied().unwrap_or(Cause::Aborted)
    }
}

/// A turn, with all that it needs to run.
pub(super) struct Job {
    pub(super) session: SessionKey,
    pub(super) turn: TurnId,
    pub(super) agent: Arc<Agent>,
    pub(super) topic: Arc<Topic>,
    pub(super) handle: Arc<Handle>,
}

impl Job {
    pub(super) async fn publish(&self, body: EventBody) -> Result<(), StoreError> {
        self.topic.publish(self.turn, body).await
    }

    /// A step of the turn that adds nothing yet.
    pub(super) fn step(&self) -> Step {
        Step::of(self.session.clone(), self.turn, Epoch(0), Timestamp::now())
    }

    /// Ends the turn for whoever watches, when nothing can be stored.
    pub(super) fn give_up(&self, message: String) {
        let error = TurnError { code: ErrorCode::Internal, message, retryable: true };
        self.topic.abandon(self.turn, EventBody::Error(error));
    }
}

/// The lanes of all sessions.
pub(super) struct Lanes {
    shared: Arc<Shared>,
    limits: LaneLimits,
    /// Turns that may run at once.
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    state: Mutex<State>,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneLimits {
    pub(super) running: usize,
    pub(super) queued: usize,
    pub(super) queued_total: usize,
}

#[derive(Default)]
struct State {
    lanes: HashMap<SessionKey, Lane>,
    waiting: usize,
    running: usize,
    draining: bool,
}

#[derive(Default)]
struct Lane {
    /// Held while a message of the session is being stored.
    order: Arc<tokio::sync::Mutex<()>>,
    /// Messages that are being stored.
    entering: usize,
    waiting: VecDeque<Job>,
    running: Option<Arc<Handle>>,
    has_task: bool,
}

/// The right to store a message of a session and put it into the session's lane. Others of the
/// same session wait for it.
pub(super) struct Entry {
    lanes: Arc<Lanes>,
    session: SessionKey,
    _order: OwnedMutexGuard<()>,
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

/// Why a message could not enter its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Draining,
    SessionFull,
    Full,
}

impl Ticket {
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
        self.handle.released.cancel();
    }
}

impl Lanes {
    pub(super) fn new(shared: Arc<Shared>, limits: LaneLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.running.clamp(1, Semaphore::MAX_PERMITS)));
        Self { shared, limits, places, tasks: TaskTracker::new(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the session's lane is free to take a message.
    pub(super) async fn enter(self: &Arc<Self>, session: &SessionKey) -> Result<Entry, Refused> {
        let order = {
            let mut state = self.state();
            if state.draining {
                return Err(Refused::Draining);
            }
            if state.waiting >= self.limits.queued_total {
                return Err(Refused::Full);
            }
            let lane = state.lanes.entry(session.clone()).or_default();
            if lane.waiting.len() + lane.entering >= self.limits.queued {
                return Err(Refused::SessionFull);
            }
            lane.entering += 1;
            state.waiting += 1;
            Arc::clone(&state.lanes.entry(session.clone()).or_default().order)
        };
        let mut entering = Entering { lanes: self, session: Some(session) };
        let order = order.lock_owned().await;
        entering.session = None;
        Ok(Entry { lanes: Arc::clone(self), session: session.clone(), _order: order })
    }

    /// Takes back what [`Lanes::enter`] counted.
    fn leave(&self, session: &SessionKey) {
        let mut state = self.state();
        state.waiting -= 1;
        if let Some(lane) = state.lanes.get_mut(session) {
            lane.entering -= 1;
        }
        state.forget_if_idle(session);
    }

    /// Runs the turns of a lane until there are none.
    async fn run(self: Arc<Self>, session: SessionKey) {
        while let Some(job) = self.next(&session) {
            let handle = Arc::clone(&job.handle);
            handle.released.cancelled().await;
            let span = info_span!("turn", session = %session, turn = %job.turn, agent = %job.agent.name);
            // Nothing that a panic could leave half done outlives the turn but its topic, which is
            // told of the end below.
            let ran = AssertUnwindSafe(self.run_one(&job)).catch_unwind().instrument(span).await;
            if ran.is_err() {
                error!(session = %session, turn = %handle.turn, "a turn panicked; this is a fault in exoclaw");
                job.give_up("the gateway failed inside this turn; its log says more".to_owned());
            }
            {
                let mut state = self.state();
                state.running -= 1;
                if let Some(lane) = state.lanes.get_mut(&session) {
                    lane.running = None;
                }
            }
            // Last, so that whoever waited for the end finds the lane without the turn.
            handle.ended.cancel();
        }
    }

    async fn run_one(&self, job: &Job) {
        let place = tokio::select! {
            biased;
            () = job.handle.stopped() => None,
            place = self.places.acquire() => place.ok(),
        };
        // A turn that was stopped while it waited ends without a place: it calls nothing.
        turn::run(&self.shared, job).await;
        drop(place);
    }

    fn next(&self, session: &SessionKey) -> Option<Job> {
        let mut state = self.state();
        let lane = state.lanes.get_mut(session)?;
        let Some(job) = lane.waiting.pop_front() else {
            lane.has_task = false;
            state.forget_if_idle(session);
            return None;
        };
        lane.running = Some(Arc::clone(&job.handle));
        state.waiting -= 1;
        state.running += 1;
        Some(job)
    }

    /// Stops a turn, or all of a session, and says whether there was one that this ended.
    pub(super) async fn abort(&self, session: &SessionKey, turn: Option<TurnId>) -> bool {
        let (waiting, running) = {
            let state = self.state();
            let Some(lane) = state.lanes.get(session) else { return false };
            let meant = |handle: &&Arc<Handle>| turn.is_none_or(|turn| turn == handle.turn);
            let running: Vec<_> = lane.running.iter().filter(meant).cloned().collect();
            let waiting: Vec<_> = lane.waiting.iter().map(|job| &job.handle).filter(meant).cloned().collect();
            (waiting, running)
        };
        for handle in waiting.iter().chain(&running) {
            handle.stop(Cause::Aborted);
        }
        for handle in &running {
            handle.gone().await;
        }
        // One that runs may have told of its end already, with only its lane left to clear.
        let heeded = |handle: &Arc<Handle>| handle.heeded.load(Ordering::Acquire) || !handle.is_released();
        !waiting.is_empty() || running.iter().any(heeded)
    }

    /// Waits for the turns of a session that were stopped.
    pub(super) async fn idle(&self, session: &SessionKey) {
        loop {
            let last = {
                let state = self.state();
                let Some(lane) = state.lanes.get(session) else { return };
                let waiting = lane.waiting.back().map(|job| &job.handle);
                waiting.or(lane.running.as_ref()).cloned()
            };
            match last {
                Some(handle) if handle.gone().await => {}
                _ => return,
            }
        }
    }

    pub(super) fn load(&self) -> Load {
        let state = self.state();
        Load { running: state.running, queued: state.waiting }
    }

    /// Takes nothing from now on; stops what waits, lets what runs finish within `within`, stops
    /// the rest, and returns when nothing is left.
    pub(super) async fn drain(&self, within: Duration) {
        {
            let mut state = self.state();
            state.draining = true;
            for job in state.lanes.values().flat_map(|lane| &lane.waiting) {
                job.handle.stop(Cause::Shutdown);
            }
        }
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_ok() {
            return;
        }
        for handle in self.state().lanes.values().filter_map(|lane| lane.running.as_ref()) {
            handle.stop(Cause::Shutdown);
        }
        if tokio::time::timeout(ABORT_WAIT, self.tasks.wait()).await.is_err() {
            error!("turns did not end within {ABORT_WAIT:?} of being stopped");
        }
    }
}

/// Gives a place back when the wait for it is dropped.
struct Entering<'a> {
    lanes: &'a Arc<Lanes>,
    session: Option<&'a SessionKey>,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.lanes.leave(session);
        }
    }
}

impl Entry {
    /// Puts a turn into the lane; it waits for its ticket.
    pub(super) fn put(self, turn: TurnId, agent: Arc<Agent>, topic: Arc<Topic>) -> Ticket {
        let handle = Arc::new(Handle {
            turn,
            cause: OnceLock::new(),
            stop: CancellationToken::new(),
            heeded: AtomicBool::new(false),
            released: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let ticket = Ticket { topic: Some(Arc::clone(&topic)), handle: Arc::clone(&handle) };
        let mut state = self.lanes.state();
        if state.draining {
            handle.stop(Cause::Shutdown);
        }
        // Counted as waiting twice for a moment: `self` gives its own count back when dropped.
        state.waiting += 1;
        let lane = state.lanes.entry(self.session.clone()).or_default();
        lane.waiting.push_back(Job { session: self.session.clone(), turn, agent, topic, handle });
        if !std::mem::replace(&mut lane.has_task, true) {
            self.lanes.tasks.spawn(Arc::clone(&self.lanes).run(self.session.clone()));
        }
        drop(state);
        ticket
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.lanes.leave(&self.session);
    }
}

impl State {
    fn forget_if_idle(&mut self, session: &SessionKey) {
        let idle =
            |lane: &Lane| !lane.has_task && lane.entering == 0 && lane.waiting.is_empty() && lane.running.is_none();
        if self.lanes.get(session).is_some_and(idle) {
            self.lanes.remove(session);
        }
    }
}
