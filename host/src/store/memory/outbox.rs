//! What is to be sent, in maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use futures_util::future::BoxFuture;

use super::{MemoryStore, State, done, page};
use crate::store::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryUpdate, Epoch, MAX_SHOWN, NewDelivery, NewReceipt,
    Outbox, Page, Receipt, SessionKey, StoreError, Timestamp,
};

/// Deliveries that are kept after they were settled. The oldest go.
const MOST_SETTLED: usize = 10_000;

/// All deliveries.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    deliveries: BTreeMap<DeliveryId, Kept>,
    /// Those that are to be settled, in the order in which they were opened.
    unsettled: BTreeMap<u64, DeliveryId>,
    /// The others, in the same order.
    settled: BTreeMap<u64, DeliveryId>,
    next: u64,
    /// By session, so that a session finds its own.
    of_session: HashMap<SessionKey, HashSet<DeliveryId>>,
    /// By a channel and the platform's id of what is shown: those that show it, in the order of the others.
    of_shown: HashMap<(String, String), BTreeSet<(u64, DeliveryId)>>,
}

#[derive(Debug)]
struct Kept {
    delivery: Delivery,
    /// Of who advanced it last.
    epoch: Epoch,
    order: u64,
}

/// What is a draft is not settled.
fn is_settled(delivery: &Delivery) -> bool {
    delivery.state.settled() && !delivery.draft
}

impl Kept {
    fn allows(&self, epoch: Epoch) -> Result<(), StoreError> {
        if epoch < self.epoch { Err(StoreError::Superseded { epoch, by: self.epoch }) } else { Ok(()) }
    }
}

impl Deliveries {
    /// Opens a delivery that may be opened. Says whether it is open now.
    pub(super) fn open(&mut self, new: NewDelivery) -> bool {
        let NewDelivery { id, session, channel, conversation, content, draft, epoch, now } = new;
        let Some(kept) = self.deliveries.get_mut(&id) else {
            let delivery = Delivery {
                id,
                session,
                channel,
                conversation,
                content,
                draft,
                state: DeliveryState::Pending,
                progress: None,
                attempts: 0,
                due: now,
                reason: None,
                shown: Vec::new(),
                receipt: None,
                created_at: now,
            };
            self.insert(delivery, epoch);
            return true;
        };
        // What has its final content is no draft again.
        if is_settled(&kept.delivery) || (draft && !kept.delivery.draft) {
            return false;
        }
        kept.epoch = epoch;
        let delivery = &mut kept.delivery;
        if delivery.draft && !draft {
            (delivery.attempts, delivery.due, delivery.reason) = (0, now, None);
            if delivery.state != DeliveryState::Sending {
                delivery.state = DeliveryState::Pending;
            }
        }
        (delivery.content, delivery.draft) = (content, draft);
        self.sort(id);
        true
    }

    /// Takes a delivery in, behind all others, unless it is there.
    pub(super) fn insert(&mut self, delivery: Delivery, epoch: Epoch) {
        let id = delivery.id;
        if self.deliveries.contains_key(&id) {
            return;
        }
        if let Some(session) = &delivery.session {
            self.of_session.entry(session.clone()).or_default().insert(id);
        }
        for message in &delivery.shown {
            self.of_shown.entry((delivery.channel.clone(), message.clone())).or_default().insert((self.next, id));
        }
        self.deliveries.insert(id, Kept { delivery, epoch, order: self.next });
        self.next += 1;
        self.sort(id);
    }

    /// Puts a delivery among those that are settled, or those that are not.
    fn sort(&mut self, id: DeliveryId) {
        let Some(Kept { delivery, order, .. }) = self.deliveries.get(&id) else { return };
        let (from, to) = if is_settled(delivery) {
            (&mut self.unsettled, &mut self.settled)
        } else {
            (&mut self.settled, &mut self.unsettled)
        };
        from.remove(order);
        to.insert(*order, id);
        if self.settled.len() > MOST_SETTLED
            && let Some((_, oldest)) = self.settled.first_key_value()
        {
            self.remove(*oldest);
        }
    }

    fn remove(&mut self, id: DeliveryId) {
        let Some(Kept { delivery, order, .. }) = self.deliveries.remove(&id) else { return };
        self.unsettled.remove(&order);
        self.settled.remove(&order);
        if let Some(session) = &delivery.session
            && let Some(others) = self.of_session.get_mut(session)
        {
            others.remove(&id);
            if others.is_empty() {
                self.of_session.remove(session);
            }
        }
        for message in delivery.shown {
            self.hide((delivery.channel.clone(), message), (order, id));
        }
    }

    /// A delivery does not show something under an id any more.
    fn hide(&mut self, message: (String, String), delivery: (u64, DeliveryId)) {
        if let Some(others) = self.of_shown.get_mut(&message) {
            others.remove(&delivery);
            if others.is_empty() {
                self.of_shown.remove(&message);
            }
        }
    }

    fn update(&mut self, update: DeliveryUpdate) -> Result<bool, StoreError> {
        let DeliveryUpdate { id, epoch, state, progress, attempts, due, reason, shown } = update;
        if shown.len() > MAX_SHOWN {
            let what = "the ids of what is shown of a delivery";
            return Err(StoreError::TooMany { what, limit: MAX_SHOWN });
        }
        let Some(kept) = self.deliveries.get_mut(&id) else { return Ok(false) };
        kept.allows(epoch)?;
        kept.epoch = epoch;
        let delivery = &mut kept.delivery;
        (delivery.state, delivery.progress, delivery.attempts) = (state, progress, attempts);
        (delivery.due, delivery.reason) = (due, reason);
        let (channel, order) = (delivery.channel.clone(), kept.order);
        if delivery.shown != shown {
            for former in std::mem::replace(&mut delivery.shown, shown.clone()) {
                self.hide((channel.clone(), former), (order, id));
            }
            for message in shown {
                self.of_shown.entry((channel.clone(), message)).or_default().insert((order, id));
            }
        }
        self.sort(id);
        Ok(true)
    }

    /// Notes what the platform said of a delivery of a channel.
    pub(super) fn receive(&mut self, channel: &str, new: NewReceipt) {
        let itself = new.id.parse().map(DeliveryId).ok();
        let itself = itself.filter(|id| self.deliveries.get(id).is_some_and(|kept| kept.delivery.channel == channel));
        let shown = || self.of_shown.get(&(channel.to_owned(), new.id.clone()))?.last().map(|(_, id)| *id);
        let Some(kept) = itself.or_else(shown).and_then(|id| self.deliveries.get_mut(&id)) else { return };
        let delivery = &mut kept.delivery;
        if delivery.receipt >= Some(new.receipt) {
            return;
        }
        delivery.receipt = Some(new.receipt);
        if new.receipt == Receipt::Failed && delivery.state == DeliveryState::Sent {
            (delivery.state, delivery.reason) = (DeliveryState::Dead, new.reason);
        }
    }

    /// Who advanced a delivery last, and whether it is settled.
    pub(super) fn owner(&self, id: DeliveryId) -> Option<(Epoch, bool)> {
        self.deliveries.get(&id).map(|kept| (kept.epoch, is_settled(&kept.delivery)))
    }

    /// Whether something of a session is to be sent.
    pub(super) fn is_at_work(&self, session: &SessionKey) -> bool {
        let mut kept = self.of(session);
        kept.any(|delivery| !is_settled(delivery))
    }

    fn of(&self, session: &SessionKey) -> impl Iterator<Item = &Delivery> {
        let ids = self.of_session.get(session).into_iter().flatten();
        ids.filter_map(|id| self.deliveries.get(id)).map(|kept| &kept.delivery)
    }

    /// All deliveries, in the order in which they were opened.
    pub(super) fn in_order(&self) -> Vec<&Delivery> {
        let mut kept: Vec<_> = self.deliveries.values().collect();
        kept.sort_by_key(|kept| kept.order);
        kept.into_iter().map(|kept| &kept.delivery).collect()
    }

    /// A session went, and its deliveries go with it.
    pub(super) fn forget(&mut self, session: &SessionKey) {
        for id in self.of_session.remove(session).unwrap_or_default() {
            self.remove(id);
        }
    }

    /// Forgets those of the deliveries that are settled.
    pub(super) fn forget_settled(&mut self, doomed: impl Fn(&Delivery) -> bool) {
        let kept = |id: &DeliveryId| self.deliveries.get(id).is_none_or(|kept| !doomed(&kept.delivery));
        let gone: Vec<_> = self.settled.values().filter(|id| !kept(id)).copied().collect();
        for id in gone {
            self.remove(id);
        }
    }
}

impl State {
    /// Whether a delivery may be opened, or get its content.
    pub(super) fn may_open(&self, delivery: &NewDelivery) -> Result<(), StoreError> {
        if let Some(session) = delivery.session.as_ref().filter(|session| !self.sessions.contains_key(session)) {
            return Err(StoreError::NoSession(session.clone()));
        }
        self.outbox.deliveries.get(&delivery.id).map_or(Ok(()), |kept| kept.allows(delivery.epoch))
    }
}

impl Outbox for MemoryStore {
    fn delivery_open(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<bool, StoreError>> {
        let mut state = self.state();
        done(state.may_open(&delivery).map(|()| state.outbox.open(delivery)))
    }

    fn delivery_update(&self, update: DeliveryUpdate) -> BoxFuture<'_, Result<bool, StoreError>> {
        done(self.state().outbox.update(update))
    }

    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        done(Ok(self.state().outbox.deliveries.get(&id).map(|kept| kept.delivery.clone())))
    }

    fn last_delivery<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<Delivery>, StoreError>> {
        let state = self.state();
        let of_session =
            state.outbox.deliveries.values().filter(|kept| kept.delivery.session.as_ref() == Some(session));
        done(Ok(of_session.max_by_key(|kept| kept.order).map(|kept| kept.delivery.clone())))
    }

    fn deliveries<'a>(
        &'a self,
        filter: &'a DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<Delivery, DeliveryId>, StoreError>> {
        let DeliveryFilter { channel, states } = filter;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let all = state.outbox.deliveries.range((from, Bound::Unbounded)).map(|(_, kept)| &kept.delivery);
        let wanted = all.filter(|delivery| {
            channel.as_ref().is_none_or(|channel| *channel == delivery.channel)
                && (states.is_empty() || states.contains(&delivery.state))
        });
        let (items, more) = page(wanted.cloned(), limit);
        let next = items.last().filter(|_| more).map(|delivery| delivery.id);
        done(Ok(Page { items, next }))
    }

    fn deliveries_due<'a>(
        &'a self,
        channel: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, StoreError>> {
        let state = self.state();
        let unsettled = state.outbox.unsettled.values().filter_map(|id| state.outbox.deliveries.get(id));
        let of_channel = unsettled.map(|kept| &kept.delivery).filter(|delivery| delivery.channel == channel);
        let mut met = HashSet::new();
        let first = of_channel.filter(|delivery| met.insert(&delivery.conversation));
        let mut due: Vec<_> = first.filter(|delivery| delivery.due <= now).collect();
        // Stable: of those that are due at once, the one that was opened first.
        due.sort_by_key(|delivery| delivery.due);
        done(Ok(due.into_iter().take(limit).cloned().collect()))
    }
}
