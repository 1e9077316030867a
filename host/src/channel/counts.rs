//! What a channel has done since the gateway started, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::{Received, Sent};
use super::driver::Taken;
use crate::store::DeliveryState;

/// Of one channel.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events put to the plugin.
    pub(super) events: AtomicU64,
    /// Messages that were taken.
    pub(super) messages: AtomicU64,
    /// Messages of which only the id is kept.
    pub(super) noted: AtomicU64,
    /// Messages that were seen before.
    pub(super) repeats: AtomicU64,
    /// Events that were set aside.
    pub(super) set_aside: AtomicU64,
    delivered: AtomicU64,
    dead: AtomicU64,
    unknown: AtomicU64,
}

impl Counts {
    pub(super) fn received(&self) -> Received {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Received {
            events: read(&self.events),
            messages: read(&self.messages),
            noted: read(&self.noted),
            repeats: read(&self.repeats),
            set_aside: read(&self.set_aside),
        }
    }

    pub(super) fn sent(&self) -> Sent {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Sent { delivered: read(&self.delivered), dead: read(&self.dead), unknown: read(&self.unknown) }
    }

    /// A delivery is stored in this state.
    pub(super) fn settled(&self, state: DeliveryState) {
        let count = match state {
            DeliveryState::Pending | DeliveryState::Sending => return,
            DeliveryState::Sent => &self.delivered,
            DeliveryState::Dead => &self.dead,
            DeliveryState::Unknown => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn took(&self, taken: &Taken) {
        self.messages.fetch_add(taken.accepted, Ordering::Relaxed);
        self.noted.fetch_add(taken.noted, Ordering::Relaxed);
        self.repeats.fetch_add(taken.repeats, Ordering::Relaxed);
    }
}
