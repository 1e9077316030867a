//! What is stored of a delivery after each go.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::work::{Came, Work};
use super::{Shared, backoff};
use crate::channel::line::chance;
use crate::config::UnknownDelivery;
use crate::store::{Delivery, DeliveryState, DeliveryUpdate, MAX_SHOWN, StoreError, Timestamp};
use crate::text;

/// How often what may have been shown is sent again, before it is left to its owner: a platform
/// that never answers would show it every time.
const MOST_RESENDS: u32 = 3;

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

/// The longest id of something shown, in bytes; nobody looks for it under a longer one.
const LONGEST_SHOWN: usize = 1_024;

/// Whether its conversation can go on.
#[derive(Debug)]
pub(super) enum Settled {
    /// It is settled, or waits in the store.
    Stored,
    /// Nothing could be stored of it.
    Unstored(StoreError),
}

/// Stores how far a delivery came with its final content.
pub(super) async fn settle(work: &mut Work<'_>, came: Came) -> Settled {
    let now = work.shared.now();
    let id = work.delivery.id.0;
    match came {
        Came::Gone => return Settled::Stored,
        Came::Unstored(error) => return Settled::Unstored(error),
        Came::Done(ids) => {
            work.delivery.shown = shown(ids);
            work.delivery.attempts = 0;
            work.delivery.reason = (work.course.doubts > 0).then(|| TWICE.to_owned());
            work.delivery.state = DeliveryState::Sent;
            debug!(delivery = %id, "delivered");
        }
        Came::Dead(reason) => {
            warn!(delivery = %id, reason = text::one_line(&reason, LONGEST_REASON), "a delivery is a dead letter");
            dead(&mut work.delivery, &reason);
        }
        Came::Unknown(reason) => unknown(work, &reason, now),
        Came::Stopped => waits(&mut work.delivery, now),
        Came::Held(until) => {
            work.delivery.reason = Some("it waits for a rate limit of the platform".to_owned());
            waits(&mut work.delivery, until);
        }
        Came::Wait(wait) if work.moved() => {
            // It gets on, at its own pace.
            work.delivery.attempts = 0;
            waits(&mut work.delivery, now.plus(wait));
        }
        Came::Wait(wait) => {
            let wait = wait.max(backoff::of(work.delivery.attempts.saturating_add(1), chance()));
            later(work, wait, None, now);
        }
        Came::Later { after, reason } => {
            let wait = after.unwrap_or_else(|| backoff::of(work.delivery.attempts.saturating_add(1), chance()));
            later(work, wait, Some(reason), now);
        }
        Came::NoConnection(reason) => {
            let wait = backoff::of_frame(work.delivery.attempts.saturating_add(1), chance());
            later(work, wait, Some(reason), now);
        }
    }
    match store(work).await {
        Ok(_) => {
            work.shared.line.counts.settled(work.delivery.state);
            Settled::Stored
        }
        Err(error) => Settled::Unstored(error),
    }
}

/// What a delivery says of itself that was sent again and is shown.
const TWICE: &str = "it was sent again after nobody knew whether it had arrived; it may be shown twice";

fn dead(delivery: &mut Delivery, reason: &str) {
    delivery.state = DeliveryState::Dead;
    delivery.reason = Some(text::one_line(reason, LONGEST_REASON));
}

/// Nobody knows whether a part of it is shown.
fn unknown(work: &mut Work<'_>, reason: &str, now: Timestamp) {
    work.course.doubts = work.course.doubts.saturating_add(1);
    let reason = text::one_line(reason, LONGEST_REASON);
    let (id, doubts) = (work.delivery.id.0, work.course.doubts);
    let resend = work.shared.line.delivery.unknown == UnknownDelivery::Resend && doubts <= MOST_RESENDS;
    if resend {
        info!(delivery = %id, reason, "a delivery may have arrived, and is sent again");
        let wait = backoff::of(doubts, chance());
        later(work, wait, Some(format!("it may have arrived, and is sent again: {reason}")), now);
    } else {
        warn!(delivery = %id, reason, "a delivery may have arrived, and waits for its owner: `exoclaw outbox`");
        work.delivery.state = DeliveryState::Unknown;
        work.delivery.reason = Some(reason);
    }
}

/// It waits for another try, unless it was tried for long enough.
fn later(work: &mut Work<'_>, wait: Duration, reason: Option<String>, now: Timestamp) {
    let since = work.course.since.unwrap_or(now);
    let end = since.plus(work.shared.line.delivery.give_up_after);
    let delivery = &mut work.delivery;
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.reason = reason.map(|reason| text::one_line(&reason, LONGEST_REASON)).or_else(|| delivery.reason.take());
    if now >= end {
        // What is under way was answered, or its answer is of no use.
        let sent = matches!(work.course.asked, Some(super::course::Asked::Request(_)));
        work.course.doubts = work.course.doubts.saturating_add(u32::from(sent));
        work.course.asked = None;
        let last = delivery.reason.take().unwrap_or_else(|| "the platform does not take it".to_owned());
        let tried = work.shared.line.delivery.give_up_after;
        warn!(delivery = %delivery.id.0, reason = last, "a delivery is given up");
        return dead(delivery, &format!("given up after {tried:?} (`[delivery] give_up_after`): {last}"));
    }
    // Once more at the end, however long the plugin wants to wait.
    waits(delivery, now.plus(wait).min(end));
}

fn waits(delivery: &mut Delivery, due: Timestamp) {
    delivery.state = DeliveryState::Pending;
    delivery.due = due;
}

/// The platform's ids, as many as are kept.
pub(super) fn shown(mut ids: Vec<String>) -> Vec<String> {
    ids.retain(|id| !id.is_empty() && id.len() <= LONGEST_SHOWN);
    ids.truncate(MAX_SHOWN);
    ids
}

/// Stores where a delivery is. Says whether there is one.
///
/// # Errors
/// Another gateway owns it, or the storage is sick and the outbox ends.
pub(super) async fn store(work: &Work<'_>) -> Result<bool, StoreError> {
    let Work { shared, delivery, course, .. } = work;
    update(shared, delivery, course.to_bytes()).await
}

/// Stores a delivery with this progress.
pub(super) async fn update(
    shared: &Shared,
    delivery: &Delivery,
    progress: Option<bytes::Bytes>,
) -> Result<bool, StoreError> {
    let update = DeliveryUpdate {
        id: delivery.id,
        epoch: shared.line.epoch,
        state: delivery.state,
        progress,
        attempts: delivery.attempts,
        due: delivery.due,
        reason: delivery.reason.clone(),
        shown: delivery.shown.clone(),
    };
    shared.until_well(|| shared.line.store.delivery_update(update.clone())).await
}

/// Settles a delivery of which nothing can be made. What is kept of it stays as it is.
pub(super) async fn unreadable(shared: &Shared, mut delivery: Delivery, reason: &str) -> Settled {
    warn!(delivery = %delivery.id.0, reason, "a delivery is a dead letter");
    dead(&mut delivery, reason);
    let progress = delivery.progress.clone();
    match update(shared, &delivery, progress).await {
        Ok(_) => {
            shared.line.counts.settled(delivery.state);
            Settled::Stored
        }
        Err(error) => Settled::Unstored(error),
    }
}
