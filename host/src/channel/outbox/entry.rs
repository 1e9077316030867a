//! Deliveries, as their owner is shown them.

use serde::{Deserialize, Serialize};

use super::course::Course;
use crate::agent::{Letter, LetterContent};
use crate::store::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryState, DynStore, Page, Receipt, SessionKey, StoreError, Timestamp,
};
use crate::text;

/// Characters of a text that are shown.
const EXCERPT: usize = 200;

/// Pages of the store that are looked through for one page of a list.
const MOST_PAGES: usize = 16;

/// How far a delivery is, for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// Its text still grows.
    Draft,
    /// It waits for its moment.
    Pending,
    /// A step of it is under way.
    Sending,
    /// It may have been sent, and is left to its owner.
    Unknown,
    /// It was sent.
    Sent,
    /// It will not be sent any more, unless its owner says so.
    Dead,
    /// Its owner dropped it.
    Dropped,
}

/// A delivery, for its owner.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct OutboxEntry {
    /// Which.
    pub id: DeliveryId,
    /// The channel's name in the config.
    pub channel: String,
    /// Within the channel: those of one conversation keep their order.
    pub conversation: String,
    /// The session that it answers in; null where it answers in none.
    pub session: Option<SessionKey>,
    /// How far it is.
    pub state: OutboxState,
    /// How often something of it was sent of which nobody knew whether it arrived. Where that is not 0
    /// and it was sent again since, it may be shown twice.
    pub unknown: u32,
    /// Steps of it in a row that got nowhere.
    pub attempts: u32,
    /// When it was opened, in milliseconds since the Unix epoch.
    pub created_at: Timestamp,
    /// How many seconds ago that was.
    pub age_s: u64,
    /// When it is tried next; null where it is not.
    pub due_at: Option<Timestamp>,
    /// Why it waits, failed last, or is dead.
    pub reason: Option<String>,
    /// What the platform said of it later.
    pub receipt: Option<Receipt>,
    /// The platform's ids of what is shown of it, in order.
    pub shown: Vec<String>,
    /// How it begins.
    pub text: String,
}

impl OutboxEntry {
    /// A delivery as it is at `now`.
    #[must_use]
    pub fn of(delivery: Delivery, now: Timestamp) -> Self {
        let course = Course::of(&delivery).unwrap_or_default();
        let state = match delivery.state {
            _ if delivery.draft => OutboxState::Draft,
            DeliveryState::Pending => OutboxState::Pending,
            DeliveryState::Sending => OutboxState::Sending,
            DeliveryState::Unknown => OutboxState::Unknown,
            DeliveryState::Sent => OutboxState::Sent,
            DeliveryState::Dead if course.dropped => OutboxState::Dropped,
            DeliveryState::Dead => OutboxState::Dead,
        };
        let waits = matches!(state, OutboxState::Draft | OutboxState::Pending | OutboxState::Sending);
        Self {
            id: delivery.id,
            text: excerpt(&delivery),
            channel: delivery.channel,
            conversation: delivery.conversation,
            session: delivery.session,
            state,
            unknown: course.doubts,
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            age_s: now.since(delivery.created_at).as_secs(),
            due_at: waits.then_some(delivery.due),
            reason: delivery.reason,
            receipt: delivery.receipt,
            shown: delivery.shown,
        }
    }
}

fn excerpt(delivery: &Delivery) -> String {
    let whole = match Letter::from_bytes(&delivery.content).map(|letter| letter.content) {
        Ok(LetterContent::Markdown { text }) => text,
        Ok(LetterContent::File { file }) => file.to_string(),
        Ok(LetterContent::Reaction { emoji, .. }) => emoji,
        Err(_) => return "?".to_owned(),
    };
    text::one_line(&whole, EXCERPT)
}

/// Which deliveries are listed.
#[derive(Debug, Clone, Default)]
pub struct OutboxList {
    /// Of this channel; of all, where it is absent.
    pub channel: Option<String>,
    /// In one of these states; where it is empty, in any but sent and dropped.
    pub states: Vec<OutboxState>,
    /// Only those that were unknown at some time, whatever became of them since.
    pub unknown: bool,
}

impl OutboxList {
    /// A page of the list, after `after`. A page that is not the last may hold fewer than `limit`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn page(
        &self,
        store: &DynStore,
        after: Option<DeliveryId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<OutboxEntry, DeliveryId>, StoreError> {
        let filter = DeliveryFilter { channel: self.channel.clone(), states: self.stored() };
        let (mut items, mut next) = (Vec::new(), after);
        for _ in 0..MOST_PAGES {
            let page = store.deliveries(&filter, next, limit).await?;
            next = page.next;
            for delivery in page.items {
                let id = delivery.id;
                let entry = OutboxEntry::of(delivery, now);
                if !self.lists(&entry) {
                    continue;
                }
                if items.len() >= limit {
                    // It begins the next page.
                    return Ok(Page { next: items.last().map(|entry: &OutboxEntry| entry.id), items });
                }
                debug_assert_eq!(entry.id, id);
                items.push(entry);
            }
            if next.is_none() || items.len() >= limit {
                break;
            }
        }
        Ok(Page { items, next })
    }

    fn lists(&self, entry: &OutboxEntry) -> bool {
        let state = match self.states.as_slice() {
            [] if self.unknown => true,
            [] => !matches!(entry.state, OutboxState::Sent | OutboxState::Dropped),
            states => states.contains(&entry.state),
        };
        state && (!self.unknown || entry.unknown > 0 || entry.state == OutboxState::Unknown)
    }

    /// The store's states that there can be something of in the list; all, where it is empty.
    fn stored(&self) -> Vec<DeliveryState> {
        use DeliveryState::{Dead, Pending, Sending, Sent, Unknown};
        let of = |state: &OutboxState| match state {
            OutboxState::Draft => vec![Pending, Sending],
            OutboxState::Pending => vec![Pending],
            OutboxState::Sending => vec![Sending],
            OutboxState::Unknown => vec![Unknown],
            OutboxState::Sent => vec![Sent],
            OutboxState::Dead | OutboxState::Dropped => vec![Dead],
        };
        match self.states.as_slice() {
            [] if self.unknown => Vec::new(),
            [] => vec![Pending, Sending, Unknown, Dead],
            states => states.iter().flat_map(of).collect(),
        }
    }
}
