//! Takes what is due out of the store, and has it delivered: conversations side by side, the
//! deliveries of each in their order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tracing::{error, warn};

use super::claims::Claim;
use super::course::Course;
use super::orders::{self, Order};
use super::outgoing::Addressed;
use super::settle::{self, Settled};
use super::work::{Came, Work};
use super::{Shared, draft};
use crate::store::{Delivery, DeliveryFilter, DeliveryId, DeliveryState, StoreError, Timestamp};

/// Deliveries at work at once.
const AT_ONCE: usize = 32;

/// Deliveries that are taken out of the store at once, at first and at most. Those that are at work
/// are among them.
const PAGE: usize = 128;
const LARGEST_PAGE: usize = 4_096;

/// Deliveries behind drafts that are looked through at once, and in all.
const BEHIND: usize = 256;

/// The longest that nobody looks at the clock: the machine's may be set, or have slept.
const GLANCE: Duration = Duration::from_secs(60);

/// How long a conversation rests of which nothing could be stored.
const REST: Duration = Duration::from_secs(30);

/// As late as can be.
const ANY_TIME: Timestamp = Timestamp(i64::MAX as u64);

/// What is to be done for one channel.
struct Desk {
    shared: Arc<Shared>,
    tasks: JoinSet<Option<StoreError>>,
    /// By its task: the conversation of each delivery at work.
    running: HashMap<Id, String>,
    /// What is due, in order, by its conversation.
    ready: VecDeque<(DeliveryId, String)>,
    /// Conversations that are left alone until then.
    resting: HashMap<String, Instant>,
    /// Whether more may be due than is ready.
    look: bool,
    /// When the next is due.
    next: Option<Timestamp>,
}

/// Delivers until the outbox ends.
pub(super) async fn run(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    if let Err(error) = draft::settle_orphans(&shared).await {
        warn!(channel = %shared.line.name, %error, "drafts of turns that are gone could not be looked for");
    }
    let mut desk = Desk {
        shared: Arc::clone(&shared),
        tasks: JoinSet::new(),
        running: HashMap::new(),
        ready: VecDeque::new(),
        resting: HashMap::new(),
        look: true,
        next: None,
    };
    loop {
        if let Err(error) = desk.fill().await {
            if shared.stop.is_cancelled() {
                break;
            }
            if matches!(error, StoreError::Superseded { .. }) {
                error!(channel = %shared.line.name, %error, "this gateway delivers nothing more");
                shared.stop.cancel();
                break;
            }
            warn!(channel = %shared.line.name, %error, "what is due can't be read; it is tried again");
            desk.next = Some(shared.now().plus(REST));
        }
        let wait = desk.next.map_or(GLANCE, |next| next.since(shared.now()).min(GLANCE));
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(ended) = desk.tasks.join_next_with_id(), if !desk.tasks.is_empty() => {
                if desk.ended(ended) {
                    shared.stop.cancel();
                    break;
                }
            }
            Some(order) = orders.recv() => {
                orders::carry_out(&shared, order).await;
                desk.look = true;
            }
            () = shared.wake.notified() => desk.look = true,
            () = tokio::time::sleep(wait) => desk.look = true,
        }
    }
    // Each ends by itself before the next request leaves.
    while desk.tasks.join_next().await.is_some() {}
}

impl Desk {
    /// Starts what is due, as far as there is room.
    async fn fill(&mut self) -> Result<(), StoreError> {
        loop {
            while self.tasks.len() < AT_ONCE
                && let Some((id, conversation)) = self.ready.pop_front()
            {
                if !self.is_busy(&conversation)
                    && let Some(claim) = self.shared.claims.claim(id)
                {
                    let shared = Arc::clone(&self.shared);
                    let task = self.tasks.spawn(async move { deliver(&shared, id, claim).await });
                    self.running.insert(task.id(), conversation);
                }
            }
            if !self.look || self.tasks.len() >= AT_ONCE {
                return Ok(());
            }
            self.look = false;
            self.take().await?;
            if self.ready.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes what is due out of the store.
    async fn take(&mut self) -> Result<(), StoreError> {
        let now = self.shared.now();
        self.resting.retain(|_, until| *until > Instant::now());
        self.next = self.resting.values().min().map(|until| now.plus(until.saturating_duration_since(Instant::now())));
        let line = &self.shared.line;
        let mut limit = PAGE;
        let (heads, whole) = loop {
            let heads = line.store.deliveries_due(line.name.as_str(), ANY_TIME, limit).await?;
            let whole = heads.len() < limit;
            let fresh = heads.iter().any(|head| self.may_start(head));
            if whole || fresh || heads.iter().any(|head| head.due > now) || limit >= LARGEST_PAGE {
                break (heads, whole);
            }
            limit *= 2;
        };
        self.look = !whole && heads.iter().all(|head| head.due <= now) && heads.iter().any(|head| self.may_start(head));
        let mut drafts: HashMap<String, DeliveryId> = HashMap::new();
        for head in heads {
            if head.draft {
                drafts.insert(head.conversation, head.id);
            } else if head.due > now {
                self.next = Some(self.next.map_or(head.due, |next| next.min(head.due)));
            } else if self.may_start(&head) {
                self.ready.push_back((head.id, head.conversation));
            }
        }
        if !drafts.is_empty() {
            self.behind(drafts, now).await?;
        }
        Ok(())
    }

    /// What stands behind drafts and waits for no answer: it may be said meanwhile.
    async fn behind(&mut self, drafts: HashMap<String, DeliveryId>, now: Timestamp) -> Result<(), StoreError> {
        let line = Arc::clone(&self.shared.line);
        let states = vec![DeliveryState::Pending, DeliveryState::Sending];
        let filter = DeliveryFilter { channel: Some(line.name.to_string()), states };
        let page = line.store.deliveries(&filter, drafts.values().min().copied(), BEHIND).await?;
        let mut met = HashSet::new();
        for delivery in page.items.into_iter().filter(|delivery| !delivery.draft) {
            if !drafts.contains_key(&delivery.conversation) || !met.insert(delivery.conversation.clone()) {
                continue;
            }
            if delivery.due > now {
                self.next = Some(self.next.map_or(delivery.due, |next| next.min(delivery.due)));
            } else if self.may_start(&delivery) {
                self.ready.push_back((delivery.id, delivery.conversation));
            }
        }
        Ok(())
    }

    fn may_start(&self, delivery: &Delivery) -> bool {
        !delivery.draft && !self.is_busy(&delivery.conversation) && !self.shared.claims.holds(delivery.id)
    }

    fn is_busy(&self, conversation: &str) -> bool {
        self.resting.contains_key(conversation) || self.running.values().any(|running| running == conversation)
    }

    /// A delivery's go is over. Says whether the outbox is.
    fn ended(&mut self, ended: Result<(Id, Option<StoreError>), tokio::task::JoinError>) -> bool {
        self.look = true;
        let (task, error) = match ended {
            Ok((task, error)) => (task, error.map(|error| (error.to_string(), error))),
            Err(error) => {
                error!(channel = %self.shared.line.name, %error, "a delivery failed inside");
                if let Some(conversation) = self.running.remove(&error.id()) {
                    self.resting.insert(conversation, Instant::now() + REST);
                }
                return false;
            }
        };
        let conversation = self.running.remove(&task);
        if let Some((text, error)) = error {
            if matches!(error, StoreError::Superseded { .. }) {
                error!(channel = %self.shared.line.name, error = text, "this gateway delivers nothing more");
                return true;
            }
            warn!(channel = %self.shared.line.name, error = text, "nothing can be stored of a delivery; it rests");
            if let Some(conversation) = conversation {
                self.resting.insert(conversation, Instant::now() + REST);
            }
        }
        false
    }
}

/// One go of one delivery.
async fn deliver(shared: &Shared, id: DeliveryId, claim: Claim) -> Option<StoreError> {
    // Whoever had the claim before may have advanced it.
    let delivery = match shared.line.store.delivery(id).await {
        Ok(Some(delivery)) if !delivery.state.settled() && !delivery.draft => delivery,
        Ok(_) => return None,
        Err(error) => return Some(error),
    };
    if delivery.due > shared.now() {
        return None;
    }
    let settled = one_go(shared, delivery).await;
    drop(claim);
    match settled {
        Settled::Stored => None,
        Settled::Unstored(error) => Some(error),
    }
}

async fn one_go(shared: &Shared, delivery: Delivery) -> Settled {
    let addressed = Addressed::of(&delivery);
    let course = Course::of(&delivery).map_err(|error| format!("its progress can't be read: {error}"));
    let (addressed, course) = match (addressed, course) {
        (Ok(addressed), Ok(course)) => (addressed, course),
        (Err(reason), _) | (_, Err(reason)) => return settle::unreadable(shared, delivery, &reason).await,
    };
    let plugin = shared.line.plugin();
    let whole = addressed.whole(&plugin.setup().features);
    let draft = addressed.draft();
    let shown = delivery.shown.clone();
    let mut work = Work::new(shared, delivery, course, addressed.route);
    let came = match &whole {
        Ok(Some(content)) => work.advance(content, draft.as_ref()).await,
        Ok(None) => Came::Done(shown),
        Err(reason) => Came::Dead(reason.clone()),
    };
    settle::settle(&mut work, came).await
}
