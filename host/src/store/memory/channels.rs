//! What channels keep, in maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{MemoryLimits, MemoryStore, State, done, page};
use crate::store::{
    Accept, ChannelCommit, Channels, DeliveryId, EVENT_WINDOW, Epoch, EventId, Incoming, IncomingOutcome,
    MAX_CHANNEL_STATE, MAX_SET_ASIDE, NewDelivery, NewSetAside, Page, SessionKey, SetAside, SetAsideId, StoreError,
    Timestamp,
};

/// Events of a channel that are remembered, within their window. The oldest go.
const MOST_SEEN: usize = 100_000;

/// Bytes of the events that are set aside, all together. The oldest go.
const MOST_SET_ASIDE: usize = 64 << 20;

/// One channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Of who advanced it last.
    epoch: Epoch,
    pub(super) state: Option<Bytes>,
    seen: HashMap<EventId, Timestamp>,
    by_age: BTreeSet<(Timestamp, EventId)>,
}

/// The events that are set aside.
#[derive(Debug, Default)]
pub(super) struct SetAsides {
    events: BTreeMap<SetAsideId, SetAside>,
    /// Of the last one.
    last: u64,
    size: usize,
}

fn allow(epoch: Epoch, by: Epoch) -> Result<(), StoreError> {
    if epoch < by { Err(StoreError::Superseded { epoch, by }) } else { Ok(()) }
}

impl Channel {
    fn has_seen(&self, event: &EventId, now: Timestamp) -> bool {
        self.seen.get(event).is_some_and(|at| now.since(*at) < EVENT_WINDOW)
    }

    /// Remembers an event.
    pub(super) fn see(&mut self, event: EventId, at: Timestamp) {
        self.by_age.insert((at, event.clone()));
        if let Some(former) = self.seen.insert(event.clone(), at)
            && former != at
        {
            self.by_age.remove(&(former, event));
        }
    }

    /// Forgets what passed the window, and the oldest of too much.
    pub(super) fn forget_seen(&mut self, now: Timestamp) {
        while let Some((at, event)) = self.by_age.first() {
            if self.seen.len() <= MOST_SEEN && now.since(*at) < EVENT_WINDOW {
                break;
            }
            self.seen.remove(event);
            self.by_age.pop_first();
        }
    }

    /// The events that it remembers, in the order of their ids.
    pub(super) fn seen(&self) -> BTreeMap<&EventId, Timestamp> {
        self.seen.iter().map(|(event, at)| (event, *at)).collect()
    }

    /// Whether it remembers an event, in its window or past it.
    pub(super) fn remembers(&self, event: &EventId) -> bool {
        self.seen.contains_key(event)
    }
}

impl SetAsides {
    fn add(&mut self, channel: String, event: NewSetAside, at: Timestamp) {
        let id = SetAsideId(self.last + 1);
        let NewSetAside { event, reason } = event;
        self.insert(SetAside { id, channel, event, reason, at });
    }

    /// Takes an event in, unless it is there.
    pub(super) fn insert(&mut self, event: SetAside) {
        self.skip_to(event.id);
        if self.events.contains_key(&event.id) {
            return;
        }
        self.size += event.event.len();
        self.events.insert(event.id, event);
        while self.size > MOST_SET_ASIDE
            && let Some((_, oldest)) = self.events.pop_first()
        {
            self.size -= oldest.event.len();
        }
    }

    fn remove(&mut self, id: SetAsideId) -> bool {
        let removed = self.events.remove(&id);
        self.size -= removed.as_ref().map_or(0, |removed| removed.event.len());
        removed.is_some()
    }

    /// Removes an event, if it is of a channel.
    fn remove_of(&mut self, channel: &str, id: SetAsideId) {
        if self.events.get(&id).is_some_and(|event| event.channel == channel) {
            self.remove(id);
        }
    }

    /// No event gets this number any more, or a lower one.
    pub(super) fn skip_to(&mut self, last: SetAsideId) {
        self.last = self.last.max(last.0);
    }

    /// Of the last event.
    pub(super) fn last(&self) -> SetAsideId {
        SetAsideId(self.last)
    }

    /// The events behind `after`, oldest first.
    pub(super) fn after(&self, after: Option<SetAsideId>) -> impl Iterator<Item = &SetAside> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.events.range((from, Bound::Unbounded)).map(|(_, event)| event)
    }
}

impl State {
    /// Whether all of these can be stored, one after the other.
    fn may_take_in(&self, incoming: &[&Incoming], limits: MemoryLimits) -> Result<(), StoreError> {
        let mut epochs: HashMap<&SessionKey, Epoch> = HashMap::new();
        let mut opened: HashMap<DeliveryId, Epoch> = HashMap::new();
        let mut answered: HashSet<&SessionKey> = HashSet::new();
        for one in incoming {
            if let Some(accept) = &one.accept {
                accept.check()?;
                let Accept { session, epoch, .. } = accept;
                let stored = || self.sessions.get(session).map(|session| session.epoch);
                allow(*epoch, epochs.get(session).copied().or_else(stored).unwrap_or_default())?;
                epochs.insert(session, *epoch);
            }
            for NewDelivery { id, session, epoch, .. } in &one.replies {
                if let Some(session) = session {
                    if !self.sessions.contains_key(session) && !epochs.contains_key(session) {
                        return Err(StoreError::NoSession(session.clone()));
                    }
                    answered.insert(session);
                }
                let (by, settled) = self.outbox.owner(*id).unwrap_or_default();
                allow(*epoch, opened.get(id).copied().unwrap_or(by))?;
                if !settled {
                    opened.insert(*id, *epoch);
                }
            }
        }
        let new = epochs.keys().filter(|session| !self.sessions.contains_key(*session)).count();
        let free = limits.sessions.saturating_sub(self.sessions.len());
        let used = |key: &SessionKey| epochs.contains_key(key) || answered.contains(key);
        let idle = || self.sessions.keys().filter(|key| !used(key) && self.is_idle(key)).count();
        if new > free && new - free > idle() { Err(StoreError::Full { limit: limits.sessions }) } else { Ok(()) }
    }

    fn commit(&mut self, commit: ChannelCommit, limits: MemoryLimits) -> Result<Vec<IncomingOutcome>, StoreError> {
        let ChannelCommit { channel: name, epoch, state, incoming, receipts, set_aside, replays, now } = commit;
        if state.as_ref().is_some_and(|state| state.len() > MAX_CHANNEL_STATE) {
            return Err(StoreError::TooLarge { what: "the state of a channel", limit: MAX_CHANNEL_STATE });
        }
        if set_aside.as_ref().is_some_and(|event| event.event.len() > MAX_SET_ASIDE) {
            return Err(StoreError::TooLarge { what: "an event that is set aside", limit: MAX_SET_ASIDE });
        }
        let known = self.channels.get(&name);
        let by = known.map_or(epoch, |channel| channel.epoch);
        allow(epoch, by)?;
        let mut met = HashSet::new();
        let mut new = Vec::with_capacity(incoming.len());
        for one in &incoming {
            new.push(met.insert(&one.event) && !known.is_some_and(|channel| channel.has_seen(&one.event, now)));
        }
        let news: Vec<_> = incoming.iter().zip(&new).filter(|(_, new)| **new).map(|(one, _)| one).collect();
        self.may_take_in(&news, limits)?;
        // From here on nothing fails. What is used here is used last, so that no message evicts the
        // session of another.
        for one in news {
            let answered = one.replies.iter().filter_map(|reply| reply.session.as_ref());
            for session in one.accept.iter().map(|accept| &accept.session).chain(answered) {
                if self.sessions.contains_key(session) {
                    self.touch(session, now, limits.sessions)?;
                }
            }
        }
        let mut outcomes = Vec::with_capacity(incoming.len());
        let mut seen = Vec::new();
        for (one, new) in incoming.into_iter().zip(new) {
            let Incoming { event, accept, replies, pairing } = one;
            if !new {
                outcomes.push(IncomingOutcome::Repeat);
                continue;
            }
            outcomes.push(match accept {
                Some(accept) => IncomingOutcome::Accepted(self.accept(accept, limits)?),
                None => IncomingOutcome::Noted,
            });
            for reply in replies {
                self.outbox.open(reply);
            }
            if let Some(pairing) = pairing {
                self.pairings.ask(pairing);
            }
            seen.push(event);
        }
        for receipt in receipts {
            self.outbox.receive(&name, receipt);
        }
        if let Some(replayed) = replays {
            self.set_aside.remove_of(&name, replayed);
        }
        let channel = self.channels.entry(name.clone()).or_default();
        channel.epoch = epoch;
        if state.is_some() {
            channel.state = state;
        }
        for event in seen {
            channel.see(event, now);
        }
        channel.forget_seen(now);
        if let Some(event) = set_aside {
            self.set_aside.add(name, event, now);
        }
        Ok(outcomes)
    }
}

impl Channels for MemoryStore {
    fn channel_state<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        done(Ok(self.state().channels.get(channel).and_then(|channel| channel.state.clone())))
    }

    fn seen<'a>(
        &'a self,
        channel: &'a str,
        event: &'a EventId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let state = self.state();
        done(Ok(state.channels.get(channel).is_some_and(|channel| channel.has_seen(event, now))))
    }

    fn channel_commit(&self, commit: ChannelCommit) -> BoxFuture<'_, Result<Vec<IncomingOutcome>, StoreError>> {
        done(self.state().commit(commit, self.limits))
    }

    fn set_aside<'a>(
        &'a self,
        channel: Option<&'a str>,
        after: Option<SetAsideId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SetAside, SetAsideId>, StoreError>> {
        let state = self.state();
        let wanted =
            state.set_aside.after(after).filter(|event| channel.is_none_or(|channel| event.channel == channel));
        let (items, more) = page(wanted.cloned(), limit);
        let next = items.last().filter(|_| more).map(|event| event.id);
        done(Ok(Page { items, next }))
    }

    fn set_aside_remove(&self, id: SetAsideId) -> BoxFuture<'_, Result<bool, StoreError>> {
        done(Ok(self.state().set_aside.remove(id)))
    }
}
