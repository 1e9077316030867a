//! The steps of one delivery: the plugin says what leaves, it leaves, the plugin is told.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::course::{Asked, Course, Said};
use super::outgoing::outgoing;
use super::plugin::{self, Trouble};
use super::sends::DeliveryFrame;
use super::{Shared, settle};
use crate::channel::route::Route;
use crate::runtime::bindings::channel::{
    Content, LimitedRequest, Next, Outbound, Outcome, Outgoing, Step, TaggedOutboundFrame, TransportError,
};
use crate::store::{Delivery, DeliveryState, StoreError, Timestamp};

/// The most steps of a delivery: a text of a megabyte has some hundreds.
const MOST_STEPS: u32 = 2_000;

/// How often a plugin may stand at the same point within one go before the host makes it wait.
const REPEATS: u32 = 3;

/// How much longer than its timeout a request may take before it counts as unanswered: its way out
/// keeps the timeout itself, and this only holds where that fails.
const OVERTIME: Duration = Duration::from_secs(30);

/// The longest that a frame may take to be written.
const FRAME: Duration = Duration::from_secs(10);

/// Deliveries that may wait with more than what is stored of them.
const MOST_PARKED: usize = 1_024;

/// What a restart says of a request that was under way.
const STOPPED: &str = "the gateway was stopped before there was an answer";

/// What a delivery that waits needs besides what is stored of it. A restart does without.
pub(super) enum Parked {
    /// The step that is to be taken, whose request had to wait.
    Step(Box<(Bytes, LimitedRequest)>),
    /// What came of a request, which the plugin could not be told.
    Outcome(Box<Outcome>),
}

/// A delivery at work. Whoever has one holds a claim on it.
pub(super) struct Work<'a> {
    pub(super) shared: &'a Shared,
    pub(super) delivery: Delivery,
    pub(super) course: Course,
    pub(super) route: Route,
    /// Where the plugin stood when this go began.
    entry: Bytes,
    /// How often it stood at the same point in this go.
    seen: HashMap<Bytes, u32>,
}

/// How far a delivery came in one go.
#[derive(Debug)]
pub(super) enum Came {
    /// It is shown.
    Done(Vec<String>),
    /// It goes on when the plugin wants it to.
    Wait(Duration),
    /// It goes on when its rate limits end.
    Held(Timestamp),
    /// It got nowhere, and is tried again: after so long, or as the host thinks fit.
    Later { after: Option<Duration>, reason: String },
    /// There is no connection for its frame.
    NoConnection(String),
    /// It will never be shown.
    Dead(String),
    /// It may have been shown.
    Unknown(String),
    /// The outbox ends. It goes on at the next start.
    Stopped,
    /// There is no such delivery any more.
    Gone,
    /// Nothing can be stored of it, for longer than one waits.
    Unstored(StoreError),
}

impl From<Trouble> for Came {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Later { after, reason } => Self::Later { after, reason },
            Trouble::Dead(reason) => Self::Dead(reason),
        }
    }
}

/// Where a step comes from, which decides what is lost if it is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The plugin makes it again when asked again.
    Format,
    /// It knows what came of the last request.
    Answer,
}

impl<'a> Work<'a> {
    pub(super) fn new(shared: &'a Shared, delivery: Delivery, course: Course, route: Route) -> Self {
        let entry = course.plugin.clone();
        Self { shared, delivery, course, route, entry, seen: HashMap::new() }
    }

    /// Whether the plugin stands elsewhere than when this go began.
    pub(super) fn moved(&self) -> bool {
        self.course.plugin != self.entry
    }

    /// Takes steps until there is none to take now. `whole` is what the delivery says at last, `draft`
    /// the text so far, if that is what is to be shown now or was when the last go ended.
    pub(super) async fn advance(&mut self, content: &Content, draft: Option<&Content>) -> Came {
        self.entry = self.course.plugin.clone();
        self.seen.clear();
        match self.steps(content, draft).await {
            Ok(came) | Err(came) => came,
        }
    }

    async fn steps(&mut self, content: &Content, draft: Option<&Content>) -> Result<Came, Came> {
        self.course.since.get_or_insert_with(|| self.shared.now());
        let said = match content {
            Content::Draft(_) => Said::Draft,
            _ => Said::Whole,
        };
        let asked_of = |said: Said| match said {
            Said::Draft => draft.unwrap_or(content),
            Said::Whole => content,
        };
        let told = |content: &Content, work: &Self| outgoing(&work.delivery, &work.route, content.clone());
        let parked = self.shared.parked().remove(&self.delivery.id);
        let (mut out, first, mut origin) = match self.course.asked.clone() {
            None => self.anew(content).await?,
            Some(Asked::Frame { before }) => {
                (self.course.plugin, self.course.asked) = (before, None);
                return Err(Came::Unknown(STOPPED.to_owned()));
            }
            Some(Asked::Request(then)) => {
                let outcome = match parked {
                    Some(Parked::Outcome(outcome)) => *outcome,
                    _ => Err(TransportError::Unanswered(STOPPED.to_owned())),
                };
                let out = told(asked_of(then), self);
                let step = self.answered(&out, outcome).await;
                (out, step, Origin::Answer)
            }
            Some(Asked::Unsent(then)) => {
                let out = told(asked_of(then), self);
                let step = match parked {
                    // A draft has grown meanwhile, and is made anew.
                    Some(Parked::Step(parked)) if then == Said::Whole => {
                        let (progress, request) = *parked;
                        Ok(Step { progress: progress.to_vec(), holds: Vec::new(), next: Next::Request(request) })
                    }
                    _ => {
                        let held = "a rate limit held it back".to_owned();
                        self.answered(&out, Err(TransportError::NotSent(held))).await
                    }
                };
                (out, step, Origin::Answer)
            }
        };
        let mut step = first;
        loop {
            // A draft that does not matter any more: what it says at last is still to be said.
            let stale = said_of(&out) == Said::Draft && said == Said::Whole;
            let Step { progress, holds, next } = match step {
                Ok(step) => step,
                Err(Came::Dead(_)) if stale => {
                    (out, step, origin) = self.anew(content).await?;
                    continue;
                }
                Err(came) => return Err(came),
            };
            let now = self.shared.now();
            self.shared.holds.learn(self.route.account.as_deref(), &holds, now);
            self.course.steps = self.course.steps.saturating_add(1);
            if self.course.steps > MOST_STEPS {
                return Err(Came::Dead(format!("it came to no end within {MOST_STEPS} steps")));
            }
            let progress = Bytes::from(progress);
            let next = match next {
                Next::Request(request) => {
                    step = self.request(&out, progress, request, origin).await;
                    origin = Origin::Answer;
                    continue;
                }
                Next::Frame(frame) => {
                    self.frame(progress, frame).await?;
                    (out, step, origin) = self.anew(content).await?;
                    continue;
                }
                next => next,
            };
            (self.course.plugin, self.course.asked) = (progress, None);
            match next {
                // What was resumed is shown; what there is to say now may be more.
                Next::Done(shown) if out.content != *content => self.delivery.shown = settle::shown(shown),
                Next::Rejected(_) if stale => {}
                Next::Unknown(_) if stale => self.course.doubts = self.course.doubts.saturating_add(1),
                Next::Done(shown) => return Ok(Came::Done(shown)),
                Next::Rejected(reason) => return Ok(Came::Dead(reason)),
                Next::Unknown(reason) => return Ok(Came::Unknown(reason)),
                Next::Wait(ms) => return Ok(Came::Wait(Duration::from_millis(u64::from(ms)))),
                Next::Request(_) | Next::Frame(_) => {}
            }
            (out, step, origin) = self.anew(content).await?;
        }
    }

    /// Asks the plugin how it goes on with what there is to say.
    async fn anew(&self, content: &Content) -> Result<(Outgoing, Result<Step, Came>, Origin), Came> {
        let out = outgoing(&self.delivery, &self.route, content.clone());
        let step = plugin::format(self.shared, &out, &self.course.plugin).await?;
        Ok((out, Ok(step), Origin::Format))
    }

    /// Sends a request when it may leave, and has the step that follows.
    async fn request(
        &mut self,
        out: &Outgoing,
        progress: Bytes,
        limited: LimitedRequest,
        from: Origin,
    ) -> Result<Step, Came> {
        let account = self.route.account.as_deref();
        let held = self.shared.holds.until(account, &limited.keys, self.shared.now());
        let seen = self.seen.entry(progress.clone()).or_default();
        *seen = seen.saturating_add(1);
        let waits = if self.shared.stop.is_cancelled() {
            Some(Came::Stopped)
        } else if let Some(until) = held {
            Some(Came::Held(until))
        } else if *seen > REPEATS {
            Some(Came::Later { after: None, reason: "the platform does not take it".to_owned() })
        } else {
            None
        };
        if let Some(waits) = waits {
            if from == Origin::Answer {
                (self.course.plugin, self.course.asked) = (progress.clone(), Some(Asked::Unsent(said_of(out))));
                self.park(Parked::Step(Box::new((progress, limited))));
            }
            return Err(waits);
        }
        (self.course.plugin, self.course.asked) = (progress, Some(Asked::Request(said_of(out))));
        self.store(DeliveryState::Sending).await?;
        let outcome = self.sent(&limited.request).await;
        self.answered(out, outcome).await
    }

    /// What came of a request that leaves now.
    async fn sent(&self, request: &Outbound) -> Outcome {
        let sends = self.shared.sends.borrow().clone();
        let within = Duration::from_millis(u64::from(request.timeout_ms)).saturating_add(OVERTIME);
        let sent = tokio::time::timeout(within, sends.send(request, self.delivery.session.as_ref())).await;
        sent.unwrap_or_else(|_| Err(TransportError::Unanswered(format!("there was no answer within {within:?}"))))
    }

    /// Tells the plugin what came of its request.
    async fn answered(&mut self, out: &Outgoing, outcome: Outcome) -> Result<Step, Came> {
        match plugin::parse(self.shared, out, &self.course.plugin, &outcome).await {
            Ok(step) => {
                self.course.asked = None;
                Ok(step)
            }
            Err(later @ Trouble::Later { .. }) => {
                self.park(Parked::Outcome(Box::new(outcome)));
                Err(later.into())
            }
            Err(dead) => {
                // It may well be shown; who gives it another try should know.
                let sent = matches!(self.course.asked, Some(Asked::Request(_)));
                self.course.doubts = self.course.doubts.saturating_add(u32::from(sent));
                self.course.asked = None;
                Err(dead.into())
            }
        }
    }

    /// Has a frame written.
    async fn frame(&mut self, progress: Bytes, frame: TaggedOutboundFrame) -> Result<(), Came> {
        if self.shared.stop.is_cancelled() {
            return Err(Came::Stopped);
        }
        let before = std::mem::replace(&mut self.course.plugin, progress);
        self.course.asked = Some(Asked::Frame { before: before.clone() });
        self.store(DeliveryState::Sending).await?;
        let written = write(self.shared, frame).await;
        self.course.asked = None;
        let came = match written {
            Ok(()) => return Ok(()),
            Err(TransportError::NotSent(reason)) => Came::NoConnection(reason),
            Err(TransportError::Unanswered(reason)) => Came::Unknown(reason),
        };
        self.course.plugin = before;
        Err(came)
    }

    fn park(&self, what: Parked) {
        let mut parked = self.shared.parked();
        if parked.len() < MOST_PARKED {
            parked.insert(self.delivery.id, what);
        }
    }

    async fn store(&mut self, state: DeliveryState) -> Result<(), Came> {
        self.delivery.state = state;
        match settle::store(self).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Came::Gone),
            Err(error) => Err(Came::Unstored(error)),
        }
    }
}

fn said_of(out: &Outgoing) -> Said {
    match out.content {
        Content::Draft(_) => Said::Draft,
        _ => Said::Whole,
    }
}

/// Hands a frame to the driver, which writes it to its connection.
pub(super) async fn write(shared: &Shared, frame: TaggedOutboundFrame) -> Result<(), TransportError> {
    let (result, written) = oneshot::channel();
    let given = shared.frames.send_timeout(DeliveryFrame { frame, result }, FRAME).await;
    if given.is_err() {
        return Err(TransportError::NotSent("the channel's connections are busy".to_owned()));
    }
    match tokio::time::timeout(FRAME, written).await {
        Ok(Ok(written)) => written,
        // Whoever had it let go of it, at any moment.
        Ok(Err(_)) => Err(TransportError::Unanswered("the connection went away".to_owned())),
        Err(_) => Err(TransportError::Unanswered(format!("it was not written within {FRAME:?}"))),
    }
}
