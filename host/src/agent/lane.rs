//! One turn at a time in a session, all sessions side by side.
//!
//! A lane exists while its session has turns. Its turns run in the order in which their messages
//! were stored: a message takes its place in the lane under the same lock under which it is
//! stored. Each lane is one task; a fault in a turn ends that turn alone.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span};

use super::Agent;
use super::job::{ABORT_WAIT, Cause, Handle, Job, Origin, Ticket};
use super::opening::Opening;
use super::turn::{self, Shared};
use crate::bus::Topic;
use crate::store::{Accept, ErrorCode, SessionKey, TurnError, TurnId};

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Load {
    /// Turns that run.
    pub running: usize,
    /// Turns that wait.
    pub queued: usize,
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
    _order: Arc<OwnedMutexGuard<()>>,
}

/// Why a message could not enter its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Draining,
    SessionFull,
    Full,
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
        let order = self.count_in(session)?;
        Ok(self.entry(session, order).await)
    }

    /// Counts a message as entering, where there is room for it.
    fn count_in(&self, session: &SessionKey) -> Result<Arc<tokio::sync::Mutex<()>>, Refused> {
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
        Ok(Arc::clone(&state.lanes.entry(session.clone()).or_default().order))
    }

    /// Keeps messages from entering the session's lane for as long as the entry is held, whatever
    /// the limits are.
    pub(super) async fn hold(self: &Arc<Self>, session: &SessionKey) -> Entry {
        let order = {
            let mut state = self.state();
            state.waiting += 1;
            let lane = state.lanes.entry(session.clone()).or_default();
            lane.entering += 1;
            Arc::clone(&lane.order)
        };
        self.entry(session, order).await
    }

    async fn entry(self: &Arc<Self>, session: &SessionKey, order: Arc<tokio::sync::Mutex<()>>) -> Entry {
        let mut entering = Entering { lanes: self, session: Some(session) };
        let order = order.lock_owned().await;
        entering.session = None;
        Entry { lanes: Arc::clone(self), session: session.clone(), _order: Arc::new(order) }
    }

    /// Runs `work` to its end, whether or not anyone waits for it. Nothing comes back where it
    /// panicked.
    pub(super) async fn whole<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.tasks.spawn(work.in_current_span()).await.ok()
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
            handle.released().await;
            let span = info_span!("turn", session = %session, turn = %job.turn, agent = %job.agent.name);
            self.guarded(&job).instrument(span).await;
            {
                let mut state = self.state();
                state.running -= 1;
                if let Some(lane) = state.lanes.get_mut(&session) {
                    lane.running = None;
                }
            }
            // Last, so that whoever waited for the end finds the lane without the turn.
            handle.end();
        }
    }

    /// Runs a turn; a fault in it ends it alone. Nothing that a panic could leave half done outlives
    /// the turn but its topic, which is told of the end here.
    async fn guarded(&self, job: &Job) {
        if AssertUnwindSafe(self.run_one(job)).catch_unwind().await.is_ok() {
            return;
        }
        error!("the turn panicked; this is a fault in exoclaw");
        if AssertUnwindSafe(turn::end_fault(&self.shared, job)).catch_unwind().await.is_err() {
            error!("the end of the turn panicked too; it stays open until the next start");
            let message = "the gateway failed inside this turn; its log says more".to_owned();
            job.give_up(TurnError::new(ErrorCode::Internal, message, true));
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

    /// Puts a turn that was found open into its lane. It was accepted once, so that it is not held
    /// against the limits, and it waits for nobody.
    pub(super) fn reopen(self: &Arc<Self>, session: SessionKey, turn: TurnId, agent: Arc<Agent>, topic: Arc<Topic>) {
        let handle = Arc::new(Handle::new(turn));
        handle.release();
        self.add(Job {
            session,
            turn,
            agent,
            topic,
            handle,
            origin: Origin::Reopened,
            destination: None,
            opening: None,
            _held: self.shared.meter.hold(turn),
        });
    }

    fn add(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if state.draining {
            job.handle.stop(Cause::Shutdown);
        }
        // Where a message entered, it is counted as waiting twice for a moment: its entry gives its
        // own count back when it is dropped.
        state.waiting += 1;
        let session = job.session.clone();
        let lane = state.lanes.entry(session.clone()).or_default();
        lane.waiting.push_back(job);
        if !std::mem::replace(&mut lane.has_task, true) {
            self.tasks.spawn(Arc::clone(self).run(session));
        }
    }

    /// Stops a turn, or all of a session, and says whether there was one that this ended.
    pub(super) async fn abort(&self, session: &SessionKey, turn: Option<TurnId>) -> bool {
        let (waiting, running) = {
            let state = self.state();
            let Some(lane) = state.lanes.get(session) else { return false };
            let meant = |handle: &&Arc<Handle>| turn.is_none_or(|turn| turn == handle.turn());
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
        let heeded = |handle: &Arc<Handle>| handle.was_heeded() || !handle.is_released();
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
    /// the rest, and returns when nothing is left. Where the store outlives the process, what is
    /// stopped stays open and goes on at the next start.
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
        // Turns that wait for a sick storage wait no longer.
        self.shared.closing.cancel();
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
    pub(super) fn session(&self) -> &SessionKey {
        &self.session
    }

    /// The same right for one more message of the session, behind this one.
    pub(super) fn another(&self) -> Result<Self, Refused> {
        self.lanes.count_in(&self.session)?;
        let Self { lanes, session, _order } = self;
        Ok(Self { lanes: Arc::clone(lanes), session: session.clone(), _order: Arc::clone(_order) })
    }

    /// Whether a turn that this puts into the lane now would run at once: nothing of the session runs or
    /// waits, and there is a place.
    pub(super) fn runs_at_once(&self) -> bool {
        let state = self.lanes.state();
        let lane = state.lanes.get(&self.session);
        let idle = lane.is_none_or(|lane| lane.running.is_none() && lane.waiting.is_empty());
        idle && !state.draining && self.lanes.places.available_permits() > 0
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.lanes.shared
    }

    /// Puts the turn of a message that was stored into the lane; it waits for its ticket. `request` is what
    /// it asks first, where that was recorded with the message.
    pub(super) fn put(self, accept: &Accept, agent: Arc<Agent>, topic: Arc<Topic>, opening: Option<Opening>) -> Ticket {
        let (turn, destination) = (accept.turn, accept.destination.clone());
        let handle = Arc::new(Handle::new(turn));
        let ticket = Ticket::new(Arc::clone(&topic), Arc::clone(&handle));
        let origin = Origin::Accepted;
        let session = self.session.clone();
        let held = self.lanes.shared.meter.hold(turn);
        self.lanes.add(Job { session, turn, agent, topic, handle, origin, destination, opening, _held: held });
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
