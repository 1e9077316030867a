//! What the owner wants done with deliveries: `exoclaw outbox retry`, `exoclaw outbox drop`.

use tokio::sync::oneshot;

use super::course::{Asked, Course};
use super::{Outbox, Shared, settle};
use crate::store::{Delivery, DeliveryId, DeliveryState, ErrorCode, StoreError, Timestamp};

/// What is to be done with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channel) enum OrderKind {
    /// It is sent again, from where it stands.
    Retry,
    /// It is not sent any more, and not listed any more.
    Drop,
}

/// What is to be done, and who wants to hear of it.
pub(super) struct Order {
    kind: OrderKind,
    id: DeliveryId,
    answer: oneshot::Sender<Result<Delivery, OrderError>>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No such delivery.
    #[error("there is no delivery `{}`; `exoclaw outbox list` has those that there are", .0.0)]
    Unknown(DeliveryId),
    /// Nobody would send it.
    #[error(
        "the channel `{0}` does not run here, so nothing can be sent there; add it to the config, or drop the delivery"
    )]
    NoChannel(String),
    /// A step of it is under way.
    #[error("a step of the delivery `{}` is under way; try again in a moment", .0.0)]
    Busy(DeliveryId),
    /// It needs no retry.
    #[error("the delivery `{}` was not given up, so there is nothing to retry: {why}", .id.0)]
    Alive {
        /// Which.
        id: DeliveryId,
        /// What becomes of it instead.
        why: &'static str,
    },
    /// It is shown.
    #[error("the delivery `{}` was sent; nothing can be dropped of it", .0.0)]
    Sent(DeliveryId),
    /// The outbox ends.
    #[error("the gateway is going down; try again when it is back")]
    Closed,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OrderError {
    /// The code that a client is given.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(_) | Self::NoChannel(_) => ErrorCode::NotFound,
            Self::Busy(_) | Self::Closed => ErrorCode::Busy,
            Self::Store(StoreError::Sick(_) | StoreError::Closed) => ErrorCode::Busy,
            Self::Alive { .. } | Self::Sent(_) => ErrorCode::Forbidden,
            Self::Store(_) => ErrorCode::Internal,
        }
    }
}

impl Outbox {
    /// Has something done with a delivery of this channel.
    ///
    /// # Errors
    /// It was not done.
    pub(in crate::channel) async fn order(&self, kind: OrderKind, id: DeliveryId) -> Result<Delivery, OrderError> {
        let (answer, done) = oneshot::channel();
        self.orders.send(Order { kind, id, answer }).await.map_err(|_| OrderError::Closed)?;
        done.await.unwrap_or(Err(OrderError::Closed))
    }
}

/// Does what is wanted. One order at a time, and by nobody else, so that no two contradict.
pub(super) async fn carry_out(shared: &Shared, order: Order) {
    let Order { kind, id, answer } = order;
    let done = change(shared, kind, id).await;
    // Who asked may have gone.
    let _ = answer.send(done);
}

async fn change(shared: &Shared, kind: OrderKind, id: DeliveryId) -> Result<Delivery, OrderError> {
    let _claim = shared.claims.claim(id).ok_or(OrderError::Busy(id))?;
    let found = shared.line.store.delivery(id).await?.filter(|delivery| delivery.channel == shared.line.name.as_str());
    let mut delivery = found.ok_or(OrderError::Unknown(id))?;
    changed(kind, &mut delivery, shared.now())?;
    shared.parked().remove(&id);
    if !settle::update(shared, &delivery, delivery.progress.clone()).await? {
        return Err(OrderError::Unknown(id));
    }
    Ok(delivery)
}

/// Changes a delivery as its owner wants it, and its progress with it.
///
/// # Errors
/// That has no sense in its state.
pub(in crate::channel) fn changed(kind: OrderKind, delivery: &mut Delivery, now: Timestamp) -> Result<(), OrderError> {
    let id = delivery.id;
    let alive = |why| OrderError::Alive { id, why };
    // Of what can't be read nothing is lost.
    let mut course = Course::of(delivery).unwrap_or_default();
    match (kind, delivery.state) {
        (OrderKind::Retry, DeliveryState::Dead | DeliveryState::Unknown) => {
            (delivery.state, delivery.attempts, delivery.due) = (DeliveryState::Pending, 0, now);
            (course.since, course.steps, course.dropped) = (None, 0, false);
        }
        (OrderKind::Retry, DeliveryState::Sent) => return Err(alive("it was sent")),
        (OrderKind::Retry, DeliveryState::Pending | DeliveryState::Sending) => {
            return Err(alive("it is tried again by itself"));
        }
        (OrderKind::Drop, DeliveryState::Sent) => return Err(OrderError::Sent(delivery.id)),
        // Its turn goes on, and would open it again.
        (OrderKind::Drop, _) if delivery.draft => return Err(OrderError::Busy(delivery.id)),
        (OrderKind::Drop, _) => {
            course.doubts = course.doubts.saturating_add(u32::from(matches!(course.asked, Some(Asked::Request(_)))));
            (delivery.state, course.asked, course.dropped) = (DeliveryState::Dead, None, true);
            let before = delivery.reason.take().map(|reason| format!("; before that: {reason}")).unwrap_or_default();
            delivery.reason = Some(format!("dropped by its owner{before}"));
        }
    }
    delivery.progress = course.to_bytes();
    Ok(())
}
