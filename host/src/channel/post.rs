//! The post office of all channels: turns tell it of their answers, and the owner looks after them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outbox::{OrderError, OrderKind, Outbox, OutboxEntry, changed};
use crate::agent::{Courier, Passage};
use crate::store::{DeliveryId, DeliveryUpdate, DynStore, Epoch, Timestamp, TurnId};

/// Turns that may be under way before the outboxes of their channels are there.
const MOST_EARLY: usize = 4_096;

/// Brings each answer to the outbox of its channel. It is made before the agents, and the outboxes
/// come to it when their channels start.
#[derive(Default)]
pub struct Post {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    outboxes: HashMap<String, Outbox>,
    /// Turns whose channel has no outbox yet.
    early: HashMap<TurnId, Passage>,
}

impl Post {
    /// A channel has an outbox from now on; another that it had is not told of anything any more.
    pub(super) fn attach(&self, outbox: Outbox) {
        let name = outbox.channel().to_owned();
        let early: Vec<_> = {
            let mut inner = self.inner();
            inner.outboxes.insert(name.clone(), outbox.clone());
            inner.early.extract_if(|_, passage| passage.destination.channel == name).collect()
        };
        for (_, passage) in early {
            outbox.begun(&passage);
        }
        outbox.wake();
    }

    /// A channel has no outbox any more. Its answers stay in the store.
    pub(super) fn detach(&self, channel: &str) -> Option<Outbox> {
        self.inner().outboxes.remove(channel)
    }

    /// A channel's outbox.
    pub(super) fn outbox(&self, channel: &str) -> Option<Outbox> {
        self.inner().outboxes.get(channel).cloned()
    }

    /// Sends again what was given up, or may have been sent.
    ///
    /// # Errors
    /// It can't be sent again now.
    pub async fn retry(&self, store: &DynStore, id: DeliveryId) -> Result<OutboxEntry, OrderError> {
        let delivery = store.delivery(id).await?.ok_or(OrderError::Unknown(id))?;
        let outbox = self.outbox(&delivery.channel).ok_or(OrderError::NoChannel(delivery.channel))?;
        Ok(OutboxEntry::of(outbox.order(OrderKind::Retry, id).await?, Timestamp::now()))
    }

    /// Sends something no more.
    ///
    /// # Errors
    /// It was sent, or is being sent.
    pub async fn discard(&self, store: &DynStore, epoch: Epoch, id: DeliveryId) -> Result<OutboxEntry, OrderError> {
        let mut delivery = store.delivery(id).await?.ok_or(OrderError::Unknown(id))?;
        let now = Timestamp::now();
        if let Some(outbox) = self.outbox(&delivery.channel) {
            return Ok(OutboxEntry::of(outbox.order(OrderKind::Drop, id).await?, now));
        }
        // Of a channel that does not run, nobody else changes anything.
        changed(OrderKind::Drop, &mut delivery, now)?;
        let update = DeliveryUpdate {
            id,
            epoch,
            state: delivery.state,
            progress: delivery.progress.clone(),
            attempts: delivery.attempts,
            due: delivery.due,
            reason: delivery.reason.clone(),
            shown: delivery.shown.clone(),
        };
        if store.delivery_update(update).await? {
            Ok(OutboxEntry::of(delivery, now))
        } else {
            Err(OrderError::Unknown(id))
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier for Post {
    fn begun(&self, passage: &Passage) {
        let outbox = {
            let mut inner = self.inner();
            let outbox = inner.outboxes.get(&passage.destination.channel).cloned();
            if outbox.is_none() && inner.early.len() < MOST_EARLY {
                inner.early.insert(passage.turn, passage.clone());
            }
            outbox
        };
        if let Some(outbox) = outbox {
            outbox.begun(passage);
        }
    }

    fn opened(&self, channel: &str) {
        // One that comes later looks through the store first.
        if let Some(outbox) = self.outbox(channel) {
            outbox.wake();
        }
    }

    fn ended(&self, passage: &Passage) {
        let outbox = {
            let mut inner = self.inner();
            inner.early.remove(&passage.turn);
            inner.outboxes.get(&passage.destination.channel).cloned()
        };
        if let Some(outbox) = outbox {
            outbox.ended(passage.turn);
        }
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner();
        f.debug_struct("Post").field("channels", &inner.outboxes.keys()).finish_non_exhaustive()
    }
}
