//! Answers on their way to the platform, until they are settled.
//!
//! A delivery is a state machine of the plugin's, and the host its clockwork: it stores how far the
//! delivery is before anything leaves, sends what the plugin asks for, tells it what came of it, and
//! goes on until the text is shown, refused, or given up. So a crash repeats at most one step, and
//! what may have arrived is never taken for lost, nor the other way round: where the platform cannot
//! tell either, the delivery is marked, and `[delivery] unknown` decides.
//!
//! - One task a channel ([`run`]) takes what is due out of the store, the first of each conversation.
//!   A delivery that waits, for its moment or for a rate limit, waits in the store and takes no room.
//! - A task a turn ([`watch`]) shows that something is coming: `typing`, and drafts of the text so
//!   far. Whoever works on a delivery holds a claim on it, so that no step is made twice.
//! - Everything that a delivery needs to go on is in the store. The outbox may be dropped at any moment.

mod backoff;
mod claims;
mod course;
mod draft;
mod entry;
mod growing;
mod holds;
mod orders;
mod outgoing;
mod plugin;
mod run;
mod sends;
mod settle;
mod typing;
mod watch;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch as latest};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::Line;
use crate::agent::Passage;
use crate::store::{DeliveryId, StoreError, Timestamp, TurnId};
use claims::Claims;
use holds::Holds;
use orders::Order;
use work::Parked;

pub use entry::{OutboxEntry, OutboxList, OutboxState};
pub use orders::OrderError;
pub(super) use orders::{OrderKind, changed};
pub(super) use sends::{DeliveryFrame, Sends};

/// Orders of the owner that may wait.
const ORDERS: usize = 32;

/// The time, as everything here has it.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an outbox is made of.
pub(super) struct OutboxParts {
    /// Whose it is.
    pub(super) line: Arc<Line>,
    /// Sends its requests; another takes its place at a reload.
    pub(super) sends: latest::Receiver<Arc<dyn Sends>>,
    /// Takes its frames to its connections.
    pub(super) frames: mpsc::Sender<DeliveryFrame>,
    /// The machine's clock: [`Timestamp::now`].
    pub(super) clock: Clock,
    /// Ends it: nothing leaves any more, and what is under way is waited for ([`Outbox::close`]).
    pub(super) stop: CancellationToken,
}

/// The outbox of one channel. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    tasks: TaskTracker,
}

/// What everything that delivers for one channel shares.
pub(super) struct Shared {
    line: Arc<Line>,
    sends: latest::Receiver<Arc<dyn Sends>>,
    frames: mpsc::Sender<DeliveryFrame>,
    clock: Clock,
    stop: CancellationToken,
    /// Cancelled when what is under way is not waited for any longer.
    kill: CancellationToken,
    wake: Notify,
    holds: Holds,
    claims: Arc<Claims>,
    /// What deliveries that wait need besides what is stored of them.
    parked: Mutex<HashMap<DeliveryId, Parked>>,
    /// The turns that are watched; cancelled at their ends.
    watched: Mutex<HashMap<TurnId, CancellationToken>>,
}

impl Outbox {
    /// Starts to deliver what is due, and what will be.
    pub(super) fn start(parts: OutboxParts) -> Self {
        let OutboxParts { line, sends, frames, clock, stop } = parts;
        let shared = Arc::new(Shared {
            line,
            sends,
            frames,
            clock,
            stop,
            kill: CancellationToken::new(),
            wake: Notify::new(),
            holds: Holds::default(),
            claims: Arc::default(),
            parked: Mutex::default(),
            watched: Mutex::default(),
        });
        let (orders, received) = mpsc::channel(ORDERS);
        let tasks = TaskTracker::new();
        let running = Arc::clone(&shared);
        tasks.spawn(async move {
            tokio::select! {
                () = running.kill.cancelled() => {}
                () = run::run(Arc::clone(&running), received) => {}
            }
        });
        Self { shared, orders, tasks }
    }

    /// The channel's name.
    pub(super) fn channel(&self) -> &str {
        self.shared.line.name.as_str()
    }

    /// Something may be due.
    pub(super) fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// A turn begins whose answer goes here: shows that it does.
    pub(super) fn begun(&self, passage: &Passage) {
        if self.tasks.is_closed() || self.shared.stop.is_cancelled() {
            return;
        }
        let ended = CancellationToken::new();
        {
            let mut watched = self.shared.watched();
            if watched.contains_key(&passage.turn) {
                return;
            }
            watched.insert(passage.turn, ended.clone());
        }
        // At once: the turn's end is not missed, however short it is.
        let attachment = self.shared.line.dispatcher.hub().attach(&passage.session);
        let (shared, passage) = (Arc::clone(&self.shared), passage.clone());
        self.tasks.spawn(async move {
            let forget = Forget { shared: &shared, turn: passage.turn };
            tokio::select! {
                () = shared.kill.cancelled() => {}
                () = watch::watch(&shared, &passage, attachment, ended) => {}
            }
            drop(forget);
        });
    }

    /// A turn's answer is stored.
    pub(super) fn ended(&self, turn: TurnId) {
        if let Some(ended) = self.shared.watched().get(&turn) {
            ended.cancel();
        }
        self.wake();
    }

    /// Ends it: no request leaves from now on, and the answers to those under way are waited for,
    /// until `within` is over. What is not settled then goes on at the next start.
    pub(super) async fn close(&self, within: Duration) {
        self.shared.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                channel = self.channel(),
                ?within,
                "deliveries are cut; the next start asks what became of them"
            );
            self.shared.kill.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, HashMap<TurnId, CancellationToken>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parked(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a store's operation gives, once the storage is well.
    ///
    /// # Errors
    /// Waiting does not help, or the outbox ends.
    async fn until_well<T, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut failures = 0;
        loop {
            let error = match operation().await {
                Err(error @ StoreError::Sick(_)) if !self.stop.is_cancelled() => error,
                outcome => return outcome,
            };
            failures += 1;
            if failures == 1 {
                tracing::warn!(channel = %self.line.name, %error, "deliveries wait for the storage");
            }
            let wait = backoff::of_storage(failures);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(error),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Forgets a turn that is not watched any more, also where its watcher panicked.
struct Forget<'a> {
    shared: &'a Shared,
    turn: TurnId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.watched().remove(&self.turn);
    }
}
