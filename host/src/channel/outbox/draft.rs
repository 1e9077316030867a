//! Shows an answer while it grows: a delivery that is opened before its text is whole.
//!
//! The turn's commit gives it its final text, which goes on from where the last draft ended. Nothing
//! that fails here hurts that text.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch as latest;
use tracing::{debug, info};

use super::course::Course;
use super::growing::Growing;
use super::settle;
use super::watch::Watched;
use super::work::{Came, Work};
use super::{Shared, backoff};
use crate::agent::{Letter, LetterContent};
use crate::channel::line::chance;
use crate::channel::outbox::outgoing::Addressed;
use crate::runtime::bindings::channel::Content;
use crate::store::{Delivery, DeliveryFilter, DeliveryId, DeliveryState, NewDelivery, StoreError, Timestamp};

/// The shortest time between two drafts, whatever the plugin says.
const SHORTEST: Duration = Duration::from_millis(200);

/// Drafts of one answer that may fail in a row; then it is shown at its end.
const MOST_FAILURES: u32 = 3;

/// Deliveries and turns that are looked through at once.
const PAGE: usize = 256;

/// Shows the text so far, again and again, until the turn is over.
pub(super) async fn show(watched: &Watched<'_>, mut growing: latest::Receiver<Growing>, every_ms: u32) {
    let shared = watched.shared;
    let every = SHORTEST.max(Duration::from_millis(u64::from(every_ms)));
    let id = DeliveryId(watched.passage.turn);
    let Some(claim) = shared.claims.claim(id) else { return };
    let (mut next, mut failures, mut said) = (shared.now(), 0, String::new());
    loop {
        let wait = next.since(shared.now());
        tokio::select! {
            biased;
            () = watched.over.cancelled() => break,
            () = async {
                tokio::time::sleep(wait).await;
                // Also where nothing was said yet: what was said before this began is new.
                while growing.borrow_and_update().text().is_none_or(|text| text == said) {
                    if growing.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            } => {}
        }
        let Some(text) = growing.borrow().text() else { continue };
        // A step that has begun is brought to its end, also when the turn ends meanwhile.
        match step(watched, id, &text).await {
            Ok(Shown::Yes) => {
                watched.shown.cancel();
                (failures, said, next) = (0, text, shared.now().plus(every));
            }
            Ok(Shown::Later(due)) => next = due.max(shared.now().plus(every)),
            Ok(Shown::No(reason)) => {
                failures += 1;
                debug!(delivery = %id.0, reason, "a draft was not shown");
                next = shared.now().plus(every.max(backoff::of(failures, chance())));
            }
            Ok(Shown::Over) => break,
            Err(error) => {
                debug!(delivery = %id.0, %error, "no more drafts of this answer are shown");
                break;
            }
        }
        if failures >= MOST_FAILURES {
            break;
        }
    }
    drop(claim);
    // The final text may have waited for the claim.
    shared.wake.notify_one();
}

/// What became of a draft.
enum Shown {
    Yes,
    /// Not yet.
    Later(Timestamp),
    No(String),
    /// Its text is final, or there is nothing to draft any more.
    Over,
}

async fn step(watched: &Watched<'_>, id: DeliveryId, text: &str) -> Result<Shown, StoreError> {
    let (shared, passage) = (watched.shared, watched.passage);
    let content = LetterContent::Markdown { text: text.to_owned() };
    let letter = Letter { address: passage.destination.address.clone(), content };
    // What was under way when the gateway was stopped was of what is stored until now.
    let before = shared.line.store.delivery(id).await?;
    let opened = shared.line.store.delivery_open(NewDelivery {
        id,
        session: Some(passage.session.clone()),
        channel: passage.destination.channel.clone(),
        conversation: passage.destination.conversation.clone(),
        content: letter.to_bytes(),
        draft: true,
        epoch: shared.line.epoch,
        now: shared.now(),
    });
    if !opened.await? {
        return Ok(Shown::Over);
    }
    let Some(delivery) = shared.line.store.delivery(id).await? else { return Ok(Shown::Over) };
    let Ok(course) = Course::of(&delivery) else { return Ok(Shown::Over) };
    let earlier = before.as_ref().and_then(|before| Addressed::of(before).ok()?.draft());
    let mut work = Work::new(shared, delivery, course, watched.route.clone());
    let came = work.advance(&Content::Draft(text.to_owned()), earlier.as_ref()).await;
    let now = shared.now();
    let shown = match came {
        Came::Done(ids) => {
            work.delivery.shown = settle::shown(ids);
            Shown::Yes
        }
        Came::Wait(wait) => Shown::Later(now.plus(wait)),
        Came::Held(until) => Shown::Later(until),
        Came::Later { after: Some(after), .. } => Shown::Later(now.plus(after)),
        Came::Later { after: None, reason } | Came::NoConnection(reason) | Came::Dead(reason) => Shown::No(reason),
        Came::Unknown(reason) => {
            work.course.doubts = work.course.doubts.saturating_add(1);
            Shown::No(reason)
        }
        Came::Stopped => Shown::Over,
        Came::Gone => return Ok(Shown::Over),
        Came::Unstored(error) => return Err(error),
    };
    // Whatever became of it, the delivery is not settled. Its moment stays as it is, since its final text
    // may have come meanwhile. How long it was tried and how often is counted anew for that.
    work.delivery.state = DeliveryState::Pending;
    (work.course.since, work.course.steps) = (None, 0);
    settle::store(&work).await?;
    Ok(shown)
}

/// Settles the drafts of turns that are gone, so that nothing waits behind them. Those of turns that
/// are open go on with them.
///
/// # Errors
/// The store failed.
pub(super) async fn settle_orphans(shared: &Shared) -> Result<(), StoreError> {
    let (line, mut after) = (&shared.line, None);
    let states = vec![DeliveryState::Pending, DeliveryState::Sending];
    let filter = DeliveryFilter { channel: Some(line.name.to_string()), states };
    let mut drafts = Vec::new();
    loop {
        let page = line.store.deliveries(&filter, after, PAGE).await?;
        drafts.extend(page.items.into_iter().filter(|delivery| delivery.draft).map(|delivery| delivery.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if drafts.is_empty() {
        return Ok(());
    }
    // After the drafts: a turn that opens one now is found open, or its draft was not among them.
    let mut open = HashSet::new();
    let mut last = None;
    loop {
        let page = line.store.open_turns(last.take(), PAGE).await?;
        let full = page.len() >= PAGE;
        open.extend(page.iter().map(|turn| DeliveryId(turn.turn)));
        last = page.into_iter().next_back().filter(|_| full);
        if last.is_none() {
            break;
        }
    }
    for id in drafts.into_iter().filter(|id| !open.contains(id)) {
        let Some(_claim) = shared.claims.claim(id) else { continue };
        if let Some(delivery) = line.store.delivery(id).await?.filter(|delivery| delivery.draft) {
            orphan(shared, delivery).await?;
        }
    }
    Ok(())
}

async fn orphan(shared: &Shared, mut delivery: Delivery) -> Result<(), StoreError> {
    info!(delivery = %delivery.id.0, "the draft of a turn that is gone is settled");
    let (progress, now) = (delivery.progress.clone(), shared.now());
    // Should the process end between the two, an empty text is settled without being sent.
    let address = Letter::from_bytes(&delivery.content).map(|letter| letter.address).unwrap_or_default();
    let letter = Letter { address, content: LetterContent::Markdown { text: String::new() } };
    let closed = NewDelivery {
        id: delivery.id,
        session: delivery.session.clone(),
        channel: delivery.channel.clone(),
        conversation: delivery.conversation.clone(),
        content: letter.to_bytes(),
        draft: false,
        epoch: shared.line.epoch,
        now,
    };
    shared.line.store.delivery_open(closed).await?;
    delivery.state = DeliveryState::Dead;
    delivery.reason = Some("its turn is gone, and with it the rest of the text".to_owned());
    settle::update(shared, &delivery, progress).await?;
    Ok(())
}
